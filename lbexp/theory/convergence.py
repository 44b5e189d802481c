"""How fast momentum and Lookahead around it converge on a quadratic without noise."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from lbexp.theory.limits import learning_rate_limit, require


def convergence(
    learning_rate: Any,
    curvature: Any,
    momentum: Any = 0.0,
    nesterov: bool = False,
    k: Any = 1,
    slow_step_size: Any = 1.0,
    buffer: str = 'maintain',
) -> Any:
    """Rate per update at which one mode of a quadratic converges: the error falls like (1 - rate)^t.

        rate = 1 - rho(C)^(1/k)

    with C the cycle of `lookahead.lookahead`; k = 1, alpha = 1 is the optimizer alone. Negative: it diverges.
    Arguments as in `process`; numbers or arrays that broadcast.

    Source: Zhang et al. 2019, arXiv:1907.08610, Section 3.2 and Figure 3.
    """
    return -jnp.expm1(jnp.log(_radius(learning_rate, curvature, momentum, nesterov, k, slow_step_size, buffer)) / k)


def rate_on_spectrum(condition: Any, learning_rate: Any, points: int = 4096, **settings: Any) -> Any:
    """The slowest mode's rate on a quadratic with curvatures from 1 / condition to 1.

    The minimum over `points` curvatures, half of them even in log a, half in sqrt(a), where the phases of under-damped
    modes are even: Lookahead's rate oscillates with k times the phase.

    Args:
        condition: kappa >= 1.
        settings: momentum, nesterov, k, slow_step_size, buffer of `convergence`.
    """
    require('condition', condition, jnp.asarray(condition) >= 1, 'a condition number >= 1')
    low = -jnp.log(jnp.asarray(condition, jnp.result_type(float)))
    even = jnp.linspace(0.0, 1.0, points // 2)
    root = jnp.exp(low / 2)
    spectrum = jnp.concatenate([jnp.exp(low * (1 - even)), (root + (1 - root) * even) ** 2])
    return convergence(learning_rate, spectrum, **settings).min()


def tuned_rate(
    condition: Any, momentum: Any = 0.0, nesterov: bool = False, points: int = 4096, **settings: Any
) -> tuple[Any, Any]:
    """(rate, learning rate): the best learning rate for a condition number, all else fixed.

    A grid of 400 learning rates, even in the logarithm below the optimizer's stability limit and again towards the
    limit, then four rounds of 17 around the best. The rate of Lookahead has many maxima; the grid finds the right
    one where it is wider than 2 % of the learning rate (not so at kappa = 1, where single points are nilpotent).

    Args:
        condition: kappa >= 1.
        settings: k, slow_step_size, buffer.
    """
    limit = learning_rate_limit(1.0, momentum, nesterov)
    rate = lambda g: rate_on_spectrum(condition, g, points, momentum=momentum, nesterov=nesterov, **settings)
    grid = limit * jnp.concatenate([jnp.geomspace(1e-3, 0.9, 336), 1 - jnp.geomspace(0.1, 1e-9, 64)])
    rates = jax.lax.map(rate, grid)
    for _ in range(4):
        best = jnp.argmax(rates)
        last = grid.shape[0] - 1
        low, high = grid[jnp.maximum(best - 1, 0)], grid[jnp.minimum(best + 1, last)]
        old, old_rate = grid[best], rates[best]
        # The best so far stays in the grid, so that a round never loses it.
        grid = jnp.sort(jnp.append(low + (high - low) * jnp.linspace(0.0, 1.0, 17), old))
        rates = jnp.where(grid == old, old_rate, jax.lax.map(rate, grid))
    best = jnp.argmax(rates)
    return rates[best], grid[best]


def damping(learning_rate: Any, curvature: Any, momentum: Any) -> Any:
    """Discriminant of heavy ball on one mode: negative where it is under-damped (it oscillates), positive over-damped.

        (1 + beta - h)^2 - 4 beta,   h = rate a

    zero, critical damping, at h = (1 - sqrt(beta))^2 and (1 + sqrt(beta))^2. An under-damped mode decays like
    sqrt(beta)^t whatever its curvature.
    """
    return (1 + jnp.asarray(momentum) - learning_rate * jnp.asarray(curvature)) ** 2 - 4 * jnp.asarray(momentum)


@partial(jax.jit, static_argnames=('nesterov', 'buffer'))
def _radius(learning_rate, curvature, momentum, nesterov, k, slow_step_size, buffer):
    """Spectral radius of lookahead.lookahead(...) without forming it: fast on large grids.

    By Cayley and Hamilton M^k = s_k M - D s_{k-1}, s_{j+1} = T s_j - D s_{j-1}, s_0 = 0, s_1 = 1, T and D the trace and
    determinant of M; then trace and determinant of C = P M^k + R, and the larger root.
    """
    beta, rate, a = jnp.asarray(momentum), jnp.asarray(learning_rate), jnp.asarray(curvature)
    alpha, h = jnp.asarray(slow_step_size), rate * a
    # The step's entries, as in process.py.
    xx, xm = (1 - (1 + beta) * h, -rate * beta**2) if nesterov else (1 - h, -rate * beta)
    trace, determinant = xx + beta, xx * beta - xm * a
    kept, old = {'maintain': (1.0, 0.0), 'reset': (0.0, 0.0), 'interpolate': (alpha, 1 - alpha)}[buffer]
    pair = (jnp.zeros_like(trace), jnp.ones_like(trace))
    before, power = jax.lax.fori_loop(1, k, lambda _, s: (s[1], trace * s[1] - determinant * s[0]), pair)
    slow = alpha * (power * xx - determinant * before) + 1 - alpha
    fast = kept * (power * beta - determinant * before) + old
    # trace^2 / 4 - det = ((slow - fast) / 2)^2 + off-diagonal product: no cancellation for well-separated roots.
    half, discriminant = (slow + fast) / 2, ((slow - fast) / 2) ** 2 + alpha * kept * power**2 * xm * a
    real = jnp.abs(half) + jnp.sqrt(jnp.maximum(discriminant, 0.0))
    return jnp.where(discriminant >= 0, real, jnp.sqrt(half**2 + jnp.maximum(-discriminant, 0.0)))
