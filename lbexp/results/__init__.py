"""Results of a workdir, or of a tree of workdirs, as columns.

    python -m lbexp.results PATH                     the final metrics of every trial
    python -m lbexp.results PATH --csv=FILE          the same as CSV (--csv alone: on standard
    output)
    python -m lbexp.results PATH --parquet=FILE      the same as Parquet
    python -m lbexp.results PATH --sql="select trial, min(loss) from rows group by trial"

SQL (DuckDB) sees two tables, and nothing else of the machine: `rows` (every row of metrics.jsonl)
and `final` (one row a trial). Exit status: 0 done, 2 nothing could be read, or the query is wrong.
A workdir of a tree that cannot be read is named on standard error and left out.
"""

import os
from pathlib import Path

import numpy as np

from lbexp import owner
from lbexp.documents import encodable
from lbexp.errors import Refusal
from lbexp.local_path import local_path
from lbexp.results._documents import (
    CONFIG,
    STATUS,
    configuration,
    entries,
    is_readable,
    part,
    roles,
    say_once,
)
from lbexp.results._rows import rows as columns_of
from lbexp.results._trials import trials as trials_of

__all__ = [
    'CONFIG',
    'METRICS',
    'STATUS',
    'configuration',
    'entries',
    'final',
    'load',
    'measured',
    'part',
    'read',
    'roles',
    'say_once',
    'tags',
    'varied',
    'workdirs',
]

Columns = dict[str, np.ndarray]

METRICS = 'metrics.jsonl'
_FILES = (CONFIG, STATUS, METRICS, owner.FILE)
_COLUMNS = ('workdir', 'trial', 'step', 'status')


def read(path: Path | str) -> Columns:
    """Every recorded row: a dict of NumPy columns of equal length, sorted by workdir, trial and
    step.

    Columns, in this order: 'workdir' (str), the tags that the study gave its trials (arm, phase,
    case, ...; `tags` lists them), 'trial' (int), what varies between trials (overrides,
    and what differs between the configs of a tree, such as 'optimizer.learning_rate' or 'seed';
    `varied` lists them), 'step' (int), then every metric (`measured` lists them): float64, NaN
    where null or absent; small arrays and text as objects. Of two rows with one (trial, step) the
    later stands. Torn or damaged lines are skipped; so is, in a tree, a workdir that cannot be
    read, which is named on standard error.

    Args:
        path: a workdir (holds config.json or metrics.jsonl), or a folder above workdirs.
    Raises:
        Refusal: no workdir there, or a config.json that is not what lbexp writes.
    """
    return load(path)[0]


def final(path: Path | str) -> Columns:
    """One row a trial, also for trials without a row yet: columns as in `read`, and 'status' after
    'step'.

    A metric's value is the last one *recorded*: of the last row that has its key. A diverged loss
    (null) is NaN, not the last finite value; test metrics come from the last evaluation. 'step' is
    the last row's (0: none). 'status' is 'unknown' without a readable status.json, 'interrupted'
    where it says 'running' and no process is at the workdir.
    """
    return load(path)[1]


def load(path: Path | str) -> tuple[Columns, Columns]:
    """Both at once, for one reading of the files: (columns of `read`, columns of `final`)."""
    index, rows, trials, missing = _load(path)
    count = len(trials['trial'])
    step = np.zeros(count, np.int64)
    step[index] = rows['step']  # rows are sorted: the last assignment is of the last step
    last = {'step': step}
    for name, column in rows.items():
        if name != 'step':
            last[name] = np.full(count, None if column.dtype == object else np.nan, column.dtype)
            present = np.flatnonzero(~missing[name])
            last[name][index[present]] = column[present]
    final_columns = _with_overrides(np.arange(count), last, trials)
    head = list(final_columns)[: list(final_columns).index('step') + 1]
    states = {name: final_columns[name] for name in head} | {'status': trials['status']}
    return _with_overrides(index, rows, trials), states | final_columns


def varied(columns: Columns) -> list[str]:
    """Names of the columns of `read` or `final` that say how trials differ."""
    names = list(columns)
    return names[names.index('trial') + 1 : names.index('step')]


def tags(columns: Columns) -> list[str]:
    """Names of the columns of `read` or `final` that say what the study asked a trial for."""
    names = list(columns)
    return names[names.index('workdir') + 1 : names.index('trial')]


def measured(columns: Columns) -> list[str]:
    """Names of the columns of `read` or `final` that were measured."""
    names = list(columns)
    return [name for name in names[names.index('step') + 1 :] if name != 'status']


