"""An optimizer on one coordinate of a noisy quadratic, written as a linear map: the mechanism behind this package."""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from lbexp.theory.limits import require


class Update(NamedTuple):
    """z <- matrix z + response xi, with xi the deviation of the update's target from its mean."""

    matrix: Any  # [n, n]
    response: Any  # [n]


class Process(NamedTuple):
    """Updates 1 .. k-1 of a cycle are `inner`, update k is `last`; without lookahead k = 1.

    The state z holds deviations from the optimum: fast weights, momentum buffer and, where they exist, slow weights,
    the buffer at the start of the cycle, the average. `fast`, `evaluation` and `copies` are vectors [n] of zeros and
    ones: fast @ z are the fast weights, evaluation @ z / (1 - decay^t) after t updates the weights to deploy (decay is
    0 where nothing is averaged); copies marks what holds the weights at the start.
    """

    inner: Update
    last: Update
    k: Any
    fast: Any
    evaluation: Any
    copies: Any
    decay: Any


def process(
    learning_rate: Any,
    curvature: Any,
    momentum: Any = 0.0,
    nesterov: bool = False,
    k: Any = None,
    slow_step_size: Any = 0.5,
    buffer: str = 'maintain',
    ema_decay: Any = None,
    tail: bool = False,
) -> Process:
    """The linear map of SGD or momentum, Lookahead around it, and an average of its weights, on 1/2 a (x - c)^2.

    One update with the gradient g = a (x - xi), where xi = c - x* is the noise and x counts from the optimum:

        m <- beta m + g,   x <- x - rate m                (heavy ball; SGD is beta = 0)
                           x <- x - rate (g + beta m)     (Nesterov, with the new m)

    Inserting the first line into the second gives the matrices on (x, m), with h = rate a:

        heavy ball  [[1 - h, -rate beta], [a, beta]],                 noise (h, -a)
        Nesterov    [[1 - (1 + beta) h, -rate beta^2], [a, beta]],    noise ((1 + beta) h, -a)

    Lookahead keeps slow weights s. After every k-th update s <- s + alpha (x - s), x <- s, and the buffer is kept
    (maintain), set to 0 (reset), or becomes alpha m + (1 - alpha) m_start, with m_start its value after the last
    synchronisation and 0 before the first (interpolate). An average sees the weights after the update and after the
    synchronisation: y <- d y + (1 - d) x, y_0 = 0 (EMA; y / (1 - d^t) is without bias), or y <- y + x (tail average).

    Args:
        learning_rate: rate > 0.
        curvature: a > 0, an eigenvalue of the Hessian.
        momentum: beta in [0, 1).
        nesterov: whether momentum is Nesterov's.
        k: updates per cycle, >= 1; None: no lookahead.
        slow_step_size: alpha in (0, 1].
        buffer: 'maintain', 'reset' or 'interpolate'.
        ema_decay: d in [0, 1); None: no average.
        tail: carry the sum of the fast weights, see `noisy_quadratic.tail_average`.

    All arguments but `nesterov`, `buffer` and `tail` are scalars and may be traced: vmap over coordinates and grids.

    Raises:
        ValueError: an argument out of range.

    Source: Zhang, Lucas, Ba, Hinton 2019, arXiv:1907.08610, Algorithm 1 and Appendix B; Zhang et al. 2019,
    arXiv:1907.04164, Section 3. The buffer convention is optax.trace's.
    """
    _check(learning_rate, curvature, momentum, k, slow_step_size, buffer, ema_decay)
    return _build(learning_rate, curvature, momentum, nesterov, k, slow_step_size, buffer, ema_decay, tail)


def product(a: Any, b: Any) -> Any:
    """Matrix product of small matrices: sums of elementwise products, exact in float32 on every platform."""
    return jnp.sum(a[..., :, :, None] * b[..., None, :, :], axis=-2)


@partial(jax.jit, static_argnames=('nesterov', 'buffer', 'tail'))
def _build(learning_rate, curvature, momentum, nesterov, k, slow_step_size, buffer, ema_decay, tail):
    names = ['fast', 'momentum']
    names += [] if k is None else ['slow', 'start'] if buffer == 'interpolate' else ['slow']
    names += ['average'] if tail or ema_decay is not None else []
    one = {name: {name: 1.0} for name in names}
    gain = (1 + momentum) if nesterov else 1.0
    step = {
        'fast': {
            'fast': 1 - gain * learning_rate * curvature,
            'momentum': -learning_rate * momentum * (momentum if nesterov else 1.0),
        },
        'momentum': {'fast': curvature, 'momentum': momentum},
    }
    matrix = _matrix(names, one | step)
    response = _vector(names, {'fast': gain * learning_rate * curvature, 'momentum': -curvature})
    synchronise = _matrix(names, one | _synchronisation(slow_step_size, buffer)) if k is not None else None
    keep, add = (1.0, 1.0) if tail else (ema_decay, 1 - ema_decay if ema_decay is not None else None)
    average = _matrix(names, one | {'average': {'average': keep, 'fast': add}}) if 'average' in names else None
    deployed = 'average' if ema_decay is not None else 'slow' if k is not None else 'fast'
    return Process(
        inner=_chain(Update(matrix, response), average),
        last=_chain(_chain(Update(matrix, response), synchronise), average),
        k=jnp.asarray(1 if k is None else k),
        fast=_vector(names, {'fast': 1.0}),
        evaluation=_vector(names, {deployed: 1.0}),
        copies=_vector(names, {name: 1.0 for name in names if name in ('fast', 'slow')}),
        decay=jnp.asarray(0.0 if ema_decay is None else ema_decay, jnp.result_type(float)),
    )


def _check(learning_rate, curvature, momentum, k, slow_step_size, buffer, ema_decay):
    require('learning_rate', learning_rate, learning_rate > 0, 'a number > 0')
    require('curvature', curvature, curvature > 0, 'a number > 0: a flat or concave coordinate has no fixed point')
    require('momentum', momentum, (momentum >= 0) & (momentum < 1), '0 <= momentum < 1')
    if k is not None:
        require('k', k, k >= 1, 'a whole number of updates per cycle, >= 1')
        require('slow_step_size', slow_step_size, (slow_step_size > 0) & (slow_step_size <= 1), '(0, 1]')
    if ema_decay is not None:
        require('ema_decay', ema_decay, (ema_decay >= 0) & (ema_decay < 1), '0 <= ema_decay < 1')
    modes = ('maintain', 'reset', 'interpolate')
    require('buffer', buffer, buffer in modes, ', '.join(modes))


def _synchronisation(alpha, buffer):
    slow = {'slow': 1 - alpha, 'fast': alpha}
    kept = {
        'maintain': {'momentum': 1.0},
        'reset': {},
        'interpolate': {'momentum': alpha, 'start': 1 - alpha},
    }[buffer]
    return {'slow': slow, 'fast': slow, 'momentum': kept, 'start': kept}


def _chain(first, matrix):
    """`first`, then z <- matrix z."""
    if matrix is None:
        return first
    return Update(product(matrix, first.matrix), product(matrix, first.response[:, None])[:, 0])


def _matrix(names, rows):
    return jnp.stack([_vector(names, rows[name]) for name in names])


def _vector(names, entries):
    dtype = jnp.result_type(float, *entries.values())
    return jnp.stack([jnp.asarray(entries.get(name, 0.0), dtype) for name in names])
