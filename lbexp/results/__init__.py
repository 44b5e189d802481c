"""Results of a workdir, or of a tree of workdirs, as columns.

    python -m lbexp.results PATH                     the final metrics of every trial
    python -m lbexp.results PATH --csv=FILE          the same as CSV (--csv alone: printed)
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
from lbexp.results._columns import blank, stacked
from lbexp.results._documents import (
    CONFIG,
    STATUS,
    changes,
    configuration,
    entries,
    is_readable,
    part,
    predictions,
    roles,
    say_once,
    summary,
)
from lbexp.results._rows import rows as rows_of
from lbexp.results._trials import trials as trials_of
from lbexp.results.examples import per_example as per_example

__all__ = [
    'CONFIG',
    'METRICS',
    'STATUS',
    'changes',
    'configuration',
    'entries',
    'final',
    'load',
    'measured',
    'numeric',
    'part',
    'per_example',
    'predictions',
    'read',
    'roles',
    'say_once',
    'summary',
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


def load(*paths: Path | str) -> tuple[Columns, Columns]:
    """Both at once, for one reading of the files: (columns of `read`, columns of `final`).

    Args:
        paths: each as in `read`; a workdir that two of them hold counts once.
    """
    index, rows, trials, missing = _load(paths)
    count = len(trials['trial'])
    last = _last(index, count, rows, missing)
    finals = {}
    for name, column in _with_overrides(np.arange(count), last, trials).items():
        finals[name] = column
        if name == 'step':
            finals['status'] = trials['status']
    return _with_overrides(index, rows, trials), finals


def _last(index, count, rows, missing):
    """Of each trial the last value that was recorded of each metric, and the last step.

    Rows are sorted by step: of several assignments to one place NumPy lets the last stand.
    """
    step = np.zeros(count, np.int64)
    step[index] = rows['step']
    last = {'step': step}
    for name, is_missing in missing.items():
        column = rows[name]
        last[name] = blank(count, column.dtype)
        present = np.flatnonzero(~is_missing)
        last[name][index[present]] = column[present]
    return last


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


def numeric(columns: Columns) -> list[str]:
    """Those of `measured` that hold numbers: no text, no arrays."""
    return [name for name in measured(columns) if columns[name].dtype != object]


def workdirs(path: Path | str) -> list[Path]:
    """Folders with a config.json or metrics.jsonl, `path` or below it, sorted; nothing inside a
    workdir counts."""
    root = local_path(str(path), 'the folder of results')
    if not root.is_dir():
        raise Refusal(f'{root} is not a folder: give a workdir, or a folder above workdirs.')
    folders = []
    for folder, below, files in os.walk(root, onerror=_say_unreadable):
        if METRICS in files or CONFIG in files:
            folders.append(Path(folder))
            # os.walk goes no deeper
            below.clear()
    if not folders:
        raise Refusal(
            f'{root} holds no {CONFIG} and no {METRICS}, nor does a folder below it: give the '
            '--workdir of a run.'
        )
    return sorted(folders)


def _say_unreadable(error):
    say_once(f'{error.filename}: {error.strerror}; left out')


def _load(paths):
    """The index of each row's trial, sorted rows, the trials, and for each metric where a row lacks
    its key."""
    roots = {}
    for path in paths:
        below = workdirs(path)
        roots |= dict.fromkeys(below, Path(os.path.commonpath(below)))
    folders, configurations, parsed = _readable(roots)
    home, rows, missing = _joined(parsed)
    order = _order(home, rows['trial'], rows['step'])
    rows = _at(order, rows)
    missing = _at(order, missing)
    keys = list(zip(home[order].tolist(), rows.pop('trial').tolist(), strict=True))
    trials, place = trials_of(folders, configurations, keys)
    index = np.array([place[key] for key in keys], np.int64)
    return index, rows, trials, missing


def _order(home, trial, step):
    """Rows by folder, trial and step; of equal ones the one that was written last."""
    # Stable: of two equal keys the later row comes last.
    order = np.lexsort((step, trial, home))
    key = np.stack([home, trial, step])[:, order]
    is_last = np.append(np.any(key[:, 1:] != key[:, :-1], axis=0), True)
    # Without rows none is the last.
    return order[is_last[: len(order)]]


def _at(places, columns):
    """These rows of columns."""
    return {name: column[places] for name, column in columns.items()}


def _readable(roots):
    """The folders that can be read, their config.json, their rows; the others are named.

    Args:
        roots: by folder, the one that no link may lead out of.

    Raises:
        Refusal, OSError: none can be read; the message is that of the first.
    """
    readable, problems = [], []
    for folder, root in roots.items():
        try:
            # All are asked for before one is read: what is no file may never end.
            there = {name: is_readable(folder / name, root) for name in _FILES}
            file = folder / METRICS if there[METRICS] else None
            readable.append((folder, configuration(folder), rows_of(file)))
        except (Refusal, OSError) as error:
            problems.append(error)
    if not readable:
        raise problems[0]
    for problem in problems:
        say_once(f'{problem}; left out')
    return zip(*readable, strict=True)


def _joined(parsed):
    """The rows of several folders as one: the number of each row's folder, columns, absent."""
    home = np.repeat(np.arange(len(parsed)), [rows.count for rows in parsed])
    names = {}
    for rows in parsed:
        names |= dict.fromkeys(rows.columns)
    columns, missing = {}, {}
    for name in names:
        columns[name] = stacked(name, parsed)
        if name not in ('trial', 'step'):  # every row has these
            missing[name] = np.concatenate([rows.lacking(name) for rows in parsed])
    return home, columns, missing


def _with_overrides(index, rows, trials):
    """Columns in their public order. What varies gets the prefix 'config.' where a metric has its
    name, a metric 'metric.' where it is named like a column of every table, a tag 'tag.' where
    anything else has its name."""
    metrics = dict(rows)
    step = metrics.pop('step')
    metrics = _prefixed(metrics, 'metric.', _COLUMNS)
    settings = _prefixed(_at(index, trials['varied']), 'config.', {*_COLUMNS, *metrics})
    tagged = _prefixed(_at(index, trials['tags']), 'tag.', {*_COLUMNS, *metrics, *settings})
    return {
        'workdir': trials['workdir'][index],
        **tagged,
        'trial': trials['trial'][index],
        **settings,
        'step': step,
        **metrics,
    }


def _prefixed(columns, prefix, taken):
    """Columns, those whose name is taken with a prefix."""
    named = {}
    for name, column in columns.items():
        if name in taken:
            named[prefix + name] = column
        else:
            named[encodable(name)] = column
    return named
