"""The command: python -m lbexp.results."""

import argparse
import itertools
import signal
import sys

import lbexp.results as results
from lbexp.errors import Refusal, describe
from lbexp.local_path import local_path
from lbexp.results.database import database
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
    help_csv = 'write CSV (no FILE: standard output)'
    parser.add_argument('--csv', nargs='?', const=_STANDARD_OUTPUT, metavar='FILE', help=help_csv)
    parser.add_argument('--parquet', metavar='FILE', help='write Parquet')
    options = parser.parse_args(arguments)
    try:
        _answer(options)
    except OSError as error:
        message = f'{error.strerror or error}: {error.filename or ""}'
        print(f'error: {message.rstrip(": ")}', file=sys.stderr)
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
    connection = database(results.load(options.path), list(files.values()))
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


def _print(relation):
    """As many columns as fit, the more telling ones first; what is left out is named below."""
    from rich import box, console, table, text

    # one more than is printed tells whether there are more
    body = [list(map(_text, row)) for row in relation.limit(_PRINTED + 1).fetchall()]
    names = list(map(_text, relation.columns))
    terminal = console.Console()
    widths = [max(map(len, column)) + 3 for column in zip(names, *body, strict=True)]
    places = _fitting(names, widths, terminal.width - 1)
    shown = table.Table(box=box.SIMPLE_HEAD)
    for place in places:
        # As Text: rich would read a name in brackets as markup.
        shown.add_column(text.Text(names[place]))
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
    # sorted keeps the order of columns that tell as much
    for place in sorted(range(len(names)), key=lambda place: MINOR.get(names[place], 0)):
        if widths[place] <= room or not places:
            room -= widths[place]
            places.append(place)
    return sorted(places)


def _text(cell):
    """A cell for the terminal, without what would steer it."""
    if cell is None:
        return ''
    if isinstance(cell, float):
        return f'{cell:.5g}'
    content = str(cell)
    for letter in set(itertools.filterfalse(str.isprintable, content)):
        content = content.replace(letter, repr(letter)[1:-1])
    return content


if __name__ == '__main__':
    # `| head` ends it, and quietly, as it ends any filter
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    sys.exit(main())
