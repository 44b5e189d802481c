"""How fast the trials of a cohort train, by the clock: in all, and from row to row."""

import numpy as np

from lbexp.engine.flops import flops_per_example
from lbexp.engine.plan import Cohort


class Throughput:
    """Examples and seconds of the dispatches of a cohort of K trials, without the first, which
    compiles; evaluations and checkpoints are between dispatches."""

    def __init__(self, cohort: Cohort):
        self._cohort = cohort
        self._examples, self._seconds = 0, 0.0
        self._begin_row()

    def _begin_row(self):
        self._row_examples = np.zeros(len(self._cohort.trials), int)
        self._row_seconds = 0.0

    def add(self, microbatches: np.ndarray, seconds: float) -> None:
        """A dispatch.

        Args:
            microbatches: of each trial [K].
        """
        examples = microbatches * self._cohort.microbatch
        self._row_examples += examples
        self._row_seconds += seconds
        self._examples += int(examples.sum())
        self._seconds += seconds

    @property
    def examples_per_second(self) -> float:
        """Of all trials together; 0: there was no dispatch yet."""
        return self._examples / self._seconds if self._seconds else 0.0

    def columns_of_row(self) -> dict[str, np.ndarray]:
        """{'flop_per_second': floating-point operations a second of each trial since the row before
        [K]}, as `flops_per_example` counts them; NaN of a trial that did not train in these
        dispatches; {} where there were none.

        The sum over the trials is what the devices reach.
        """
        examples, seconds = self._row_examples, self._row_seconds
        self._begin_row()
        if not seconds:
            return {}
        rates = examples * (flop_per_example(self._cohort) / seconds)
        rounded = [float(f'{rate:.4g}') if rate else np.nan for rate in rates]
        return {'flop_per_second': np.array(rounded)}


def flop_per_example(cohort: Cohort) -> float:
    """Operations of an example of these trials, forward and backward [FLOP]."""
    config = cohort.config
    return flops_per_example(config['workload'], cohort.microbatch, config['freeze'])
