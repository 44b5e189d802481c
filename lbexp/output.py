"""Standard output and standard error that may be closed while a command runs."""

import os
import sys
from typing import Any, TextIO


class Output:
    """A stream whose reader may go away, as `head` does, or whose disk may fill: what is written
    then goes nowhere.

    What a run tells is in its workdir too; a line on standard error says that it goes on.
    """

    def __init__(self, stream: TextIO, name: str):
        self._stream, self._name = stream, name

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except OSError as error:
            self._close(error)
            return len(text)

    def flush(self):
        try:
            self._stream.flush()
        except OSError as error:
            self._close(error)

    def _close(self, error):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self._stream.fileno())  # what is still buffered goes there too
        os.close(nowhere)
        print(
            f'lbexp: {self._name}: {error.strerror}; the command goes on without it',
            file=sys.stderr,
            flush=True,
        )


def outlive_readers():
    """The streams of this process become such; one that was closed from the start stays so."""
    if sys.stdout is not None:
        sys.stdout = Output(sys.stdout, 'standard output')
    if sys.stderr is not None:
        sys.stderr = Output(sys.stderr, 'standard error')
