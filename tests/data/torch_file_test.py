"""PyTorch's old files: arrays are read as they were, and no pickle runs anything."""

import collections
import io
import pathlib
import pickle
import sys
import types

import numpy as np
import pytest

from lbexp.data.torch_file import torch_arrays

ARRAYS = {
    'weight': np.arange(24, dtype='<f4').reshape(2, 3, 4) / 7,
    'turned': np.arange(6, dtype='<f4').reshape(2, 3).T,  # strides of its own
    'half': np.array([1.5, -2.25], '<f2'),
    'count': np.array(7, '<i8'),
}
KINDS = {'f4': 'FloatStorage', 'f2': 'HalfStorage', 'i8': 'LongStorage'}
MAGIC = 0x1950A86A20F9469CFC6C


class Tensor:
    """Pickles as torch's tensors do: a function of torch, and a storage by a persistent id."""

    def __init__(self, key, array, changes=None):
        self.key, self.array, self.changes = key, array, changes or {}

    def __reduce__(self):
        strides = tuple(stride // self.array.itemsize for stride in self.array.strides)
        about = dict(offset=0, shape=self.array.shape, strides=strides) | self.changes
        function = sys.modules['torch._utils']._rebuild_tensor_v2
        values = about['offset'], about['shape'], about['strides'], False, None
        return function, (Storage(self.key, self.array), *values)


class Storage:
    def __init__(self, key, array):
        self.key, self.array = key, array


class Pickler(pickle.Pickler):
    def persistent_id(self, obj):
        if not isinstance(obj, Storage):
            return None
        kind = getattr(sys.modules['torch'], KINDS[obj.array.dtype.str[1:]])
        return 'storage', kind, obj.key, 'cpu', obj.array.size, None


@pytest.fixture
def write(monkeypatch):
    """Writes a file as torch did, with stand-ins for the names that it would use."""
    torch, utils = types.ModuleType('torch'), types.ModuleType('torch._utils')
    for name in KINDS.values():
        setattr(torch, name, type(name, (), {'__module__': 'torch'}))

    def _rebuild_tensor_v2(*values):
        raise AssertionError('called')

    _rebuild_tensor_v2.__module__ = 'torch._utils'
    _rebuild_tensor_v2.__qualname__ = '_rebuild_tensor_v2'
    utils._rebuild_tensor_v2 = _rebuild_tensor_v2
    monkeypatch.setitem(sys.modules, 'torch', torch)
    monkeypatch.setitem(sys.modules, 'torch._utils', utils)

    def written(tensors, cut=0, magic=MAGIC):
        file = io.BytesIO()
        keys = [tensor.key for tensor in tensors.values() if isinstance(tensor, Tensor)]
        state = collections.OrderedDict(tensors)
        state._metadata = {'version': 1}
        for part in (magic, 1001, {'little_endian': True}, state, keys):
            Pickler(file, 2).dump(part)
        for key in keys:
            (array,) = [each.array for each in tensors.values() if getattr(each, 'key', 0) == key]
            file.write(array.size.to_bytes(8, 'little') + array.ravel('K').tobytes())
        return io.BytesIO(file.getvalue()[: len(file.getvalue()) - cut])

    return written


def tensors(**changes):
    return {name: Tensor(name, array, changes.get(name)) for name, array in ARRAYS.items()}


def test_arrays_are_read_as_they_were(write):
    arrays = torch_arrays(write(tensors()))
    assert list(arrays) == list(ARRAYS)
    for name, array in ARRAYS.items():
        assert arrays[name].dtype == array.dtype and np.array_equal(arrays[name], array)


class Harmful:
    def __init__(self, file):
        self.file = file

    def __reduce__(self):
        return pathlib.Path.touch, (self.file,)


def test_a_pickle_runs_nothing(write, tmp_path):
    harmful = Harmful(tmp_path / 'touched')
    with pytest.raises(ValueError, match=r'found the name __builtin__.getattr in a file'):
        torch_arrays(write({**tensors(), 'bad': harmful}))
    assert not (tmp_path / 'touched').exists()


@pytest.mark.parametrize(
    ('change', 'words'),
    [
        (dict(shape=(3, 3, 4)), 'weight: found an array beyond its storage'),
        (dict(offset=1), 'weight: found an array beyond its storage'),
        (dict(shape=(99, 3, 4), strides=(0, 4, 1)), 'weight: found an array beyond its storage'),
        (dict(offset=-1), r'found an array of \(-1, 2, 3, 4, 12, 4, 1\); allowed: whole numbers'),
        (dict(strides=(12, -4, 1)), r'found an array of .*-4.*; allowed: whole numbers >= 0'),
        (dict(shape=('2', 3, 4)), r"found an array of .*'2'.*; allowed: whole numbers >= 0"),
    ],
)
def test_an_array_beyond_its_storage_is_refused(write, change, words):
    with pytest.raises(ValueError, match=words):
        torch_arrays(write(tensors(weight=change)))


def test_other_files_are_refused(write):
    with pytest.raises(ValueError, match=r'found no PyTorch file of before version 1\.6'):
        torch_arrays(write(tensors(), magic=3))
    with pytest.raises(ValueError, match='numbers in storage'):
        torch_arrays(write(tensors(), cut=3))
    with pytest.raises(ValueError, match='cannot be read'):
        torch_arrays(io.BytesIO(b'PK\x03\x04'))
    with pytest.raises(ValueError, match='bad: found int; allowed: an array'):
        torch_arrays(write({'bad': 3}))
