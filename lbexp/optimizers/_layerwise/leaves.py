"""A layerwise optimizer's parameters leaf by leaf: values, masks, layer counts, and what was done
with them."""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from lbexp.optimizers._layerwise.backend import broadcast_scalar, whole
from lbexp.optimizers._layerwise.layers import TrustRatioStats, divide_or_zero, stacked
from lbexp.optimizers._layerwise.masks import masks
from lbexp.precision import upcast, upcast_dtype


class Leaf(NamedTuple):
    """One leaf of the parameters and what an optimizer must know of it."""

    gradient: jax.Array
    weights: jax.Array
    is_decayed: Any  # bool, which may be traced
    is_lazy: Any  # bool, which may be traced: rows without a gradient are not decayed
    is_adapted: bool
    stacked_axes: int  # leading axes that count layers

    def add_decayed_weights(self, step: jax.Array, decay: Any) -> jax.Array:
        """step + decay weights where the leaf and, of a lazy one, the row is decayed."""
        rows = self._decayed_rows()
        if rows is not None:
            decay = jnp.where(rows, decay, 0)
        return add_decayed_weights(step, self.is_decayed, decay, upcast(self.weights))

    def decayed_weights(self) -> jax.Array:
        """The weights, 0 in rows that are not decayed."""
        rows = self._decayed_rows()
        if rows is None:
            return self.weights
        return jnp.where(rows, self.weights, 0)

    def _decayed_rows(self):
        """Which rows of a lazy leaf are decayed, [stack..., rows, 1, ...]; None: all."""
        if self.is_lazy is False or self.gradient.ndim <= self.stacked_axes:
            return None
        width = tuple(range(self.stacked_axes + 1, self.gradient.ndim))
        has_gradient = (self.gradient != 0).any(axis=width, keepdims=True)
        return has_gradient | jnp.logical_not(self.is_lazy)


class Leaves(NamedTuple):
    """The leaves of the parameters, and the way back to a tree."""

    leaves: list[Leaf]
    structure: Any

    def flatten(self, tree: Any) -> list:
        """The leaves of a tree that is like the parameters."""
        return self.structure.flatten_up_to(tree)

    def tree(self, values: list) -> Any:
        return jax.tree.unflatten(self.structure, values)

    def cast(self, updates: list) -> Any:
        """Updates in the parameters' dtypes, as a tree."""
        rounded = []
        for update, leaf in zip(updates, self.leaves, strict=True):
            rounded.append(update.astype(leaf.weights.dtype))
        return self.tree(rounded)


class LayerNorms(NamedTuple):
    """What was measured of the layers of one leaf, and the ratio that came of it [stack...]."""

    weight_norm: Any  # None: the optimizer does not measure it
    direction_norm: jax.Array
    ratio: jax.Array
    clipped: jax.Array  # bool


def flatten_leaves(
    gradients: Any, params: Any, decay: Any, lazy_decay: Any, adapt: Any, stacked_axes: Any
) -> Leaves:
    """Flattens `gradients` beside `params`. ValueError: no params."""
    if params is None:
        raise ValueError(
            'this optimizer needs the parameters: call update(gradients, state, params)'
        )
    weights, structure = jax.tree.flatten(params)
    decayed = jax.tree.leaves(masks(decay, params, stacked_axes, 'decay'))
    lazy = jax.tree.leaves(masks(lazy_decay, params, stacked_axes, 'lazy_decay'))
    ranks = jax.tree.leaves(stacked(params, stacked_axes))
    adapted = _adapted(params, adapt, stacked_axes)
    gradients = structure.flatten_up_to(gradients)
    leaves = map(Leaf, gradients, weights, decayed, lazy, adapted, ranks)
    return Leaves(list(leaves), structure)


def initial_stats(
    params: Any,
    decay: Any,
    lazy_decay: Any,
    adapt: Any,
    stacked_axes: Any,
    has_weight_norms: bool = True,
) -> TrustRatioStats:
    """The statistics before the first update.

    Raises:
        ValueError: masks that do not fit the parameters; those of decay too, which are needed
            later only.
    """
    masks(decay, params, stacked_axes, 'decay')
    masks(lazy_decay, params, stacked_axes, 'lazy_decay')
    adapted = _adapted(params, adapt, stacked_axes)
    ranks = jax.tree.leaves(stacked(params, stacked_axes))
    leaves = zip(jax.tree.leaves(params), adapted, ranks, strict=True)
    positions = []  # of the leaf, once for each of its layers
    for i, (weights, is_adapted, rank) in enumerate(leaves):
        if is_adapted:
            layer_count = math.prod(weights.shape[:rank])
            positions += [i] * layer_count
    shape = (len(positions),)
    # An array for each field, and none for two: a state may be donated.
    stats = TrustRatioStats(
        leaf=jnp.array(positions, jnp.int32),
        weight_norm=(),
        direction_norm=jnp.zeros(shape, jnp.float32),
        ratio=jnp.ones(shape, jnp.float32),
        clipped=jnp.zeros(shape, bool),
        learning_rate=jnp.zeros((), jnp.float32),
    )
    if has_weight_norms:
        stats = stats._replace(weight_norm=jnp.zeros(shape, jnp.float32))
    return stats


