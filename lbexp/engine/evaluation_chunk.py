"""How many examples are evaluated at once, so that what is made of them fits."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from lbexp.data.source import Source
from lbexp.engine.flops import programs
from lbexp.shapes import Metrics

_EXAMPLES = 1024  # at most
_BYTES = 2**30  # of the largest array of trials side by side, where that is possible
_LARGE = 2**26  # bytes of parameters from which on a trial alone evaluates fewer examples, too


def evaluation_chunk(
    metrics: Metrics,
    sources: Sequence[Source],
    params: Any,
    model_state: Any,
    at_once: int,
    shards: int,
) -> int:
    """Examples that pass the model at once in an evaluation: 1024, or half of that, a quarter, ...,
    until the largest array that the metrics make fits. Devices have equal shares of them.

    Trials side by side (`vmap`) hold as many arrays as they are: of a language model the logits of
    1024 rows of 64 tokens and 1,024 kinds of token are 268 MB, and those of 100 trials more than a
    device has. A gigabyte is allowed. A large network alone is allowed a quarter of what its
    parameters take: evaluation shall not need more than training does.

    Args:
        metrics: of the workload.
        sources: of the examples that are evaluated.
        at_once: trials that a device evaluates at the same time.
        shards: devices that share the examples of a trial.
    """
    chunk = -(-_EXAMPLES // shards) * shards
    size = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(params))
    allowed = _BYTES
    if at_once == 1:
        if size < _LARGE:
            return chunk
        allowed = size // 4
    positions = jax.ShapeDtypeStruct((chunk,), jnp.int32)
    held = 0
    for source in sources:
        examples = jax.eval_shape(source.read, source.arrays, positions)
        largest = _largest(metrics, params, model_state, examples)
        held = max(held, at_once * largest // shards)
    while held > allowed and chunk % (2 * shards) == 0:
        chunk, held = chunk // 2, held // 2
    return chunk


def _largest(function: Callable, *arguments: Any) -> int:
    """Bytes of the largest array that a function makes."""
    shapes = jax.eval_shape(lambda: arguments)
    return _largest_of(jax.make_jaxpr(function)(*shapes).jaxpr)


def _largest_of(program):
    sizes = [0]
    for equation in program.eqns:
        for variable in equation.outvars:
            sizes.append(variable.aval.size * variable.aval.dtype.itemsize)
        sizes += map(_largest_of, programs(equation.params.values()))
    return max(sizes)
