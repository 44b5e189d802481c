"""How fast momentum and Lookahead around it converge on a quadratic without noise."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from lbexp.theory.geometric import complement
from lbexp.theory.limits import learning_rate_limit, require


def convergence(
    learning_rate: Any,
    curvature: Any,
    momentum: Any = 0.0,
    nesterov: bool = False,
    k: Any = 1,
    slow_step_size: Any = 1.0,
    buffer_policy: str = 'maintain',
) -> Any:
    """Rate per update at which one mode of a quadratic converges: the error falls like (1 -
    rate)^t.

        rate = 1 - rho(C)^(1/k)

    with C the cycle of `lookahead.lookahead`; k = 1, alpha = 1 is the optimizer alone. Negative: it
    diverges. Arguments as in `process`; numbers or arrays that broadcast.

    Source: Zhang et al. 2019, arXiv:1907.08610, Section 3.2 and Figure 3.
    """
    log_radius = _log_radius(
        learning_rate,
        curvature,
        momentum,
        1 - momentum,
        nesterov,
        k,
        slow_step_size,
        buffer_policy,
    )
    return -jnp.expm1(log_radius / k)


def rate_on_spectrum(
    condition: Any, learning_rate: Any, points: int = 4096, **settings: Any
) -> Any:
    """The slowest mode's rate on a quadratic with curvatures from 1 / condition to 1.

    The minimum over `points` curvatures, half of them even in log a, half in sqrt(a), where the
    phases of under-damped modes are even: Lookahead's rate oscillates with k times the phase.

    Args:
        condition: kappa >= 1.
        settings: momentum, nesterov, k, slow_step_size, buffer_policy of `convergence`.
    """
    require('condition', condition, jnp.asarray(condition) >= 1, 'a condition number >= 1')
    low = -jnp.log(jnp.asarray(condition, jnp.result_type(float)))  # of the least curvature
    even = jnp.linspace(0.0, 1.0, points // 2)
    root = jnp.exp(low / 2)
    even_in_log = jnp.exp(low * (1 - even))
    even_in_root = (root + (1 - root) * even) ** 2
    spectrum = jnp.concatenate([even_in_log, even_in_root])
    return convergence(learning_rate, spectrum, **settings).min()


def tuned_rate(
    condition: Any, momentum: Any = 0.0, nesterov: bool = False, points: int = 4096, **settings: Any
) -> tuple[Any, Any]:
    """(rate, learning rate): the best learning rate for a condition number, all else fixed.

    A grid of 400 learning rates, even in the logarithm below the optimizer's stability limit and
    again towards the limit, then four rounds of 17 around the best. The rate of Lookahead has many
    maxima; the grid finds the right one where it is wider than 2 % of the learning rate (not so at
    kappa = 1, where single points are nilpotent).

    Args:
        condition: kappa >= 1.
        settings: k, slow_step_size, buffer_policy.
    """
    limit = learning_rate_limit(1.0, momentum, nesterov)

    optimizer = {'momentum': momentum, 'nesterov': nesterov}

    def rate(learning_rate):
        return rate_on_spectrum(condition, learning_rate, points, **optimizer, **settings)

    below_limit = jnp.geomspace(1e-3, 0.9, 336)
    towards_limit = 1 - jnp.geomspace(0.1, 1e-9, 64)
    grid = limit * jnp.concatenate([below_limit, towards_limit])
    rates = jax.lax.map(rate, grid)
    for _ in range(4):
        best = jnp.argmax(rates)
        last = grid.shape[0] - 1
        low = grid[jnp.maximum(best - 1, 0)]
        high = grid[jnp.minimum(best + 1, last)]
        old, old_rate = grid[best], rates[best]
        finer = low + (high - low) * jnp.linspace(0.0, 1.0, 17)
        # The best so far stays in the grid, so that a round never loses it.
        grid = jnp.sort(jnp.append(finer, old))
        rates = jnp.where(grid == old, old_rate, jax.lax.map(rate, grid))
    best = jnp.argmax(rates)
    return rates[best], grid[best]


def damping(learning_rate: Any, curvature: Any, momentum: Any) -> Any:
    """Discriminant of heavy ball on one mode: negative where it is under-damped (it oscillates),
    positive over-damped.

        (1 + beta - h)^2 - 4 beta = ((1 - sqrt(beta))^2 - h) ((1 + sqrt(beta))^2 - h),   h = rate a

    zero, critical damping, at h = (1 - sqrt(beta))^2 and (1 + sqrt(beta))^2. An under-damped mode
    decays like sqrt(beta)^t whatever its curvature.
    """
    h = learning_rate * jnp.asarray(curvature)
    root = jnp.sqrt(jnp.asarray(momentum))
    distance = jnp.asarray(1 - momentum) / (1 + root)  # 1 - sqrt(beta)
    below, above = distance**2 - h, (1 + root) ** 2 - h
    return below * above


@partial(jax.jit, static_argnames=('nesterov', 'buffer_policy'))
def _log_radius(
    learning_rate, curvature, momentum, friction, nesterov, k, slow_step_size, buffer_policy
):
    """Logarithm of the spectral radius of lookahead.lookahead(...), from C - I alone: fast on large
    grids.

    N = M^k - I comes from N <- N + A + N A with A = M - I on (x, rate m), as in process.py. With C
    = P M^k + R, the eigenvalues of I - C are the roots u of u^2 - t u + d. Where they are real, the
    small one is 2 d / (t + root), without cancellation, and 1 - radius = min(u_1, 2 - u_2); where
    not, radius^2 = det C, and 1 - det C again is a sum over N and 1 - det M^k.
    """
    beta = jnp.asarray(momentum)
    friction = jnp.asarray(friction)
    alpha = jnp.asarray(slow_step_size)
    h = jnp.asarray(learning_rate) * curvature
    # The entries of A: what x and rate m (rows x, m) get of each other (columns x, m).
    xx, xm = -h, -beta
    gap = friction  # 1 - det M
    if nesterov:
        xx, xm = -(1 + beta) * h, -(beta**2)
        gap = friction + beta * h
    mx, mm = h, -friction
    nxx, nxm, nmx, nmm = _power_change((xx, xm, mx, mm), k, jnp.result_type(float, h, beta))
    shrunk = complement(gap, k)  # 1 - det M^k
    # Of the buffer P = gain and 1 - P - R = loss; of_det is 1 - det C.
    match buffer_policy:
        case 'maintain':
            gain, loss = 1.0, 0.0
            of_det = alpha * shrunk - (1 - alpha) * nmm
        case 'reset':
            gain, loss = 0.0, 1.0
            of_det = jnp.ones_like(nmm)
        case 'interpolate':
            gain, loss = alpha, 0.0
            of_det = alpha**2 * shrunk - alpha * (1 - alpha) * (nxx + nmm)
        case _:
            raise KeyError(buffer_policy)
    # C - I
    cxx, cxm = alpha * nxx, alpha * nxm
    cmx, cmm = gain * nmx, gain * nmm - loss
    discriminant, real_gap = _real_roots(cxx, cxm, cmx, cmm)

    def log(gap):
        return jnp.log1p(-jnp.minimum(gap, 1.0))

    return jnp.where(discriminant >= 0, log(real_gap), log(of_det) / 2)


def _real_roots(cxx, cxm, cmx, cmm):
    """(discriminant, 1 - radius where it is >= 0) of C, from the entries of C - I."""
    # u^2 - t u + d with t / 2 = middle: real roots are middle +- half.
    middle = -(cxx + cmm) / 2
    discriminant = ((cxx - cmm) / 2) ** 2 + cxm * cmx
    half = jnp.sqrt(jnp.maximum(discriminant, 0.0))
    # The sum of two numbers of one sign; the other root, d / large, then does not cancel either.
    large = jnp.where(middle >= 0, middle + half, middle - half)
    determinant = cxx * cmm - cxm * cmx
    small = determinant / jnp.where(large == 0, 1.0, large)
    # 1 - |1 - u|, of the root for which it is least
    least, greatest = jnp.minimum(small, large), jnp.maximum(small, large)
    return discriminant, jnp.minimum(least, 2 - greatest)


def _power_change(change, k, dtype):
    """The entries of N = (I + A)^k - I, from those of A: N <- N + A + N A, k times."""
    xx, xm, mx, mm = change

    def add(_, power):
        nxx, nxm, nmx, nmm = power
        return (
            nxx + xx + nxx * xx + nxm * mx,
            nxm + xm + nxx * xm + nxm * mm,
            nmx + mx + nmx * xx + nmm * mx,
            nmm + mm + nmx * xm + nmm * mm,
        )

    shape = jnp.broadcast_shapes(*map(jnp.shape, (xx, xm, mm)))
    nothing = jnp.zeros(shape, dtype)
    return jax.lax.fori_loop(0, k, add, (nothing, nothing, nothing, nothing))
