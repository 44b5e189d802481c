"""What the processes of a job say of themselves before they start, and what may keep them from
it."""

import collections
from typing import NamedTuple

from lbexp.exit_status import BAD_CONFIG, PEER_LOST, STOPPED
from lbexp.parallel.address import Address
from lbexp.parallel.wire import Wire

_LISTED = 10  # processes that a message names


class Member(NamedTuple):
    """A process, as it introduces itself."""

    process: int | None  # None: its flags do not say
    processes: int | None
    host: str
    pid: int
    version: str  # of lbexp
    problems: list[str]  # for which it will not start
    stopped: str = ''  # the signal that told it to stop
    lost: bool = False

    def __str__(self):
        process = 'a process'
        if self.process is not None:
            process = f'process {self.process}'
        return f'{process} (host {self.host}, pid {self.pid})'


class Joined(NamedTuple):
    """A job whose processes have found each other."""

    bind: Address | None  # where JAX's service listens; None: in another process
    connect: Address  # where this process finds it
    wires: dict[int, Wire]  # of process 0 to all others; of another to process 0
    names: dict[int, str]  # of the processes at their other ends


class NotStarted(Exception):
    """The job does not start: the exit status, and the lines that say why."""

    def __init__(self, status: int, lines: list[str]):
        super().__init__('; '.join(lines))
        self.status, self.lines = status, lines


def obstacle(members: list[Member], own: Member) -> NotStarted | None:
    """Why these cannot start together, in the words for one of them; None: nothing is against it.

    Args:
        members: process 0 first, then those that have come so far.
        own: the one that is told.
    """
    # What was lost or stopped comes first: it decides the exit status whatever others report.
    for member in members:
        if member.lost:
            line = f'the job does not start: {member} ended before it began'
            return NotStarted(PEER_LOST, [line])
    for member in members:
        if member.stopped:
            to_whom = '' if member == own else f' to {member}'
            line = f'stopped by {member.stopped}{to_whom} before the job began'
            return NotStarted(STOPPED, [line])
    for member in members:
        if member.problems:
            return NotStarted(BAD_CONFIG, _problems(members[0], member, own))
    contradiction = _contradiction(members)
    if contradiction:
        return NotStarted(BAD_CONFIG, [f'the job does not start: {contradiction}'])
    return None


def absent(members: list[Member]) -> list[int]:
    """Which processes have not come, as far as process 0, the first, knows how many there are."""
    expected = range(members[0].processes or 0)
    present = {member.process for member in members}
    return sorted(set(expected) - present)


def missing(members: list[Member], seconds: float) -> NotStarted:
    """In words, which processes have not come in time."""
    numbers = list(map(str, absent(members)))
    if len(numbers) > _LISTED:
        numbers[_LISTED:] = ['...']
    line = (
        f'the job does not start: process {", ".join(numbers)} of {members[0].processes} did not '
        f'come in {seconds:.0f} s; start all of them with one --coordinator_address and '
        '--num_processes, or give a longer --start_timeout'
    )
    return NotStarted(BAD_CONFIG, [line])


def _problems(first, troubled, own):
    """All of its own; what process 0 says in the same words, only that one; of another's, the
    first."""
    if own.problems:
        if own != first and own.problems == first.problems:
            return []
        return own.problems
    line = f'the job does not start: {troubled}: {troubled.problems[0]}'
    others = len(troubled.problems) - 1
    if others:
        line += f' (and {others} more)'
    return [line]


def _contradiction(members):
    first = members[0]
    for field, name in [('processes', '--num_processes'), ('version', 'version of lbexp')]:
        for member in members:
            expected, value = getattr(first, field), getattr(member, field)
            if value != expected:
                return (
                    f'{name}: found {expected} on {first} and {value} on {member}; allowed: '
                    'the same on all'
                )
    by_process = collections.defaultdict(list)
    for member in members:
        by_process[member.process].append(f'on host {member.host}, pid {member.pid}')
    for process, places in by_process.items():
        if len(places) > 1:
            where = ' and '.join(places)
            return f'--process_id: found {process} {where}; allowed: another for each process'
    return ''
