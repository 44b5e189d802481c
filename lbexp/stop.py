"""Signals that ask a command to save and end."""

import os
import signal


class Stop:
    """Becomes true at SIGTERM, Ctrl-C or SIGHUP, also while the run is still being set up.

    A second Ctrl-C ends the process. A signal that was ignored at the start stays so, as nohup
    wants it.
    """

    def __init__(self, *more: signal.Signals):
        self.name = None
        wanted = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, *more)
        self._numbers = [
            number for number in wanted if signal.getsignal(number) is not signal.SIG_IGN
        ]
        # Asked now: of a terminal that is gone nobody can tell what it was.
        self._terminals = list(filter(_is_terminal, (0, 1, 2)))
        self.listen()

    def listen(self):
        """Again, after something that took the signals for itself."""
        for number in self._numbers:
            signal.signal(number, self._stop)

    def _stop(self, number, frame):
        self.name = signal.Signals(number).name
        # The second Ctrl-C ends the process.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        if number == signal.SIGHUP:
            _leave(self._terminals)

    def __call__(self):
        return self.name is not None


def _is_terminal(stream):
    try:
        return os.isatty(stream)
    except OSError:  # it is closed
        return False


def _leave(terminals):
    """What is printed to a terminal that is gone would be an error of the disk."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in terminals:
        os.dup2(nowhere, stream)
    os.close(nowhere)
