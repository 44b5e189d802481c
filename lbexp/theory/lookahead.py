"""Lookahead on a quadratic: the cycle as an explicit matrix, Proposition 2, the saw-tooth within a
cycle."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from lbexp.shapes import TwoByTwo
from lbexp.theory.geometric import complement, mean_complement, power, supplement
from lbexp.theory.limits import require
from lbexp.theory.linear_maps import compose
from lbexp.theory.process import process
from lbexp.theory.stationary_variance import stationary_variance


def lookahead(
    learning_rate: Any,
    curvature: Any,
    momentum: Any = 0.0,
    nesterov: bool = False,
    k: Any = 5,
    slow_step_size: Any = 0.5,
    buffer_policy: str = 'maintain',
) -> TwoByTwo:
    """The matrix [2, 2] of one cycle on (weights, buffer), from synchronisation to synchronisation.

        C = P M^k + R

    At a synchronisation slow and fast weights are equal, so the two numbers are the whole state. M
    is the optimizer's step (process.py); P and R are diagonal:

        weights       P = alpha,  R = 1 - alpha
        buffer        maintain 1, 0;   reset 0, 0;   interpolate alpha, 1 - alpha

    Without momentum this says that a cycle multiplies the mean by 1 - alpha + alpha (1 - rate a)^k.
    Arguments as in `process`, scalars.

    Source: Zhang et al. 2019, arXiv:1907.08610, Section 3.2 and Appendix C.
    """
    # checks the arguments
    process(learning_rate, curvature, momentum, nesterov, k, slow_step_size, buffer_policy)
    return _cycle(learning_rate, curvature, momentum, nesterov, k, slow_step_size, buffer_policy)


def proposition_2(
    learning_rate: Any, curvature: Any, noise: Any, k: Any, slow_step_size: Any
) -> Any:
    """V* of Lookahead's slow weights around SGD.

        V*_LA = alpha^2 (1 - r^2k) / (alpha^2 (1 - r^2k) + 2 alpha (1 - alpha)(1 - r^k)) V*_SGD,   r
        = 1 - rate a

    A cycle is x <- (1 - alpha) x + alpha (r^k x + e) with Var e = (1 - r^2k) V*_SGD, so
    V = (1 - alpha + alpha r^k)^2 V + alpha^2 (1 - r^2k) V*_SGD, and with q = r^k
    1 - (1 - alpha (1 - q))^2 = alpha (1 - q)(2 - alpha (1 - q)) = alpha^2 (1 - q^2) + 2 alpha (1 -
    alpha)(1 - q). Cancelling alpha (1 - q): V*_LA = alpha (1 + q) / (alpha (1 + q) + 2 (1 - alpha))
    V*_SGD, the form computed here, which stays accurate as rate a -> 0 and shows V*_LA < V*_SGD for
    0 < alpha < 1.

    Args:
        learning_rate: rate, 0 < rate < 2 / a. For odd k and small alpha Lookahead is stable a
            little beyond, where there is no V*_SGD to compare with: `fixed_point` covers that.
        noise: sigma^2 / B >= 0.
        k: updates per cycle, >= 1.
        slow_step_size: alpha in (0, 1].

    Source: Zhang, Lucas, Ba, Hinton 2019, arXiv:1907.08610, Proposition 2.
    """
    alpha, k = jnp.asarray(slow_step_size), jnp.asarray(k)
    require('slow_step_size', alpha, (alpha > 0) & (alpha <= 1), '(0, 1]')
    require('k', k, k >= 1, 'an integer (updates per cycle) >= 1')
    sgd, h = _sgd(learning_rate, curvature, noise)
    # alpha (1 + q): the form at the end of the docstring, where nothing cancels.
    rise = alpha * supplement(h, k)
    share = rise / (rise + 2 * (1 - alpha))
    return jnp.where(jnp.isinf(sgd), jnp.inf, share * sgd)


def variance_within_cycle(
    learning_rate: Any, curvature: Any, noise: Any, k: Any, slow_step_size: Any, j: Any
) -> Any:
    """Variance of the fast weights of Lookahead around SGD, j updates after a synchronisation,
    before the next.

        V_j = r^2j V*_LA + (1 - r^2j) V*_SGD

    rises from V*_LA towards V*_SGD and falls back at the synchronisation: a saw-tooth.

    Args:
        j: 0 <= j <= k; j = k is the instant before the weights are pulled back. The others as in
            proposition_2.
    """
    is_within = (jnp.asarray(j) >= 0) & (jnp.asarray(j) <= k)
    require('j', j, is_within, '0 <= j <= k')
    sgd, h = _sgd(learning_rate, curvature, noise)
    slow = proposition_2(learning_rate, curvature, noise, k, slow_step_size)
    is_finite = jnp.isfinite(sgd)
    squared = 2 * jnp.asarray(j)  # r^2j
    of_slow = power(h, squared) * jnp.where(is_finite, slow, 0)
    of_sgd = complement(h, squared) * sgd
    return jnp.where(is_finite, of_slow + of_sgd, jnp.inf)


def variance_over_cycle(
    learning_rate: Any, curvature: Any, noise: Any, k: Any, slow_step_size: Any
) -> Any:
    """Variance of the fast weights seen after every update, the mean of V_0 .. V_{k-1}:

        V*_SGD - (V*_SGD - V*_LA) (1 - r^2k) / (k (1 - r^2)) = V*_LA + (V*_SGD - V*_LA) mean_j (1 -
        r^2j)

    What a measurement after each update averages to: update k shows V_0, as its synchronisation is
    done.
    """
    sgd, h = _sgd(learning_rate, curvature, noise)
    slow = proposition_2(learning_rate, curvature, noise, k, slow_step_size)
    is_finite = jnp.isfinite(sgd)
    risen = mean_complement(h * (2 - h), k)  # mean of 1 - r^2j
    mean = jnp.where(is_finite, slow, 0) * (1 - risen) + sgd * risen
    return jnp.where(is_finite, mean, jnp.inf)


def _sgd(learning_rate, curvature, noise):
    """(V* of SGD, h = rate a; where that is not stable 1, so that no NaN is made)."""
    sgd = stationary_variance(learning_rate, curvature, noise)
    h = jnp.asarray(learning_rate) * curvature
    return sgd, jnp.where(jnp.isinf(sgd), 1.0, h)


@partial(jax.jit, static_argnames=('nesterov', 'buffer_policy'))
def _cycle(learning_rate, curvature, momentum, nesterov, k, slow_step_size, buffer_policy):
    step = process(learning_rate, curvature, momentum, nesterov)
    nothing = jnp.zeros_like(step.inner.change)

    def add_step(_, earlier):
        return compose(step.inner.change, earlier)

    change = jax.lax.fori_loop(0, k, add_step, nothing)  # M^k - I
    alpha = jnp.asarray(slow_step_size, change.dtype)
    # The buffer counts in units of 1 / rate there.
    change = change * step.units[:, None] * (1 / step.units)[None, :]
    one, zero = jnp.ones_like(alpha), jnp.zeros_like(alpha)
    match buffer_policy:
        case 'maintain':
            gain, loss = one, zero
        case 'reset':
            gain, loss = zero, one
        case _:
            gain, loss = alpha, zero
    # P M^k + R = I + P (M^k - I) - (I - P - R)
    identity = jnp.eye(2, dtype=change.dtype)
    kept = jnp.stack([alpha, gain])[:, None] * change
    lost = jnp.diag(jnp.stack([zero, loss]))
    return identity + kept - lost
