"""One update from several microbatches, how many may change during training."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from lbexp.optimizers._layerwise.lazy_cond import cond_once
from lbexp.optimizers._layerwise.leaves import at_step
from lbexp.precision import upcast_dtype
from lbexp.ranges import PositiveInteger, checked


class AccumulateState(NamedTuple):
    count: jax.Array  # updates done (int32)
    accumulated: jax.Array  # microbatches since the last update (int32)
    mean: Any  # of their gradients, at least float32
    inner_state: Any


@checked
def accumulate(
    tx: optax.GradientTransformation, steps: PositiveInteger | Callable[[Any], Any]
) -> optax.GradientTransformationExtraArgs:
    """`tx` on the mean gradient of `steps` microbatches; zero updates in between.

        mean <- mean + (g - mean) / (i + 1),  i = 0 .. steps - 1;  then  w <- tx(mean),  mean <- 0

    Everything inside `tx` counts updates: schedules, bias corrections, lookahead's k. `tx` runs in
    the steps that complete a global batch; under vmap, in the steps where some replica completes
    one. Extra arguments reach `tx` as the last microbatch gives them. Where optax.MultiSteps is
    exact this equals it; optax's runs `tx` on every microbatch, keeps a float32 mean of float64
    gradients, and multiplies by zero, so that a NaN stays in its mean.

    Args:
        tx: any optimizer.
        steps: microbatches per update, >= 1; a number, traced or not, or a function of the number
            of updates done (batch_size.batch_growth gives one).

    Raises:
        ValueError: steps < 1.
    """
    tx = optax.with_extra_args_support(tx)

    def init(params):
        mean = jax.tree.map(lambda p: jnp.zeros_like(p, dtype=upcast_dtype(p)), params)
        # An array for each field: a state may be donated.
        return AccumulateState(
            count=jnp.zeros((), jnp.int32),
            accumulated=jnp.zeros((), jnp.int32),
            mean=mean,
            inner_state=tx.init(params),
        )

    def update(updates, state, params=None, **extra_args):
        grads = updates
        accumulated = state.accumulated + 1
        mean = jax.tree.map(lambda m, g: m + (g - m) / accumulated, state.mean, grads)

        def update_from_mean(mean, inner_state, params):
            like = params
            if params is None:
                like = grads
            gradients = optax.tree.cast_like(mean, like)
            return tx.update(gradients, inner_state, params, **extra_args)

        shapes, _ = jax.eval_shape(update_from_mean, mean, state.inner_state, params)
        # Zeros made from the gradients vary over the same mesh axes, which shard_map checks.
        idle = jax.tree.map(lambda u, g: jnp.where(False, g, 0).astype(u.dtype), shapes, grads)

        def complete(carry, params):
            _, mean, inner_state = carry
            updates, inner_state = update_from_mean(mean, inner_state, params)
            empty_mean = jax.tree.map(jnp.zeros_like, mean)
            return updates, empty_mean, inner_state

        done = accumulated >= at_step(steps, state.count)
        carry = (idle, mean, state.inner_state)
        (updates, mean, inner_state), _ = cond_once(done, complete, carry, params)
        count = jnp.where(done, optax.safe_increment(state.count), state.count)
        accumulated = jnp.where(done, 0, accumulated)
        return updates, AccumulateState(count, accumulated, mean, inner_state)

    return optax.GradientTransformationExtraArgs(init, update)
