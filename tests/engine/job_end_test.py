"""The end of a job: the others wait for the report of process 0, however long it takes, and hear of
its failure."""

import os
import subprocess
import sys

import pytest
from jobs import ROOT, Job, environment

pytestmark = pytest.mark.processes

EXPERIMENT = """
from lbexp import config
def get_config():
    c = config.base()
    c.workload = dict(name='linear_regression', size=100)
    c.optimizer = dict(name='sgd', learning_rate=0.05)
    c.study = dict(name='slow:slow')
    c.steps, c.batch_size, c.data_parallel, c.num_rows, c.num_evaluations = 10, 10, 2, 2, 1
    return c
"""
STUDY = """
import os, signal, time
from lbexp.parallel import hosts
from lbexp.studies import training, Study
def slow(report='sleeps') -> Study:
    plain = training.training()
    def analyse(workdir):
        if hosts.is_primary() and report == 'sleeps':
            time.sleep(9)
        if hosts.is_primary() and report == 'raises':
            raise RuntimeError('no report today')
        if hosts.is_primary() and report == 'is killed':
            os.kill(os.getpid(), signal.SIGKILL)
        return plain.analyse(workdir)
    return Study(plain.trials, analyse)
"""


@pytest.mark.parametrize(
    'report, statuses, line',
    [
        ('sleeps', [0, 0], ''),
        pytest.param(
            'raises',
            [1, 1],
            'process 0 of 2 on host {host} failed: RuntimeError: no report today',
            marks=pytest.mark.long,
        ),
        pytest.param(
            'is killed',
            [-9, 76],
            'lost another process of the job: process 0 (host {host}, pid ',
            marks=pytest.mark.long,
        ),
    ],
)
def test_the_others_wait_for_the_report(tmp_path, monkeypatch, report, statuses, line):
    """For longer than a process may be silent: 6 s."""
    (tmp_path / 'experiment.py').write_text(EXPERIMENT)
    (tmp_path / 'slow.py').write_text(STUDY)
    monkeypatch.setenv('PYTHONPATH', f'{tmp_path}{os.pathsep}{ROOT}')
    arguments = [f'--config={tmp_path}/experiment.py', f'--workdir={tmp_path}/run']
    with Job(2, *arguments, f'--config.study.report={report}', peer_timeout=6) as job:
        ended = job.end()
    assert [status for status, *_ in ended] == statuses, ended
    assert ('report:' in ended[0][1]) == (report == 'sleeps')
    problem = ended[1][2]
    assert line.format(host=os.uname().nodename) in problem and 'Traceback' not in problem
    assert (problem == '') == (report == 'sleeps')


def test_the_coordinator_listens_where_it_was_told():
    """Not at every address of the host. JAX's service has the port once the handshake is over."""
    code = (
        'import jax, socket; from lbexp.parallel import hosts\n'
        'jax.config.update("jax_platforms", "cpu")\n'
        'server = socket.create_server(("127.0.0.1", 0)); port = server.getsockname()[1]; '
        'server.close()\n'
        'hosts.start("on", f"127.0.0.1:{port}", 1, 0, 10)\n'
        'socket.create_connection(("127.0.0.1", port)).close()\n'
        'socket.create_server(("127.0.0.2", port)).close()\n'
        'print("alone there")\n'
    )
    variables = environment(PYTHONPATH=str(ROOT))
    done = subprocess.run(
        [sys.executable, '-c', code], env=variables, capture_output=True, text=True, timeout=300
    )
    assert done.stdout == 'alone there\n', done.stderr
