"""Signs of life between process 0 of a job and each other, and the words with which they leave.

JAX has heartbeats too. It ends a process that has lost another by an abort, status 134, and lets
none wait longer than it was told at the start; these end it with 76 and a line, and wait as long as
the others live.
"""

import ctypes
import os
import signal
import sys
import threading
import time

from lbexp.exit_status import PEER_LOST
from lbexp.parallel.wire import Wire, wait

_FAREWELL = 2.0  # s for the others to hear the last word


class Heartbeats:
    """Ends this process, from a thread, when another one of the job is lost or says that it has
    failed.

    Args:
        name: this process's, for messages.
        wires, names: of process 0 to all others; of another to process 0.
        seconds: without a sign of life after which a process is lost.
    """

    def __init__(self, name: str, wires: dict[int, Wire], names: dict[int, str], seconds: float):
        self._name, self._seconds = name, seconds
        self._wires, self._names = dict(wires), names
        self._last_heard = dict.fromkeys(wires, time.monotonic())
        self._ended: set[int] = set()
        # Whoever holds it has the last word of this process, and never lets go: the main thread
        # and the watching one both may end it.
        self._speaking = threading.Lock()
        self._is_primary = 0 not in wires
        _abort_slowly()
        threading.Thread(target=self._watch, daemon=True, name='heartbeats').start()

    def leave(self, status: int):
        """Returns when this process may end: process 0 last, the others after it is through."""
        self._tell(end=status)
        while any(map(self._waits_for, self._wires)):
            time.sleep(0.01)
        self._speaking.acquire()  # nobody is missed any more

    def fail(self, status: int, cause: str):
        """Tells the others that this process ends, and why, so that none of them waits for it."""
        self._speaking.acquire()
        self._farewell(failed=cause, status=status)

    def _waits_for(self, process):
        if self._is_primary:
            return not self._wires[process].closed
        return process not in self._ended

    def _watch(self):
        interval = min(self._seconds / 5, 5.0)
        beat = 0.0
        while True:
            if time.monotonic() > beat:
                beat = time.monotonic() + interval
                self._tell(beat=True)
            wait(self._open_wires(), interval / 2)
            for process, wire in self._wires.items():
                self._hear(process, wire)

    def _hear(self, process, wire):
        was_closed = wire.closed
        for message in wire.receive():
            self._last_heard[process] = time.monotonic()
            if 'failed' in message:
                # Process 0 passes on what another has said, with the other's name.
                who = message.get('who', self._names[process])
                self._end(int(message['status']), f'{who} failed: {message["failed"]}', message)
            if 'lost' in message:
                self._end(PEER_LOST, str(message['lost']), message)
            if 'end' in message:
                self._ended.add(process)
        if process in self._ended or was_closed:
            return
        silence = time.monotonic() - self._last_heard[process]
        if wire.closed:
            self._lose(f'{self._names[process]} has ended')
        elif silence > self._seconds:
            self._lose(f'{self._names[process]} gave no sign of life for {self._seconds:g} s')

    def _lose(self, line):
        line = f'lost another process of the job: {line}'
        self._end(PEER_LOST, line, {'lost': line})

    def _end(self, status, line, message):
        self._speaking.acquire()
        print(f'lbexp: {self._name}: {line}', file=sys.stderr, flush=True)
        if self._is_primary:
            self._farewell(**message)
        # The main thread may hang in a collective that waits for the lost process.
        os._exit(status)

    def _tell(self, **message):
        for wire in self._wires.values():
            wire.send(**message)

    def _farewell(self, **message):
        """The last word. Who closes with something unread takes back what he has said: so all is
        read."""
        self._tell(**{'who': self._name, **message})
        for wire in self._wires.values():
            wire.finish()
        deadline = time.monotonic() + _FAREWELL
        while time.monotonic() < deadline and self._open_wires():
            for wire in self._wires.values():
                wire.receive()
            time.sleep(0.01)

    def _open_wires(self):
        return [wire for wire in self._wires.values() if not wire.closed]


def _abort_slowly():
    """JAX aborts as soon as it misses process 0. Six seconds (the signal's number) are left to tell
    that better."""
    libc = ctypes.CDLL(None)
    libc.signal.argtypes = [ctypes.c_int, ctypes.c_void_p]
    libc.signal(signal.SIGABRT, ctypes.cast(libc.sleep, ctypes.c_void_p))
