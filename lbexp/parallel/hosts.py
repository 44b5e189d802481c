"""The processes of one job: how they start, agree, and act as one. jax.distributed carries the job."""

import contextlib
import itertools
import json
import os
import pathlib
import platform
import sys
import uuid
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax._src import clusters, distributed
from jax.experimental import multihost_utils

from lbexp.errors import Refusal, refused

# JAX asks these two itself and offers no public way to ask before it starts (clusters), or to exchange a few words
# before there are devices (the key-value store behind distributed).

_PATIENCE = 24 * 3600 * 1000  # ms; a process that dies is noticed by its heartbeat, not by this
_SHUTDOWN = 30  # s
_exchanges = itertools.count()


class Agreed(Refusal):
    """A problem that every process of the job knows of."""


def start(mode: str, address: str | None, processes: int | None, index: int | None, peer_timeout: int):
    """Joins this process to its job, if that has several; before anything else uses JAX.

    Args:
        mode: 'auto' joins when a launcher (srun, mpirun, Kubernetes, Cloud TPU) has started several processes, or the
            address is given; 'on' insists; 'off' runs alone.
        address: 'HOST:PORT' of process 0.
        processes: how many there are.
        index: this one's, 0 .. processes-1. What is None is asked of the launcher.
        peer_timeout: seconds without a sign of life after which a process is lost.

    Raises:
        Refusal: arguments that contradict each other, no launcher where there should be one, or a batch script of
            several tasks in which only one process would train.
    """
    given = {'coordinator_address': address, 'num_processes': processes, 'process_id': index}
    named = ', '.join(f'--{name}={value}' for name, value in given.items() if value is not None)
    if mode not in ('auto', 'on', 'off'):
        raise Refusal(f"--distributed: found {mode!r}; allowed: 'auto', 'on', 'off'")
    if mode == 'off':
        if named:
            raise Refusal(f'--distributed: found off with {named}; allowed: auto or on')
        return
    launcher = _launcher()
    if address is None and launcher is not None:
        address = launcher.get_coordinator_address(300, os.environ.get('JAX_COORDINATOR_PORT'))
        address = os.environ.get('JAX_COORDINATOR_ADDRESS') or address
    found = _asked(launcher)
    processes, index = (f if v is None else v for v, f in zip((processes, index), found))
    if mode == 'auto' and not named and (launcher is None or processes == 1):
        _refuse_to_train_alone()
        return
    if address is None or processes is None or index is None or not 0 <= index < processes:
        raise Refusal(
            f'--distributed={mode}{", " + named if named else ""}: no launcher was found (srun, mpirun of OpenMPI 4, '
            'Kubernetes, Cloud TPU). Give --coordinator_address=HOST:PORT --num_processes=N --process_id=0..N-1, '
            'or --distributed=off'
        )
    # SIGTERM stays with the handler of the main program, which stops a lone process in the same way.
    jax.config.update('jax_enable_preemption_service', False)
    # One that is alone on its host takes all of its devices, another the one that the launcher means for it.
    own = None if launcher is None or _alone_on_host() else launcher.get_local_process_id()
    jax.distributed.initialize(
        address,
        processes,
        index,
        local_device_ids=own,
        cluster_detection_method='deactivate',  # it was asked above
        heartbeat_timeout_seconds=peer_timeout,
        shutdown_timeout_seconds=_SHUTDOWN,
    )


def count() -> int:
    """Processes of the job."""
    return distributed.global_state.num_processes if jax.distributed.is_initialized() else 1


def index() -> int:
    """Which of them this one is."""
    return distributed.global_state.process_id if jax.distributed.is_initialized() else 0


def first() -> bool:
    """Whether this process writes the results. Nothing that all must do may stand behind this."""
    return index() == 0


def name() -> str:
    """This process, for a message."""
    return f'process {index()} of {count()} on host {platform.node()}'


def exchange(value: Any) -> list:
    """What every process has to say, by index: values that JSON holds. It needs no devices."""
    if count() == 1:
        return [value]
    store, round_ = distributed.global_state.client, next(_exchanges)
    store.key_value_set(f'lbexp/{round_}/{index()}', json.dumps(value))
    said = [store.blocking_key_value_get(f'lbexp/{round_}/{i}', _PATIENCE) for i in range(count())]
    return [json.loads(text) for text in said]


def lead(action: Callable[[], Any]) -> Any:
    """Process 0 alone acts; all get what it returns (a value that JSON holds), or raise its Refusal or OSError.

    The action must not wait for other processes: they wait for it.
    """
    if count() == 1:
        return action()
    done = None
    if first():
        try:
            done = {'result': action()}
        except OSError as error:
            done = {'system': [error.errno, error.strerror or str(error), error.filename and str(error.filename)]}
        except ValueError as error:
            if not refused(error):
                raise
            done = {'refused': str(error)}
    done = exchange(done)[0]
    if 'system' in done:
        raise OSError(*done['system'])
    if 'refused' in done:
        raise Agreed(done['refused'])
    return done['result']