def workdirs(path: Path | str) -> list[Path]:
    """Folders with a config.json or metrics.jsonl, `path` or below it, sorted; nothing inside a
    workdir counts."""
    root, folders = local_path(str(path), 'the folder of results'), []
    if not root.is_dir():
        raise Refusal(f'{root} is not a folder: give a workdir, or a folder above workdirs.')
    for folder, below, files in os.walk(root, onerror=_say_unreadable):
        if METRICS in files or CONFIG in files:
            folders.append(Path(folder))
            below.clear()
    if not folders:
        raise Refusal(
            f'{root} holds no {CONFIG} and no {METRICS}, nor does a folder below it: give the '
            '--workdir of a run.'
        )
    return sorted(folders)


def _say_unreadable(error):
    say_once(f'{error.filename}: {error.strerror}; left out')


def _load(path):
    """The index of each row's trial, sorted rows, the trials, and for each metric where a row lacks
    its key."""
    folders, configurations, parsed = _readable(workdirs(path))
    home, rows, missing = _joined(parsed)
    # stable: of two equal keys the later row comes last
    order = np.lexsort((rows['step'], rows['trial'], home))
    key = np.stack([home, rows['trial'], rows['step']])[:, order]
    # the last of equal keys stays
    order = order[np.append(np.any(key[:, 1:] != key[:, :-1], axis=0), True)[: len(order)]]
    rows = {name: column[order] for name, column in rows.items()}
    missing = {name: column[order] for name, column in missing.items()}
    keys = list(zip(home[order].tolist(), rows.pop('trial').tolist()))
    trials, place = trials_of(folders, configurations, keys)
    return np.array([place[key] for key in keys], np.int64), rows, trials, missing


def _readable(folders):
    """The folders that can be read, their config.json, their rows; the others are named.

    Raises:
        Refusal, OSError: none can be read; the message is that of the first.
    """
    readable, problems = [], []
    root = Path(os.path.commonpath(folders))
    for folder in folders:
        try:
            there = {name: is_readable(folder / name, root) for name in _FILES}
            files = [folder / METRICS] if there[METRICS] else []
            readable.append((folder, configuration(folder), columns_of(files)))
        except (Refusal, OSError) as error:
            problems.append(error)
    if not readable:
        raise problems[0]
    for problem in problems:
        say_once(f'{problem}; left out')
    return tuple(map(list, zip(*readable, strict=True)))


def _joined(parsed):
    """The rows of several folders as one: the number of each row's folder, columns, absent."""
    sizes = [len(rows['trial']) for _, rows, _ in parsed]
    home = np.repeat(np.arange(len(parsed)), sizes)
    names = dict.fromkeys(name for _, rows, _ in parsed for name in rows)
    columns, missing = {}, {}
    for name in names:
        parts = [rows.get(name) for _, rows, _ in parsed]
        absent = [gone.get(name) for _, _, gone in parsed]
        columns[name] = _stacked(parts, sizes)
        if name not in ('trial', 'step'):
            missing[name] = np.concatenate(
                [np.ones(n, bool) if a is None else a for a, n in zip(absent, sizes)]
            )
    return home, columns, missing


def _stacked(parts, sizes):
    """One column of several; numbers where any are, and what is none counts as null."""
    plain = [
        part
        for part in parts
        if part is not None and part.dtype != object and np.isfinite(part).any()
    ]
    kind = plain[0].dtype if plain else next(part.dtype for part in parts if part is not None)
    blank = None if kind.hasobject else np.nan
    fits = [part is not None and part.dtype == kind for part in parts]
    filled = [part if fit else np.full(n, blank, kind) for part, fit, n in zip(parts, fits, sizes)]
    return np.concatenate(filled)


def _with_overrides(index, rows, trials):
    """Columns in their public order. What varies gets the prefix 'config.' where a metric has its
    name, a metric 'metric.' where it is named like a column of every table, a tag 'tag.' where
    anything else has its name."""
    metrics = {
        f'metric.{name}' if name in _COLUMNS else name: c
        for name, c in rows.items()
        if name != 'step'
    }
    taken = {*_COLUMNS, *metrics}
    overrides = {
        f'config.{name}' if name in taken else encodable(name): column[index]
        for name, column in trials['varied'].items()
    }
    taken |= overrides.keys()
    tagged = {
        f'tag.{name}' if name in taken else encodable(name): column[index]
        for name, column in trials['tags'].items()
    }
    where, which = {'workdir': trials['workdir'][index]}, {'trial': trials['trial'][index]}
    return where | tagged | which | overrides | {'step': rows['step']} | metrics
