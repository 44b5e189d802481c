"""The columns of `results.final` as studies read them."""

from collections.abc import Mapping

import numpy as np


def row_of_trial(finals: Mapping[str, np.ndarray]) -> dict[int, int]:
    """{trial: its row}."""
    trials = finals['trial'].tolist()
    return {trial: row for row, trial in enumerate(trials)}


def final_metric(finals: Mapping[str, np.ndarray], name: str) -> np.ndarray:
    """Of each trial; NaN where it diverged or is not done, and where nobody measured the metric."""
    done = finals['status'] == 'done'
    unmeasured = np.full(len(done), np.nan)
    return np.where(done, finals.get(name, unmeasured), np.nan)
