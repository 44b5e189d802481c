"""Noise on the gradient, chained before any optimizer."""

import zlib
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import optax

from lbexp.optimizers._layerwise.leaves import (
    dtypes_from,
    init_second_moment,
    safe_sqrt,
)
from lbexp.optimizers._layerwise.norms import AxisName
from lbexp.optimizers._layerwise.prefixes import paths
from lbexp.optimizers.ema import mean_of_squares, weight_of_newest
from lbexp.precision import upcast
from lbexp.ranges import ClosedFraction, NonNegative, Seed, checked, concrete


class GradientNoiseState(NamedTuple):
    count: jax.Array  # updates done (int32)
    # uint32; give replicas of a stacked state different ones to make their noise independent
    seed: jax.Array
    second_moment: Any  # 'diagonal_fisher': bias-corrected running mean of squared gradients


@checked
def gradient_noise(
    kind: Literal[
        'isotropic', 'diagonal_fisher', 'gradient_difference', 'anticorrelated'
    ] = 'isotropic',
    eta: NonNegative = 0.01,
    gamma: NonNegative | None = None,
    decay: ClosedFraction = 0.99,
    seed: Seed = 0,
    axis_name: AxisName = None,
) -> optax.GradientTransformationExtraArgs:
    """g <- g + noise_t of mean zero and scale s_t^2 = eta / (1 + t)^gamma, t = updates done.

        'isotropic'            noise_t = s_t xi_t                     covariance s_t^2 I
        'diagonal_fisher'      noise_t = s_t sqrt(F) xi_t             covariance s_t^2 diag(F)
        'gradient_difference'  noise_t = s_t D zeta_t                 covariance s_t^2 E[D D']
        'anticorrelated'       noise_t = s_t (xi_{t+1} - xi_t)        covariance 2 s_t^2 I, with the
        next -s_t^2 I

    xi_t is a standard normal tree, zeta_t one standard normal number. F is the running mean of
    squared gradients, or the extra argument `squared_gradients` (a tree >= 0). D is the extra
    argument `gradient_difference`, a tree of mean zero: for gradients g, g' of two independent
    batches of size b, D = (g - g') / sqrt(2) has the covariance of one of them; for the mean g of
    two half batches, one of which has gradient h, D = g - h has the covariance of g.

    xi_t is a function of (seed, t, path of the leaf, position in the leaf): there is no key in the
    state, a resumed run goes on with the same noise, and neither the number of devices, nor the
    sharding, nor other leaves change it. Replicas have independent noise when their seeds differ:
    vmap over `seed`, replace `seed` in a stacked state, or name the vmapped (or shard_map's) axis
    in `axis_name`, whose index then enters the key. Equal seeds without axis_name share it.

    The noise enters where the gradient does: plain SGD of rate r moves the weights by r times it.

    Args:
        eta: >= 0 [gradient^2; without unit for 'diagonal_fisher' and 'gradient_difference']; may be
            traced, as all numbers here.
        gamma: annealing exponent, >= 0. None: 0.55 for 'isotropic' (the paper's), else 0.
        decay: of the running mean of squared gradients, in [0, 1].
        seed: 0 .. 2^32 - 1.
        axis_name: mesh or vmap axes along which the noise differs.

    Raises:
        ValueError: unknown kind, a number out of its range; 'gradient_difference' without its extra
            argument.

    Neelakantan et al. 2015, arXiv:1511.06807 (isotropic, annealed; eta in {0.01, 0.3, 1}); Zhu et
    al. 2019, arXiv:1803.00195 (diagonal Fisher); Wu et al. 2020, arXiv:1906.07405 (gradient
    differences, multiplicative noise); Orvieto et al. 2022, arXiv:2202.02831, equation 2
    (anticorrelated; there on the weights: sigma = rate * sqrt(eta)).
    """
    if gamma is None:
        gamma = 0.0
        if kind == 'isotropic':
            gamma = 0.55

    def init(params):
        moment = ()
        if kind == 'diagonal_fisher':
            moment = init_second_moment(params)
        return GradientNoiseState(jnp.zeros((), jnp.int32), _as_uint32(seed), moment)

    def update(updates, state, params=None, **extra_args):
        grads = updates
        count = jnp.asarray(optax.safe_increment(state.count))
        s = jnp.sqrt(eta / (1.0 + state.count.astype(jnp.float32)) ** gamma)
        key = _key(state.seed, axis_name)
        moment = state.second_moment
        if kind == 'isotropic':
            noise = _normal(key, state.count, grads)
        elif kind == 'anticorrelated':
            newer, older = _normal(key, count, grads), _normal(key, state.count, grads)
            noise = jax.tree.map(jnp.subtract, newer, older)
        elif kind == 'diagonal_fisher':
            if 'squared_gradients' in extra_args:
                fisher = extra_args['squared_gradients']
            else:
                fisher = moment = mean_of_squares(moment, grads, weight_of_newest(decay, count))
            noise = jax.tree.map(_scaled, _normal(key, state.count, grads), fisher)
        else:
            noise = _along_difference(jax.random.fold_in(key, state.count), extra_args)
        noisy = _added(grads, s, noise, _dtypes(grads, params))
        return noisy, GradientNoiseState(count, state.seed, moment)

    return optax.GradientTransformationExtraArgs(init, update)


def _as_uint32(seed):
    # A copy: a state may be donated. An integer beyond 2^31 is no int32, JAX's default.
    number = concrete(seed)
    if number is None:
        return jnp.array(seed).astype(jnp.uint32)
    return jnp.array(number, jnp.uint32)


def _key(seed, axis_name):
    key = jax.random.key(seed)
    if axis_name is None:
        return key
    return jax.random.fold_in(key, jax.lax.axis_index(axis_name))


def _scaled(xi, fisher):
    return safe_sqrt(fisher) * xi


def _along_difference(key, extra_args):
    if 'gradient_difference' not in extra_args:
        raise ValueError("kind='gradient_difference' needs update(..., gradient_difference=D)")
    zeta = jax.random.normal(key)
    return jax.tree.map(lambda d: zeta * upcast(d), extra_args['gradient_difference'])


def _added(grads, scale, noise, dtypes):
    def add(g, xi, dtype):
        return (upcast(g) + scale * xi).astype(dtype)

    return jax.tree.map(add, grads, noise, dtypes)


def _dtypes(grads, params):
    """The parameters' where these are wider: what is small beside a half-precision gradient is not
    rounded away."""

    def wider(g, p):
        return jnp.promote_types(g.dtype, p.dtype)

    return jax.tree.map(wider, grads, dtypes_from(grads, params))


def _normal(key, t, like):
    """Standard normal leaves, at least float32; complex ones have E |xi|^2 = 1."""
    key = jax.random.fold_in(key, t)

    def draw(path, x):
        # Not hash(): Python salts it, and a resumed run would go on with other noise.
        leaf_key = jax.random.fold_in(key, zlib.crc32(path.encode()))
        return jax.random.normal(leaf_key, x.shape, upcast(x).dtype)

    return jax.tree.map(draw, paths(like), like)
