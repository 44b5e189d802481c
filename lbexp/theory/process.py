"""An optimizer on one coordinate of a noisy quadratic, written as a linear map: the mechanism
behind this package."""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from lbexp.shapes import Columns, Matrix, Scalar, Vector
from lbexp.theory.limits import require, require_optimizer
from lbexp.theory.linear_maps import compose, moved


class Update(NamedTuple):
    """w <- w + change w + noise_gain h xi, with xi the deviation of the update's target from its
    mean.

    The change, not the matrix I + change: at a rate times curvature h below the rounding of 1 the
    matrix knows nothing of h any more. For the same reason w holds differences (see Process), and
    noise_gain comes without its factor h.
    """

    change: Matrix
    noise_gain: Vector

    def then(self, change: Matrix) -> 'Update':
        """This update, then w <- w + change w."""
        return Update(compose(change, self.change), moved(change, self.noise_gain))


class Process(NamedTuple):
    """Updates 1 .. k-1 of a cycle are `inner`, update k is `last`; without lookahead k = 1.

    The state z holds deviations from the optimum: fast weights, momentum buffer and, where they
    exist, slow weights, the buffer at the start of the cycle, the average. `fast`, `evaluation` and
    `initial_mask` are vectors of zeros and ones: fast @ z are the fast weights,
    evaluation @ z / (1 - (1 - averaging)^t) after t updates the weights to deploy; initial_mask
    marks what holds the weights at the start.

    Updates move w, with z = units * w + offset * (base @ w): fast weights relative to slow ones,
    where there are slow ones, and buffers in units of 1 / rate. `internal` and `external` (below)
    translate.
    """

    inner: Update
    last: Update
    k: Any
    fast: Vector
    evaluation: Vector
    initial_mask: Vector
    averaging: Scalar  # 1 - decay of an average; 1 where nothing is averaged
    step: Scalar  # h = rate * curvature
    units: Vector
    offset: Vector
    base: Vector


def process(
    learning_rate: Any,
    curvature: Any,
    momentum: Any = 0.0,
    nesterov: bool = False,
    k: Any = None,
    slow_step_size: Any = 0.5,
    buffer_policy: str = 'maintain',
    ema_decay: Any = None,
    tail: bool = False,
) -> Process:
    """The linear map of SGD or momentum, Lookahead around it, and an average of its weights, on 1/2
    a (x - c)^2.

    One update with the gradient g = a (x - xi), where xi = c - x* is the noise and x counts from
    the optimum:

        m <- beta m + g,   x <- x - rate m                (heavy ball; SGD is beta = 0)
                           x <- x - rate (g + beta m)     (Nesterov, with the new m)

    Inserting the first line into the second gives the changes of (x, rate m), with h = rate a:

        heavy ball  [[-h, -beta], [h, -(1 - beta)]],                 noise (h, -h)
        Nesterov    [[-(1 + beta) h, -beta^2], [h, -(1 - beta)]],    noise ((1 + beta) h, -h)

    Lookahead keeps slow weights s. After every k-th update s <- s + alpha (x - s), x <- s, and the
    buffer is kept (maintain), set to 0 (reset), or becomes alpha m + (1 - alpha) m_start, with
    m_start its value after the last synchronisation and 0 before the first (interpolate). An
    average sees the weights after the update and after the synchronisation: y <- d y + (1 - d) x,
    y_0 = 0 (EMA; y / (1 - d^t) is without bias), or y <- y + x (tail average).

    Args:
        learning_rate: rate > 0.
        curvature: a > 0, an eigenvalue of the Hessian.
        momentum: beta in [0, 1).
        nesterov: whether momentum is Nesterov's.
        k: updates per cycle, >= 1; None: no lookahead.
        slow_step_size: alpha in (0, 1].
        buffer_policy: 'maintain', 'reset' or 'interpolate'.
        ema_decay: d in [0, 1); None: no average.
        tail: carry the sum of the fast weights, see `noisy_quadratic.tail_average`.

    All arguments but `nesterov`, `buffer_policy` and `tail` are scalars and may be traced: vmap
    over coordinates and grids.

    Raises:
        ValueError: an argument out of range.

    Source: Zhang, Lucas, Ba, Hinton 2019, arXiv:1907.08610, Algorithm 1 and Appendix B; Zhang et
        al. 2019,
    arXiv:1907.04164, Section 3. The buffer convention is optax.trace's.
    """
    require_optimizer(learning_rate, curvature, momentum, k, slow_step_size)
    _require_policies(buffer_policy, ema_decay)
    # Outside of jit, where a Python number still has its float64 digits.
    averaging = None
    if ema_decay is not None:
        averaging = 1 - ema_decay
    return _build(
        learning_rate,
        curvature,
        momentum,
        1 - momentum,
        nesterov,
        k,
        slow_step_size,
        buffer_policy,
        averaging,
        tail,
    )


def internal(process: Process, vectors: Columns) -> Columns:
    """w of z, for vectors as columns."""
    anchor = _anchor(process, vectors)
    from_anchor = vectors - process.offset[:, None] * anchor
    return from_anchor * (1 / process.units)[:, None]


def external(process: Process, vectors: Columns, scale: Any = 1.0) -> Columns:
    """scale z of w, for vectors as columns."""
    anchor = _anchor(process, vectors)
    units, offset = scale * process.units, scale * process.offset
    return units[:, None] * vectors + offset[:, None] * anchor


