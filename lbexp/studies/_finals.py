"""The columns of `results.final` as studies read them."""

from collections.abc import Mapping

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
