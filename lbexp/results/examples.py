"""Values of each example: the files `examples/trial-*.npz` of a workdir, one a cohort.

A file has the trials of its cohort that came to their ends, and of each metric their values at the
last evaluation, in the order of the set: 'values NAME' [T, N, ...], or 'bits NAME' [T, N / 8] and
'size NAME' where all are 0 or 1. Bytes: T N / 8 of bits, 4 T N of others. 4,096 trials on 10,000
test images take 5 MB.
"""

import io
import pathlib
import zipfile
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from lbexp.errors import Damaged, Refusal
from lbexp.local_path import local_path
from lbexp.results._documents import is_readable

FOLDER = 'examples'
_VALUES, _BITS, _SIZE, _TRIALS = 'values ', 'bits ', 'size ', 'trials'


def packed(trials: Sequence[int], metrics: Mapping[str, np.ndarray]) -> bytes:
    """A file's bytes.

    Args:
        trials: numbers of the trials [T].
        metrics: 'test_' or 'validation_' and the metric's name -> values [T, N, ...].
    """
    arrays: dict[str, Any] = {_TRIALS: np.asarray(trials, np.int64)}
    for name, values in metrics.items():
        if values.ndim == 2 and np.isin(values, (0, 1)).all():
            arrays[f'{_BITS}{name}'] = np.packbits(values.astype(bool), axis=1)
            arrays[f'{_SIZE}{name}'] = np.asarray(values.shape[1])
        elif np.issubdtype(values.dtype, np.integer):
            arrays[f'{_VALUES}{name}'] = values
        else:
            arrays[f'{_VALUES}{name}'] = values.astype(np.float32)
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def per_example(
    workdir: pathlib.Path | str, metric: str, part: Literal['test', 'validation'] = 'test'
) -> tuple[np.ndarray, np.ndarray]:
    """The values of a metric on each example of a set, at the last evaluation of each trial: what
    an interval over seeds *and* test examples is computed from.

    Args:
        workdir: of a run or a sweep.
        metric: a name that `keep_examples` kept, such as 'accuracy'.
        part: the set.

    Returns:
        (trials [T], values [T, N, ...]): numbers of the trials, ascending, and their values, in the
        order in which the set is stored. Of a Ratio [T, N, 2]: numerators and denominators. Trials
        that diverged, or have not come to their ends, are not among them.

    Raises:
        Refusal: nothing of this metric was kept; or trials with test sets of different sizes.
        Damaged: a file is not what was written; the message names it.
        OSError: a file cannot be read.
    """
    root = local_path(str(workdir), 'workdir')
    name = f'{part}_{metric}'
    by_trial: dict[int, np.ndarray] = {}
    known: set[str] = set()
    for file in _files(root):
        trials, metrics = _read(file)
        known |= metrics.keys()
        if name in metrics:
            by_trial |= dict(zip(trials.tolist(), metrics[name], strict=True))
    if not by_trial:
        shown = ', '.join(sorted(known)) or 'nothing: no trial came to its end'
        raise Refusal(f'{root}: found no values of {name!r} of each example; kept is {shown}')
    shapes = {values.shape for values in by_trial.values()}
    if len(shapes) > 1:
        sizes = ', '.join(map(str, sorted(shapes)))
        raise Refusal(f'{root}: found {part} sets of shapes {sizes}; allowed: one')
    numbers = sorted(by_trial)
    return np.asarray(numbers, np.int64), np.stack([by_trial[number] for number in numbers])


def _files(root):
    """Those of a direct run, then those of a sweep's cohorts, which stand where both have a
    trial."""
    files = sorted(root.glob(f'{FOLDER}/*.npz'))
    files += sorted(root.glob(f'cohorts/*/{FOLDER}/*.npz'))
    return [file for file in files if is_readable(file, root)]


def _read(file):
    """(trials [T], {name: values [T, N, ...]}) of a file."""
    try:
        arrays = _arrays(file)
        trials = arrays.pop(_TRIALS)
        metrics = {}
        for key, array in arrays.items():
            kind, name = key[: key.index(' ') + 1], key[key.index(' ') + 1 :]
            if kind == _VALUES:
                metrics[name] = array
            elif kind == _BITS:
                size = int(arrays[f'{_SIZE}{name}'])
                metrics[name] = np.unpackbits(array, axis=1, count=size).astype(np.float32)
        wrong = [name for name, values in metrics.items() if len(values) != len(trials)]
        if wrong:
            raise ValueError(f'{wrong[0]} of other trials')
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(file)) from error
    except Exception as error:  # what NumPy and zipfile raise on damaged files
        words = (str(error).splitlines() or [type(error).__name__])[0]
        raise Damaged(
            f'{file}: found a damaged file ({words}); allowed: what lbexp wrote. Put a copy of it '
            'back, or train its trials again'
        ) from error
    return trials, metrics


def _arrays(file):
    with zipfile.ZipFile(file) as archive:
        for member in archive.infolist():
            # what lbexp writes; a compressed one could be of any size
            if member.compress_type != zipfile.ZIP_STORED:
                raise ValueError(f'{member.filename} is compressed')
    with np.load(file, allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays}
