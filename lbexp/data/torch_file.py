"""Weights in PyTorch's files of before version 1.6, read without PyTorch and without running what a
pickle may say."""

import collections
import math
import pickle
from typing import IO, Any, NamedTuple

import numpy as np

_MAGIC, _PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
_TYPES = {
    'torch.FloatStorage': '<f4',
    'torch.DoubleStorage': '<f8',
    'torch.HalfStorage': '<f2',
    'torch.LongStorage': '<i8',
    'torch.IntStorage': '<i4',
}
_MOST = 2**40  # numbers of an array


class _Storage(NamedTuple):
    """Where an array's numbers lie."""

    key: str
    dtype: str
    size: int


class _Tensor(NamedTuple):
    """An array, described."""

    storage: Any
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def torch_arrays(file: IO[bytes]) -> dict[str, np.ndarray]:
    """The arrays of a state dict, by name.

    Such a file is five pickles in a row (a magic number, the version, sizes of types, the state
    dict, the keys of its storages), then each storage: how many numbers, 8 bytes, and the numbers.
    Pickles may name three things alone: an ordered dict, the function that describes a tensor, and
    types of storages, each of which is made here into plain data. Anything else is refused before
    it is called.

    Args:
        file: open for reading, in binary.

    Raises:
        ValueError: another format, a name that is none of these, or a storage that is cut off.
    """
    if [_plain(file), _plain(file)] != [_MAGIC, _PROTOCOL]:
        raise ValueError('found no PyTorch file of before version 1.6; allowed: one')
    _plain(file)
    tensors, keys = _plain(file), _plain(file)
    if not isinstance(tensors, dict) or not isinstance(keys, list):
        raise ValueError(f'found {type(tensors).__name__}; allowed: arrays by name')
    described = {}
    for name, tensor in tensors.items():
        if not isinstance(tensor, _Tensor) or not isinstance(tensor.storage, _Storage):
            raise ValueError(f'{name}: found {type(tensor).__name__}; allowed: an array')
        described[tensor.storage.key] = tensor.storage
    storages = {key: _numbers(file, key, described.get(key)) for key in keys}
    return {name: _array(name, tensor, storages) for name, tensor in tensors.items()}


class _Plain(pickle.Unpickler):
    """Makes descriptions of tensors, and nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        full = f'{module}.{name}'
        if full == 'collections.OrderedDict':
            return collections.OrderedDict
        if full == 'torch._utils._rebuild_tensor_v2':
            return _described
        if full in _TYPES:
            return full
        raise ValueError(f'found the name {full} in a file of weights; allowed: arrays alone')

    def persistent_load(self, pid: Any) -> _Storage:
        kind, dtype, key, _, size, *_ = pid
        if kind != 'storage' or dtype not in _TYPES or not 0 <= size < _MOST:
            raise ValueError(f'found {pid!r}; allowed: a storage of numbers')
        return _Storage(str(key), _TYPES[dtype], size)


def _described(storage, offset, shape, strides, *_):
    numbers = (offset, *shape, *strides)
    if not all(isinstance(number, int) and 0 <= number < _MOST for number in numbers):
        raise ValueError(f'found an array of {numbers}; allowed: whole numbers >= 0')
    return _Tensor(storage, offset, tuple(shape), tuple(strides))


def _plain(file):
    try:
        return _Plain(file).load()
    except ValueError:
        raise
    except Exception as error:  # a damaged pickle raises whatever it likes
        raise ValueError(f'cannot be read ({error}); allowed: a file of weights') from error


def _numbers(file, key, storage):
    if storage is None:
        raise ValueError(f'found storage {key!r}, which no array is in; allowed: those of arrays')
    count, dtype = int.from_bytes(file.read(8), 'little'), np.dtype(storage.dtype)
    raw = file.read(storage.size * dtype.itemsize)
    if count != storage.size or len(raw) != storage.size * dtype.itemsize:
        raise ValueError(f'found {count} numbers in storage {key}; allowed: {storage.size}')
    return np.frombuffer(raw, dtype)


def _array(name, tensor, storages):
    """The part of its storage that a tensor is."""
    numbers = storages.get(tensor.storage.key)
    last = tensor.offset
    for length, stride in zip(tensor.shape, tensor.strides, strict=True):
        last += max(length - 1, 0) * stride
    # of no more numbers than there are, too: strides of 0 would make many of a few
    if numbers is None or max(last + 1, math.prod(tensor.shape)) > len(numbers):
        raise ValueError(f'{name}: found an array beyond its storage; allowed: one within')
    strides = [stride * numbers.itemsize for stride in tensor.strides]
    view = np.lib.stride_tricks.as_strided(numbers[tensor.offset :], tensor.shape, strides)
    return view.copy()