def updated_stats(
    before: TrustRatioStats, adapted: list[LayerNorms], learning_rate: Any
) -> TrustRatioStats:
    """The statistics of an update, from the records of the adapted leaves in order."""

    def by_layer(field, dtype=jnp.float32):
        """One measurement of all layers, leaf after leaf, in a vector."""
        vectors = []
        for leaf in adapted:
            values = whole(jnp.asarray(getattr(leaf, field)))
            vectors.append(values.reshape(-1).astype(dtype))
        if not vectors:
            return jnp.zeros(0, dtype)
        return jnp.concatenate(vectors)

    weight_norms = before.weight_norm
    if not isinstance(weight_norms, tuple):
        weight_norms = by_layer('weight_norm')
    return TrustRatioStats(
        leaf=before.leaf,
        weight_norm=weight_norms,
        direction_norm=by_layer('direction_norm'),
        ratio=by_layer('ratio'),
        clipped=by_layer('clipped', bool),
        learning_rate=jnp.asarray(learning_rate, jnp.float32),
    )


def add_decayed_weights(x: jax.Array, mask: Any, decay: Any, weights: jax.Array) -> jax.Array:
    """x + decay weights where the mask says so."""
    if isinstance(mask, jax.core.Tracer):
        return x + jnp.where(mask, decay, 0) * weights
    if not mask:
        return x
    return x + decay * weights


@jax.custom_jvp
def safe_sqrt(x: jax.Array) -> jax.Array:
    """sqrt(x), with the derivative 0 at 0: where no gradient ever was, none is infinite."""
    return jnp.sqrt(x)


@safe_sqrt.defjvp
def _root_derivative(primals, tangents):
    (x,), (change,) = primals, tangents
    y = safe_sqrt(x)
    return y, change * divide_or_zero(0.5, y)


def dtypes_from(updates: Any, params: Any) -> Any:
    """The tree whose dtypes updates have: `params`, or `updates` where these are not given or have
    other leaves."""
    if params is None or jax.tree.structure(params) != jax.tree.structure(updates):
        return updates
    return params


def init_second_moment(params: Any) -> Any:
    """Zeros like `params`, real and float32 at least."""

    def zeros(p):
        # finfo gives the real dtype of a complex one.
        real = jnp.finfo(upcast_dtype(p)).dtype
        return jnp.zeros_like(p, real)

    return jax.tree.map(zeros, params)


def _adapted(params, adapt, stacked_axes):
    adapted = jax.tree.leaves(masks(adapt, params, stacked_axes, 'adapt'))
    if any(isinstance(entry, jax.core.Tracer) for entry in adapted):
        raise ValueError(
            'adapt: found traced bools; allowed: bools that are known when the optimizer is built'
        )
    return adapted


def at_step(hyperparameter: Any, count: jax.Array) -> Any:
    """A number that may be a function of the updates done. Never in half precision: `upcast`
    meets it."""
    if callable(hyperparameter):
        return hyperparameter(count)
    return hyperparameter


def rate_at_step(learning_rate: Any, count: jax.Array) -> Any:
    """The learning rate of an update, as all leaves read it (see backend.broadcast_scalar).

    A constant one waits for the counter, too, which is never below 0: who wants something done
    before the update, as an engine that measures the gradient, lets the counter wait for it.
    """
    rate = at_step(learning_rate, count)
    return broadcast_scalar(jnp.where(count < 0, 0.0, rate))


def bias_correction_term(decay: Any, t: jax.Array, dtype: Any) -> jax.Array:
    """1 - decay^t. As it stands that loses digits: 1 - 0.999 is wrong by 1e-5 in float32.

    Multiply arrays by 1 / this: of a quotient XLA makes one program's product and another's
    division, which round differently, and a trial would not be the same alone and in company.
    """
    t = t.astype(dtype)
    log_decay = jnp.log1p(-jnp.asarray(1 - decay, dtype))
    return -jnp.expm1(t * log_decay)


def init_buffer(params: Any, dtype: Any = None) -> Any:
    """Zeros like `params`, in `dtype` or the parameters' own."""
    return optax.tree.zeros_like(params, dtype=dtype)


def clip_with_flag(ratio: jax.Array, bounds: Any) -> tuple[jax.Array, jax.Array]:
    """(ratio within bounds, whether it met one)."""
    if bounds is None:
        return ratio, jnp.zeros(ratio.shape, bool)
    low, high = bounds
    within = jnp.clip(ratio, low, high)
    return within, (ratio < low) | (ratio > high)


def squared_magnitude(x: jax.Array) -> jax.Array:
    """|x|^2 in float32 at least, for a running mean."""
    square = (upcast(x) * upcast(x).conj()).real
    # Beyond 1.8e19 a square leaves float32. It stays within, far enough for the mean, whose weights
    # are rounded.
    largest = jnp.finfo(square.dtype).max / 2
    return jnp.minimum(square, largest)
