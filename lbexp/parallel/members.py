"""What the processes of a job say of themselves before they start, and what may keep them from
it."""

from collections import Counter
from typing import NamedTuple

from lbexp.exit_status import BAD_CONFIG, PEER_LOST, STOPPED
from lbexp.parallel.address import Address
from lbexp.parallel.wire import Wire


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
        number = 'a process' if self.process is None else f'process {self.process}'
        return f'{number} (host {self.host}, pid {self.pid})'


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
    if lost := [member for member in members if member.lost]:
        return NotStarted(PEER_LOST, [f'the job does not start: {lost[0]} ended before it began'])
    if stopped := [member for member in members if member.stopped]:
        where = '' if stopped[0] == own else f' to {stopped[0]}'
        return NotStarted(STOPPED, [f'stopped by {stopped[0].stopped}{where} before the job began'])
    if troubled := [member for member in members if member.problems]:
        return NotStarted(BAD_CONFIG, _problems(members[0], troubled, own))
    line = _contradiction(members)
    return NotStarted(BAD_CONFIG, [f'the job does not start: {line}']) if line else None


def missing(members: list[Member], seconds: float) -> NotStarted:
    """In words, which processes have not come in time."""
    there = {member.process for member in members}
    absent = [i for i in range(members[0].processes or 0) if i not in there]
    which = ', '.join(map(str, absent[:10])) + (', ...' if len(absent) > 10 else '')
    line = (
        f'the job does not start: process {which} of {members[0].processes} did not come in '
        f'{seconds:.0f} s; '
        'start all of them with one --coordinator_address and --num_processes, or give a longer '
        '--start_timeout'
    )
    return NotStarted(BAD_CONFIG, [line])


def _problems(first, troubled, own):
    """All of its own; what process 0 says in the same words, only that one; of another's, the
    first."""
    if own.problems:
        return [] if own != first and own.problems == first.problems else own.problems
    more = f' (and {len(troubled[0].problems) - 1} more)' if troubled[0].problems[1:] else ''
    return [f'the job does not start: {troubled[0]}: {troubled[0].problems[0]}{more}']


def _contradiction(members):
    first = members[0]
    for field, name in [('processes', '--num_processes'), ('version', 'version of lbexp')]:
        for member in members:
            values = [getattr(each, field) for each in (first, member)]
            if values[0] != values[1]:
                return (
                    f'{name}: found {values[0]} on {first} and {values[1]} on {member}; allowed: '
                    'the same on all'
                )
    twice = [process for process, times in Counter(m.process for m in members).items() if times > 1]
    if twice:
        those = ' and '.join(
            f'on host {m.host}, pid {m.pid}' for m in members if m.process == twice[0]
        )
        return f'--process_id: found {twice[0]} {those}; allowed: another for each process'
    return ''
