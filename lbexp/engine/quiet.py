"""Silences what Orbax and TensorStore print from their threads after a failed save: the command
says it in a line."""

import logging
import sys
import warnings


def quiet():
    """For the rest of the process; what is raised where lbexp waits for it is not touched."""
    for name in ('absl', 'asyncio'):  # of one failure, pages from each thread
        logging.getLogger(name).setLevel(logging.CRITICAL)
    warnings.filterwarnings('ignore', 'coroutine .* was never awaited', RuntimeWarning)
    excepthook, unraisablehook = sys.excepthook, sys.unraisablehook

    def tell_exception(kind, error, traceback):
        if not _of_closed_loop(error):
            excepthook(kind, error, traceback)

    def tell_unraisable(unraisable):
        if not _of_closed_loop(unraisable.exc_value):
            unraisablehook(unraisable)

    sys.excepthook, sys.unraisablehook = tell_exception, tell_unraisable


def _of_closed_loop(error):
    """TensorStore reports to the event loop of a save that has ended with its first error."""
    return isinstance(error, RuntimeError) and 'Event loop is closed' in str(error)
