"""Optimizers at batch sizes that train until a target is reached: arms, and the hyperbola through
their steps."""

import itertools
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lbexp import results
from lbexp.engine.plan import shared_microbatch
from lbexp.results.metrics import is_lower_better
from lbexp.studies._comparison import arms
from lbexp.studies._comparison.compared import Compared
from lbexp.studies._comparison.scaling_fits import scaling_fit
from lbexp.studies._presentation.steps_to_target import AtSize, Scaling, draws
from lbexp.studies._spaces import Space

_MOMENTUM = dict(name='momentum', momentum=0.9)
# What a name means; any other is a part's.
_OPTIMIZERS = {
    'momentum': _MOMENTUM,
    'lookahead': dict(name='lookahead', k=5, slow_step_size=0.5, inner=_MOMENTUM),
    'lars': dict(name='lars', trust_coefficient=1.0, weight_decay=0.0),
    'lamb': dict(name='lamb', weight_decay=0.0),
    'adamw': dict(name='adamw', weight_decay=0.0),
}
# before a range is extended
SPACES = {
    'sgd': dict(learning_rate=('log', 0.03, 3.0)),
    'momentum': dict(learning_rate=('log', 0.003, 1.0)),
    'lookahead': dict(inner=dict(learning_rate=('log', 0.003, 1.0))),
    'lars': dict(learning_rate=('log', 0.001, 0.3)),
    'lamb': dict(learning_rate=('log', 0.002, 0.3)),
    'novograd': dict(learning_rate=('log', 0.001, 0.3)),
    'adamw': dict(learning_rate=('log', 0.0003, 0.1)),
}


def lengths(batch_sizes: Sequence[int], examples: int, updates: int) -> dict[int, int]:
    """{batch size: updates + examples / batch size}, the length of its runs [updates]."""
    return {size: updates + math.ceil(examples / size) for size in batch_sizes}


def arms_at_sizes(
    workload: dict[str, Any], spaces: Mapping[str, Space], length_of: Mapping[int, int]
) -> list[arms.Arm]:
    """An arm of each optimizer at each batch size.

    Args:
        workload: its configuration.
        spaces: by optimizer, what of it is tuned.
        length_of: by batch size, the length of its runs [updates].
    """
    microbatch = shared_microbatch(workload, list(length_of))
    compared = []
    for (name, space), (size, length) in itertools.product(spaces.items(), length_of.items()):
        overrides = {
            'optimizer': _OPTIMIZERS.get(name, dict(name=name)),
            'batch_size': size,
            'microbatch': microbatch,
            'steps': length,
        }
        compared.append(arms.Arm(arm_name(name, size), overrides, space))
    return compared


def arm_name(optimizer: str, size: int) -> str:
    """Of an optimizer at a batch size."""
    return f'{optimizer}, batch {size}'


def first_reached(workdir: Path, target: float, metric: str = 'error') -> dict[int, float]:
    """{trial: step of the first evaluation at which the validation metric reaches the target; inf:
    none, or diverged}.

    Args:
        metric: 'error', or the name of a metric of the validation set.
    """
    rows, finals = results.load(workdir)
    values = _validated(rows, metric)
    if metric == 'error':
        reached = 1 - values <= target + 1e-9  # accuracies are means in float32
    elif is_lower_better(metric):
        reached = values <= target
    else:
        reached = values >= target
    first = dict.fromkeys(rows['trial'].tolist(), math.inf)
    trials, steps = rows['trial'][reached], rows['step'][reached]
    for trial, step in zip(trials.tolist(), steps.tolist(), strict=True):
        first[trial] = min(first[trial], float(step))
    diverged = finals['trial'][finals['status'] == 'diverged']
    # what it reached before it diverged does not count
    first.update(dict.fromkeys(diverged.tolist(), math.inf))
    return first


def count_at_first_evaluation(
    compared: Compared, reached: Mapping[int, float], metric: str = 'error'
) -> int:
    """How many reported runs are at the target by their first evaluation: when they came to it is
    not known.

    Args:
        reached, metric: as of `first_reached`.
    """
    rows = results.read(compared.workdir)
    is_evaluated = np.isfinite(_validated(rows, metric))
    count = 0
    for tuned in compared.tunings:
        for trial in itertools.chain.from_iterable(result.trials for result in tuned.values()):
            steps = rows['step'][is_evaluated & (rows['trial'] == trial)]
            count += bool(len(steps)) and reached.get(trial) == steps.min()
    return int(count)


def _validated(rows, metric):
    """The column of the validation set that the metric is or, of 'error', is 1 minus."""
    name = 'accuracy' if metric == 'error' else metric
    unmeasured = np.full(len(rows['trial']), np.nan)
    return rows.get(f'validation_{name}', unmeasured)


def scaling_of(
    compared: Compared, reached: Mapping[int, float], name: str, length_of: Mapping[int, int]
) -> Scaling:
    """An optimizer with all its batch sizes.

    Args:
        compared: what was trained.
        reached: `first_reached`.
        name: of the optimizer.
        length_of: by batch size, the length of its runs [updates].
    """
    at_sizes = []
    for size, length in length_of.items():
        by_tuning = [tuned[arm_name(name, size)] for tuned in compared.tunings]
        # a trial without a row has reached nothing yet
        runs = [[reached.get(trial, math.inf) for trial in each.trials] for each in by_tuning]
        every_run = list(itertools.chain.from_iterable(runs))
        first = by_tuning[0]
        at_sizes.append(AtSize(size, length, _rate(first), first, draws(runs), every_run))
    sizes, limits = list(length_of), list(length_of.values())
    fit = scaling_fit(sizes, [of_size.steps for of_size in at_sizes], limits)
    return Scaling(fit, at_sizes)


def _rate(result):
    """The learning rate of the best point; NaN: none reached the target, or none is tuned."""
    for path, value in (result.best or {}).items():
        if path.endswith('learning_rate'):
            return value
    return math.nan
