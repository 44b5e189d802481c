"""Columns as the arrays that a model is given, and their description."""

import itertools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from lbexp.inputs import Input, ids_of, intervals_of

_TEXTS = 20  # distinct texts from which on a column with few repetitions is none of categories


class Choice(NamedTuple):
    """What the user says of the columns."""

    columns: Sequence[str] | None  # of the inputs; None: all that are nothing else
    numeric: Sequence[str]  # these are numbers
    categorical: Sequence[str]  # these are categories
    missing: str  # 'refuse' or 'mean', of numbers
    bins: int | None = None  # into which numbers are cut; None: they stay numbers
    encoding: str = 'categories'  # or 'piecewise_linear', of bins

    @property
    def is_cut(self) -> bool:
        """Whether numbers become categories."""
        return self.bins is not None and self.encoding == 'categories'


def input_names(names: list[str], choice: Choice, reserved: Sequence[str]) -> list[str]:
    """The columns that are inputs.

    Raises:
        ValueError: one is named that is not there, or that is the label.
    """
    known = [name for name in names if name not in reserved]
    for argument in ('columns', 'numeric', 'categorical'):
        for name in getattr(choice, argument) or ():
            if name not in known:
                shown = ', '.join(map(repr, known[:12]))
                raise ValueError(f'{argument}: found {name!r}; allowed: {shown}')
    chosen = known if choice.columns is None else list(choice.columns)
    if not chosen:
        raise ValueError(f'columns: found none beside {", ".join(reserved)}; allowed: one or more')
    return chosen


def encoded_table(
    arrays: dict[str, np.ndarray], names: list[str], choice: Choice, train: np.ndarray
) -> tuple[dict[str, np.ndarray], dict[str, Input]]:
    """({'numeric': float32 [rows, columns], 'categorical': int32 [rows, columns]}, their
    descriptions), whichever there are.

    Args:
        train: bool [rows]; categories are numbered by these rows, from 1; 0: missing or unknown.
            Limits of intervals are quantiles of these rows.
    """
    numeric, texts = [], []
    for name in names:
        is_text = arrays[name].dtype.kind in 'Ub' or name in choice.categorical
        if is_text and name not in choice.numeric:
            texts.append(name)
        else:
            numeric.append(name)
    numbers = {name: _numbers(name, arrays[name], choice) for name in numeric}
    edges = {}
    if choice.bins is not None:
        edges = {name: quantile_limits(numbers[name][train], choice.bins) for name in numeric}
    encoded, inputs = {}, {}
    if numeric and not choice.is_cut:
        encoded['numeric'] = np.stack(list(numbers.values()), axis=1)
        inputs['numeric'] = Input(
            'numeric',
            (len(numeric),),
            'float32',
            columns=tuple(numeric),
            edges=tuple(edges.values()),
            has_missing=bool(np.isnan(encoded['numeric']).any()),
        )
    columns = {}
    for name in names if choice.is_cut else texts:
        if name in numbers:
            columns[name] = interval_column(numbers[name], edges[name])
        else:
            columns[name] = (*_categories(name, arrays[name], train), ())
    if columns:
        encoded['categorical'] = np.stack([ids for ids, _, _ in columns.values()], axis=1)
        inputs['categorical'] = categorical_input(columns)
    return encoded, inputs


Column = tuple[np.ndarray, tuple[str, ...], tuple[float, ...]]  # ids, texts from 1, limits


def categorical_input(columns: dict[str, Column]) -> Input:
    """The description of columns of ids, in this order; those that are no intervals have no
    limits."""
    _, known, limits = zip(*columns.values())
    return Input(
        'categorical',
        (len(columns),),
        'int32',
        vocabulary=tuple(1 + len(texts) for texts in known),
        categories=known,
        columns=tuple(columns),
        edges=limits if any(limits) else (),
    )


def quantile_limits(values: np.ndarray, bins: int) -> tuple[float, ...]:
    """Ends of at most so many intervals, ascending: one for each value where there are as few, else
    as many examples in each as ties allow."""
    known = values[~np.isnan(values)]
    distinct = np.unique(known)
    if len(distinct) <= bins:
        return (*distinct.astype(float).tolist(), math.inf)
    shares = np.arange(bins) / bins
    starts = np.unique(np.quantile(known, shares, method='lower')).astype(float).tolist()
    largest = float(distinct[-1])
    return (*starts, largest if largest > starts[-1] else math.inf)


