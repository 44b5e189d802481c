"""Results of a workdir, or of a tree of workdirs, as columns.

    python -m lbexp.results PATH                     the final metrics of every trial
    python -m lbexp.results PATH --csv=FILE          the same as CSV (--csv alone: on standard output)
    python -m lbexp.results PATH --parquet=FILE      the same as Parquet
    python -m lbexp.results PATH --sql="select trial, min(loss) from rows group by trial"

SQL (DuckDB) sees two tables: `rows` (every row of metrics.jsonl) and `final` (one row a trial).
"""

import argparse
import json
import os
import sys
from pathlib import Path

import numpy as np

from lbexp import rows as parse

METRICS, CONFIG, STATUS = 'metrics.jsonl', 'config.json', 'status.json'
PRINTED = 60  # rows of a table in the terminal
MINOR = ('workdir', 'examples', 'epoch', 'wall_time', 'learning_rate', 'parameter_norm', 'update_norm')
UNVARIED = ('sweep', 'search', 'workdir')  # parts of a config that say which trials there are, not what a trial does


def read(path):
    """Every recorded row: a dict of NumPy columns of equal length, sorted by workdir, trial and step.

    Columns, in this order: 'workdir' (str), 'trial' (int), what varies between trials (overrides, and what
    differs between the configs of a tree, such as 'optimizer.learning_rate' or 'seed'; `varied` lists
    them), 'step' (int), then every metric (`measured` lists them): float64, NaN where null or absent;
    small arrays and text as objects. Of two rows with one (trial, step) the later stands. Torn or damaged
    lines are skipped.

    Args:
        path: a workdir (holds config.json or metrics.jsonl), or a folder above workdirs.
    Raises:
        ValueError: no workdir there, or a config.json that is not what lbexp writes.
    """
    return load(path)[0]


def final(path):
    """One row a trial, also for trials without a row yet: columns as in `read`, and 'status' after 'step'.

    A metric's value is the last one *recorded*: of the last row that has its key. A diverged loss (null)
    is NaN, not the last finite value; test metrics come from the last evaluation. 'step' is the last row's
    (0: none). 'status' is 'unknown' without a readable status.json.
    """
    return load(path)[1]


def load(path):
    """Both at once, for one reading of the files: (columns of `read`, columns of `final`)."""
    rows, trials, missing = _load(path)
    count, index = len(trials['trial']), rows['index']
    step = np.zeros(count, np.int64)
    step[index] = rows['step']  # rows are sorted: the last assignment is of the last step
    last = {'index': np.arange(count), 'step': step, 'status': trials['status']}
    for name in measured(rows):
        value = np.full(count, None if rows[name].dtype == object else np.nan, rows[name].dtype)
        present = np.flatnonzero(~missing[name])
        value[index[present]] = rows[name][present]
        last[name] = value
    return _with_overrides(rows, trials), _with_overrides(last, trials)


def varied(columns):
    """Names of the columns of `read` or `final` that say how trials differ."""
    names = list(columns)
    return names[names.index('trial') + 1 : names.index('step')]


def measured(columns):
    """Names of the columns of `read` or `final` that were measured."""
    names = list(columns)
    return [name for name in names[names.index('step') + 1 :] if name != 'status']


def workdirs(path):
    """Folders with a config.json or metrics.jsonl, `path` or below it, sorted; nothing inside a workdir counts."""
    path, found = Path(path), []
    if not path.is_dir():
        raise ValueError(f'{path} is not a folder: give a workdir, or a folder above workdirs.')
    for folder, below, files in os.walk(path):
        if METRICS in files or CONFIG in files:
            found.append(Path(folder))
            below.clear()
    if not found:
        raise ValueError(
            f'{path} holds no {CONFIG} and no {METRICS}, nor does a folder below it: give the --workdir of a run.'
        )
    return sorted(found)


