"""How many examples trials evaluate at once, side by side, so that what they make fits."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from lbexp.engine.flops import programs
from lbexp.workloads import Workload

_EXAMPLES = 1024  # at most, on each device
_BYTES = 2**30  # of the largest array of all trials together, where that is possible


def evaluation_chunk(
    workload: Workload, params: Any, model_state: Any, at_once: int, shards: int
) -> int:
    """Examples that pass the model at once in an evaluation.

    Trials side by side (`vmap`) hold as many arrays as they are: of a language model the logits of
    1024 rows of 64 tokens and 1,024 kinds of token are 268 MB, and those of 100 trials more than a
    device has. Then it is halved until the largest array of the metrics is a gigabyte.

    Args:
        at_once: trials that a device evaluates at the same time.
        shards: devices that share the examples of a trial.
    """
    chunk = -(-_EXAMPLES // shards) * shards
    if at_once == 1:
        return chunk
    positions = jax.ShapeDtypeStruct((chunk,), jnp.int32)
    examples = jax.eval_shape(workload.train.read, workload.train.arrays, positions)
    held = at_once * _largest(workload.metrics, params, model_state, examples) // shards
    while held > _BYTES and chunk % (2 * shards) == 0:
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
