"""How far an update turns the weights of a layer, and which layers only their direction matters
in."""

from collections.abc import Callable
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from annotated_types import Ge

from lbexp import moments, optimizers
from lbexp.optimizers._layerwise.masks import Mask
from lbexp.precision import upcast
from lbexp.probes import Probe, _window
from lbexp.probes._layers import StackedAxes, by_path
from lbexp.ranges import PositiveCount
from lbexp.shapes import Params


class RotationState(NamedTuple):
    squares: _window.Window  # squared angle of each layer
    last: dict[str, Any]  # columns of the last update measured


def rotation(
    layers: Mask = 'matrices',
    stacked_axes: StackedAxes = None,
    every: PositiveCount = 1,
    batches: Annotated[int, Ge(4)] = 16,
) -> Probe:
    """Angle between a layer's weights before and after an update [radians], over the updates
    between two rows.

    Where a norm follows, a layer's function depends on its direction alone: the learning rate that
    counts is eta / |w|^2, and weight decay brings the angle to an equilibrium after about 1 / (2
    eta lambda) updates, root mean square

        sqrt(2 eta lambda / (1 + beta)),  SGD with momentum
        sqrt(2 eta lambda (1 - beta1) / (1 + beta1)),  AdamW

    `scale_invariance` says which layers are such.

        angle = atan2(|u - (u . w) w / |w|^2|, |w| - u . w / |w|)

    with the weights w after the update u: an arccos of the cosine would lose all digits below 1e-3.

    Cost: three passes over the layers at each update measured.

    Args:
        layers: which parameters, as in optimizers.masks; all there are where 'all'.
        stacked_axes: leading axes that count layers, as in optimizers.lars.
        every: from one update measured to the next, >= 1; may be traced.
        batches: even, >= 4, of the batch means.

    Columns, for each of the parameters, such as 'rotation/Dense_0/kernel': rotation, the root mean
    square of the angles; rotation_error, its standard error, by batch means; weight_norm, |w|, and
    effective_rate, eta / |w|^2, after the last update measured.

    Raises:
        ValueError: no parameter is a layer by `layers`; batches odd or < 4.

    Source: Van Laarhoven 2017, arXiv:1706.05350; Wan et al. 2021, arXiv:2006.08419; Kosson et al.
        2024, arXiv:2305.17212.
    """

    chosen = _Layers(layers, stacked_axes)

    def init(info):
        if not chosen.paths(info.params):
            raise ValueError(f'layers: found {layers!r}; allowed: what some parameters are')
        last = jax.eval_shape(chosen.lengths, info.params, info.learning_rate)
        zeros = {name: jnp.zeros(x.shape, x.dtype) for name, x in last.items()}
        return RotationState(_window.window(jax.eval_shape(chosen.angles, info), batches), zeros)

    def update(state, info):
        due = info.step % every == 0
        angles = _window.computed(due, lambda: chosen.angles(info))
        squares = _window.add(state.squares, due, angles, info.logging)
        last = jax.lax.cond(
            due & info.logging,
            lambda: chosen.lengths(info.params, info.learning_rate),
            lambda: state.last,
        )
        return RotationState(squares, last)

    def summary(state):
        series = state.squares.series
        mean, error = _window.mean(series), moments.standard_error(series)
        columns = dict(state.last)
        for path, square in mean.items():
            angle = jnp.sqrt(square)
            columns[f'rotation/{path}'] = angle
            columns[f'rotation_error/{path}'] = error[path] / (2 * jnp.where(angle > 0, angle, 1))
        return columns

    return Probe(init, update, summary)


