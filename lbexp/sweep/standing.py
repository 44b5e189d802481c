"""How a workdir's cohorts stand, as a table, and as a report of what is there so far."""

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
from lbexp.sweep import attempts, cohorts
from lbexp.sweep.schedule import progress, told_of

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


def show(workdir: pathlib.Path, lost: float | None = None) -> int:
    """Prints the table; returns the exit status.

    Args:
        lost: seconds without a sign of life after which a worker on another host is lost; None:
            what each was started with.
    """
    status = record.statuses(workdir)
    works = cohorts.works(workdir)
    rows = [_row(work, status, lost) for work in works]
    counts = {}
    for row in rows:
        counts[row[3]] = counts.get(row[3], 0) + 1
    told = ', '.join(f'{count} {state}' for state, count in counts.items())
    table.show(Table(f'{len(works)} cohorts in {workdir}: {told}', _COLUMNS, rows, ''))
    return DONE


def report(
    workdir: pathlib.Path,
    trusted: Collection[str] | None = (),
    given_up: Collection[int] = (),
    figure_formats: Sequence[str] = FIGURE_FORMATS,
) -> int:
    """Writes the report; until every cohort is through it draws curves, and gives no verdict.

    Args:
        trusted: names outside lbexp that the workdir may name; None: any, as its configuration is
            the user's own.
        given_up: numbers of the cohorts that failed too often.
    """
    _require_sound(workdir)
    with attempts.turn(workdir / 'cohorts' / 'turn', 120.0):
        cohorts.merge(workdir, given_up)
    status, works = record.statuses(workdir), cohorts.works(workdir)
    through = [work for work in works if cohorts.is_through(work, status)]
    if len(through) == len(works):
        with lookup.trusting(trusted), lookup.recorded():
            analysis = lookup.build('study', results.part(workdir, 'study')).analyse(workdir)
    else:
        title = (
            f'{results.part(workdir, "optimizer")["name"]} on '
            f'{results.part(workdir, "workload")["name"]}'
        )
        analysis = Analysis(
            title, (f'{len(through)} of {len(works)} cohorts are through: no verdict yet.'), [], []
        )
    return command.report(analysis, workdir, figure_formats)


def _require_sound(workdir):
    """Refusal: a file that the cohorts are put together from is not what lbexp writes; the message
    names it."""
    known = {entry['trial'] for entry in results.configuration(workdir)['trials']}
    record.statuses(workdir)
    members = [trial for work in cohorts.works(workdir) for trial in work.trials]
    if not set(members) <= known or len(set(members)) < len(members):
        file = workdir / documents.COHORTS
        raise Refusal(
            f'{file}: found other cohorts than of the trials of {results.CONFIG}; '
            'allowed: what lbexp writes'
        )


def _row(work, status, lost):
    last = attempts.latest(work.folder)
    tried = len([one for one in attempts.history(work.folder) if one.state != 'preempted'])
    silent = time.time() - last.at
    is_silent = silent > (last.lost if lost is None else lost)
    state = 'lost' if last.state == 'running' and (attempts.dead(last) or is_silent) else last.state
    if last.number == 0 and cohorts.is_through(work, status):
        state = 'done'
    said = f'{silent:.0f} s ago' if state == 'running' else ''
    who = [last.host, last.pid] if last.number else ['', '']
    cause = told_of(last, work.folder) if state in ('lost', 'failed') else ''
    return [
        work.number,
        work.round,
        len(work.trials),
        state,
        tried,
        *who,
        progress(last),
        said,
        cause,
    ]
