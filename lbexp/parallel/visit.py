"""The other processes' side of the handshake: they find process 0, say who they are, and hear its
verdict."""

import contextlib
import socket
import time
from collections.abc import Callable

from lbexp.exit_status import BAD_CONFIG, PEER_LOST, STOPPED
from lbexp.parallel.address import Address, numeric, resolve
from lbexp.parallel.members import Joined, Member, NotStarted
from lbexp.parallel.reception import GRACE
from lbexp.parallel.wire import Wire, wait

_TICK = 0.05  # s between two looks
_CONNECT = 2.0  # s for one attempt
_SILENCE = 10.0  # s, of a process 0 that gives a sign each second


class NoAnswer(Exception):
    """Nobody, or nobody of lbexp, answers there (yet)."""


def visit(
    own: Member, where: Address, seconds: float, stopping: Callable[[], str | None]
) -> Joined:
    """Returns when process 0 has said that the job starts, and its port has JAX's service.

    Args:
        seconds: in which process 0 must answer; how long the others may take is its affair.
        stopping: the name of the signal that told this process to stop, if one did.

    Raises:
        NotStarted: process 0 says so, has ended, or was not found.
    """
    patience = seconds
    if own.problems:
        # It will not start anyway: it comes to tell process 0, and stays no longer than that takes.
        patience = min(seconds, GRACE)
    deadline = time.monotonic() + patience
    while True:
        try:
            return attempt(own, where, deadline, stopping)
        except NoAnswer as error:
            reason = str(error)
        if signal := stopping():
            raise NotStarted(STOPPED, [f'stopped by {signal} before the job began'])
        if time.monotonic() > deadline:
            line = (
                f'the job does not start: process 0 did not answer at {where} in {patience:g} s '
                f'({reason}); start it there, or give a longer --start_timeout'
            )
            raise NotStarted(BAD_CONFIG, own.problems or [line])
        time.sleep(_TICK)


def attempt(
    own: Member, where: Address, deadline: float, stopping: Callable[[], str | None]
) -> Joined:
    """One visit, in which process 0 gives a sign until the deadline, by the monotonic clock.

    Raises:
        NotStarted: see `visit`.
        NoAnswer: another visit may succeed.
    """
    connection = _connect(where)
    peer = numeric(connection.getpeername())
    wire = Wire(connection)
    try:
        start = _converse(own, wire, where, deadline, stopping)
    except BaseException:
        wire.close()
        raise
    _await_service(peer)
    return Joined(None, peer, {0: wire}, {0: start})


def _connect(where: Address) -> socket.socket:
    try:
        targets = resolve(where)
    except OSError as error:
        raise NoAnswer(f'{where.host!r} does not resolve: {error.strerror}') from error
    reason = ''
    for family, target in targets:
        connection = socket.socket(family, socket.SOCK_STREAM)
        connection.settimeout(_CONNECT)
        try:
            connection.connect(target)
            return connection
        except OSError as error:
            connection.close()
            reason = error.strerror or str(error)
    raise NoAnswer(reason)


def _converse(own, wire, where, deadline, stopping):
    """Says who this is; returns the name of process 0 when it says that the job starts."""
    wire.send(**own._asdict())
    last_heard, answered = time.monotonic(), False
    while True:
        wait([wire], _TICK)
        for message in wire.receive():
            last_heard, answered = time.monotonic(), True
            if 'lines' in message:
                lines = list(map(str, message['lines']))
                raise NotStarted(int(message['status']), lines)
            if 'start' in message:
                return str(message['start'])
        if signal := stopping():
            wire.send(stopped=signal)
            raise NotStarted(STOPPED, [f'stopped by {signal} before the job began'])
        # A process 0 that has answered once may take as long as it gives signs of life.
        if not answered and (wire.closed or time.monotonic() > deadline):
            raise NoAnswer('what answers there is no job of lbexp that starts')
        if wire.closed or time.monotonic() - last_heard > _SILENCE:
            line = f'the job does not start: process 0 ({where}) ended before it began'
            raise NotStarted(PEER_LOST, own.problems or [line])


def _await_service(peer):
    """JAX itself would wait a second where it finds nobody at the first attempt."""
    deadline = time.monotonic() + _CONNECT
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(peer, timeout=_CONNECT):
            return
        time.sleep(0.01)
