"""Stochastic gradient descent with momentum, in the two forms of the literature."""

from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import optax

from lbexp.optimizers._layerwise.leaves import dtypes_from, init_buffer, rate_at_step
from lbexp.precision import upcast
from lbexp.ranges import Dtype, Fraction, NonNegativeSchedule, checked


class MomentumState(NamedTuple):
    count: jax.Array  # int32, updates done
    velocity: Any  # like the parameters


@checked
def momentum(
    learning_rate: NonNegativeSchedule,
    momentum: Fraction = 0.9,
    nesterov: bool = False,
    form: Literal['outside', 'inside'] = 'outside',
    accumulator_dtype: Dtype | None = None,
) -> optax.GradientTransformationExtraArgs:
    """Heavy-ball momentum (Polyak 1964), or Nesterov's as Sutskever et al. (2013) have it.

        outside:  v <- momentum v + g;                w <- w - learning_rate v      (optax, PyTorch)
        inside:   v <- momentum v + learning_rate g;  w <- w - v                    (Caffe; LARS)

    They differ where the learning rate changes: outside, the whole history is scaled by today's
    rate; inside, an old gradient keeps the rate it came with. (Goyal et al. 2017, arXiv:1706.02677,
    equations 9 and 10; they train with 'outside', which they also write as 'inside' with v
    multiplied by rate_t / rate_(t-1), their momentum correction.) Nesterov: the step is momentum v
    + (the newest term).

    Args:
        learning_rate: >= 0, or a function of the updates done.
        momentum: in [0, 1).
        nesterov: look ahead along the velocity.
        form: 'outside', 'inside'.
        accumulator_dtype: of the velocity; None: the parameters'.

    Raises:
        ValueError: an unknown form, a number out of its range.
    """

    def init(params):
        return MomentumState(jnp.zeros((), jnp.int32), init_buffer(params, accumulator_dtype))

    def update(updates, state, params=None, **extra_args):
        del extra_args
        like = dtypes_from(updates, params)
        rate = rate_at_step(learning_rate, state.count)

        def newest(g):
            if form == 'inside':
                return rate * upcast(g)
            return upcast(g)

        def add_newest(v, g):
            return momentum * v + newest(g)

        def change(step, w):
            if form == 'inside':
                return (-step).astype(w.dtype)
            return (-rate * step).astype(w.dtype)

        # The step is taken along the velocity as it is before it is rounded to the buffer's dtype.
        moved = jax.tree.map(lambda v, g: add_newest(upcast(v), g), state.velocity, updates)
        steps = moved
        if nesterov:
            steps = jax.tree.map(add_newest, moved, updates)
        changes = jax.tree.map(change, steps, like)
        velocity = jax.tree.map(lambda new, v: new.astype(v.dtype), moved, state.velocity)
        return changes, MomentumState(state.count + 1, velocity)

    return optax.GradientTransformationExtraArgs(init, update)