def interval_column(numbers: np.ndarray, limits: tuple[float, ...]) -> Column:
    """Numbers [n] as intervals between these limits."""
    names = [f'[{low:g}, {high:g})' for low, high in itertools.pairwise(limits)]
    return intervals_of(numbers, limits), tuple(names), limits


def encoded_arrays(
    arrays: dict[str, np.ndarray], names: list[str], choice: Choice, train: np.ndarray
) -> tuple[dict[str, np.ndarray], dict[str, Input]]:
    """The arrays of an archive: bytes of two or three dimensions are pictures, other numbers are
    numbers, texts are categories."""
    encoded, inputs = {}, {}
    for name in names:
        values = arrays[name]
        if values.dtype == np.uint8 and values.ndim in (3, 4):
            pictures = values if values.ndim == 4 else values[..., None]
            encoded[name] = pictures
            inputs[name] = Input('image', pictures.shape[1:], 'uint8', 1 / 255)
        elif values.dtype.kind == 'U' or name in choice.categorical:
            ids, known = _categories(name, values.reshape(len(values), -1)[:, 0], train)
            encoded[name] = ids[:, None]
            inputs[name] = Input(
                'categorical',
                (1,),
                'int32',
                vocabulary=(1 + len(known),),
                columns=(name,),
                categories=(known,),
            )
        else:
            numbers = _numbers(name, values if values.ndim > 1 else values[:, None], choice)
            encoded[name] = numbers
            missing = bool(np.isnan(numbers).any())
            inputs[name] = Input('numeric', numbers.shape[1:], 'float32', has_missing=missing)
    return encoded, inputs


def standardised(inputs: dict[str, Input], train: dict[str, np.ndarray]) -> dict[str, Input]:
    """The descriptions, with shift and scale of the training split: mean 0, variance 1 of each
    column or channel; a constant column becomes 0."""
    described = {}
    for name, known in inputs.items():
        if known.kind == 'numeric':
            values = train[name].astype(np.float64)
            axes = tuple(range(values.ndim - 1))
            mean, deviation = np.nanmean(values, axes), np.nanstd(values, axes)
            scale = 1 / np.where(deviation > 0, deviation, 1)
            shift = mean.astype(np.float32)
            known = known._replace(scale=scale.astype(np.float32), shift=shift)
        described[name] = known
    return described


def _numbers(name, values, choice):
    if values.dtype.kind not in 'iufb':
        example = values.reshape(-1)[0]
        raise ValueError(f'column {name!r}: found texts ({str(example)!r}, ...); allowed: numbers')
    # What overflows float32 is refused below, as infinity.
    with np.errstate(over='ignore'):
        numbers = values.astype(np.float32)
    lost = np.count_nonzero(np.isnan(numbers))
    if lost and choice.missing == 'refuse' and not choice.is_cut:
        raise ValueError(
            f'column {name!r}: found {lost} missing or NaN of {values.size}; allowed: none, or '
            "missing='mean'"
        )
    if lost == numbers.size:
        raise ValueError(f'column {name!r}: found no number; allowed: one or more')
    if np.isinf(numbers).any():
        raise ValueError(f'column {name!r}: found infinity; allowed: finite numbers')
    return numbers


def _categories(name, values, train):
    """(ids [rows], the texts of the ids from 1)."""
    texts = values.astype(np.str_)
    known = np.unique(texts[train & (texts != '')])
    count = np.count_nonzero(train)
    if len(known) > max(_TEXTS, count / 2):
        raise ValueError(
            f'column {name!r}: found {len(known)} texts in {count} rows, which are no categories; '
            'allowed: columns=(...) that leave it out'
        )
    known = tuple(known.tolist())
    return ids_of(texts, known), known


def described(arrays: dict[str, Any], names: list[str], inputs: dict[str, Input]) -> dict[str, Any]:
    """What a reader wants to know of each input column, as plain data."""
    kinds = {}
    for name, known in inputs.items():
        for column in known.columns or (name,):
            kinds[column] = known.kind
    columns = {}
    for name in names:
        values = arrays[name]
        lost = np.count_nonzero(values == '') if values.dtype.kind == 'U' else 0
        if values.dtype.kind == 'f':
            lost = np.count_nonzero(np.isnan(values))
        columns[name] = {'kind': kinds[name], 'type': values.dtype.name, 'missing': int(lost)}
        if values.ndim > 1:
            columns[name]['shape'] = list(values.shape[1:])
        if kinds[name] == 'categorical':
            columns[name]['distinct'] = len(np.unique(values))
    return columns
