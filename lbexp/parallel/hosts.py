"""The processes of one job: how they start, agree, and act as one. jax.distributed carries the
job."""

import importlib.metadata
import os
import platform
import sys
from collections.abc import Callable, Sequence

import jax
from jax._src import distributed

from lbexp.errors import Refusal
from lbexp.exit_status import BAD_CONFIG
from lbexp.parallel import address as addresses
from lbexp.parallel import launchers
from lbexp.parallel.handshake import handshake
from lbexp.parallel.heartbeats import Heartbeats
from lbexp.parallel.members import Member, NotStarted

_SHUTDOWN = 30  # s, where a process ends without `shutdown`
_heartbeats: Heartbeats | None = None


def start(
    mode: str,
    address: str | None,
    processes: int | None,
    index: int | None,
    peer_timeout: int,
    start_timeout: int = 60,
    problems: Sequence[str] = (),
    stopping: Callable[[], str | None] = lambda: None,
):
    """Joins this process to its job, if that has several; before anything else uses JAX.

    Args:
        mode: 'auto' joins when a launcher (srun, mpirun, Kubernetes, Cloud TPU) has started several
            processes, or the address is given; 'on' insists; 'off' runs alone.
        address: 'HOST:PORT' of process 0.
        processes: how many there are.
        index: this one's, 0 .. processes-1. What is None is asked of the launcher.
        peer_timeout: seconds without a sign of life after which a process is lost.
        start_timeout: seconds in which all must come.
        problems: for which this process will not start; the others are told.
        stopping: the name of the signal that told this process to stop, if one did.

    Raises:
        Refusal: arguments that contradict each other, no launcher where there should be one, or a
            batch script of several tasks in which only one process would train.
        NotStarted: the processes of the job did not find together.
    """
    named = _named(address, processes, index)
    if mode not in ('auto', 'on', 'off'):
        raise Refusal(f"--distributed: found {mode!r}; allowed: 'auto', 'on', 'off'")
    if mode == 'off':
        if named:
            raise Refusal(f'--distributed: found off with {named}; allowed: auto or on')
        return
    problems, device = list(problems), None
    launcher = launchers.launcher()
    try:
        settings = launchers.settings(launcher, address, processes, index)
        address, processes, index, device = settings
    except Refusal as error:
        problems.append(str(error))
    if mode == 'auto' and not named and (launcher is None or processes == 1):
        launchers.refuse_to_train_alone()
        return
    if not problems:
        problems = _incomplete(mode, named, address, processes, index)
    # Where the address is known, a process with problems still comes, to tell the others.
    if address is None:
        raise NotStarted(BAD_CONFIG, problems)
    try:
        where = addresses.address(address)
    except Refusal as error:
        raise NotStarted(BAD_CONFIG, [*problems, str(error)]) from error
    member = Member(index, processes, platform.node(), os.getpid(), _version(), problems)
    joined = handshake(member, where, start_timeout, stopping)
    _join(joined, processes, index, device, peer_timeout)


def _version():
    try:
        return importlib.metadata.version('lbexp')
    except importlib.metadata.PackageNotFoundError:  # it runs in its folder
        return ''


def _named(address, processes, index):
    """The flags that were given, for a message."""
    values = {'coordinator_address': address, 'num_processes': processes, 'process_id': index}
    return ', '.join(f'--{name}={value}' for name, value in values.items() if value is not None)


def _incomplete(mode, named, address, processes, index):
    """What keeps these from naming a process of a job; in a list."""
    if address is None or processes is None or index is None:
        flags = ', '.join(filter(None, [f'--distributed={mode}', named]))
        return [
            f'{flags}: no launcher was found (srun, mpirun of OpenMPI 4, Kubernetes, Cloud TPU). '
            'Give --coordinator_address=HOST:PORT --num_processes=N --process_id=0..N-1, '
            'or --distributed=off'
        ]
    if not 0 <= index < processes:
        allowed = f'allowed: --process_id=0..N-1, here 0 to {processes - 1}'
        return [f'--process_id: found {index} with --num_processes={processes}; {allowed}']
    return []


def _join(joined, processes, index, device, peer_timeout):
    """Lets JAX connect processes that have found each other; from now on they watch over each
    other."""
    global _heartbeats
    name = f'process {index} of {processes} on host {platform.node()}'
    _heartbeats = Heartbeats(name, joined.wires, joined.names, peer_timeout)
    bind_address = joined.bind and str(joined.bind)
    # SIGTERM stays with the handler of the main program, which stops a lone process in the same
    # way.
    jax.config.update('jax_enable_preemption_service', False)
    try:
        jax.distributed.initialize(
            str(joined.connect),
            processes,
            index,
            local_device_ids=device,
            cluster_detection_method='deactivate',  # it was asked above
            # Ours come first: JAX's end a process with an abort.
            heartbeat_timeout_seconds=3 * peer_timeout + 60,
            shutdown_timeout_seconds=_SHUTDOWN,
            coordinator_bind_address=bind_address,
        )
    except RuntimeError as error:
        cause = (str(error).splitlines() or [''])[0]
        line = f'JAX cannot join the job at {joined.connect}: {cause}'
        print(f'lbexp: {line}', file=sys.stderr)
        shutdown(BAD_CONFIG, line)  # without the others it could only wait


def count() -> int:
    """Processes of the job."""
    # Not jax.process_count(), which starts JAX: its devices are not to be set up yet.
    if not jax.distributed.is_initialized():
        return 1
    return distributed.global_state.num_processes


def index() -> int:
    """Which of them this one is."""
    if not jax.distributed.is_initialized():
        return 0
    return distributed.global_state.process_id


def is_primary() -> bool:
    """Whether this process writes the results. Nothing that all must do may stand behind this."""
    return index() == 0


def name() -> str:
    """This process, for a message."""
    return f'process {index()} of {count()} on host {platform.node()}'


def describe() -> str:
    """This process and its devices in a line."""
    return (
        f'{name()}: {jax.local_device_count()} of {jax.device_count()} devices '
        f'({jax.default_backend()})'
    )


def shutdown(status: int, cause: str = ''):
    """Ends a process of a job: process 0 last, as the others need its service as long as they live.

    Args:
        cause: for which this process ends without the others, who wait for it; they are told, and
            end too.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    if _heartbeats and cause:
        _heartbeats.fail(status, cause)
    elif _heartbeats:
        _heartbeats.leave(status)
    # sys.exit would have JAX take its leave as well, at a barrier that waits for all.
    os._exit(status)
