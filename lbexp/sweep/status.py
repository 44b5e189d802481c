"""How a workdir's cohorts stand, as a table, and as a report of what is there so far."""

import collections
import pathlib
import time
from collections.abc import Collection, Sequence

from lbexp import command, documents, results
from lbexp.analysis import Analysis, Table
from lbexp.config import lookup
from lbexp.engine import record
from lbexp.errors import Refusal
from lbexp.exit_status import DONE
from lbexp.report import FIGURE_FORMATS, table
from lbexp.sweep import cohorts, leases
from lbexp.sweep.schedule import describe_failure, progress

_COLUMNS = [
    'cohort',
    'round',
    'trials',
    'state',
    'attempt',
    'host',
    'process',
    'progress',
    'said',
    'cause',
]


def show(workdir: pathlib.Path, heartbeat_timeout: float | None = None) -> int:
    """Prints the table; returns the exit status.

    Args:
        heartbeat_timeout: seconds without a heartbeat after which a worker on another host is lost;
            None: what each was started with.
    """
    status = record.statuses(workdir)
    tasks = cohorts.cohort_tasks(workdir)
    rows = [_row(task, status, heartbeat_timeout) for task in tasks]
    counts = collections.Counter(row[_COLUMNS.index('state')] for row in rows)
    summary = ', '.join(f'{count} {state}' for state, count in counts.items())
    table.show(Table(f'{len(tasks)} cohorts in {workdir}: {summary}', _COLUMNS, rows, ''))
    return DONE


def report(
    workdir: pathlib.Path,
    trusted: Collection[str] | None = (),
    given_up: Collection[int] = (),
    figure_formats: Sequence[str] = FIGURE_FORMATS,
    heartbeat_timeout: float = 120.0,
) -> int:
    """Writes the report; until every cohort is through it draws curves, and gives no verdict.

    Args:
        trusted: names outside lbexp that the workdir may name; None: any, as its configuration is
            the user's own.
        given_up: numbers of the cohorts that failed too often.
        figure_formats: files of each figure.
        heartbeat_timeout: seconds without a heartbeat after which a process that puts the cohorts'
            rows together is lost.
    """
    _require_sound(workdir)
    with cohorts.mutex(workdir, heartbeat_timeout):
        cohorts.merge(workdir, given_up)
    status, tasks = record.statuses(workdir), cohorts.cohort_tasks(workdir)
    through = [task for task in tasks if cohorts.is_through(task, status)]
    if len(through) == len(tasks):
        with lookup.trusting(trusted), lookup.recorded():
            analysis = lookup.build('study', results.part(workdir, 'study')).analyse(workdir)
    else:
        optimizer, workload = results.part(workdir, 'optimizer'), results.part(workdir, 'workload')
        title = f'{optimizer["name"]} on {workload["name"]}'
        verdict = f'{len(through)} of {len(tasks)} cohorts are through: no verdict yet.'
        analysis = Analysis(title, verdict, tables=[], figures=[])
    return command.report(analysis, workdir, figure_formats)


def _require_sound(workdir):
    """Refusal: a file that the cohorts are put together from is not what lbexp writes; the message
    names it."""
    known = {entry['trial'] for entry in results.configuration(workdir)['trials']}
    record.statuses(workdir)
    in_cohorts = []
    for task in cohorts.cohort_tasks(workdir):
        in_cohorts += task.trials
    if not known.issuperset(in_cohorts) or len(set(in_cohorts)) < len(in_cohorts):
        file = workdir / documents.COHORTS
        raise Refusal(
            f'{file}: found other cohorts than of the trials of {results.CONFIG}; '
            'allowed: what lbexp writes'
        )


def _row(task, status, heartbeat_timeout):
    last = leases.latest(task.folder)
    # By the clocks of two hosts: a look has no time to wait for another heartbeat.
    silence = time.time() - last.at
    if heartbeat_timeout is None:
        heartbeat_timeout = last.heartbeat_timeout
    state = last.state
    if state == 'running' and (leases.dead(last) or silence > heartbeat_timeout):
        state = 'lost'
    # Without an attempt, but through: in a direct run that the sweep goes on with.
    if last.number == 0 and cohorts.is_through(task, status):
        state = 'done'
    last_sign = cause = ''
    if state == 'running':
        last_sign = f'{silence:.0f} s ago'
    if state in ('lost', 'failed'):
        cause = describe_failure(last, task.folder)
    who = [last.host, last.pid] if last.number else ['', '']
    return [
        task.number,
        task.round,
        len(task.trials),
        state,
        leases.counted_attempts(task.folder),
        *who,
        progress(last),
        last_sign,
        cause,
    ]