class _Layers(NamedTuple):
    """The parameters that are looked at, as layers."""

    which: Mask
    stacked_axes: StackedAxes

    def paths(self, params):
        mask = jax.tree.leaves(optimizers.masks(self.which, params, self.stacked_axes, 'layers'))
        paths = list(optimizers.layers(params, self.stacked_axes))
        return [path for path, is_chosen in zip(paths, mask, strict=True) if is_chosen]

    def totals(self, tree, params):
        """The sum over each layer."""
        sums = by_path(tree, params, self.stacked_axes)
        return {path: sums[path] for path in self.paths(params)}

    def lengths(self, params, rate):
        """The columns of a layer's length."""
        columns = {}
        for path, square in self.totals(jax.tree.map(_squared, params), params).items():
            columns[f'weight_norm/{path}'] = jnp.sqrt(square)
            columns[f'effective_rate/{path}'] = rate / square
        return columns

    def angles(self, info):
        """The squared angle of each layer."""
        squares = self.totals(jax.tree.map(_squared, info.params), info.params)
        along = self.totals(jax.tree.map(_product, info.updates, info.params), info.params)
        shares = {}
        for path, square in squares.items():
            shares[path] = along[path] / jnp.where(square > 0, square, 1)
        rejection = _rejection(info.updates, info.params, shares, self.stacked_axes)
        across = self.totals(jax.tree.map(_squared, rejection), info.params)
        turned = {}
        for path, square in across.items():
            ahead = jnp.sqrt(squares[path]) * (1 - shares[path])
            turned[path] = jnp.square(jnp.arctan2(jnp.sqrt(square), ahead))
        return turned


class ScaleInvariance(NamedTuple):
    """Two exact properties of a function of w / |w|, each 0 where it is one."""

    cosine: jax.Array  # |g . w| / (|g| |w|)
    # |c g(c w) - g(w)| / |g(w)|, with all other parameters as they were
    homogeneity: jax.Array


def scale_invariance(
    gradient: Callable, params: Params, factor: float = 2.0
) -> dict[str, ScaleInvariance]:
    """Whether the loss depends on the direction of each parameter alone: g is orthogonal to w, and
    g(c w) = g(w) / c. One gradient for each parameter and one more.

    The epsilon of a norm spoils it a little, by about epsilon over the variance that it is added
    to. A parameter whose gradient is 0, such as a bias before batch norm, has 0 twice.

    Args:
        gradient: parameters -> gradient of a loss of fixed examples, without weight decay.
        params: where.
        factor: c > 0, not 1.

    Returns:
        {path of a parameter: ScaleInvariance}

    Raises:
        ValueError: a factor that shows nothing.

    Source: Van Laarhoven 2017, arXiv:1706.05350, Section 2.
    """
    if not factor > 0 or factor == 1:
        raise ValueError(f'factor: found {factor}; allowed: a number > 0, not 1')
    leaves, structure = jax.tree.flatten(params)
    at_params = structure.flatten_up_to(gradient(params))
    report = {}
    for i, path in enumerate(optimizers.layers(params)):
        scaled = [*leaves]
        scaled[i] = leaves[i] * factor
        elsewhere = structure.flatten_up_to(gradient(structure.unflatten(scaled)))[i]
        g, w = at_params[i], leaves[i]
        length = optax.tree.norm(g)
        cosine = jnp.abs(jnp.sum(g * w)) / _or_one(length * optax.tree.norm(w))
        report[path] = ScaleInvariance(
            cosine, optax.tree.norm(factor * elsewhere - g) / _or_one(length)
        )
    return report


def _or_one(length):
    return jnp.where(length > 0, length, 1)


def _squared(x):
    return jnp.square(upcast(x))


def _product(a, b):
    return upcast(a) * upcast(b)


def _rejection(updates, params, shares, stacked_axes):
    """What of the updates is orthogonal to the weights: u - share w, share = u . w / |w|^2 of each
    layer."""
    leaves, structure = jax.tree.flatten(params)
    across = []
    paths = optimizers.layers(params, stacked_axes)
    for path, u, w in zip(paths, structure.flatten_up_to(updates), leaves, strict=True):
        if path in shares:
            share = shares[path]
            share = share.reshape(share.shape + (1,) * (w.ndim - share.ndim))
            u = upcast(u) - share * upcast(w)
        across.append(u)
    return structure.unflatten(across)
