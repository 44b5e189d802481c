"""The gradient noise scale: the batch size at which noise and gradient are of one size."""

import functools
from typing import Annotated, Any, Literal

import jax
import jax.numpy as jnp
from annotated_types import Ge

from lbexp import moments, noise_scale
from lbexp.errors import Refusal
from lbexp.precision import upcast
from lbexp.probes import GradientNoise, Groups, Probe, _window
from lbexp.probes._layers import StackedAxes, by_path, square
from lbexp.ranges import NonNegative, PositiveCount, PositiveInteger

_WHOLE = ''  # the name of all layers together


def gradient_noise_scale(
    groups: PositiveInteger | Literal['examples'] = 1,
    every: PositiveCount = 1,
    batches: Annotated[int, Ge(4)] = 16,
    layers: bool = False,
    stacked_axes: StackedAxes = None,
    preconditioned: bool = False,
    eps: NonNegative = 1e-8,
    prefix: str | None = None,
) -> Probe:
    """B_simple = tr Sigma / |G|^2 [examples], over the updates between two rows.

    Sigma is the covariance of one example's gradient, G the mean gradient. With SGD, a tuned rate
    and a Hessian like the identity an update with a batch of B lowers the loss by 1 / (1 + B_simple
    / B) of what it would without noise: B_simple predicts the critical batch size
    (`theory.critical_batch_size`) within a factor. With other optimizers it is a heuristic.

    Each update gives S, unbiased for tr Sigma, and gamma = |mean g|^2 - S / M, unbiased for |G|^2
    and often negative (`noise_scale.trace`, `.square`). A row has their means over the updates
    since the last one, and the ratio of these means, never a mean of ratios. Errors are by batch
    means, as successive updates are dependent; the interval of the ratio is Fieller's, 95 %, with
    Student's t for the batches that are complete, 4 of them at least. Where the gradient is not
    resolved it is [low, inf): `noise_scale_resolved` is false, and the noise scale is at least
    `noise_scale_low`. Within 20 % takes about 25 (Var S / (tr Sigma)^2 + Var gamma / |G|^4)
    updates.

    What is measured: the gradient of the loss that trains, with dropout and example weights as they
    are, before transforms and clipping. With batch norm the unit is a microbatch, or a piece of it:
    a ghost batch, whose statistics couple its examples. Within a reshuffled epoch of N examples
    Sigma is N / (N - 1) times the examples' covariance, as of draws without replacement, and gamma
    is low by tr Sigma / N.

    Cost: where the microbatches of an accumulation are the groups, one more pass over each gradient
    and over their mean: 1 % of a step of fashion_cnn in microbatches of 64. Dense networks, which
    do little for each parameter, pay more: fashion_mlp 9 % in microbatches of 32 and 5 % in those
    of 128, digits_mlp 4 to 7 %; there each second update costs 3 to 4 %, each eighth 2 to 3.
    Otherwise the gradients of the pieces, about a step more at each update measured, or at each
    update where trials are batched on an accelerator. `scripts/benchmark.py probes` has all.

    Args:
        groups: equal pieces of each microbatch. 1: the microbatches themselves, of which an update
            needs two at least. 'examples': each example is a group. Their squares come from one
            pass more (Goodfellow 2015, arXiv:1510.01799) where the layers are flax.linen.Dense,
            Embed and lbexp's convolutions, each called once; what else there is has its gradients
            computed example by example.
        every: from one update measured to the next, >= 1; may be traced.
        batches: even, >= 4, of the batch means.
        layers: also S and gamma of each parameter. They add up to the whole; ratios do not.
        stacked_axes: leading axes that count layers, as in optimizers.lars.
        preconditioned: of P^-1/2 g in place of g, P = sqrt(v) + eps with the second moment v that
            Adam or LAMB has before the update, for LAMB over the layer's trust ratio of the update
            before: in the coordinates in which their step is gradient descent. v is not corrected
            for its beginning, a factor that leaves the ratio alone. The first update, before which
            there is no v, is left out.
        eps: >= 0, of P [gradient units].
        prefix: of the columns; None: 'preconditioned_' where it is, else ''.

    Columns: noise_scale, noise_scale_low, noise_scale_high (no number where infinite),
    noise_scale_resolved, gradient_trace (S), gradient_trace_error, gradient_square (gamma),
    gradient_square_error, noise_updates (measured); with layers also the four of each parameter,
    'gradient_trace/Dense_0/kernel'.

    Raises:
        ValueError: groups < 1, batches odd or < 4.
        Refusal: preconditioned, and the optimizer has no second moment of each parameter; groups
            'examples' with preconditioned or stacked_axes, which need more than squares.

    Source: McCandlish et al. 2018, arXiv:1812.06162, Section 2.2 and Appendix A.1; Fieller 1954.
    """
    add_squares = None
    if groups == 'examples':
        if preconditioned or stacked_axes is not None:
            raise Refusal(
                "groups: found 'examples' with preconditioned or stacked_axes, which need more "
                'than the square of each parameter; allowed: an integer'
            )
        add_squares = functools.partial(_add_squares, layers)
    elif groups < 1:
        raise ValueError(f"groups: found {groups}; allowed: an integer >= 1, 'examples'")
    if prefix is None:
        prefix = 'preconditioned_' if preconditioned else ''
    measure = functools.partial(_squares, layers, stacked_axes)
    if preconditioned:
        measure = functools.partial(_preconditioned_squares, layers, stacked_axes, eps)

    def values(noise):
        return jax.tree.map(lambda *pair: jnp.stack(pair), noise.trace, noise.square)

    def init(info):
        squares = jax.eval_shape(measure, info.grads, info.params, info.opt_state)
        noise = GradientNoise(squares, squares, info.loss)
        return _window.window(jax.eval_shape(values, noise), batches)

    def update(state, info):
        due = info.step % every == 0
        if preconditioned:
            due &= info.step > 1
        return _window.add(state, due, values(info.noise), info.logging)

    def summary(state):
        columns = {'noise_updates': state.series.count, **_ratio(state.series)}
        mean, error = _window.mean(state.series), moments.standard_error(state.series)
        for path in mean:
            suffix = f'/{path}' if path else ''
            for i, name in enumerate(('gradient_trace', 'gradient_square')):
                columns[f'{name}{suffix}'] = mean[path][i]
                columns[f'{name}_error{suffix}'] = error[path][i]
        return {prefix + name: value for name, value in columns.items()}

    return Probe(init, update, summary, Groups(measure, groups, every, add_squares))


