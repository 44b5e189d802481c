"""How often the examples of an update read each row of a table, for optimizers that ask."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from lbexp.config import lookup
from lbexp.errors import Refusal
from lbexp.parallel.replicas import Replicas
from lbexp.workloads import Workload


def asked(
    parts: Sequence[dict], workload: Workload, workers: Replicas, microbatch: int | None
) -> Callable | None:
    """The workload's row counts where a part of the optimizer asks for them, by an argument
    `tables`; None: none does.

    Args:
        parts: of the configuration: the optimizer and the transforms.
        microbatch: examples per forward and backward pass; None: all of an update.

    Raises:
        Refusal: they are asked for and cannot be given.
    """
    names = [name for name in _names(*parts) if _asks(name)]
    if not names:
        return None
    who = f'optimizer: found {names[0]}, which needs the count of each row,'
    if workload.row_counts is None:
        raise Refusal(
            f'{who} with a workload that does not count them; allowed: one that does, such as '
            'binary with dcn'
        )
    if 'opt_state' in workers.by_worker:
        raise Refusal(
            f'{who} with workers that have optimizers of their own; allowed: workers that share one'
        )
    if workload.train.feed is not None and microbatch is not None:
        raise Refusal(f'{who} with a stream in microbatches; allowed: microbatch None')
    return workload.row_counts


def of_update(count: Callable, draw: Callable, microbatches: Any, size: int) -> Any:
    """{path of a table: counts [rows], int32} of the examples of an update.

    They are drawn again: which they are is a function of the position. So nothing is carried from
    microbatch to microbatch, every worker and device counts all, and whole numbers are exact.

    Args:
        count: examples -> counts.
        draw: positions -> examples.
        microbatches: (first, last) of the update, the last exclusive; may be traced.
        size: examples of a microbatch.
    """

    def of_microbatch(tick):
        positions = tick.astype(jnp.uint32) * size + jnp.arange(size, dtype=jnp.uint32)
        return count(draw(positions))

    def add(tick, total):
        return jax.tree.map(jnp.add, total, of_microbatch(tick))

    shapes = jax.eval_shape(of_microbatch, jax.ShapeDtypeStruct((), jnp.int32))
    zeros = jax.tree.map(lambda counts: jnp.zeros(counts.shape, counts.dtype), shapes)
    first, last = microbatches
    return jax.lax.fori_loop(first, last, add, zeros)


def _names(*parts) -> Iterator[str]:
    """Names of the parts, and of those inside them."""
    for part in parts:
        yield part['name']
        for value in part.values():
            if isinstance(value, dict) and 'name' in value:
                yield from _names(value)


def _asks(name):
    return 'tables' in lookup.parameters(lookup.find('optimizer', name))
