"""NumPy archives."""

import pathlib

import numpy as np

from lbexp.datasets._decoded import Columns


def archive(path: pathlib.Path) -> Columns:
    """The arrays of a .npz, by name: all of one length, or pairs `x_train`, `x_test` that are put
    together.

    Raises:
        ValueError: it cannot be read, holds Python objects, or arrays of several lengths.
    """
    try:
        with open(path, 'rb') as stream, np.load(stream, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file}
    except Exception as error:  # what NumPy and zipfile raise on files that are none
        line = str(error).partition('\n')[0]
        raise ValueError(f'{path}: cannot be read ({line}); allowed: arrays, no objects') from error
    arrays, test = _joined(arrays)
    sizes = {name: values.shape[:1] for name, values in arrays.items()}
    if len(set(sizes.values())) != 1 or () in sizes.values():
        shown = ', '.join(f'{name} {values.shape}' for name, values in arrays.items())
        raise ValueError(f'{path}: found {shown or "no arrays"}; allowed: arrays of one length')
    return Columns(arrays, test)


def _joined(arrays):
    """Training and test examples in one array, and which are which."""
    names = [name.removesuffix('_train') for name in arrays if name.endswith('_train')]
    whole = {name for stem in names for name in (f'{stem}_train', f'{stem}_test')}
    if not names or whole != arrays.keys():
        return arrays, None
    joined = {}
    for name in names:
        pair = [arrays[f'{name}_train'], arrays[f'{name}_test']]
        if pair[0].shape[1:] != pair[1].shape[1:]:
            return arrays, None
        joined[name] = np.concatenate(pair)
    first = names[0]
    sizes = len(arrays[f'{first}_train']), len(arrays[f'{first}_test'])
    return joined, np.repeat([False, True], sizes)
