"""The columns of `results.final` as studies read them."""

from collections.abc import Mapping, Sequence

import numpy as np
from ml_collections import ConfigDict

from lbexp.errors import Refusal


def require_test_set(config: ConfigDict) -> None:
    """Raises Refusal where no evaluation covers the test set, of a study that reports of it."""
    if config.evaluate_test == 0:
        raise Refusal(
            "evaluate_test: found 0; allowed: 'all' or at least 1, as the study reports errors of "
            'the test set'
        )


def row_of_trial(finals: Mapping[str, np.ndarray]) -> dict[int, int]:
    """{trial: its row}."""
    trials = finals['trial'].tolist()
    return {trial: row for row, trial in enumerate(trials)}


def final_metric(finals: Mapping[str, np.ndarray], name: str) -> np.ndarray:
    """Of each trial; NaN where it diverged or is not done, and where nobody measured the metric."""
    done = finals['status'] == 'done'
    unmeasured = np.full(len(done), np.nan)
    return np.where(done, finals.get(name, unmeasured), np.nan)


def metric_of_trials(
    finals: Mapping[str, np.ndarray], name: str, trials: Sequence[int | None]
) -> np.ndarray:
    """`final_metric` of each of these trials; NaN where one is not there, too."""
    value_of_row, row_of = final_metric(finals, name), row_of_trial(finals)
    values = np.full(len(trials), np.nan)
    for place, trial in enumerate(trials):
        if trial in row_of:
            values[place] = value_of_row[row_of[trial]]
    return values
