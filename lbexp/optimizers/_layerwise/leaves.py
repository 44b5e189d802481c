"""A layerwise optimizer's parameters as lists: values, masks and layer counts, leaf by leaf."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from lbexp.optimizers._layerwise.layers import LayerFacts, stacked
from lbexp.optimizers._layerwise.masks import masks


class Leaves(NamedTuple):
    """Lists of equal length, and the way back to a tree."""

    gradients: list
    weights: list
    decay: list  # bools
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
        raise ValueError('this optimizer needs the parameters: call update(gradients, state, params)')
    weights, structure = jax.tree.flatten(params)
    flat = lambda which: jax.tree.leaves(masks(which, params, stacked_axes))
    ranks = jax.tree.leaves(stacked(params, stacked_axes))
    return Leaves(structure.flatten_up_to(gradients), weights, flat(decay), flat(adapt), ranks, structure)


def no_facts(params: Any, adapt: Any, stacked_axes: Any) -> LayerFacts:
    """The facts before the first update."""
    adapted = jax.tree.leaves(masks(adapt, params, stacked_axes))
    ranks = jax.tree.leaves(stacked(params, stacked_axes))
    counts = [jnp.zeros(w.shape[:r]).size for w, r in zip(jax.tree.leaves(params), ranks, strict=True)]
    leaf = [i for i, (a, n) in enumerate(zip(adapted, counts, strict=True)) if a for _ in range(n)]
    zeros = jnp.zeros(len(leaf), jnp.float32)
    return LayerFacts(
        jnp.array(leaf, jnp.int32), zeros, zeros, jnp.ones_like(zeros), zeros > 0, jnp.zeros((), jnp.float32)
    )


def adapted_facts(before: LayerFacts, weight_norms, direction_norms, ratios, clipped, learning_rate):
    """The facts of an update, from lists over the adapted leaves."""
    flat = lambda parts: jnp.concatenate([jnp.ravel(p) for p in parts]) if parts else jnp.zeros(0)
    return LayerFacts(
        before.leaf,
        flat(weight_norms).astype(jnp.float32),
        flat(direction_norms).astype(jnp.float32),
        flat(ratios).astype(jnp.float32),
        flat(clipped).astype(bool),
        jnp.asarray(learning_rate, jnp.float32),
    )


def value(hyperparameter: Any, count: jax.Array) -> Any:
    """A number that may be a function of the updates done. Never in half precision: layers.wide meets it."""
    return hyperparameter(count) if callable(hyperparameter) else hyperparameter


def grown(decay: Any, t: jax.Array, dtype: Any) -> jax.Array:
    """1 - decay^t. As it stands that loses digits: 1 - 0.999 is wrong by 1e-5 in float32.

    Multiply arrays by 1 / grown: of a quotient XLA makes one program's product and another's division, which round
    differently, and a trial would not be the same alone and in company.
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
