"""A trial on its evaluation sets: means, metrics of a whole set, and values of each example."""

import functools
import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from lbexp.engine import frozen, totals
from lbexp.engine.components import TrialComponents
from lbexp.engine.contracts import check_distinct
from lbexp.engine.shape_checks import Breach
from lbexp.workloads import Ratio

_MULTIPLE = 32  # examples: a chunk of a small set is one, on whatever number of devices up to that
_KEPT_SETS = ('validation', 'test')  # whose values of each example may be kept


class Evaluation(NamedTuple):
    """What is computed of the sets of a trial."""

    columns: dict[str, Any]  # 'test_' + metric -> its value over the whole test set, ...
    # 'test_' + name -> [N] or [N, ...], a value for each example in stored order, of what
    # `keep_examples` names; of a Ratio [N, 2], numerators and denominators
    per_example: dict[str, Any]


def evaluation(
    trial: TrialComponents,
    chunk: int,
    constrain: Callable = lambda examples: examples,
    shards: int = 1,
) -> Callable[[Any], Evaluation]:
    """state -> the metrics of the test set, of the validation set, and of the first examples of the
    training set, where the trial assesses them, with the weights that the optimizer would deploy.

    A set is read in chunks of one size. The padding of the last has weight 0, so a mean is exact;
    what is gathered for metrics of a whole set is of exactly its examples.

    Args:
        chunk: examples that pass the model at once, of a set of as many or more.
        constrain: tells the compiler where they lie.
        shards: devices that have equal shares of them.
    """

    def evaluate(state):
        params, model_state = trial.replicas.deployed(state)
        workload = frozen.bound(trial, state.frozen).workload
        columns, per_example = {}, {}
        for prefix, (source, size) in trial.eval_sets.items():
            names = trial.keep_examples if prefix in _KEPT_SETS else ()
            look = functools.partial(_look, workload, params, model_state, names)
            of_set = chunk_of_set(size, chunk, shards)
            sums, gathered = _read(look, source, size, of_set, constrain)
            metrics = totals.quotients(totals.means(sums, size))
            if workload.set_metrics is not None:
                summary = workload.set_metrics.summary(gathered.outputs)
                check_distinct(metrics, summary)
                metrics |= summary
            for name, value in metrics.items():
                columns[f'{prefix}_{name}'] = value
            for name, values in gathered.per_example.items():
                per_example[f'{prefix}_{name}'] = values
        return Evaluation(columns, per_example)

    return evaluate


def chunk_of_set(size: int, chunk: int, shards: int) -> int:
    """`chunk`, or less for a small set: what is beyond its examples is padding, which costs as much
    as they do. It depends on no other set, nor do the metrics of the set, to the bit.

    Args:
        size: examples of the set that are evaluated.
        chunk, shards: as of `evaluation`.
    """
    share = math.lcm(_MULTIPLE, shards)
    return min(chunk, -(-size // share) * share)


class _Gathered(NamedTuple):
    """Arrays with an entry for each example."""

    outputs: Any  # for metrics of a whole set; {}: there are none
    per_example: dict[str, Any]  # to be kept


def _look(workload, params, model_state, names, examples):
    """(values, what is gathered) of some examples."""
    values = workload.metrics(params, model_state, examples)
    outputs = {}
    if workload.set_metrics is not None:
        outputs = workload.set_metrics.outputs(params, model_state, examples)
    return values, _Gathered(outputs, _kept({**outputs, **values}, names))


def _kept(values: Mapping[str, Any], names):
    """The values of these names.

    Args:
        names: 'auto': the accuracy, where there is one.
    """
    if names == 'auto':
        names = [name for name in ('accuracy',) if name in values]
    unknown = [name for name in names if name not in values]
    if unknown:
        raise Breach(
            f'keep_examples: found {unknown[0]!r}; allowed: {", ".join(sorted(values))}, which the '
            "workload's metrics and set_metrics give of each example"
        )
    chosen = {}
    for name in names:
        value = values[name]
        if isinstance(value, Ratio):
            value = jnp.stack(value, axis=-1)
        chosen[name] = value
    return chosen


def _read(look, source, size, chunk, constrain):
    """Sums of the values over the first `size` examples of a source, and what is gathered of
    them."""
    count = -(-size // chunk)

    def add(i, carry):
        sums, gathered = carry
        positions = i * chunk + jnp.arange(chunk)
        weight = (positions < size).astype(jnp.float32)
        # The last chunk reads the last example for its padding.
        examples = source.read(source.arrays, jnp.minimum(positions, size - 1))
        values, arrays = look(constrain(examples))

        def into(whole, part):
            return jax.lax.dynamic_update_slice_in_dim(whole, part, i * chunk, axis=0)

        more = {name: totals.total(v, weight) for name, v in values.items()}
        return jax.tree.map(jnp.add, sums, more), jax.tree.map(into, gathered, arrays)

    position = jax.ShapeDtypeStruct((1,), jnp.int32)
    example = jax.eval_shape(functools.partial(source.read, source.arrays), position)
    values, arrays = jax.eval_shape(look, example)

    def empty(array):
        return jnp.zeros((count * chunk, *array.shape[1:]), array.dtype)

    start = totals.zeros(values), jax.tree.map(empty, arrays)
    sums, gathered = jax.lax.fori_loop(0, count, add, start)
    return sums, jax.tree.map(lambda array: array[:size], gathered)
