"""Rows of metrics.jsonl files as columns: 100,000 rows in about a second of one core."""

import collections
import dataclasses
import json
import pathlib
from collections.abc import Iterator
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
    type(None): 'null',
}
_LARGEST = 2**53  # from which on float64 does not tell integers apart


@dataclasses.dataclass(frozen=True)
class Rows:
    """The rows of a file as columns of `count` cells, in the order written.

    Columns 'trial' and 'step' are int64, numbers float64 (NaN: null, absent or no float64), arrays
    and text objects, nested objects JSON text.
    """

    count: int
    columns: dict[str, np.ndarray]
    absent: dict[str, np.ndarray]  # of each column but trial and step: which rows lack its key

    def lacking(self, name: str) -> np.ndarray:
        """Which rows lack a key; all of them, where none has it."""
        if name in self.absent:
            return self.absent[name]
        return np.ones(self.count, bool)


def rows(file: pathlib.Path | None) -> Rows:
    """A metrics file as columns; none, where there is no file.

    What most cells of a column are, the column is: a cell of another kind counts as null. Lines
    that are torn, damaged, or without a trial and a step that are integers >= 0 are skipped.

    Raises:
        OSError: the file cannot be read.
    """
    parts, count = {}, 0
    for lines in _blocks(file):
        parsed = list(filter(_is_row, _parsed(lines)))
        for name, places, cells in _cells(parsed):
            parts.setdefault(name, []).append((places + count, cells))
        count += len(parsed)
    columns, absent = {}, {}
    for name in ('trial', 'step'):
        columns[name] = _column(count, parts.pop(name, [])).astype(np.int64)
    for name, cells in parts.items():
        columns[name] = _column(count, cells)
        absent[name] = _absent(count, cells)
    return Rows(count, columns, absent)


def _blocks(file: pathlib.Path | None) -> Iterator[list[bytes]]:
    """The lines of a file that hold anything, some megabytes at a time."""
    if file is None:
        return
    try:
        with open(file, 'rb') as opened:
            while lines := opened.readlines(_READ):
                yield list(filter(bytes.strip, lines))
    except OSError as error:
        # a read that fails knows no name, unlike an open
        raise OSError(error.errno, error.strerror, str(file)) from error


def _parsed(lines: list[bytes]) -> list:
    """What these lines hold. As one array they are parsed in half the time, where none is
    damaged."""
    try:
        parsed = json.loads((b'[' + b','.join(lines) + b']').decode())
    except (ValueError, RecursionError):
        parsed = []
    # A damaged line may hold two rows, and two damaged ones may be one row together.
    if len(parsed) != len(lines):
        return list(map(_parsed_line, lines))
    return parsed


def _parsed_line(line: bytes) -> Any:
    try:
        return json.loads(line.decode())
    except (ValueError, RecursionError):
        return None


def _is_row(row: Any) -> bool:
    return isinstance(row, dict) and _is_whole(row.get('trial')) and _is_whole(row.get('step'))


def _is_whole(value: Any) -> bool:
    # By type: to isinstance True is an integer.
    return type(value) in (int, float) and 0 <= value < _LARGEST and value == int(value)


def _cells(rows: list[dict]) -> Iterator[tuple[str, np.ndarray, Any]]:
    """(column, places of rows, their cells): the rows that have the same keys are turned into
    columns together."""
    by_keys = {}
    for place, row in enumerate(rows):
        by_keys.setdefault(tuple(row), []).append(place)
    for keys, members in by_keys.items():
        places = np.array(members)
        values = [rows[place].values() for place in members]
        for key, cells in zip(keys, zip(*values, strict=True), strict=True):
            yield encodable(key), places, _numbers_or_cells(cells)


def _numbers_or_cells(cells: tuple) -> np.ndarray | tuple:
    """float64 where all cells are numbers; NaN for None, and for an integer that is too large."""
    if not set(map(type, cells)) <= _NUMBERS:
        return cells
    try:
        return np.array(cells, np.float64)
    except OverflowError:
        return np.array(list(map(_number, cells)))


def _number(cell: Any) -> float:
    if _KINDS.get(type(cell)) != 'number':
        return np.nan
    try:
        return float(cell)
    except OverflowError:
        return np.nan


def _column(count: int, parts: list[tuple]) -> np.ndarray:
    """A column from its parts, of the kind that most cells have."""
    kind = _kind(parts)
    if kind == 'number':
        return _number_column(count, parts)
    column = np.full(count, None, object)
    for places, cells in parts:
        if isinstance(cells, np.ndarray):  # numbers
            continue
        for place, cell in zip(places, cells):
            if _KINDS.get(type(cell)) == kind:
                column[place] = _content(cell)
    return column


def _number_column(count: int, parts: list[tuple]) -> np.ndarray:
    column = np.full(count, np.nan)
    for places, cells in parts:
        if not isinstance(cells, np.ndarray):
            cells = list(map(_number, cells))
        column[places] = cells
    return column


def _kind(parts: list[tuple]) -> str:
    """What most cells are; nulls do not count, and nothing but nulls is numbers."""
    kinds = collections.Counter()
    for _, cells in parts:
        if isinstance(cells, np.ndarray):
            kinds['number'] += int(np.isfinite(cells).sum())
        else:
            kinds.update(map(_KINDS.__getitem__, map(type, cells)))
    del kinds['null']
    if not kinds.total():
        return 'number'
    return kinds.most_common(1)[0][0]


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
