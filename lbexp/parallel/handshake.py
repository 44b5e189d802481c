"""The processes of a job find each other before JAX connects them, and say who is missing or what
contradicts.

Process 0 listens at the coordinator's address; the others connect, say who they are, and wait for
its verdict. JAX's service then takes the port; the connections stay, for signs of life.
"""

import contextlib
import socket
import time
from collections.abc import Callable

from lbexp.exit_status import BAD_CONFIG, STOPPED
from lbexp.parallel import visit
from lbexp.parallel.address import Address, Unbindable, listen
from lbexp.parallel.members import Joined, Member, NotStarted
from lbexp.parallel.reception import receive

_TICK = 0.1  # s between two questions for a name
_SECOND = 1.0  # s in which process 0 answers to another that takes itself for it


def handshake(
    own: Member, where: Address, seconds: float, stopping: Callable[[], str | None]
) -> Joined:
    """Returns when all processes are there, and agree on how many they are and which lbexp they
    run.

    Args:
        where: process 0 listens.
        seconds: in which all must come.
        stopping: the name of the signal that told this process to stop, if one did.

    Raises:
        NotStarted: with 2 where one is missing, has a problem or contradicts, 75 where one was told
            to stop, 76 where one has died.
    """
    if own.process != 0:
        return visit.visit(own, where, seconds, stopping)
    deadline = time.monotonic() + seconds
    try:
        server = _listen(where, deadline, stopping)
    except Unbindable as error:
        # A second process 0 hears so from the first.
        with contextlib.suppress(visit.NoAnswer):
            visit.attempt(own, where, time.monotonic() + _SECOND, stopping)
        line = f'--coordinator_address: {error}'
        raise NotStarted(BAD_CONFIG, [*own.problems, line]) from error
    return receive(own, server, deadline - time.monotonic(), stopping)


def _listen(where, deadline, stopping) -> socket.socket:
    """As `listen`; a name may come up only after the processes, as those of pods do."""
    while True:
        try:
            return listen(where)
        except OSError as error:
            line = (
                f'{where.host!r} does not resolve: {error.strerror}; allowed: a name that all '
                'hosts know'
            )
            if signal := stopping():
                raise NotStarted(STOPPED, [f'stopped by {signal} before the job began']) from error
            if time.monotonic() > deadline:
                raise NotStarted(BAD_CONFIG, [f'--coordinator_address: {line}']) from error
        time.sleep(_TICK)