def together(action: Callable[[], Any]) -> Any:
    """Every process acts; where one refuses, all do, so that none waits for what will not come."""
    try:
        result, problem = action(), None
    except ValueError as error:
        if not refused(error):
            raise
        result, problem = None, str(error)
    said = exchange(problem)
    if any(said):
        told = {text: f'process {i}: {text}' if count() > 1 else text for i, text in enumerate(said) if text}
        raise Agreed('; '.join([said[0]] if len(told) == 1 and said[0] else told.values()))
    return result


def agree(facts: dict[str, Any]):
    """Raises ValueError where the processes were not given the same: the message says what differs, and how."""
    said = exchange(facts)
    paths = dict.fromkeys(path for one in said for path in one)
    differ = [path for path in paths if any(one.get(path) != said[0].get(path) for one in said)]
    if differ:
        told = [', '.join(f'{one.get(p)!r} on process {i}' for i, one in enumerate(said)) for p in differ[:5]]
        lines = '; '.join(f'{path}: {values}' for path, values in zip(differ, told))
        raise Agreed(f'the processes of this job differ ({lines}). Start all with one command and one code')


def gather(values: Any) -> np.ndarray:
    """Numbers of every process, [processes, ...]: a collective of the devices, for what is asked often."""
    values = np.asarray(values, np.float32)
    return values[None] if count() == 1 else multihost_utils.process_allgather(values)


def described() -> str:
    """This process and its devices in a line."""
    return f'{name()}: {jax.local_device_count()} of {jax.device_count()} devices ({jax.default_backend()})'


def check_shared(folder: pathlib.Path):
    """Raises ValueError unless all processes see one folder of this name."""
    nonce, file = uuid.uuid4().hex, folder / '.shared'
    if count() == 1:
        return

    def written():
        folder.mkdir(parents=True, exist_ok=True)
        file.write_text(nonce)
        return nonce

    nonce = lead(written)
    try:
        seen = file.read_text()
    except OSError:
        seen = None
    apart = [i for i, same in enumerate(exchange(seen == nonce)) if not same]
    lead(lambda: file.unlink(missing_ok=True))
    if apart:
        raise Agreed(
            f'workdir {str(folder)!r}: not the folder of process 0 on processes {apart}; '
            'allowed: a --workdir on a file system that all hosts share'
        )


def check_devices():
    """Raises ValueError unless every process has as many devices as the others."""
    counts = exchange(jax.local_device_count())
    if len(set(counts)) > 1:
        raise Agreed(f'devices: found {counts} on the processes of this job; allowed: as many on each')


def leave(status: int, together: bool):
    """Ends a process of a job. Without the others an ordinary exit would wait for their heartbeats, then abort."""
    if together:
        with contextlib.suppress(Exception):
            jax.distributed.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def _launcher():
    """The launcher that JAX detects; OpenMPI before Slurm, for mpirun inside a Slurm job."""
    kinds = [kind for kind in clusters.ClusterEnv._cluster_types if not kind.opt_in_only_method]
    found = [kind for kind in kinds if kind.is_env_present()]
    return next((kind for kind in found if kind.name == 'ompi'), found[0] if found else None)


def _asked(launcher):
    """(processes, index) as the launcher says, or as OpenMPI 5 does, which JAX does not detect."""
    if launcher is not None:
        return launcher.get_process_count(), launcher.get_process_id()
    said = [os.environ.get(f'OMPI_COMM_WORLD_{which}') for which in ('SIZE', 'RANK')]
    return [None if value is None else int(value) for value in said]


def _alone_on_host():
    """Whether the launcher says that each host has one process: '1', or '1(x8)' for eight hosts."""
    tasks = os.environ.get('OMPI_COMM_WORLD_LOCAL_SIZE') or os.environ.get('SLURM_STEP_TASKS_PER_NODE', '')
    return tasks.partition('(')[0] == '1'


def _refuse_to_train_alone():
    """A batch script, or an MPI that JAX does not know: several processes were meant."""
    tasks, ranks = (int(os.environ.get(name) or 1) for name in ('SLURM_NTASKS', 'OMPI_COMM_WORLD_SIZE'))
    if 'SLURM_JOB_ID' in os.environ and 'SLURM_STEP_NODELIST' not in os.environ and tasks > 1:
        raise Refusal(
            f'--distributed=auto: found a Slurm job of {tasks} tasks, of which only this process would train: it was '
            'not started by srun. Start it with srun, or give --distributed=off'
        )
    if ranks > 1 and _launcher() is None:
        raise Refusal(
            f'--distributed=auto: found {ranks} MPI processes that would each train alone (OpenMPI 5 does not tell '
            'JAX where process 0 is). Give --coordinator_address=HOST:PORT, or --distributed=off'
        )
