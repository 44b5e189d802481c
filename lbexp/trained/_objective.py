"""The loss of a trained network over some examples, as a function of its parameters."""

import functools
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp

from lbexp.curvature.operators import sample_loss
from lbexp.data.order import order
from lbexp.errors import Refusal
from lbexp.workloads import Ratio, Workload

_CHUNK = 256  # examples at once; one batch where they share statistics


class Objective(NamedTuple):
    """L(w) = 1/n sum_i loss_i(w) over n examples, whichever w; evaluation mode, but for batch norm
    where it is asked for."""

    loss: Callable  # params -> scalar
    losses: Callable  # (params, examples) -> [n]
    predict: Callable | None  # (params, examples) -> outputs
    examples: dict[str, Any]
    description: str  # what was measured, in words


def objective(
    workload: Workload,
    model_state: Any,
    part: Literal['train', 'test'],
    count: int,
    batch_norm: Literal['frozen', 'batch'] | None,
) -> Objective:
    """The loss over `count` examples of a set, drawn without replacement: those that evaluation
    probes measure with subset=0.

    Args:
        batch_norm: 'frozen': with the running averages as they were trained, which are wrong for
            other weights; 'batch': with the statistics of these examples, at once and in training
            mode, where dropout is one fixed draw; None: a workload that has statistics is refused.

    Raises:
        Refusal: no such set, more examples than it has, statistics without `batch_norm`.
    """
    source = getattr(workload, part)
    if source is None or source.feed is not None:
        raise Refusal(f'part: found {part!r}, which is no set in memory; allowed: another one')
    if not 1 <= count <= source.size:
        raise Refusal(f'examples: found {count} of {source.size}; allowed: 1 .. {source.size}')
    has_statistics = bool(jax.tree.leaves(model_state))
    if has_statistics and batch_norm is None:
        raise Refusal(
            "batch_norm: not given, of a network that has statistics; allowed: 'frozen', running "
            "averages, and 'batch', those of the examples at each point"
        )
    places = order(jnp.uint32(0), jnp.arange(count, dtype=jnp.uint32), source.size)
    examples = source.read(source.arrays, places)
    is_batch = has_statistics and batch_norm == 'batch'

    losses = functools.partial(_losses, workload, model_state, is_batch)
    predict = None
    if workload.predict is not None:

        def predict(params, some):
            return workload.predict(params, model_state, some)

    chunk = _CHUNK
    if is_batch:
        chunk = None
    words = f'{count} examples of the {part} set, evaluation mode'
    if has_statistics:
        words = f'{count} examples of the {part} set, batch norm: {batch_norm}'
    return Objective(sample_loss(losses, examples, chunk), losses, predict, examples, words)


def _losses(workload, model_state, is_batch, params, examples):
    """[n] losses: with statistics of these examples, or in evaluation mode."""
    if is_batch:
        values, _ = workload.loss(params, model_state, examples, jax.random.key(0))
    else:
        values = workload.metrics(params, model_state, examples)
    if 'loss' not in values:
        names = ', '.join(map(repr, sorted(values)))
        raise Refusal(f"workload: found metrics {names}; allowed: 'loss' among them")
    if isinstance(values['loss'], Ratio):
        raise Refusal('workload: found a loss that is a ratio of sums; allowed: one an example')
    return values['loss']
