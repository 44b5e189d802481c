"""Work that most steps skip, skipped under vmap too."""

import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend import core

from lbexp.optimizers._layerwise.backend import on_cpu


def cond_once(predicate: jax.typing.ArrayLike, change: Callable, carry: Any, *inputs: Any) -> tuple:
    """(`change(carry, *inputs)` where `predicate` holds, else `carry`; *inputs).

    A loop that runs at most once. `jax.lax.cond` says the same, but under vmap over a batched
    predicate it becomes a select that computes both branches in every step; a loop runs, under
    vmap, only when *some* replica's predicate holds, and then selects. Replicas of a cohort that
    change in the same steps pay for those steps alone.

    Whoever writes the buffers of `inputs` afterwards takes them from the result: then the write
    waits for the loop; otherwise XLA copies them for the loop to read.

    Args:
        predicate: bool scalar.
        change: (carry, *inputs) -> carry of the same structure and shapes; cast to the dtypes of
            `carry`.
        carry, inputs: pytrees of arrays.
    """
    # A loop has no reverse mode. A choice between the two has, and the same derivative.
    change, closed_over = _hoisted(change, carry, *inputs)

    @jax.custom_jvp
    def loop(predicate, carry, inputs, constants):
        return _at_most_once(predicate, functools.partial(change, constants), carry, inputs)

    def selection(predicate, carry, inputs, constants):
        return _selected(predicate, functools.partial(change, constants), carry, inputs)

    @loop.defjvp
    def loop_jvp(primals, tangents):
        value = loop(*primals)
        _, derivative = jax.jvp(selection, primals, tangents)
        return value, derivative

    return loop(predicate, carry, inputs, closed_over)


def where_any(predicate: Any, change: Callable, value: jax.Array, arrays: Any) -> jax.Array:
    """`change(arrays)` if `predicate`, else `value`; `change` closes over no arrays.

    A plain conditional becomes a select under vmap, which computes both sides always; here it stays
    a conditional on whether any replica's predicate holds. (A loop that runs at most once stays one
    too, but XLA copies the arrays.)
    """

    @jax.custom_batching.custom_vmap
    def choose(predicate, value, arrays):
        return jax.lax.cond(predicate, lambda: change(arrays), lambda: value)

    @choose.def_vmap
    def batched(size, is_batched, predicate, value, arrays):
        axes = jax.tree.map(_batch_axis, is_batched)

        def change_some(operands):
            def select(predicate, value, arrays):
                return jnp.where(predicate, change(arrays), value)

            return jax.vmap(select, axes, axis_size=size)(*operands)

        is_value_batched = is_batched[1]
        values = value
        if not is_value_batched:
            values = jnp.broadcast_to(value, (size, *value.shape))
        operands = (predicate, value, arrays)
        return where_any(jnp.any(predicate), change_some, values, operands), True

    return choose(predicate, value, arrays)


def _batch_axis(is_batched):
    """What vmap calls it in in_axes."""
    if is_batched:
        return 0
    return None


def cond_or_select(
    predicate: jax.typing.ArrayLike, change: Callable, carry: Any, *inputs: Any
) -> tuple:
    """As `cond_once`, where `change` reads little but what the step reads anyway.

    On an accelerator it is then computed in every step, in the step's own kernels, and chosen or
    not; the host would wait for the loop's predicate in each. Lookahead around momentum, by what a
    kernel must move: 28 bytes per parameter and step, against 24 and, in the loop, 20 more.
    """
    if on_cpu():
        return cond_once(predicate, change, carry, *inputs)
    return _selected(predicate, change, carry, inputs)


def _hoisted(change, *arguments):
    """(f, values) with f(values, *arguments) = change(*arguments), where f closes over nothing that
    is traced."""
    traced, shape = jax.make_jaxpr(change, return_shape=True)(*arguments)

    def run(values, *arguments):
        evaluate = core.jaxpr_as_fun(core.ClosedJaxpr(traced.jaxpr, values))
        results = evaluate(*jax.tree.leaves(arguments))
        return jax.tree.unflatten(jax.tree.structure(shape), results)

    return run, traced.consts


def _at_most_once(predicate, change, carry, inputs):
    def body(state):
        going, old = state
        # Without this XLA would move work on `inputs` alone out of the loop, into every step.
        bound = jax.tree.map(lambda x: _where(going, x), inputs)
        done = jnp.zeros_like(going)
        new = jax.tree.map(_cast_like, change(old, *bound), old)
        return done, new

    start = (jnp.asarray(predicate), carry)
    going, carry = jax.lax.while_loop(lambda state: state[0], body, start)
    # Whoever writes these waits for the loop: see cond_once.
    inputs = jax.tree.map(lambda x: _where(~going, x), inputs)
    return carry, *inputs


def _selected(predicate, change, carry, inputs):
    new = jax.tree.map(_cast_like, change(carry, *inputs), carry)
    selected = jax.tree.map(lambda n, old: jnp.where(predicate, n, old), new, carry)
    return selected, *inputs


def round_to_dtype(tree: Any) -> Any:
    """`tree` with its values rounded as they would be in memory.

    A compiler may take a product and the sum that it goes into as one operation with one rounding,
    or not, as the code around it has it. What has to be the same to the bit in two programs says
    where it is rounded; it costs nothing.
    """
    # A choice that hangs on the value itself can be neither left out nor moved out of the loop over
    # values.
    return jax.tree.map(lambda x: jnp.where(x == x, x, math.nan), tree)


def _where(always, x):
    """x. XLA does not know that `always` is true: a dependence on it that costs nothing where it is
    fused."""
    if jnp.issubdtype(x.dtype, jax.dtypes.prng_key):
        return x
    return jnp.where(always, x, jnp.zeros((), x.dtype))


def _cast_like(new, old):
    if new.dtype == old.dtype:
        return new
    return new.astype(old.dtype)
