"""Results as tables of DuckDB, for SQL and for data frames."""

import types
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lbexp.results.distinct import distinct

if TYPE_CHECKING:
    import duckdb

Columns = dict[str, np.ndarray]


def database(
    tables: tuple[Columns, Columns], files: Sequence[Path] = ()
) -> 'duckdb.DuckDBPyConnection':
    """DuckDB with the tables rows and final. A query reads and writes nothing else, but for the
    user's own `files`: what is in a workdir may be anybody's, and so may a query that somebody
    hands on.

    Args:
        tables: columns of `results.read` and of `results.final`.
        files: absolute paths that a query may write.
    """
    import duckdb

    connection = duckdb.connect(
        config={'autoinstall_known_extensions': False, 'autoload_known_extensions': False}
    )
    for name, columns in zip(('rows', 'final'), tables, strict=True):
        connection.register('columns', _table(columns))
        connection.execute(f'create table {name} as select * from columns')
        connection.unregister('columns')
    # Else a name in a query could be a variable of this process.
    connection.execute('set python_enable_replacements = false')
    # DuckDB writes a draft, and renames it when it is through.
    drafts = [str(file.with_name(f'tmp_{file.name}')) for file in files]
    connection.execute('set allowed_paths = ?', [[*map(str, files), *drafts]])
    connection.execute('set enable_external_access = false')
    # Else a query could set the above anew.
    connection.execute('set lock_configuration = true')
    return connection


def _table(columns):
    """Columns as DuckDB takes them: of one type each, and with names that differ in more than
    case."""
    names = distinct(name.replace('\0', '') or 'unnamed' for name in columns)
    table = dict(zip(names, columns.values(), strict=True))
    for name, column in table.items():
        if column.dtype == object:
            table[name] = _of_one_type(column)
    return table


def _of_one_type(column):
    """Vectors stay vectors, where all are; truth values too; the rest becomes text."""
    kinds = set(map(type, column)) - {types.NoneType}
    # None has no dimension.
    are_vectors = kinds == {np.ndarray} and max(map(np.ndim, column)) == 1
    if are_vectors or kinds == {bool}:
        return column
    texts = np.full(len(column), None, object)
    for place, cell in enumerate(column):
        if isinstance(cell, np.ndarray):
            cell = cell.tolist()
        if cell is not None:
            # text ends at a zero in C
            texts[place] = str(cell).replace('\0', '')
    return texts
