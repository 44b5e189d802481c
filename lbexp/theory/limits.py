"""Ranges of arguments and limits of stability: told in one line where the numbers are known."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


def require(name: str, value: Any, holds: Any, rule: str):
    """Raises ValueError 'name: found value; allowed: rule' unless `holds` everywhere.

    Traced numbers cannot be looked at: there nothing is raised, and what has no answer comes out as
    inf or with a `stable` flag that is False.

    Args:
        name: of the argument.
        value: what was given; of an array, the first offending entry is told.
        holds: bool, or array of bool that broadcasts against `value`.
        rule: what is allowed, and the remedy.
    """
    if isinstance(holds, jax.core.Tracer) or isinstance(value, jax.core.Tracer):
        return
    holds = np.asarray(holds)
    if holds.all():
        return
    values, is_fine = np.broadcast_arrays(np.asarray(value), holds)
    offending = values[~is_fine]
    raise ValueError(f'{name}: found {offending.flat[0]}; allowed: {rule}')


def as_numpy(value: Any) -> Any:
    """A number or an array as NumPy's, whose comparisons compile nothing; traced, as it is."""
    if isinstance(value, jax.core.Tracer):
        return value
    return np.asarray(value)


def require_optimizer(
    learning_rate: Any, curvature: Any, momentum: Any, k: Any, slow_step_size: Any
) -> None:
    """ValueError: a number of an optimizer, or of Lookahead around it, is out of its range."""
    require('learning_rate', learning_rate, learning_rate > 0, 'a number > 0')
    require(
        'curvature',
        curvature,
        curvature > 0,
        'a number > 0: a flat or concave coordinate has no fixed point',
    )
    require('momentum', momentum, (momentum >= 0) & (momentum < 1), '0 <= momentum < 1')
    if k is not None:
        require('k', k, k >= 1, 'an integer (updates per cycle) >= 1')
        is_step = (slow_step_size > 0) & (slow_step_size <= 1)
        require('slow_step_size', slow_step_size, is_step, '(0, 1]')


def learning_rate_limit(curvature: Any, momentum: Any = 0.0, nesterov: bool = False) -> Any:
    """The learning rate below which the optimizer alone is stable on curvature a.

        heavy ball: 2 (1 + beta) / a        Nesterov: 2 (1 + beta) / ((1 + 2 beta) a)

    The eigenvalues of one step are the roots of l^2 - T l + D, with h = rate a: heavy ball T = 1 +
    beta - h, D = beta; Nesterov T = (1 + beta)(1 - h), D = beta (1 - h). Both are inside the unit
    circle iff |D| < 1 and |T| < 1 + D (Jury); for 0 <= beta < 1 and h > 0 the condition that breaks
    first is 1 + T + D > 0.

    Args:
        curvature: a > 0.
        momentum: beta in [0, 1).
        nesterov: which of the two.
    """
    beta = jnp.asarray(momentum)
    limit = 2 * (1 + beta) / curvature
    if nesterov:
        return limit / (1 + 2 * beta)
    return limit


def lookahead_rate_limit(curvature: Any, k: int, slow_step_size: Any) -> Any:
    """The learning rate below which Lookahead around gradient descent is stable on curvature a.

        even k: 2 / a        odd k: (1 + ((2 - alpha) / alpha)^(1 / k)) / a

    A cycle multiplies the weights by (1 - alpha) + alpha (1 - h)^k, with h = rate a, which is above
    -1 iff (1 - h)^k > -(2 - alpha) / alpha, and below 1 iff (1 - h)^k < 1. Beyond h = 2 the fast
    weights of an odd k overshoot, and the average with the slow ones takes it back.

    Args:
        curvature: a > 0.
        k: updates of a cycle, >= 1.
        slow_step_size: alpha in (0, 1].
    """
    if k % 2 == 0:
        return learning_rate_limit(curvature)
    alpha = jnp.asarray(slow_step_size)
    return (1 + ((2 - alpha) / alpha) ** (1 / k)) / curvature
