"""What the processes of one job do together: tell each other values, act as one, agree.

Every process calls each of these functions, in the same order. Alone, a process acts and goes on.
"""

import itertools
import json
import pathlib
import uuid
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax._src import distributed
from jax.experimental import multihost_utils

from lbexp.errors import Refusal, refused
from lbexp.parallel.hosts import count, index, is_primary

# JAX offers no public way to exchange a few words before there are devices: the key-value store
# behind distributed.

# ms, a day: a process that dies is noticed by its heartbeat, not by this.
_PATIENCE = 24 * 3600 * 1000
# Numbers the exchanges: all processes make them in one order, so a number means one exchange.
_exchanges = itertools.count()


class CollectiveError(Refusal):
    """A problem that every process of the job knows of."""


class CollectiveOSError(OSError):
    """What the system told process 0, on every process of the job."""


class PrimaryFailed(RuntimeError):
    """A defect ended process 0 while the others waited for it; it tells of it."""


def allgather_object(value: Any) -> list[Any]:
    """What every process has to say, by index: values that JSON holds. It needs no devices."""
    if count() == 1:
        return [value]
    store = distributed.global_state.client
    assert store is not None  # there is one where there are several processes
    prefix = f'lbexp/{next(_exchanges)}'
    store.key_value_set(f'{prefix}/{index()}', json.dumps(value))
    values = []
    for process in range(count()):
        text = store.blocking_key_value_get(f'{prefix}/{process}', _PATIENCE)
        values.append(json.loads(text))
    return values


def run_on_primary(action: Callable[[], Any]) -> Any:
    """Process 0 alone acts; all get what it returns (a value that JSON holds), or raise what it
    raises.

    The action must not wait for other processes: they wait for it.
    """
    if count() == 1:
        result = action()
        json.dumps(result)  # what several could not tell each other is a defect with one, too
        return result
    if not is_primary():
        return _outcome(allgather_object(None)[0])
    try:
        outcome = {'result': action()}
    except OSError as error:
        filename = error.filename and str(error.filename)
        outcome = {'system': [error.errno, error.strerror or str(error), filename]}
    except Exception as error:
        if not refused(error):
            # The others wait for this exchange: they hear of the defect before it passes.
            allgather_object({'failed': f'{type(error).__name__}: {error}'})
            raise
        outcome = {'refused': str(error)}
    return _outcome(allgather_object(outcome)[0])


def _outcome(message):
    if 'system' in message:
        raise CollectiveOSError(*message['system'])
    if 'refused' in message:
        raise CollectiveError(message['refused'])
    if 'failed' in message:
        raise PrimaryFailed(message['failed'])
    return message['result']


def run_on_all(action: Callable[[], Any]) -> Any:
    """Every process acts; where one refuses, all do, so that none waits for what will not come."""
    try:
        result, problem = action(), None
    except ValueError as error:
        if not refused(error):
            raise
        result, problem = None, str(error)
    problems = allgather_object(problem)
    if any(problems):
        raise CollectiveError(_joined(problems))
    return result


def _joined(problems):
    """What the processes refuse, as one message; `None` where a process refuses nothing."""
    by_text = {}
    for process, text in enumerate(problems):
        if text:
            by_text[text] = f'process {process}: {text}'
    if len(by_text) == 1 and problems[0]:  # of the primary alone, or of all alike
        return problems[0]
    return '; '.join(by_text.values())


def assert_equal(values: dict[str, Any]) -> None:
    """Raises CollectiveError where the processes were not given the same: the message says what
    differs, and how.

    Args:
        values: by name; values that JSON holds.
    """
    by_process = allgather_object(values)
    differences = []
    for name in dict.fromkeys(itertools.chain.from_iterable(by_process)):
        column = [process_values.get(name) for process_values in by_process]
        if column.count(column[0]) < len(column):
            listed = ', '.join(f'{value!r} on process {i}' for i, value in enumerate(column))
            differences.append(f'{name}: {listed}')
    if differences:
        raise CollectiveError(
            f'the processes of this job differ ({"; ".join(differences[:5])}). '
            'Start all with one command and one code'
        )


def allgather(values: Any) -> np.ndarray:
    """Numbers of every process, [processes, ...]: a collective of the devices, for what is asked
    often."""
    values = np.asarray(values, np.float32)
    if count() == 1:
        return values[None]
    return np.asarray(multihost_utils.process_allgather(values))


def check_shared(folder: pathlib.Path) -> None:
    """Raises CollectiveError unless all processes see one folder of this name."""
    if count() == 1:
        return
    file = folder / '.shared'

    def write():
        nonce = uuid.uuid4().hex
        folder.mkdir(parents=True, exist_ok=True)
        file.write_text(nonce)
        return nonce

    nonce = run_on_primary(write)
    try:
        is_same = file.read_text() == nonce
    except OSError:
        is_same = False
    # Only when all have read it may it go.
    sees_same = allgather_object(is_same)
    run_on_primary(lambda: file.unlink(missing_ok=True))
    apart = [process for process, is_same in enumerate(sees_same) if not is_same]
    if apart:
        raise CollectiveError(
            f'workdir {str(folder)!r}: not the folder of process 0 on processes {apart}; '
            'allowed: a --workdir on a file system that all hosts share'
        )


def check_devices() -> None:
    """Raises CollectiveError unless every process has as many devices as the others."""
    counts = allgather_object(jax.local_device_count())
    if len(set(counts)) > 1:
        raise CollectiveError(
            f'devices: found {counts} on the processes of this job; allowed: as many on each'
        )
