"""What starts a job where there is none to test on: as far as this machine can tell."""

import os
import pathlib
import subprocess
import sys
import types
from types import SimpleNamespace

import pytest
import yaml
from jax._src.clusters.k8s_cluster import K8sCluster
from jobs import ROOT

from lbexp import exit_status

pytestmark = pytest.mark.processes

AGAIN = (75, 76, 77, 134, 137, 143)
NEVER = (
    exit_status.FAILED,
    exit_status.BAD_CONFIG,
    exit_status.NO_CHECKPOINT,
    exit_status.DIVERGED,
)


def test_the_launchers_start_again_after_the_same_statuses():
    assert {exit_status.STOPPED, exit_status.PEER_LOST} < set(AGAIN)
    for name in ('slurm_train.sh', 'mpirun_train.sh', 'cloud_tpu.sh'):
        assert f'{" | ".join(map(str, AGAIN))})' in (ROOT / 'scripts' / name).read_text()


@pytest.fixture
def manifest():
    text = (ROOT / 'scripts' / 'kubernetes_jobset.yaml').read_text()
    return {document['kind']: document for document in yaml.safe_load_all(text)}


def test_the_jobset_restarts_whole_and_only_where_it_helps(manifest):
    assert manifest['JobSet']['apiVersion'] == 'jobset.x-k8s.io/v1alpha2'
    spec = manifest['JobSet']['spec']
    (replicated,) = spec['replicatedJobs']
    job, pod = replicated['template']['spec'], replicated['template']['spec']['template']['spec']
    assert replicated['replicas'] == 1 and job['completionMode'] == 'Indexed'
    assert job['parallelism'] == job['completions'] > 1
    # A pod that fails ends the Job, and with it all pods; the JobSet begins all of them again, but
    # for these statuses.
    assert job['backoffLimit'] == 0 and pod['restartPolicy'] == 'Never'
    (rule,) = job['podFailurePolicy']['rules']
    assert rule['action'] == 'FailJob' and rule['onExitCodes']['operator'] == 'In'
    assert tuple(rule['onExitCodes']['values']) == NEVER
    (container,) = pod['containers']
    assert rule['onExitCodes']['containerName'] == container['name']
    (policy,) = spec['failurePolicy']['rules']
    assert (policy['action'], policy['onJobFailureReasons']) == ('FailJobSet', ['PodFailurePolicy'])
    assert spec['failurePolicy']['maxRestarts'] > 0
    assert container['command'] == ['python', '-m', 'lbexp.main']
    mounted = {mount['name']: mount['mountPath'] for mount in container['volumeMounts']}
    assert set(mounted) == {volume['name'] for volume in pod['volumes']}
    assert any(one == f'--workdir={mounted["shared"]}/lamb' for one in container['args'])


