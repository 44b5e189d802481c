"""A file of token ids for a language model, however large: it is read while training goes on."""

import pathlib
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from lbexp.data.source import memory
from lbexp.data.stream import stream
from lbexp.datasets import Dataset
from lbexp.datasets._texts import rows_of
from lbexp.inputs import Input, Target
from lbexp.ranges import NonNegativeInteger, PositiveInteger

_RAW = np.dtype('<u2')  # of a file without a header
_KINDS = "'.npy', one axis of integers, or '.bin', 16-bit integers in little-endian order"


def token_file(
    path: str,
    vocabulary: PositiveInteger,
    length: PositiveInteger = 256,
    test: PositiveInteger = 256,
    validation: NonNegativeInteger = 0,
    streamed: bool = True,
) -> Dataset:
    """One long text as rows of `length` tokens, each with the token after it as its target, without
    padding; what fills no row is dropped. The last rows are the test set, those before them the
    validation set.

    The training rows are read by Grain while training goes on, in the order of a set in memory, so
    that what is trained is the same to the bit, and a run that was killed goes on where it was.

    A tokenizer is whoever made the file's: for lbexp a token's name is its number.

    Args:
        path: of the file: '.npy', one axis of integers, or '.bin', 16-bit integers in little-endian
            order without a header, as nanoGPT writes them.
        vocabulary: different tokens, each < vocabulary.
        length: of a row [positions].
        test, validation: rows of the two sets, which are held in memory; validation 0: none.
        streamed: False: the training rows are held in memory, too.

    Raises:
        ValueError: no such file, another kind of one, too few tokens; a token outside the
            vocabulary, of the training set when its row is read.
    """
    ids = _ids(path)
    count = (len(ids) - 1) // length - test - validation
    if count < 1:
        least = (test + validation + 1) * length + 1
        raise ValueError(f'path: found {len(ids)} tokens in {path}; allowed: {least} or more')
    rows = _Rows(ids, count, length, vocabulary, path)

    def held(first, last):
        _check(ids[first * length : last * length + 1], vocabulary, path)
        return memory(rows_of(ids[first * length : last * length + 1], length)._asdict())

    described = Input('tokens', (length,), 'int32', vocabulary=(vocabulary,))
    segments = Input('tokens', (length,), 'int32', vocabulary=(2,))
    middle, end = count + validation, count + validation + test
    return Dataset(
        train=stream(rows) if streamed else held(0, count),
        validation=held(count, middle) if validation else None,
        test=held(middle, end),
        inputs={'tokens': described, 'segments': segments},
        target=Target('tokens', 'targets', tuple(map(str, range(vocabulary)))),
        source=f'the file {pathlib.Path(path).name}',
        schema={
            'source': pathlib.Path(path).name,
            'examples': {'train': count, 'validation': validation, 'test': test},
            'test': 'the last rows',
            'tokens': {'train': count * length, 'test': test * length},
            'unit': 'numbers',
            'vocabulary': vocabulary,
            'references': {},  # n-grams would read the whole file
        },
    )


class _Rows(Sequence[dict]):
    """The training rows by random access."""

    def __init__(self, ids, count, length, vocabulary, path):
        self._ids, self._count, self._length = ids, count, length
        self._vocabulary, self._path = vocabulary, path

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: Any) -> Any:
        first = int(index) * self._length
        ids = np.asarray(self._ids[first : first + self._length + 1])
        _check(ids, self._vocabulary, self._path)
        ids = ids.astype(np.int32)
        return {'tokens': ids[:-1], 'targets': ids[1:], 'segments': np.ones_like(ids[1:])}

    def __getitems__(self, indices: Iterable[int]) -> list[dict]:
        return [self[index] for index in indices]


def _ids(path):
    """The tokens, of which nothing is read before it is looked at."""
    file = pathlib.Path(path)
    if not file.is_file():
        raise ValueError(f'path: found no file {path}; allowed: {_KINDS}')
    if file.suffix == '.bin':
        if file.stat().st_size % _RAW.itemsize:
            raise ValueError(f'path: found an odd number of bytes in {path}; allowed: {_KINDS}')
        return np.memmap(file, _RAW, 'r')
    try:
        ids = np.load(file, mmap_mode='r', allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise ValueError(f'path: found no array in {path}; allowed: {_KINDS}') from error
    if getattr(ids, 'ndim', None) != 1 or ids.dtype.kind not in 'iu':
        shown = f'{ids.dtype} {ids.shape}' if hasattr(ids, 'dtype') else 'several arrays'
        raise ValueError(f'path: found {shown} in {path}; allowed: {_KINDS}')
    return ids


def _check(ids, vocabulary, path):
    outside = (ids < 0) | (ids >= vocabulary)
    if outside.any():
        raise ValueError(
            f'vocabulary: found token {int(ids[outside.argmax()])} in {path}; allowed: 0 .. '
            f'{vocabulary - 1}'
        )
