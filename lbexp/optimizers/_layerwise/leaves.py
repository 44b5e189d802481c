"""A layerwise optimizer's parameters as lists: values, masks and layer counts, leaf by leaf."""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from lbexp.optimizers._layerwise.backend import whole
from lbexp.optimizers._layerwise.layers import LayerFacts, stacked, wide_dtype
from lbexp.optimizers._layerwise.masks import masks


class Leaves(NamedTuple):
    """Lists of equal length, and the way back to a tree."""

    gradients: list
    weights: list
    decay: list  # bools, which may be traced
    adapt: list  # bools
    ranks: list  # leading axes that count layers
    structure: Any

    def tree(self, values: list) -> Any:
        return jax.tree.unflatten(self.structure, values)

    def cast(self, updates: list) -> Any:
        """Updates in the parameters' dtypes, as a tree."""
        return self.tree([u.astype(w.dtype) for u, w in zip(updates, self.weights, strict=True)])


def leaves(gradients: Any, params: Any, decay: Any, adapt: Any, stacked_axes: Any) -> Leaves:
    """Flattens `gradients` beside `params`. ValueError: no params."""
    if params is None:
        raise ValueError(
            'this optimizer needs the parameters: call update(gradients, state, params)'
        )
    weights, structure = jax.tree.flatten(params)
    decayed = jax.tree.leaves(masks(decay, params, stacked_axes, 'decay'))
    ranks = jax.tree.leaves(stacked(params, stacked_axes))
    adapted = _adapted(params, adapt, stacked_axes)
    return Leaves(structure.flatten_up_to(gradients), weights, decayed, adapted, ranks, structure)


def no_facts(
    params: Any, decay: Any, adapt: Any, stacked_axes: Any, has_weight_norms: bool = True
) -> LayerFacts:
    """The facts before the first update.

    Raises:
        ValueError: masks that do not fit the parameters; that of decay too, which is needed later
            only.
    """
    masks(decay, params, stacked_axes, 'decay')
    adapted = _adapted(params, adapt, stacked_axes)
    ranks = jax.tree.leaves(stacked(params, stacked_axes))
    counts = [math.prod(w.shape[:r]) for w, r in zip(jax.tree.leaves(params), ranks, strict=True)]
    leaf = [i for i, (a, n) in enumerate(zip(adapted, counts, strict=True)) if a for _ in range(n)]
    layers = (len(leaf),)
    # An array for each field, and none for two: a state may be donated.
    return LayerFacts(
        jnp.array(leaf, jnp.int32),
        jnp.zeros(layers, jnp.float32) if has_weight_norms else (),
        jnp.zeros(layers, jnp.float32),
        jnp.ones(layers, jnp.float32),
        jnp.zeros(layers, bool),
        jnp.zeros((), jnp.float32),
    )


def adapted_facts(
    before: LayerFacts, weight_norms, direction_norms, ratios, clipped, learning_rate
):
    """The facts of an update, from lists over the adapted leaves; weight_norms None: they are not
    measured."""

    def flat(parts, dtype):
        flattened = [whole(jnp.asarray(part)).reshape(-1).astype(dtype) for part in parts]
        return jnp.concatenate(flattened) if flattened else jnp.zeros(0, dtype)

    return LayerFacts(
        before.leaf,
        () if weight_norms is None else flat(weight_norms, jnp.float32),
        flat(direction_norms, jnp.float32),
        flat(ratios, jnp.float32),
        flat(clipped, bool),
        jnp.asarray(learning_rate, jnp.float32),
    )


def with_decay(x: jax.Array, mask: Any, decay: Any, weights: jax.Array) -> jax.Array:
    """x + decay weights where the mask says so."""
    if isinstance(mask, jax.core.Tracer):
        return x + jnp.where(mask, decay, 0) * weights
    return x + decay * weights if mask else x


@jax.custom_jvp
def root(x: jax.Array) -> jax.Array:
    """sqrt(x), with the derivative 0 at 0: where no gradient ever was, none is infinite."""
    return jnp.sqrt(x)


@root.defjvp
def _root_derivative(primals, tangents):
    (x,), (change,) = primals, tangents
    y = root(x)
    return y, change * jnp.where(y > 0, 0.5 / jnp.where(y > 0, y, 1), 0)


def dtypes_from(updates: Any, params: Any) -> Any:
    """The tree whose dtypes updates have: `params`, or `updates` where these are not given or have
    other leaves."""
    fits = params is not None and jax.tree.structure(params) == jax.tree.structure(updates)
    return params if fits else updates


def second_moment(params: Any) -> Any:
    """Zeros like `params`, real and float32 at least."""
    return jax.tree.map(lambda p: jnp.zeros_like(p, jnp.finfo(wide_dtype(p)).dtype), params)


def _adapted(params, adapt, stacked_axes):
    adapted = jax.tree.leaves(masks(adapt, params, stacked_axes, 'adapt'))
    if any(isinstance(entry, jax.core.Tracer) for entry in adapted):
        raise ValueError(
            'adapt: found traced bools; allowed: bools that are known when the optimizer is built'
        )
    return adapted


def value(hyperparameter: Any, count: jax.Array) -> Any:
    """A number that may be a function of the updates done. Never in half precision: layers.wide
    meets it."""
    return hyperparameter(count) if callable(hyperparameter) else hyperparameter


def grown(decay: Any, t: jax.Array, dtype: Any) -> jax.Array:
    """1 - decay^t. As it stands that loses digits: 1 - 0.999 is wrong by 1e-5 in float32.

    Multiply arrays by 1 / grown: of a quotient XLA makes one program's product and another's
    division, which round differently, and a trial would not be the same alone and in company.
    """
    return -jnp.expm1(t.astype(dtype) * jnp.log1p(-jnp.asarray(1 - decay, dtype)))


def buffer(params: Any, dtype: Any = None) -> Any:
    """Zeros like `params`, in `dtype` or the parameters' own."""
    return optax.tree.zeros_like(params, dtype=dtype)


def bounded(ratio: jax.Array, bounds: Any) -> tuple[jax.Array, jax.Array]:
    """(ratio within bounds, whether it met one)."""
    if bounds is None:
        return ratio, jnp.zeros(ratio.shape, bool)
    low, high = bounds
    return jnp.clip(ratio, low, high), (ratio < low) | (ratio > high)
