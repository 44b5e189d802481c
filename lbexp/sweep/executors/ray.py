"""Ray: core tasks, on a cluster that there is or on this machine."""

import os

from lbexp.errors import Refusal
from lbexp.sweep.executors import Executor, Resources
from lbexp.sweep.worker import worker


def ray(resources: Resources) -> Executor:
    """Each cohort is a task, in a process of its own, on the cluster of RAY_ADDRESS or one that Ray
    finds; else here.

    Ray places tasks; whether a cohort is tried again is decided by its folder. The workdir lies on
    a file system that the nodes share, and lbexp is installed on them.

    Raises:
        Refusal: there is no Ray.
    """
    os.environ.setdefault('RAY_USAGE_STATS_ENABLED', '0')
    try:
        import ray as cluster
    except ModuleNotFoundError as error:
        raise Refusal(f"--executor=ray: {error}; pip install '.[ray]'") from error
    _join(cluster)
    # One call a process: JAX is set up once, for one cohort.
    needs = dict(num_cpus=resources.cores or 1, num_gpus=resources.accelerators)
    train = cluster.remote(max_retries=0, max_calls=1, **needs)(worker)

    def exit_reason(task):
        ready, _ = cluster.wait([task], timeout=0)
        if not ready:
            return None
        try:
            cluster.get(task)
            return 'returned'
        except cluster.exceptions.RayError as error:
            return (str(error).splitlines() or [''])[0]

    def cancel(task, kill=False):
        cluster.cancel(task, force=kill)

    def submit(batch):
        return [train.remote(arguments) for arguments in batch]

    return Executor(lambda cohorts: resources.workers, submit, exit_reason, cancel, 0.2)


def _join(cluster):
    how = dict(log_to_driver=False, logging_level='error')
    address = os.environ.get('RAY_ADDRESS')
    if address != 'local':
        try:
            cluster.init(address=address or 'auto', **how)
            return
        except (ConnectionError, RuntimeError) as error:
            # Only a cluster that the user has named must be there.
            if address:
                raise Refusal(
                    f'--executor=ray: found RAY_ADDRESS={address}, where no cluster answers; '
                    'allowed: the address of one, with its RAY_AUTH_MODE and token, or no '
                    'RAY_ADDRESS to start one here'
                ) from error
    cluster.init(address='local', include_dashboard=False, **how)
