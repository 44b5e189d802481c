"""The columns of `results.final` as studies read them."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from lbexp.config import lookup
from lbexp.engine.metric_names import metric_names
from lbexp.errors import Refusal
from lbexp.results.metrics import is_lower_better


def require_test_set(config: ConfigDict) -> None:
    """Raises Refusal where no evaluation covers the test set, of a study that reports of it."""
    if config.evaluate_test == 0:
        raise Refusal(
            "evaluate_test: found 0; allowed: 'all' or at least 1, as the study reports errors of "
            'the test set'
        )


def require_metric(workload: dict[str, Any], metric: str, less_is_better: bool = False) -> None:
    """Raises Refusal where a workload does not measure the metric of a test set.

    Args:
        workload: as configured.
        metric: 'error', which is 1 - accuracy, or a name of `metric_names`.
        less_is_better: no other metric is allowed.
    """
    part = lookup.build('workload', workload)
    if part.test is None:
        raise Refusal(f'workload: found {workload["name"]} without a test set; allowed: with one')
    measured = metric_names(part, part.test)
    if 'accuracy' in measured:
        measured.insert(0, 'error')
    if less_is_better:
        measured = list(filter(is_lower_better, measured))
    if metric not in measured:
        raise Refusal(
            f'metric: found {metric!r}; allowed: {", ".join(measured)}, which {workload["name"]} '
            'has of a test set'
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


def final_of_set(finals: Mapping[str, np.ndarray], part: str, metric: str) -> np.ndarray:
    """`final_metric` of a set.

    Args:
        part: 'train', 'validation' or 'test'.
        metric: 'error', which is 1 - accuracy, or a name that the workload gives it, 'token_loss'.
    """
    if metric == 'error':
        return 1 - final_metric(finals, f'{part}_accuracy')
    return final_metric(finals, f'{part}_{metric}')


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