def document(file):
    """A JSON file as data, {} when it is absent or (being written, damaged) not readable."""
    try:
        content = json.loads(Path(file).read_text())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _load(path):
    """Sorted rows with the 'index' of their trial, the trials, and for each metric where a row lacks its key."""
    folders = workdirs(path)
    files = [folder / METRICS for folder in folders]
    number, rows, missing = parse.rows([file for file in files if file.exists()])
    home = np.array([place for place, file in enumerate(files) if file.exists()], np.int64)[number]
    order = np.lexsort((rows['step'], rows['trial'], home))  # stable: of two equal keys the later row comes last
    key = np.stack([home, rows['trial'], rows['step']])[:, order]
    order = order[np.append(np.any(key[:, 1:] != key[:, :-1], axis=0), True)[: len(order)]]
    rows = {name: column[order] for name, column in rows.items()}
    missing = {name: column[order] for name, column in missing.items()}
    keys = list(zip(home[order].tolist(), rows.pop('trial').tolist()))
    trials, place = _trials(folders, keys)
    return {'index': np.array([place[key] for key in keys], np.int64), **rows}, trials, missing


def _trials(folders, seen):
    """Columns of the trials: workdir, trial, what varies, status; and the place of each (folder, trial)."""
    with_rows = {}  # folder number -> trials that have rows, whether or not config.json knows them
    for number, trial in set(seen):
        with_rows.setdefault(number, set()).add(trial)
    differ = _differences(configs := [_config(folder) for folder in folders])
    entries = {}  # (folder number, trial) -> (resolved config, what is its own, status)
    for number, (folder, config) in enumerate(zip(folders, configs)):
        flat = _flat(config['config'])
        shared = {name: value for name, value in flat.items() if name in differ}
        states = document(folder / STATUS).get('trials', {})
        own = {entry['trial']: entry['overrides'] for entry in config['trials']}
        for trial in sorted(own.keys() | with_rows.get(number, set())):
            status = states.get(str(trial), {}).get('status', 'unknown')
            overrides = own.get(trial, {})
            # A part that is overridden as a whole has nothing left of the config's own part.
            parts = tuple(f'{name}.' for name, value in overrides.items() if isinstance(value, dict))
            kept = {name: value for name, value in flat.items() if not name.startswith(parts)} if parts else flat
            entries[number, trial] = (kept, shared | _flat(overrides), status)
    names = list(dict.fromkeys(name for _, own, _ in entries.values() for name in own))
    columns = {
        'workdir': np.array([str(folders[number]) for number, _ in entries], object),
        'trial': np.array([trial for _, trial in entries], np.int64),
        'varied': {
            name: _column([own.get(name, base.get(name)) for base, own, _ in entries.values()]) for name in names
        },
        'status': np.array([status for _, _, status in entries.values()], object),
    }
    return columns, {key: place for place, key in enumerate(entries)}


def _config(folder):
    """config.json of a workdir; without one, or with a damaged one, nothing is known of its trials."""
    config = {'config': {}, 'trials': []} | document(folder / CONFIG)
    if not isinstance(config['config'], dict) or not all(
        isinstance(entry, dict) and {'trial', 'overrides'} <= entry.keys() for entry in config['trials']
    ):
        raise ValueError(
            f'{folder / CONFIG} is not a resolved config of lbexp: it needs "config" (an object) and "trials" '
            '(each with "trial" and "overrides"). Run the experiment again, or remove the file.'
        )
    return config


def _differences(configs):
    """Keys whose values differ between the configs of a tree."""
    flats = [{name: json.dumps(value) for name, value in _flat(config['config']).items()} for config in configs]
    names = list(dict.fromkeys(name for flat in flats for name in flat))
    return {name for name in names if len({flat.get(name) for flat in flats if flat}) > 1}


def _flat(config, prefix=''):
    """{'optimizer': {'b1': 0.9}} as {'optimizer.b1': 0.9}."""
    flat = {}
    for name, value in config.items():
        if prefix or name not in UNVARIED:
            flat |= _flat(value, f'{prefix}{name}.') if isinstance(value, dict) else {prefix + name: value}
    return flat


