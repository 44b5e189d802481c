"""The arrays that a program is given: the examples, and the weights that trials begin from. As
constants XLA would copy them."""

from collections.abc import Callable, Collection, Iterable
from typing import Any

import jax
import numpy as np
import optax

from lbexp.config import lookup
from lbexp.engine import initial_optimizer, initial_position, initial_weights
from lbexp.engine.initial_position import Start
from lbexp.engine.sources import sources
from lbexp.workloads import Workload

_WEIGHTS, _OPTIMIZER = 'init_from', 'init_from.optimizer_state'
_POSITION = 'init_from.position'
FOLD = 'workload.data.fold'  # the path of a number that decides which examples are whose


def data(
    workload: dict,
    init_from: dict,
    trials: Iterable[int] | None = None,
    traced: Collection[str] = (),
) -> dict[str, Any]:
    """The arrays of the workload's training, validation and test sets, and of 'init_from' the
    weights, the optimizer state and the position that are taken.

    Args:
        workload, init_from: of the configuration.
        trials: of the source, from which the trials of a cohort begin; None: that of `init_from`.
        traced: paths of the numbers that are traced: with the fold's, the arrays are those of all
            folds.

    Raises:
        ValueError: the fold is traced, and the arrays cannot be made without it.
    """
    built = lookup.build('workload', workload)
    arrays = _arrays_of_folds(workload) if FOLD in traced else _arrays(built)
    if init_from['weights'] is not None:
        if trials is None:
            trials = [init_from['trial']]
        trials = list(trials)
        arrays[_WEIGHTS] = initial_weights.stacked(init_from, trials, built)
        if initial_weights.takes_optimizer_state(init_from):
            arrays[_OPTIMIZER] = initial_optimizer.stacked(init_from, trials)
        if initial_weights.takes_position(init_from):
            arrays[_POSITION] = initial_position.stacked(init_from, trials)
    return arrays


def _arrays(workload):
    return {name: source.arrays for name, source in sources(workload).items()}


def _arrays_of_folds(workload):
    """Of a workload whose fold is traced."""
    arrays = {}

    # named as in the trace of a trial, whose refusals are understood by these names
    def build(numbers):
        part = {**workload['data'], 'fold': numbers[FOLD]}
        built = lookup.build('workload', {**workload, 'data': part})
        arrays.update(_arrays(built))

    jax.eval_shape(build, {FOLD: np.int32(0)})
    if any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(arrays)):
        raise ValueError('the arrays of the data set are made anew for each fold')
    return arrays


def stream(workload: dict) -> Callable | None:
    """The feed of a training set that is not in memory; None: it is.

    Args:
        workload: the part of the configuration.
    """
    return lookup.build('workload', workload).train.feed


def with_arrays(workload: Workload, arrays: dict[str, Any], trial: Any) -> Workload:
    """`workload` over the arrays given, except where its own depend on traced numbers.

    Args:
        trial: of the source of 'init_from'; may be traced.
    """

    def keep_traced(current, argument):
        return current if isinstance(current, jax.core.Tracer) else argument

    replaced: dict[str, Any] = {}
    for name, source in sources(workload).items():
        mixed = jax.tree.map(keep_traced, source.arrays, arrays[name])
        replaced[name] = source._replace(arrays=mixed)
    if _WEIGHTS in arrays:
        replaced['init'] = initial_weights.init(workload.init, arrays[_WEIGHTS], trial)
    return workload._replace(**replaced)


def with_state(
    optimizer: optax.GradientTransformationExtraArgs, arrays: dict[str, Any], trial: Any
) -> optax.GradientTransformationExtraArgs:
    """`optimizer`, whose state begins as that of the source of 'init_from', where it is taken."""
    if _OPTIMIZER not in arrays:
        return optimizer
    init = initial_optimizer.init(optimizer.init, arrays[_OPTIMIZER], trial)
    return optimizer._replace(init=init)


def start(arrays: dict[str, Any], trial: Any) -> Start:
    """Where a trial begins: at 0, or where the source of 'init_from' ended."""
    if _POSITION not in arrays:
        return Start()
    return initial_position.start(arrays[_POSITION], trial)
