"""How a run gets on: one live line in a terminal or a notebook, a plain line now and then
elsewhere."""

import collections
import importlib
import itertools
import math
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, ProgressColumn, TaskID

WINDOW = 30.0  # seconds over which rates are measured
LIVE = 0.2  # seconds between two drawings in a terminal
METRICS = 3  # metrics beside the bar
_NUMBERS = 84  # columns that the numbers need
# From which number on, in what unit: thousands are written out up to five digits.
_UNITS = ((1e9, 1e9, 'G'), (1e6, 1e6, 'M'), (1e4, 1e3, 'k'))


class _State(NamedTuple):
    """Where a run is; values may live on a device."""

    done_steps: Any
    total_steps: Any
    examples: Any
    metrics: Mapping[str, Any]
    trials_done: int
    trials_total: int


def progress(
    console: 'Console | None' = None,
    every: float = 10.0,
    clock: Callable[[], float] = time.monotonic,
) -> '_Progress':
    """A context manager with `update(...)`; a call that draws nothing costs a comparison of two
    times.

    In a terminal: a bar with ETA, steps/s, examples/s and metrics, drawn at most five times
    a second and only from `update` (no thread competes with training). In a notebook: one line of
    the cell's output, as often. Elsewhere: a plain line at
    most every `every` seconds, and one at the end. Rates are over the last 30 s and start at the
    first update, so compilation is not in them.

    Args:
        console: a rich Console (None: standard error).
        every: seconds between plain lines.
        clock: seconds, monotonic.
    """
    from rich.console import Console

    return _Progress(console or Console(stderr=True), every, clock)


class _Progress:
    def __init__(self, console, every, clock):
        self._console, self._clock = console, clock
        self._live = console.is_terminal
        self._cell: _Cell | None = _Cell() if console.is_jupyter else None
        # of the numbers beside the percentage
        self._room = min(console.width, _NUMBERS) - len('100%  ')
        self._every = LIVE if self._live or self._cell else every
        self._next = -math.inf
        # (time, steps, examples) of what was shown: the oldest is where rates are measured from
        self._marks = collections.deque()
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        self._latest: _State | None = None  # not shown yet

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self._latest is not None:
            self._show(self._clock(), self._latest)
        if self._bar is not None:
            self._bar.stop()

    def update(
        self,
        done_steps: Any,
        total_steps: Any,
        examples: Any,
        metrics: Mapping[str, Any] | None = None,
        trials_done: int = 0,
        trials_total: int = 1,
    ):
        """Where the run is; values may live on a device: they are read only when something is
        drawn.

        Args:
            done_steps, total_steps: steps over all trials.
            examples: examples consumed over all trials so far.
            metrics: of the last row (best or mean over trials, as the caller likes), in their
                order; METRICS of them are shown.
            trials_done, trials_total: trials finished, trials in all.
        """
        now = self._clock()
        state = _State(done_steps, total_steps, examples, metrics or {}, trials_done, trials_total)
        self._latest = state
        if now < self._next:
            return
        self._next = now + self._every
        self._show(now, state)

    def _show(self, now, state):
        self._latest = None
        done, total, examples = state.done_steps, state.total_steps, state.examples
        self._marks.append((now, int(done), int(examples)))
        # two at least, so that there are rates when updates are further apart than the window
        while len(self._marks) > 2 and now - self._marks[1][0] > WINDOW:
            self._marks.popleft()
        start, first_steps, first_examples = self._marks[0]
        rate = _quotient(done - first_steps, now - start)
        examples_rate = _quotient(examples - first_examples, now - start)
        remaining = _quotient(total - done, rate)
        parts = [
            f'ETA {_duration(remaining)}',
            f'{_number(rate)} steps/s',
            f'{_number(examples_rate)} examples/s',
        ]
        if done >= total:
            parts[0] = 'done'
        metrics = []
        for name, value in itertools.islice(state.metrics.items(), METRICS):
            metrics.append(f'{name.replace("_", " ")} {float(value):.4g}')
        trials = []
        if state.trials_total > 1:
            trials.append(f'trials {state.trials_done}/{state.trials_total}')
        words = '  '.join([*parts, *metrics, *trials])
        while self._live and metrics and len(words) > self._room:
            metrics.pop()  # the last are the least
            words = '  '.join([*parts, *metrics, *trials])
        line = f'step {done}/{total} ({done / max(total, 1):.0%})  {words}'
        if self._live:
            self._draw(done, total, words)
        elif self._cell:
            self._cell.show(line)
        else:
            self._console.print(line, markup=False, highlight=False, soft_wrap=True)

    def _draw(self, done, total, words):
        from rich import progress as rich

        if self._bar is None or self._task is None:
            columns: list[ProgressColumn] = [
                rich.TaskProgressColumn(),
                rich.TextColumn('{task.fields[words]}', markup=False),
            ]
            # the bar has what the numbers leave
            room = self._console.width - _NUMBERS
            if room >= 12:
                columns.insert(0, rich.BarColumn(bar_width=min(room, 24)))
            # refreshed by `update` alone: a thread would compete with training
            self._bar = rich.Progress(*columns, console=self._console, auto_refresh=False)
            self._bar.start()
            self._task = self._bar.add_task('', total=total, words=words)
        self._bar.update(self._task, completed=done, total=total, words=words, refresh=True)


class _Cell:
    """A line of a notebook's output that is written anew."""

    def __init__(self):
        self._handle = None

    def show(self, line):
        display = importlib.import_module('IPython.display')
        content = {'text/plain': line}
        if self._handle is None:
            self._handle = display.display(content, raw=True, display_id=True)
        else:
            self._handle.update(content, raw=True)


def _quotient(amount, divisor):
    """amount / divisor; NaN where nothing has passed yet."""
    if divisor > 0:
        return amount / divisor
    return math.nan


def _number(value):
    """'1.2k', '340', '–'."""
    if not math.isfinite(value):
        return '–'
    for limit, scale, unit in _UNITS:
        if value >= limit:
            return f'{value / scale:.3g}{unit}'
    if value < 100:
        return f'{value:.3g}'
    return f'{value:.0f}'


def _duration(seconds):
    """'1:02:03', '2:03', '–'."""
    if not math.isfinite(seconds):
        return '–'
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f'{hours}:{minutes:02}:{seconds:02}'
    return f'{minutes}:{seconds:02}'
