"""Logs of clicks in a text file, which may be larger than memory as text: read piece by piece, in
columns of PyArrow."""

import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

_PIECE = 2**26  # bytes of text


class Layout(NamedTuple):
    """The columns of a file without a header, separated by tabs, in this order; a missing value is
    empty."""

    label: str  # 0 or 1
    numbers: tuple[str, ...]
    categories: tuple[str, ...]  # texts

    def names(self) -> list[str]:
        return [self.label, *self.numbers, *self.categories]


def clicks(file: pathlib.Path, layout: Layout) -> np.ndarray:
    """uint8 [rows]: the labels of all rows, in stored order.

    Raises:
        ValueError: the file is no such log, or has another label than 0 and 1.
    """
    labels = []
    for piece in _pieces(file, layout, [layout.label]):
        values = piece.column(layout.label).to_numpy(zero_copy_only=False)
        wrong = np.flatnonzero((values != 0) & (values != 1))  # NaN: none
        if len(wrong):
            row = sum(map(len, labels)) + wrong[0] + 1
            raise ValueError(
                f'{file}: found label {values[wrong[0]]:g} in row {row}; allowed: 0, 1'
            )
        labels.append(values.astype(np.uint8))
    return np.concatenate(labels)


def frequent(
    file: pathlib.Path, layout: Layout, is_counted: np.ndarray, least: int
) -> dict[str, np.ndarray]:
    """{column: sorted texts [categories] that stand in `least` rows or more}, a missing one
    aside.

    Args:
        is_counted: bool [rows], those of training.
    """
    import pyarrow as pa

    counts = {
        name: pa.table({'text': pa.array([], pa.string()), 'count': pa.array([], pa.int64())})
        for name in layout.categories
    }
    first = 0
    for piece in _pieces(file, layout, layout.categories):
        counted = piece.filter(pa.array(is_counted[first : first + piece.num_rows]))
        for name, known in counts.items():
            texts, numbers = counted.column(name).value_counts().flatten()
            both = pa.concat_tables([known, pa.table({'text': texts, 'count': numbers})])
            sums = both.group_by('text').aggregate([('count', 'sum')])
            counts[name] = sums.rename_columns(['text', 'count'])
        first += piece.num_rows
    categories = {}
    for name, known in counts.items():
        is_frequent = known['count'].to_numpy() >= least
        kept = known.filter(pa.array(is_frequent))['text'].to_pylist()
        categories[name] = np.array(sorted(set(kept) - {None}), np.str_)
    return categories


def rows(
    file: pathlib.Path,
    layout: Layout,
    parts: Mapping[str, np.ndarray],
    categories: Mapping[str, np.ndarray],
) -> dict[str, np.ndarray]:
    """Arrays of the rows of each part, in stored order: {'PART_numeric': float32 [n, numbers], NaN
    where one is missing; 'PART_categorical': int32 [n, categories], 1 + the place of the text among
    the known ones, 0: missing or none of them}; and 'missing': int64 [numbers + categories], in all
    parts.

    Args:
        parts: bool [rows] of each part.
        categories: of `frequent`.
    """
    import pyarrow as pa

    known = {name: pa.array(texts, pa.string()) for name, texts in categories.items()}
    arrays: dict[str, Any] = {'missing': np.zeros(len(layout.names()) - 1, np.int64)}
    for part, is_of_part in parts.items():
        count = np.count_nonzero(is_of_part)
        arrays[f'{part}_numeric'] = np.empty((count, len(layout.numbers)), np.float32)
        arrays[f'{part}_categorical'] = np.empty((count, len(layout.categories)), np.int32)
    first, filled = 0, dict.fromkeys(parts, 0)
    for piece in _pieces(file, layout, [*layout.numbers, *layout.categories]):
        for part, is_of_part in parts.items():
            of_part = piece.filter(pa.array(is_of_part[first : first + piece.num_rows]))
            places = slice(filled[part], filled[part] + of_part.num_rows)
            _fill(arrays, part, places, of_part, layout, known)
            filled[part] = places.stop
        first += piece.num_rows
    return arrays


def _fill(arrays, part, places, piece, layout, known):
    """Writes the rows of a piece to their places."""
    import pyarrow.compute as pc

    for column, name in enumerate(layout.numbers):
        numbers = piece.column(name).to_numpy(zero_copy_only=False)
        arrays[f'{part}_numeric'][places, column] = numbers
        arrays['missing'][column] += np.count_nonzero(np.isnan(numbers))
    for column, name in enumerate(layout.categories):
        texts = piece.column(name)
        # made when PyArrow is imported
        known_places = pc.index_in(texts, value_set=known[name])  # pyrefly: ignore[missing-attribute]
        ids = known_places.fill_null(-1).to_numpy() + 1
        arrays[f'{part}_categorical'][places, column] = ids
        arrays['missing'][len(layout.numbers) + column] += texts.null_count


def _pieces(file, layout, columns: Sequence[str]) -> Iterator[Any]:
    """These columns of the rows, in stored order, some at a time."""
    import pyarrow as pa
    from pyarrow import csv

    types = dict.fromkeys((layout.label, *layout.numbers), pa.float64())
    types |= dict.fromkeys(layout.categories, pa.string())
    try:
        reader = csv.open_csv(
            file,
            read_options=csv.ReadOptions(column_names=layout.names(), block_size=_PIECE),
            parse_options=csv.ParseOptions(delimiter='\t', quote_char=False),
            convert_options=csv.ConvertOptions(
                column_types=types,
                include_columns=columns,
                null_values=[''],
                strings_can_be_null=True,
            ),
        )
        with reader:
            yield from reader
    except (pa.ArrowException, OSError) as error:
        line = str(error).partition('\n')[0]
        rule = f'allowed: lines of {len(layout.names())} columns: label, numbers, categories'
        raise ValueError(f'{file}: cannot be read ({line}); {rule}') from None
