"""Process 0's side of the handshake: it listens, hears who comes, and tells all of them one
verdict."""

import socket
import time
from collections.abc import Callable

from lbexp.parallel.address import Address, numeric
from lbexp.parallel.members import Joined, Member, absent, missing, obstacle
from lbexp.parallel.wire import Wire

GRACE = 5.0  # s that a job which will not start waits for the rest, to tell them too
_TICK = 0.02  # s between two looks
_SIGN = 1.0  # s between two words to those that wait


def receive(
    own: Member, server: socket.socket, seconds: float, stopping: Callable[[], str | None]
) -> Joined:
    """Returns when all have come. Whoever comes while the job cannot start is told why.

    Args:
        server: listens; it is closed, so that JAX's service finds the port free before others look
            for it.
        seconds: in which all must come.
        stopping: the name of the signal that told this process to stop, if one did.

    Raises:
        NotStarted: as `members.obstacle` and `members.missing` say.
    """
    reception = _Reception(own, server)
    try:
        in_time = reception.wait(seconds, stopping)
        target = server.getsockname()
    finally:
        server.close()
    return reception.conclude(target, seconds, in_time)


class _Reception:
    def __init__(self, own, server):
        server.setblocking(False)
        self.own, self.server = own, server
        self.unnamed: list[Wire] = []  # of those that have not introduced themselves
        self.wires: list[Wire] = []
        self.guests: list[Member] = []  # at the other ends of `wires`

    @property
    def members(self):
        return [self.own, *self.guests]

    def wait(self, seconds, stopping):
        """Whether all came in time, or something is against the start."""
        deadline = time.monotonic() + seconds
        next_sign = 0.0
        while time.monotonic() < deadline:
            self.own = self.own._replace(stopped=stopping() or '')
            self.accept()
            self.hear()
            if obstacle(self.members, self.own):
                # The rest may come for a while yet, to hear why the job will not start.
                deadline = min(deadline, time.monotonic() + GRACE)
            if self.own.processes and not absent(self.members):
                return True
            if time.monotonic() > next_sign:
                next_sign = time.monotonic() + _SIGN
                for wire in self.wires:
                    wire.send(waiting_for=absent(self.members))
            time.sleep(_TICK)
        return False

    def accept(self):
        try:
            while True:
                connection, _ = self.server.accept()
                self.unnamed.append(Wire(connection))
        except OSError:  # nobody else yet
            pass

    def hear(self):
        for wire in list(self.unnamed):
            self.introduce(wire)
        for i, wire in enumerate(self.wires):
            guest = self.guests[i]
            for message in wire.receive():
                guest = guest._replace(stopped=str(message.get('stopped', '')))
            # One that was stopped or has problems may leave; it has said why.
            if wire.closed and not guest.stopped and not guest.problems:
                guest = guest._replace(lost=True)
            self.guests[i] = guest

    def introduce(self, wire):
        messages = wire.receive()
        guest = _guest(messages[0]) if messages else None
        if guest is not None:
            self.unnamed.remove(wire)
            self.wires.append(wire)
            self.guests.append(guest)
            wire.send(waiting_for=absent(self.members))
        elif messages or wire.closed:  # others than lbexp are sent away
            self.unnamed.remove(wire)
            wire.close()

    def conclude(self, target, seconds, in_time):
        """Tells everyone the verdict in the words for him; raises this process's own."""
        late = None if in_time else missing(self.members, seconds)
        # What is against the start says more than who is late, which may follow from it.
        for wire, guest in zip(self.wires, self.guests, strict=True):
            refusal = obstacle(self.members, guest) or late
            if refusal is None:
                wire.send(start=str(self.own))
            else:
                wire.send(status=refusal.status, lines=refusal.lines)
                wire.finish()
        refusal = obstacle(self.members, self.own) or late
        if refusal is not None:
            raise refusal
        wires, names = {}, {}
        for guest, wire in zip(self.guests, self.wires, strict=True):
            assert guest.process is not None  # else it would contradict
            wires[guest.process], names[guest.process] = wire, str(guest)
        return Joined(Address(*target[:2]), numeric(target), wires, names)


def _guest(message):
    """The process that introduces itself so; None: it is not of lbexp."""
    try:
        return Member(**{name: message[name] for name in Member._fields})
    except (KeyError, TypeError):
        return None
