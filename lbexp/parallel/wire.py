"""Messages between processes of a job before JAX connects them, and beside it: lines of JSON over
TCP."""

import contextlib
import json
import select
import socket
from collections.abc import Iterable

_LONGEST = 1 << 20  # bytes of a line; more is not from lbexp
_SEND_SECONDS = 2.0


def wait(wires: Iterable['Wire'], seconds: float) -> bool:
    """Returns when one of them has something to receive, and whether one has, in that time."""
    # Not select.select, which takes no file descriptor above 1,023.
    poll = select.poll()
    for wire in wires:
        poll.register(wire.fileno(), select.POLLIN)
    return bool(poll.poll(1000 * seconds))


class Wire:
    """One end of a connection.

    `closed` becomes true when the other end is gone, or sends what is no message.
    """

    def __init__(self, connection: socket.socket):
        connection.settimeout(_SEND_SECONDS)
        # Signs of life are small: they must not wait for more to be sent with them.
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._connection = connection
        self._rest = b''  # the beginning of a line whose end has not come yet
        self.closed = False

    def fileno(self) -> int:
        return self._connection.fileno()

    def send(self, **message):
        """Sends it; where nobody is there any more, the next `receive` tells."""
        with contextlib.suppress(OSError):
            self._connection.sendall(json.dumps(message).encode() + b'\n')

    def receive(self) -> list[dict]:
        """The messages that have come since, without waiting."""
        messages = []
        while not self.closed and wait([self], 0):
            try:
                received = self._connection.recv(65536)
            except OSError:
                received = b''
            if not received:
                self.closed = True
            # What follows the last end of a line is the beginning of the next.
            *lines, self._rest = (self._rest + received).split(b'\n')
            messages += self._parsed(lines)
            if len(self._rest) > _LONGEST:
                self.closed = True
        return messages

    def _parsed(self, lines):
        messages = []
        for line in lines:
            try:
                message = json.loads(line)
            except ValueError:
                message = None
            if not isinstance(message, dict):
                self.closed = True
                break
            messages.append(message)
        return messages

    def finish(self):
        """Nothing more will be sent; what was sent arrives."""
        with contextlib.suppress(OSError):
            self._connection.shutdown(socket.SHUT_WR)

    def close(self):
        self.closed = True
        self._connection.close()
