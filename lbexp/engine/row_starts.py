"""Where the rows of each trial lie."""

from typing import NamedTuple

import numpy as np

from lbexp.engine.plan import Cohort


class RowStarts(NamedTuple):
    """Where the rows of each trial lie: row r comes after floor(steps r / num_rows) updates of its
    own, whatever its batch size."""

    steps: np.ndarray  # [num_rows + 1, K] updates
    ticks: np.ndarray  # [num_rows + 1, K] microbatches

    def last_passed(self, tick: np.ndarray, frozen: np.ndarray) -> int:
        """The last row that every trial has reached; one that has diverged reaches all."""
        passed = ((self.ticks <= tick) | frozen).all(-1)
        return int(np.flatnonzero(passed)[-1])


def row_starts_of(cohort: Cohort) -> RowStarts:
    num_rows = cohort.config['num_rows']
    trained = cohort.steps - cohort.starts
    steps = cohort.starts + trained * np.arange(num_rows + 1)[:, None] // num_rows
    return RowStarts(steps, cohort.ticks(steps))
