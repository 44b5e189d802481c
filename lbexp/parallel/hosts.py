"""The processes of one job: how they start, agree, and act as one. jax.distributed carries the
job."""

import importlib.metadata
import itertools
import json
import os
import pathlib
import platform
import sys
import uuid
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jax._src import distributed
from jax.experimental import multihost_utils

from lbexp.errors import Refusal, refused
from lbexp.exit_status import BAD_CONFIG
from lbexp.parallel import address as addresses
from lbexp.parallel import launchers
from lbexp.parallel.handshake import handshake
from lbexp.parallel.heartbeats import Heartbeats
from lbexp.parallel.members import Member, NotStarted

# JAX offers no public way to exchange a few words before there are devices: the key-value store
# behind distributed.
_PATIENCE = 24 * 3600 * 1000  # ms; a process that dies is noticed by its heartbeat, not by this
_SHUTDOWN = 30  # s, where a process ends without `leave`
_exchanges = itertools.count()
_heartbeats: Heartbeats | None = None


class Agreed(Refusal):
    """A problem that every process of the job knows of."""


class AgreedOSError(OSError):
    """What the system told process 0, on every process of the job."""


class PrimaryFailed(RuntimeError):
    """A defect ended process 0 while the others waited for it; it tells of it."""


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
    problems += _incomplete(mode, named, address, processes, index) if not problems else []
    if address is None:
        raise NotStarted(BAD_CONFIG, problems)
    try:
        where = addresses.address(address)
    except Refusal as error:
        raise NotStarted(BAD_CONFIG, [*problems, str(error)]) from error
    own = Member(index, processes, platform.node(), os.getpid(), _version(), problems)
    joined = handshake(own, where, start_timeout, stopping)
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
        return [
            f'--distributed={mode}{", " + named if named else ""}: no launcher was found (srun, '
            'mpirun of OpenMPI 4, '
            'Kubernetes, Cloud TPU). Give --coordinator_address=HOST:PORT --num_processes=N '
            '--process_id=0..N-1, '
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
    own = f'process {index} of {processes} on host {platform.node()}'
    _heartbeats = Heartbeats(own, joined.wires, joined.names, peer_timeout)
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
            coordinator_bind_address=None if joined.bind is None else str(joined.bind),
        )
    except RuntimeError as error:
        cause = (str(error).splitlines() or [''])[0]
        line = f'JAX cannot join the job at {joined.connect}: {cause}'
        print(f'lbexp: {line}', file=sys.stderr)
        leave(BAD_CONFIG, line)  # without the others it could only wait


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
    """Process 0 alone acts; all get what it returns (a value that JSON holds), or raise what it
    raises.

    The action must not wait for other processes: they wait for it.
    """
    if count() == 1:
        return action()
    if not first():
        return _outcome(exchange(None)[0])
    try:
        outcome = {'result': action()}
    except OSError as error:
        named = error.filename and str(error.filename)
        outcome = {'system': [error.errno, error.strerror or str(error), named]}
    except Exception as error:
        if not refused(error):
            exchange({'failed': f'{type(error).__name__}: {error}'})
            raise
        outcome = {'refused': str(error)}
    return _outcome(exchange(outcome)[0])


def _outcome(message):
    if 'system' in message:
        raise AgreedOSError(*message['system'])
    if 'refused' in message:
        raise Agreed(message['refused'])
    if 'failed' in message:
        raise PrimaryFailed(message['failed'])
    return message['result']


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
        told = {
            text: f'process {i}: {text}' if count() > 1 else text
            for i, text in enumerate(said)
            if text
        }
        raise Agreed('; '.join([said[0]] if len(told) == 1 and said[0] else told.values()))
    return result


def agree(facts: dict[str, Any]):
    """Raises ValueError where the processes were not given the same: the message says what differs,
    and how."""
    said = exchange(facts)
    paths = dict.fromkeys(path for one in said for path in one)
    differ = [path for path in paths if any(one.get(path) != said[0].get(path) for one in said)]
    if differ:
        told = [
            ', '.join(f'{one.get(p)!r} on process {i}' for i, one in enumerate(said))
            for p in differ[:5]
        ]
        lines = '; '.join(f'{path}: {values}' for path, values in zip(differ, told))
        raise Agreed(
            f'the processes of this job differ ({lines}). Start all with one command and one code'
        )


def gather(values: Any) -> np.ndarray:
    """Numbers of every process, [processes, ...]: a collective of the devices, for what is asked
    often."""
    values = np.asarray(values, np.float32)
    return values[None] if count() == 1 else multihost_utils.process_allgather(values)


def described() -> str:
    """This process and its devices in a line."""
    return (
        f'{name()}: {jax.local_device_count()} of {jax.device_count()} devices '
        f'({jax.default_backend()})'
    )


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
        raise Agreed(
            f'devices: found {counts} on the processes of this job; allowed: as many on each'
        )


def leave(status: int, cause: str = ''):
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
    os._exit(status)
