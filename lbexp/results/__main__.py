"""The command: python -m lbexp.results."""

import argparse
import signal
import sys

import numpy as np

import lbexp.results as results
from lbexp.errors import Refusal, describe
from lbexp.local_path import local_path
from lbexp.results.metrics import MINOR

_STANDARD_OUTPUT = '/dev/stdout'
_PRINTED = 60  # rows of a table in the terminal


def main(arguments: list[str] | None = None) -> int:
    """The command line; 0 when it worked, 2 with one line on standard error when not."""
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        'python -m lbexp.results', description=results.__doc__, formatter_class=form
    )
    parser.add_argument('path', help='a workdir, or a folder above workdirs')
    parser.add_argument('--sql', help='a DuckDB query over the tables rows and final')
    parser.add_argument(
        '--csv',
        nargs='?',
        const=_STANDARD_OUTPUT,
        metavar='FILE',
        help=('write CSV (no FILE: standard output)'),
    )
    parser.add_argument('--parquet', metavar='FILE', help='write Parquet')
    options = parser.parse_args(arguments)
    try:
        _answer(options)
    except OSError as error:
        print(
            f'error: {error.strerror or error}: {error.filename or ""}'.rstrip(': '),
            file=sys.stderr,
        )
        return 2
    except ValueError as error:
        print(f'error: {describe(error)}', file=sys.stderr)
        return 2
    return 0


def _answer(options):
    import duckdb

    files = {}
    for name in ('csv', 'parquet'):
        if getattr(options, name):
            files[name] = local_path(getattr(options, name), f'--{name}').absolute()
    connection = _connection(results.load(options.path), list(files.values()))
    try:
        relation = connection.sql(options.sql or 'from final')
        if relation is None:
            raise Refusal(f'--sql: found {options.sql!r}, which gives no table; allowed: a query')
        if 'csv' in files:
            relation.write_csv(str(files['csv']))
        if 'parquet' in files:
            relation.write_parquet(str(files['parquet']), compression='zstd')
        if not files:
            _print(relation)
    except duckdb.Error as error:
        raise Refusal(str(error).splitlines()[0]) from error


def _connection(tables, files):
    """DuckDB with the tables rows and final. A query reads and writes nothing else, but for the
    user's own `files`: what is in a workdir may be anybody's, and so may a query that somebody
    hands on.
    """
    import duckdb

    connection = duckdb.connect(
        config={'autoinstall_known_extensions': False, 'autoload_known_extensions': False}
    )
    for name, columns in zip(('rows', 'final'), tables, strict=True):
        connection.register('columns', _table(columns))
        connection.execute(f'create table {name} as select * from columns')
        connection.unregister('columns')
    connection.execute('set python_enable_replacements = false')
    # that DuckDB renames when it is through
    drafts = [str(file.with_name(f'tmp_{file.name}')) for file in files]
    connection.execute('set allowed_paths = ?', [[*map(str, files), *drafts]])
    connection.execute('set enable_external_access = false')
    connection.execute('set lock_configuration = true')
    return connection


def _table(columns):
    """Columns as DuckDB takes them: of one type each, and with names that differ in more than
    case."""
    table, taken = {}, set()
    for name, column in columns.items():
        name = base = name.replace('\0', '') or 'unnamed'
        number = 1
        while name.casefold() in taken:
            number += 1
            name = f'{base}_{number}'
        taken.add(name.casefold())
        table[name] = column if column.dtype != object else _of_one_type(column)
    return table


def _of_one_type(column):
    """Vectors stay vectors, where all are; truth values too; the rest becomes text."""
    kinds = {type(cell) for cell in column if cell is not None}
    vectors = kinds == {np.ndarray} and all(cell is None or cell.ndim == 1 for cell in column)
    if vectors or kinds == {bool}:
        return column
    texts = np.full(len(column), None, object)
    for place, cell in enumerate(column):
        if cell is not None:
            texts[place] = str(cell.tolist() if isinstance(cell, np.ndarray) else cell).replace(
                '\0', ''
            )
    return texts


def _print(relation):
    """As many columns as fit, the more telling ones first; what is left out is named below."""
    from rich import box, console, table, text

    body = [list(map(_text, row)) for row in relation.limit(_PRINTED + 1).fetchall()]
    names, terminal = [_text(name) for name in relation.columns], console.Console()
    widths = [max(map(len, column)) + 3 for column in zip(names, *body, strict=True)]
    places = _fitting(names, widths, terminal.width - 1)
    heads = [names[place].replace('[', r'\[') for place in places]
    shown = table.Table(*heads, box=box.SIMPLE_HEAD)
    for row in body[:_PRINTED]:
        shown.add_row(*[text.Text(row[place]) for place in places])
    terminal.print(shown)
    hidden = [name for place, name in enumerate(names) if place not in places]
    if hidden:
        words = f'not shown, for lack of width: {", ".join(hidden)}'
        terminal.print(words, markup=False, highlight=False)
    if len(body) > _PRINTED:
        terminal.print(f'the first {_PRINTED} rows; --csv writes all', highlight=False)


def _fitting(names, widths, room):
    """Places of the columns that fit, at least one, those that tell more before the others."""
    places = []
    for place in sorted(range(len(names)), key=lambda i: (MINOR.get(names[i], 0), i)):
        if widths[place] <= room or not places:
            room -= widths[place]
            places.append(place)
    return sorted(places)


def _text(cell):
    """A cell for the terminal, without what would steer it."""
    content = '' if cell is None else str(cell)
    if isinstance(cell, float):
        content = f'{cell:.5g}'
    return ''.join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in content)


if __name__ == '__main__':
    # `| head` ends it, and quietly, as it ends any filter
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    sys.exit(main())