def _anchor(process, vectors):
    """base @ w [1, m]: the slow weights, which the fast ones count from."""
    return jnp.sum(process.base[:, None] * vectors, axis=0, keepdims=True)


def internal_covariance(process: Process, covariance: Matrix) -> Matrix:
    """Covariance of w, of that of z."""
    return internal(process, internal(process, covariance).T).T


def external_covariance(process: Process, covariance: Matrix, noise: Any = None) -> Matrix:
    """Covariance of z, of that of w; with a noise v, of that of w over v h^2, the product never
    formed."""
    if noise is None:
        return external(process, external(process, covariance).T).T
    h = process.step
    scaled_columns = external(process, covariance, h)
    return noise * external(process, scaled_columns.T, h).T


@partial(jax.jit, static_argnames=('nesterov', 'buffer_policy', 'tail'))
def _build(
    learning_rate,
    curvature,
    momentum,
    damping,
    nesterov,
    k,
    slow_step_size,
    buffer_policy,
    averaging,
    tail,
):
    """The rows are changes: 'fast' is x - s where there are slow weights s, else x; 'momentum' is
    rate m."""
    h = learning_rate * curvature
    names = _names(k is not None, buffer_policy, tail or averaging is not None)
    update = _optimizer_step(names, h, momentum, damping, nesterov)
    inner, last = _cycle(names, update, k, slow_step_size, buffer_policy, averaging, tail)
    deployed, offset = 'fast', ()
    if k is not None:
        deployed, offset = 'slow', ('fast',)
    if averaging is not None:
        deployed = 'average'

    def ones(*chosen):
        return _vector(names, dict.fromkeys(chosen, 1.0))

    buffers = ones('momentum', 'start')
    dtype = buffers.dtype
    return Process(
        inner=inner,
        last=last,
        k=jnp.asarray(1 if k is None else k),
        fast=ones('fast'),
        evaluation=ones(deployed),
        initial_mask=ones('fast', 'slow'),
        averaging=jnp.asarray(1.0 if averaging is None else averaging, dtype),
        step=jnp.asarray(h, dtype),
        units=jnp.where(buffers > 0, jnp.asarray(1 / learning_rate, dtype), 1.0),
        offset=ones(*offset),
        base=ones('slow'),
    )


def _cycle(names, update, k, slow_step_size, buffer_policy, averaging, tail):
    """(an update inside a cycle, its last one, after which slow weights are synchronised)."""
    last = update
    if k is not None:
        last = last.then(_matrix(names, _synchronisation(slow_step_size, buffer_policy)))
    if 'average' not in names:
        return update, last
    # An average sees the weights after the synchronisation.
    average = _average(names, averaging, tail)
    return update.then(average), last.then(average)


def _names(has_slow_weights, buffer_policy, has_average):
    """What the state holds, in its order."""
    names = ['fast', 'momentum']
    if has_slow_weights:
        names.append('slow')
        if buffer_policy == 'interpolate':
            names.append('start')
    if has_average:
        names.append('average')
    return names


def _average(names, averaging, tail):
    """Changes: y <- y + averaging (x - y), or y <- y + x: the sum of a tail forgets nothing."""
    share, forgotten = averaging, averaging
    if tail:
        share, forgotten = 1.0, 0.0
    row = {**_weights(names, share), 'average': -forgotten}
    return _matrix(names, {'average': row})


def _optimizer_step(names, h, momentum, damping, nesterov):
    """The changes of (x, rate m) in the docstring of `process`, and the noise over h."""
    gain, carried = 1.0, momentum
    if nesterov:
        gain, carried = 1 + momentum, momentum**2
    rows = {
        'fast': {**_weights(names, -gain * h), 'momentum': -carried},
        'momentum': {**_weights(names, h), 'momentum': -damping},
    }
    noise_gain = {'fast': gain, 'momentum': -1.0}
    return Update(_matrix(names, rows), _vector(names, noise_gain))


def _weights(names, factor):
    """factor x, in terms of w: x is (x - s) + s where there are slow weights s."""
    return {name: factor for name in ('fast', 'slow') if name in names}


def _require_policies(buffer_policy, ema_decay):
    if ema_decay is not None:
        require('ema_decay', ema_decay, (ema_decay >= 0) & (ema_decay < 1), '0 <= ema_decay < 1')
    policies = ('maintain', 'reset', 'interpolate')
    require('buffer_policy', buffer_policy, buffer_policy in policies, ', '.join(policies))


def _synchronisation(alpha, buffer_policy):
    """Changes: s <- s + alpha (x - s), x - s <- 0, and the buffer."""
    buffer_rows = {
        'maintain': {},
        'reset': {'momentum': {'momentum': -1.0}},
        'interpolate': {
            'momentum': {'momentum': alpha - 1, 'start': 1 - alpha},
            'start': {'momentum': alpha, 'start': -alpha},
        },
    }[buffer_policy]
    return {'slow': {'fast': alpha}, 'fast': {'fast': -1.0}, **buffer_rows}


def _matrix(names, rows):
    vectors = []
    for name in names:
        vectors.append(_vector(names, rows.get(name, {})))
    return jnp.stack(vectors)


def _vector(names, entries):
    dtype = jnp.result_type(float, *entries.values())
    numbers = []
    for name in names:
        numbers.append(jnp.asarray(entries.get(name, 0.0), dtype))
    return jnp.stack(numbers)
