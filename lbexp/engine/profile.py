"""A JAX profiler trace of some updates, which changes no bit of them."""

import pathlib
import re
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from lbexp.engine.plan import Cohort
from lbexp.engine.trial_plan import run_length
from lbexp.errors import Refusal
from lbexp.parallel import hosts

_STEPS = re.compile(r'(\d{1,9}):(\d{1,9})')


def steps_of(text: str, trials: list[dict]) -> range:
    """The updates that 'START:STOP' means: those after START updates are done, until STOP are.

    Args:
        trials: resolved configurations.

    Raises:
        Refusal: it is no such text, or no trial makes these updates.
    """
    match = _STEPS.fullmatch(text)
    longest = max(map(run_length, trials))
    if match and int(match[1]) < int(match[2]) <= longest:
        return range(int(match[1]), int(match[2]))
    raise Refusal(
        f'--profile: found {text!r}; allowed: START:STOP, updates, 0 <= START < STOP <= {longest}'
    )


class Profiler:
    """Traces the updates of the first cohort that makes them, by the count of its first trial.

    A dispatch ends where the trace begins and where it ends. How updates are cut into dispatches
    changes none of them.
    """

    def __init__(self, steps: range, workdir: pathlib.Path, log: Callable[[str], Any]):
        self._steps, self._log = steps, log
        self._folder = workdir / 'profile'
        self._edges: list[int] = []  # microbatches of the first trial after which the trace turns
        self._traces = self._is_through = False

    def begin(self, cohort: Cohort) -> None:
        """The trials that train next."""
        self._edges = []
        if self._steps.stop <= cohort.steps[0]:
            counts = np.array([[self._steps.start], [self._steps.stop]])
            ticks = cohort.ticks(np.broadcast_to(counts, (2, len(cohort.trials))))
            self._edges = ticks[:, 0].tolist()

    def dispatch(self, tick: np.ndarray, until: np.ndarray) -> np.ndarray:
        """Begins or ends the trace where the first trial is there.

        Args:
            tick: microbatches done [K].
            until: to be done by the next dispatch [K].

        Returns:
            `until`, with that of the first trial at most at the next edge.
        """
        if self._is_through or not self._edges:
            return until
        start, stop = self._edges
        if tick[0] >= stop:
            self.end()
            return until
        if tick[0] >= start and not self._traces:
            self._start()
        limited = until.copy()
        limited[0] = min(until[0], stop if self._traces else start)
        return limited

    def _start(self):
        self._traces = True
        if hosts.is_primary():
            # Compiled updates have no Python frames; those of the threads that save and report
            # would only fill the trace, and are walked while they run.
            options = jax.profiler.ProfileOptions()
            options.python_tracer_level = 0
            jax.profiler.start_trace(
                self._folder, create_perfetto_trace=True, profiler_options=options
            )

    def end(self) -> None:
        """Ends the trace, if there is one; where its updates were done before, says so."""
        if self._is_through or not self._edges:
            return
        self._is_through = True
        if not self._traces:
            self._log('profile: nothing is traced: these updates were done before')
        elif hosts.is_primary():
            jax.profiler.stop_trace()
            self._log(f'profile: {self._folder}, for ui.perfetto.dev or tensorboard')
