"""Comparisons of what a part gives with what it should: shapes, dtypes, structures, names. Refused
in one line.

`who` is the part, `function` the function of it that gave this: its place is told where it is the
user's.
"""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from lbexp import errors
from lbexp.errors import Refusal
from lbexp.wording import with_article
from lbexp.workloads import Ratio


class Breach(Refusal):
    """What a part gives is not what it should give, whatever its numbers are."""


# Columns of a row that the engine writes itself.
RESERVED = (
    'trial',
    'step',
    'tick',
    'diverged',
    'examples',
    'epoch',
    'wall_time',
    'flop_per_second',
    'status',
    'learning_rate',
)

_LARGEST = 2**16  # numbers that a probe may give as one column


def pair(output: Any, who: str, function: Callable, parts: str) -> tuple:
    return tuple_of(output, 2, who, function, parts)


def tuple_of(output: Any, count: int, who: str, function: Callable, parts: str) -> tuple:
    if not isinstance(output, (tuple, list)) or len(output) != count:
        name = getattr(function, '__name__', 'it')
        raise Breach(
            f'{who}: {name} gives {short(output)}; allowed: {parts}{errors.place(function)}'
        )
    return tuple(output)


def check_values(values: Any, count: int, who: str, function: Callable, needs_loss: bool) -> None:
    """Every value is one number for each of `count` examples."""
    what = f'{who}: {getattr(function, "__name__", "it")} gives'
    where = errors.place(function)
    if not isinstance(values, Mapping) or not all(isinstance(name, str) for name in values):
        raise Breach(f'{what} {short(values)}; allowed: a dict of values, by name{where}')
    if needs_loss and 'loss' not in values:
        raise Breach(f"{what} values {sorted(values)}; allowed: 'loss' among them{where}")
    if needs_loss:
        _check_names(values, what, where)
    for name, value in _parts_of_values(values, what, where, needs_loss):
        shape, dtype = _shape_and_dtype(value)
        if shape != (count,):
            shown = short(value) if shape is None else f'shape {shape}'
            raise Breach(
                f'{what} {name!r} of {shown}; allowed: one value per example, ({count},){where}'
            )
        is_floating = jnp.issubdtype(dtype, jnp.floating)
        if not is_floating and (name == 'loss' or not _is_real(dtype)):
            raise Breach(
                f'{what} {name!r} of dtype {dtype}; allowed: numbers of floating point{where}'
            )


def _parts_of_values(values, what, where, needs_loss):
    """(name, array) of each value; a Ratio has two."""
    for name, value in values.items():
        if not isinstance(value, Ratio):
            yield name, value
            continue
        if name == 'loss' and needs_loss:
            raise Breach(
                f"{what} 'loss' as a Ratio; allowed: one value per example, as it is trained on; "
                f'a Ratio under another name{where}'
            )
        for field, part in value._asdict().items():
            yield f'{name}.{field}', part


def check_gathered(arrays: Any, count: int, who: str, function: Callable) -> None:
    """Arrays of `count` examples along their first axis, by name."""
    what, where = f'{who}: {getattr(function, "__name__", "it")} gives', errors.place(function)
    if not isinstance(arrays, Mapping) or not all(isinstance(name, str) for name in arrays):
        raise Breach(f'{what} {short(arrays)}; allowed: a dict of arrays, by name{where}')
    for name, value in arrays.items():
        shape, _ = _shape_and_dtype(value)
        if shape is None or shape[:1] != (count,):
            shown = short(value) if shape is None else f'shape {shape}'
            raise Breach(
                f'{what} {name!r} of {shown}; allowed: the examples along the first axis, '
                f'({count}, ...){where}'
            )


def check_numbers(metrics: Any, who: str, function: Callable) -> None:
    """A dict of numbers, by name."""
    what, where = f'{who}: {getattr(function, "__name__", "it")} gives', errors.place(function)
    if not isinstance(metrics, Mapping) or not all(isinstance(name, str) for name in metrics):
        raise Breach(f'{what} {short(metrics)}; allowed: a dict of numbers, by name{where}')
    for name, value in metrics.items():
        check_number(value, f'{what} {name!r}', function)


