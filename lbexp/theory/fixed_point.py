"""Where the covariance of a noisy quadratic comes to rest, and how fast."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from lbexp.shapes import Covariances, Flag, Matrix, Scalar
from lbexp.theory.limits import as_numpy, require
from lbexp.theory.linear_maps import Rest, rest_of_covariance, spectral_radius
from lbexp.theory.noisy_quadratic import State, cycle_change, spread_after, trajectory
from lbexp.theory.process import Process, external_covariance

# What errors say is allowed of a spectral radius.
STABILITY_RULE = 'below 1, by more than what rounding makes of it'


class FixedPoint(NamedTuple):
    """Stationary covariance of the state; the stationary mean is 0, the optimum."""

    # at the end of a cycle, that is: right after a synchronisation. inf where not stable
    covariance: Matrix
    # mean over the k updates of a cycle: what one sees who looks after every update
    average: Matrix
    radius: Scalar  # spectral radius of one cycle
    stable: Flag  # radius < 1, by more than rounding
    gap: Scalar  # 1 - radius, with all its digits where the radius itself rounds to 1


def fixed_point(process: Process, noise: Any) -> FixedPoint:
    """Solves covariance = C covariance C^T + spread for the map (C, spread) of one cycle.

    As the sum of C^j spread C^jT, by doubling, S_2T = S_T + C^T S_T C^TT, on the change C - I: as
    accurate for a rate times curvature of 1e-12 as for one of 0.1, in either precision. One step of
    refinement follows; where it moves a variance by more than a thousandth, as within rounding of
    the limit of stability, nothing is returned: `stable` is False there. The sum is a covariance
    iff the spectral radius of C is below 1.

    Args:
        process: from `process`; vmap for many coordinates.
        noise: sigma^2 / B >= 0, variance of the mean target of one update.

    Raises:
        ValueError: not stable; with traced numbers the covariance is inf and `stable` False
            instead.
    """
    require('noise', noise, as_numpy(noise) >= 0, 'a variance >= 0')
    rest = _solve(process, noise)
    rule = (
        f'{STABILITY_RULE}: lower the learning rate (limits.learning_rate_limit), the momentum, or '
        'change k'
    )
    require('spectral radius of a cycle', rest.radius, rest.stable, rule)
    return rest


def within_cycle(process: Process, noise: Any, covariance: Matrix, k: int) -> Covariances:
    """Covariances [k + 1, n, n] at inner updates 0 .. k of a stationary cycle; 0 and k are
    synchronisations.

    Args:
        covariance: at the end of a cycle, from fixed_point.
        k: updates per cycle, a plain int (it is a shape).
    """
    start = State(jnp.zeros_like(process.fast), covariance)
    cycle = process._replace(k=jnp.asarray(k))
    return trajectory(cycle, noise, start, k).covariance


@jax.jit
def _solve(process, noise):
    change, spread = cycle_change(process)
    rest = rest_of_covariance(change, spread)

    def add(_, carry):
        total, spread = carry
        return total + spread, spread_after(process.inner, spread)

    nothing = jnp.zeros_like(rest.value)
    settled = jnp.where(rest.settled, rest.value, 0.0)
    total, _ = jax.lax.fori_loop(0, process.k, add, (nothing, settled))

    def outside(value):
        return jnp.where(rest.settled, external_covariance(process, value, noise), jnp.inf)

    radius, gap = radius_and_gap(rest, change)
    return FixedPoint(
        covariance=outside(rest.value),
        average=outside(total * (1 / process.k)),
        radius=radius,
        stable=rest.settled,
        gap=gap,
    )


def radius_and_gap(rest: Rest, change: Matrix) -> tuple[Scalar, Scalar]:
    """The spectral radius of I + change, and 1 - radius: of what came to rest with the digits that
    it has there."""
    identity = jnp.eye(change.shape[0], dtype=change.dtype)
    radius = jnp.where(rest.settled, jnp.exp(rest.log_radius), spectral_radius(identity + change))
    gap = jnp.where(rest.settled, -jnp.expm1(rest.log_radius), 1 - radius)
    return radius, gap
