"""Ends a process whose training hangs: heartbeats see a dead process, not one that waits for
ever."""

import collections
import faulthandler
import os
import statistics
import sys
import threading
import time

from lbexp.exit_status import HUNG

_SLOWER = 10  # times the median


class Watchdog:
    """A context that must end in time: within `seconds`, or ten times the median of the last
    hundred, if that is more.

    The first one may take as long as it likes: it waits for the compiler. Beyond the limit the
    stacks of all threads go to standard error and the process ends with status 77, without asking
    anybody.

    Args:
        seconds: > 0; None: never.
    """

    def __init__(self, seconds: float | None):
        self._seconds, self._spent = seconds, collections.deque(maxlen=100)
        self._began, self._deadline = time.monotonic(), float('inf')
        self._closed = threading.Event()
        if seconds is not None:
            threading.Thread(target=self._watch, args=[seconds], daemon=True).start()

    def __enter__(self) -> None:
        self._began = time.monotonic()
        if self._seconds is not None and self._spent:
            self._deadline = self._began + max(
                self._seconds, _SLOWER * statistics.median(self._spent)
            )

    def __exit__(self, *raised: object) -> None:
        self._deadline = float('inf')
        self._spent.append(time.monotonic() - self._began)

    def close(self) -> None:
        self._closed.set()

    def _watch(self, seconds):
        while not self._closed.wait(min(seconds / 20, 1)):
            if time.monotonic() > self._deadline:
                waited = time.monotonic() - self._began
                print(
                    f'lbexp: no step for {waited:.0f} s: the run hangs; the threads stand here:',
                    file=sys.stderr,
                )
                faulthandler.dump_traceback(all_threads=True)
                sys.stderr.flush()
                # Not sys.exit: it would wait for the thread that hangs.
                os._exit(HUNG)