def check_columns(columns: Any, who: str, function: Callable) -> None:
    what, where = f'{who}: {getattr(function, "__name__", "it")} gives', errors.place(function)
    if not isinstance(columns, Mapping) or not all(isinstance(name, str) for name in columns):
        raise Breach(f'{what} {short(columns)}; allowed: a dict of columns, by name{where}')
    _check_names(columns, what, where)
    for name, value in columns.items():
        shape, dtype = _shape_and_dtype(value)
        if shape is None or not _is_real(dtype) or np.prod(shape, dtype=np.int64) > _LARGEST:
            shown = short(value) if shape is None else f'{dtype}{list(shape)}'
            raise Breach(
                f'{what} {name!r}: {shown}; allowed: a number or a small array of numbers{where}'
            )


def _check_names(columns, what, where):
    taken = [name for name in columns if name in RESERVED]
    if taken:
        raise Breach(
            f'{what} {taken[0]!r}; allowed: another name, this one is a column of every row{where}'
        )


def check_number(value: Any, what: str, function: Callable) -> None:
    shape, dtype = _shape_and_dtype(value)
    if shape != () or not _is_real(dtype):
        shown = short(value) if shape is None else f'of shape {shape}, dtype {dtype}'
        raise Breach(f'{what} {shown}; allowed: one number{errors.place(function)}')


def check_parameters(params: Any, what: str) -> None:
    leaves = jax.tree_util.tree_leaves_with_path(params)
    if not leaves:
        raise Breach(f'{what} gives no parameters; allowed: at least one array')
    for path, leaf in leaves:
        dtype = getattr(leaf, 'dtype', None)
        if dtype is None or not jnp.issubdtype(dtype, jnp.floating):
            shown = short(leaf) if dtype is None else f'dtype {dtype}'
            name = jax.tree_util.keystr(path)
            raise Breach(f'{what} gives params{name} of {shown}; allowed: arrays of floating point')


def check_same(
    new: Any, old: Any, what: str, function: Callable, whose: str = 'before', dtypes: bool = True
) -> None:
    """`new` has the structure, the shapes and, where they matter, the dtypes of `old`."""
    difference = _difference(new, old, dtypes)
    if difference:
        path, shown, wanted = difference
        raise Breach(
            f'{what} with {shown}{path}; allowed: {wanted}, as {whose}{errors.place(function)}'
        )


def _difference(new, old, dtypes):
    """(path, what is found there, what should be) of the first leaf that differs; None: they are
    alike."""
    new_leaves = dict(jax.tree_util.tree_leaves_with_path(new))
    old_leaves = dict(jax.tree_util.tree_leaves_with_path(old))
    for path in dict.fromkeys([*old_leaves, *new_leaves]):
        shown, wanted = 'nothing', 'nothing'
        if path in new_leaves:
            shown = _described(new_leaves[path], dtypes)
        if path in old_leaves:
            wanted = _described(old_leaves[path], dtypes)
        if shown != wanted:
            name = jax.tree_util.keystr(path)
            return f' at {name}' if name else '', shown, wanted
    new_structure, old_structure = jax.tree.structure(new), jax.tree.structure(old)
    if new_structure != old_structure:  # the same leaves in other holders
        return '', short(new_structure), short(old_structure)
    return None


def _described(leaf, dtypes):
    shape, dtype = _shape_and_dtype(leaf)
    if shape is None:
        return short(leaf)
    if not dtypes and jnp.issubdtype(dtype, jnp.inexact):  # a gradient of integers is none
        return f'shape {shape}'
    return f'{dtype} of shape {shape}'


def _shape_and_dtype(leaf: Any) -> tuple[tuple[int, ...] | None, Any]:
    """Of an array or a Python number; (None, None) of anything else."""
    if hasattr(leaf, 'shape') and hasattr(leaf, 'dtype'):
        return tuple(leaf.shape), leaf.dtype
    if isinstance(leaf, (bool, int, float)):
        return (), jnp.result_type(leaf)
    return None, None


def _is_real(dtype: Any) -> bool:
    kinds = (jnp.bool_, jnp.integer, jnp.floating)
    return any(jnp.issubdtype(dtype, kind) for kind in kinds)


def short(value: Any) -> str:
    if isinstance(value, type):
        return f'the class {value.__name__}'
    if value is None or isinstance(value, (bool, int, float, str)):
        return repr(value)[:60]
    if isinstance(value, (tuple, list)):
        return f'{with_article(type(value).__name__)} of {len(value)}'
    shape, dtype = _shape_and_dtype(value)
    if shape is None:
        return with_article(type(value).__name__)
    return f'an array {dtype}{list(shape)}'