def _column(values):
    """Whole numbers as int64, numbers as float64 (None: NaN), the rest as objects (lists as JSON text)."""
    if all(type(value) is int for value in values):
        return np.array(values, np.int64)
    if all(value is None or type(value) in (int, float) for value in values):
        return np.array([np.nan if value is None else value for value in values], np.float64)
    column = np.empty(len(values), object)
    column[:] = [json.dumps(value) if isinstance(value, (list, dict)) else value for value in values]
    return column


def _with_overrides(rows, trials):
    """Columns in their public order; what varies gets the prefix 'config.' where a metric has its name."""
    index = rows['index']
    taken = {'workdir', 'trial', 'status', *rows}
    own = {f'config.{name}' if name in taken else name: column[index] for name, column in trials['varied'].items()}
    rest = {name: column for name, column in rows.items() if name not in ('index', 'step')}
    return {'workdir': trials['workdir'][index], 'trial': trials['trial'][index], **own, 'step': rows['step'], **rest}


def main(arguments=None):
    """The command line; 0 when it worked, 2 with one line on standard error when not."""
    parser = argparse.ArgumentParser(
        'python -m lbexp.results', description='Final metrics of a workdir or a tree of them.'
    )
    parser.add_argument('path', help='a workdir, or a folder above workdirs')
    parser.add_argument('--sql', help='a DuckDB query over the tables rows and final')
    parser.add_argument(
        '--csv', nargs='?', const='/dev/stdout', metavar='FILE', help='write CSV (no FILE: standard output)'
    )
    parser.add_argument('--parquet', metavar='FILE', help='write Parquet')
    options = parser.parse_args(arguments)
    try:
        _answer(options)
    except (ValueError, OSError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 2
    return 0


def _answer(options):
    import duckdb

    connection = duckdb.connect()
    tables = dict(zip(('rows', 'final'), load(options.path)))
    try:
        for name, columns in tables.items():
            connection.register(name, columns)
        relation = connection.sql(options.sql or 'from final')
        if options.csv:
            relation.write_csv(options.csv)
        if options.parquet:
            relation.write_parquet(options.parquet, compression='zstd')
        if not options.csv and not options.parquet:
            _print(relation)
    except duckdb.Error as error:
        raise ValueError(str(error).splitlines()[0]) from error


def _print(relation):
    """As many columns as fit, the more telling ones first; what is left out is named below."""
    from rich import box, console, table, text

    body = [[_text(cell) for cell in row] for row in relation.limit(PRINTED + 1).fetchall()]
    names, terminal = relation.columns, console.Console()
    widths = [max([len(name), *(len(row[i]) for row in body)]) + 3 for i, name in enumerate(names)]
    rank = [2 if name in MINOR else 1 if name == 'gradient_norm' else 0 for name in names]
    room, kept = terminal.width - 1, set()
    for place in sorted(range(len(names)), key=lambda i: (rank[i], i)):
        if widths[place] <= room or not kept:
            room -= widths[place]
            kept.add(place)
    left = [name for place, name in enumerate(names) if place not in kept]
    shown = table.Table(*[names[i].replace('[', r'\[') for i in sorted(kept)], box=box.SIMPLE_HEAD)
    for row in body[:PRINTED]:
        shown.add_row(*[text.Text(row[i]) for i in sorted(kept)])
    terminal.print(shown)
    if left:
        terminal.print(f'not shown, for lack of width: {", ".join(left)}', markup=False, highlight=False)
    if len(body) > PRINTED:
        terminal.print(f'the first {PRINTED} rows; --csv writes all', highlight=False)


def _text(cell):
    return f'{cell:.5g}' if isinstance(cell, float) else '' if cell is None else str(cell)


if __name__ == '__main__':
    sys.exit(main())