def test_jax_finds_process_0_of_the_jobset(manifest, monkeypatch, tmp_path):
    """JAX's detection asks a cluster that has what the JobSet controller makes of the manifest."""
    name, spec = manifest['JobSet']['metadata']['name'], manifest['JobSet']['spec']
    (replicated,) = spec['replicatedJobs']
    # jobset.sigs.k8s.io: of the replicated job's first Job
    job_name = f'{name}-{replicated["name"]}-0'
    pod_spec = replicated['template']['spec']['template']['spec']
    rights = {
        (group, resource)
        for rule in manifest['Role']['rules']
        for group in rule['apiGroups']
        for resource in rule['resources']
        if {'get', 'list'} <= set(rule['verbs'])
    }

    def allowed(group, resource):
        (subject,) = manifest['RoleBinding']['subjects']
        assert (
            subject['name']
            == pod_spec['serviceAccountName']
            == manifest['ServiceAccount']['metadata']['name']
        )
        assert manifest['RoleBinding']['roleRef']['name'] == manifest['Role']['metadata']['name']
        assert (group, resource) in rights

    def pods(namespace, field_selector):
        allowed('', 'pods')
        owner = SimpleNamespace(controller=True, kind='Job')
        metadata = SimpleNamespace(
            name=f'{job_name}-1', labels={'job-name': job_name}, owner_references=[owner]
        )
        return SimpleNamespace(
            items=[SimpleNamespace(metadata=metadata, spec=SimpleNamespace(subdomain=name))]
        )

    def job(name, namespace):
        allowed('batch', 'jobs')
        assert name == job_name
        labels = {'jobset.sigs.k8s.io/jobset-name': manifest['JobSet']['metadata']['name']}
        count = replicated['template']['spec']['parallelism']
        return SimpleNamespace(
            metadata=SimpleNamespace(name=name, labels=labels),
            spec=SimpleNamespace(parallelism=count),
        )

    client = SimpleNamespace(
        CoreV1Api=lambda: SimpleNamespace(list_namespaced_pod=pods),
        BatchV1Api=lambda: SimpleNamespace(read_namespaced_job=job),
        exceptions=SimpleNamespace(ApiException=OSError),
    )
    kubernetes = types.ModuleType('kubernetes')
    kubernetes.client, kubernetes.config = (
        client,
        SimpleNamespace(load_incluster_config=lambda: None),
    )
    monkeypatch.setitem(sys.modules, 'kubernetes', kubernetes)
    monkeypatch.setattr(K8sCluster, '_namespace', classmethod(lambda cls: 'default'))
    for variable, value in [
        ('KUBERNETES_SERVICE_HOST', '10.0.0.1'),
        ('JOB_COMPLETION_INDEX', '1'),
        ('HOSTNAME', 'localhost'),
    ]:
        monkeypatch.setenv(variable, value)
    assert K8sCluster.is_env_present()
    assert K8sCluster.get_coordinator_address(None, None) == f'{job_name}-0.{name}:55527'
    assert (K8sCluster.get_process_count(), K8sCluster.get_process_id()) == (2, 1)


GCLOUD = r"""#!/usr/bin/env bash
echo "$*" | head -1 >>log
verb=$4 count=$(grep -c ' create ' log)
case $verb in
describe) [ "$count" = 1 ] && echo PREEMPTED || echo READY ;;
ssh)
    command=${*: -1}
    [[ $command == *lbexp.main* ]] || exit 0
    [ "$count" = 1 ] && exit 255
    bash -c "${command#--command=}" ;;
esac
"""
PYTHON = r"""#!/usr/bin/env bash
printf '<%s>' "$@" >>../arguments
echo >>../arguments
[ "$(wc -l <../arguments)" = 1 ] && exit 76
exit 78
"""


def test_a_cloud_tpu_that_was_preempted_is_created_again(tmp_path):
    """The first TPU is taken away; on the second a process is lost, then the run has its result."""
    for path, content in {
        'bin/gcloud': GCLOUD,
        'lbexp-env/bin/python': PYTHON,
        'bin/sleep': '#!/bin/sh\n',
    }.items():
        file = tmp_path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
        file.chmod(0o755)
    (tmp_path / 'lbexp').mkdir()
    ready = {
        **os.environ,
        'PATH': f'{tmp_path}/bin{os.pathsep}{os.environ["PATH"]}',
        'SHARED': 'nfs:/share',
    }
    given = ['tpu', 'zone', 'v5litepod-16', '--config=experiments/lamb.py', '--config.seed=a b']
    command = [str(ROOT / 'scripts' / 'cloud_tpu.sh'), *given]
    done = subprocess.run(
        command, cwd=tmp_path, env=ready, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 78, done.stderr
    assert 'the TPU is PREEMPTED; another one is created' in done.stderr
    verbs = [line.split()[3] for line in pathlib.Path(tmp_path / 'log').read_text().splitlines()]
    assert verbs == ['create', 'scp', 'ssh', 'ssh', 'describe', 'delete'] * 2
    ran = (tmp_path / 'arguments').read_text().splitlines()
    assert (
        ran
        == [
            '<-m><lbexp.main><--start_timeout=600><--config=experiments/lamb.py><--config.seed=a b>'
        ]
        * 2
    )
