"""Rows of metrics.jsonl files as columns: 100,000 rows in about a second of one core."""

import collections
import json
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from lbexp.documents import encodable

_READ = 8 << 20  # bytes of a file that are parsed at a time
_NUMBERS = {int, float, bool, type(None)}
_KINDS = {
    int: 'number',
    float: 'number',
    bool: 'number',
    str: 'text',
    list: 'array',
    dict: 'object',
}
_LARGEST = 2**53  # from which on float64 does not tell integers apart


def rows(
    files: Sequence[pathlib.Path],
) -> tuple[np.ndarray, dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Metrics files as columns, in the order written: (number of each row's file, columns, absent).

    Columns 'trial' and 'step' are int64, numbers float64 (NaN: null, absent or no float64), arrays
    and text objects, nested objects JSON text. What most cells of a column are, the column is: a
    cell of another kind counts as null. `absent` says for each other column which rows lack its
    key. Lines that are torn, damaged, or without a trial and a step that are integers >= 0 are
    skipped.

    Raises:
        OSError: a file cannot be read.
    """
    parts, numbers, count = {}, [np.zeros(0, np.int64)], 0
    for number, file in enumerate(files):
        for lines in _blocks(file):
            parsed = [row for row in _parsed(lines) if _is_row(row)]
            for name, places, cells in _cells(parsed):
                parts.setdefault(name, []).append((places + count, cells))
            numbers.append(np.full(len(parsed), number))
            count += len(parsed)
    columns = {name: _column(count, cells) for name, cells in parts.items()}
    head = {name: columns.pop(name, np.zeros(0)).astype(np.int64) for name in ('trial', 'step')}
    absent = {name: _absent(count, parts[name]) for name in columns}
    return np.concatenate(numbers), head | columns, absent


def _blocks(file: pathlib.Path) -> Iterator[list[bytes]]:
    """The lines of a file that hold anything, some megabytes at a time."""
    try:
        with open(file, 'rb') as opened:
            while lines := opened.readlines(_READ):
                yield [line for line in lines if line.strip()]
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(file)) from error


def _parsed(lines: list[bytes]) -> list:
    """What these lines hold. As one array they are parsed in half the time, where none is
    damaged."""
    try:
        parsed = json.loads((b'[' + b','.join(lines) + b']').decode())
    except (ValueError, RecursionError):
        parsed = []
    return parsed if len(parsed) == len(lines) else [_parsed_line(line) for line in lines]


def _parsed_line(line: bytes) -> Any:
    try:
        return json.loads(line.decode())
    except (ValueError, RecursionError):
        return None


def _is_row(row: Any) -> bool:
    return isinstance(row, dict) and _is_whole(row.get('trial')) and _is_whole(row.get('step'))


def _is_whole(value: Any) -> bool:
    return type(value) in (int, float) and 0 <= value < _LARGEST and value == int(value)


def _cells(rows: list[dict]) -> Iterator[tuple[str, np.ndarray, Any]]:
    """(column, places of rows, their cells): the rows that have the same keys are turned into
    columns together."""
    kinds = {}
    for place, row in enumerate(rows):
        kinds.setdefault(tuple(row), []).append(place)
    for keys, members in kinds.items():
        places = np.array(members)
        columns = zip(*(rows[place].values() for place in members), strict=True)
        for key, cells in zip(keys, columns, strict=True):
            is_numeric = set(map(type, cells)) <= _NUMBERS
            yield encodable(key), places, _numbers(cells) if is_numeric else cells


def _numbers(cells: tuple) -> np.ndarray:
    """float64; NaN for None, and for an integer that is too large."""
    try:
        return np.array(cells, np.float64)
    except OverflowError:
        return np.array([_number(cell) for cell in cells])


def _number(cell: Any) -> float:
    try:
        return float(cell) if _KINDS.get(type(cell)) == 'number' else np.nan
    except OverflowError:
        return np.nan


def _column(count: int, parts: list[tuple]) -> np.ndarray:
    """A column from its parts, of the kind that most cells have."""
    kinds = collections.Counter()
    for _, cells in parts:
        if isinstance(cells, np.ndarray):
            kinds['number'] += int(np.isfinite(cells).sum())
        else:
            kinds.update(_KINDS[type(cell)] for cell in cells if cell is not None)
    kind = kinds.most_common(1)[0][0] if kinds.total() else 'number'
    column = np.full(count, np.nan) if kind == 'number' else np.full(count, None, object)
    for places, cells in parts:
        if kind == 'number':
            column[places] = (
                cells if isinstance(cells, np.ndarray) else [_number(cell) for cell in cells]
            )
        elif not isinstance(cells, np.ndarray):
            for place, cell in zip(places, cells):
                column[place] = _content(cell) if _KINDS.get(type(cell)) == kind else None
    return column


def _content(cell: Any) -> Any:
    """Text as it is, an array as one of numbers where it is one, else JSON text."""
    if isinstance(cell, str):
        return encodable(cell)
    if isinstance(cell, list) and not any(isinstance(value, (str, dict)) for value in cell):
        try:
            return np.array(cell, np.float64)
        # rows of different lengths, or text within
        except (ValueError, TypeError, OverflowError, RecursionError):
            pass
    try:
        return json.dumps(cell)
    except RecursionError:
        return None


def _absent(count: int, parts: list[tuple]) -> np.ndarray:
    absent = np.ones(count, bool)
    for places, _ in parts:
        absent[places] = False
    return absent