def _ratio(series):
    means = _window.mean(series)[_WHOLE]
    covariance = _window.covariance(series, series.means[_WHOLE])
    interval = noise_scale.ratio_interval(means, covariance, _window.quantile(series))
    return {
        'noise_scale': means[0] / means[1],
        'noise_scale_low': interval.low,
        'noise_scale_high': interval.high,
        'noise_scale_resolved': interval.is_bounded,
    }


def _squares(layers, stacked_axes, gradient, params, opt_state):
    """Sums of squares, of all and by layer."""
    if not layers:
        return {_WHOLE: square(gradient)}
    squares = jax.tree.map(lambda g: jnp.square(upcast(g)), gradient)
    return _totals(layers, by_path(squares, params, stacked_axes))


def _add_squares(layers, squares, params):
    """As `_squares`, of squares that are summed over each parameter."""
    paths = by_path(params, params, None)
    return _totals(layers, dict(zip(paths, jax.tree.leaves(squares), strict=True)))


def _preconditioned_squares(layers, stacked_axes, eps, gradient, params, opt_state):
    state = _adaptive_state(opt_state, params)

    def over_root(g, v):
        root = jnp.sqrt(v) + eps
        # no gradient so far: none in this update counts, rather than as infinite
        return jnp.where(root > 0, jnp.square(upcast(g)) / jnp.where(root > 0, root, 1), 0)

    squares = by_path(jax.tree.map(over_root, gradient, state.nu), params, stacked_axes)
    if hasattr(state, 'stats'):
        for position, (path, total) in enumerate(squares.items()):
            squares[path] = total * _trust_ratios(state.stats, position, total.shape)
    return _totals(layers, squares)


def _totals(layers, squares):
    totals = {_WHOLE: functools.reduce(jnp.add, map(jnp.sum, squares.values()))}
    if layers:
        totals |= squares
    return totals


def _adaptive_state(opt_state: Any, params: Any):
    """The part of an optimizer's state that has a second moment `nu` of each parameter."""
    structure = jax.tree.structure(params)

    def has_moment(x):
        return hasattr(x, 'nu') and jax.tree.structure(x.nu) == structure

    nodes = jax.tree.leaves(opt_state, is_leaf=has_moment)
    states = [node for node in nodes if has_moment(node)]
    if len(states) != 1:
        raise Refusal(
            f'preconditioned: found an optimizer with {len(states)} second moments like the '
            'parameters; allowed: with one, such as adamw and lamb, or preconditioned=False'
        )
    return states[0]


def _trust_ratios(stats, position, shape):
    """Of the layers of a leaf, 1 where it is not adapted."""
    if not stats.leaf.size:
        return jnp.ones(shape)
    is_of_leaf = stats.leaf == position
    first, count = jnp.argmax(is_of_leaf), max(1, functools.reduce(int.__mul__, shape, 1))
    places = jnp.minimum(first + jnp.arange(count), stats.leaf.size - 1)
    ratios = jnp.where(jnp.any(is_of_leaf), stats.ratio[places], 1)
    return ratios.reshape(shape)
