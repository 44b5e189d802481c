"""The exponential moving average of the weights, kept beside any optimizer."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from lbexp.optimizers._layerwise.leaves import squared_magnitude
from lbexp.precision import upcast_dtype
from lbexp.ranges import ClosedFraction, checked


class EmaState(NamedTuple):
    count: jax.Array  # updates averaged (int32)
    # bias-corrected mean of the weights, at least float32; the initial weights before the first
    # update
    average: Any
    inner_state: Any


@checked
def ema(
    inner: optax.GradientTransformation, decay: ClosedFraction = 0.999
) -> optax.GradientTransformationExtraArgs:
    """Trains as `inner` does and averages the weights w_1 .. w_t after each update.

        average_t = (1 - decay) sum_s decay^(t - s) w_s / (1 - decay^t)

    kept in this bias-corrected form, so that `evaluation_params(opt_state, params)` needs no decay
    and the initial weights leave no trace. The training weights are not changed. The updates must
    reach the parameters as they are: ema comes last in a chain, and accumulation outside or inside
    both count updates.

    Args:
        inner: any optimizer; extra arguments reach it.
        decay: in [0, 1]; may be traced. 0: the last weights; 1: the plain mean of all.

    Raises:
        ValueError: decay out of its range; update without params.

    Polyak and Juditsky 1992; bias correction as in Kingma and Ba 2015, arXiv:1412.6980, section 3.
    """
    inner = optax.with_extra_args_support(inner)

    def init(params):
        average = jax.tree.map(_initial, params)
        return EmaState(jnp.zeros((), jnp.int32), average, inner.init(params))

    def update(updates, state, params=None, **extra_args):
        if params is None:
            raise ValueError('ema averages weights: call update(grads, state, params)')
        updates, inner_state = inner.update(updates, state.inner_state, params, **extra_args)
        count = jnp.asarray(optax.safe_increment(state.count))
        rate = weight_of_newest(decay, count)
        weights = optax.apply_updates(params, updates)

        def moved(mean, w):
            return moved_mean(mean, w, rate)

        average = jax.tree.map(moved, state.average, weights)
        return updates, EmaState(count, average, inner_state)

    return optax.GradientTransformationExtraArgs(init, update)


def moved_mean(mean: jax.Array, newest: jax.Array, rate: Any) -> jax.Array:
    """mean + rate (newest - mean), in the dtype of `mean` whatever the rate has."""
    return (mean + rate * (newest - mean)).astype(mean.dtype)


def mean_of_squares(means: Any, newest: Any, rate: Any) -> Any:
    """A tree of running means of |x|^2, moved by the newest x."""

    def moved(mean, x):
        return moved_mean(mean, squared_magnitude(x), rate)

    return jax.tree.map(moved, means, newest)


def _initial(p):
    # optax asks for states of abstract parameters, too.
    if isinstance(p, jax.ShapeDtypeStruct):
        return jax.ShapeDtypeStruct(p.shape, upcast_dtype(p))
    return jnp.array(p, upcast_dtype(p))


def weight_of_newest(decay: Any, count: jax.Array) -> jax.Array:
    """(1 - decay) / (1 - decay^count), 1 / count at decay = 1: the newest value's weight in a
    bias-corrected mean."""
    dtype = upcast_dtype(jnp.asarray(decay))
    count, decay = count.astype(dtype), jnp.asarray(decay, dtype)
    # 1 - decay^count cancels for decay near 1; expm1 does not.
    total = -jnp.expm1(count * jnp.log(decay))
    return jnp.where(total > 0, (1 - decay) / jnp.where(total > 0, total, 1), 1 / count)
