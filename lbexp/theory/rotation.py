"""The angle by which weights turn in an update, where only their direction matters, once growth and
decay of their length balance.

Gradients of such weights are orthogonal to them. The formulas take gradients of successive updates
as independent and many-dimensional, and angles as small; SGD without momentum needs the last alone.
`lbexp.probes.rotation` measures the same.
"""

import math
from typing import Any

from lbexp.theory.limits import require


def momentum_rotation(learning_rate: Any, weight_decay: Any, momentum: Any = 0.0) -> float:
    """Root mean square angle of heavy ball, or of SGD, with decay as part of the gradient [rad]:

        v <- beta v + g + lambda w, w <- w - eta v:    sqrt(2 eta lambda / (1 + beta))

    An update has squared length eta^2 |g|^2 / (1 - beta^2); in the long run updates add eta^2 |g|^2
    / (1 - beta)^2 to |w|^2, of which decay takes 2 eta lambda / (1 - beta).

    Args:
        learning_rate: eta > 0.
        weight_decay: lambda > 0.
        momentum: beta in [0, 1).

    Raises:
        ValueError: a number out of its range.

    Source: Van Laarhoven 2017, arXiv:1706.05350; Wan et al. 2021, arXiv:2006.08419.
    """
    _check(learning_rate, weight_decay, momentum)
    return math.sqrt(2 * learning_rate * weight_decay / (1 + momentum))


def adamw_rotation(learning_rate: Any, weight_decay: Any, b1: Any = 0.9) -> float:
    """Root mean square angle of AdamW [rad]:

        sqrt(2 eta lambda (1 - b1) / (1 + b1))

    It also takes the gradient over the root of its second moment as orthogonal to the weights,
    which is so on average where second moments have nothing to do with weights.

    Args:
        learning_rate: eta > 0.
        weight_decay: lambda > 0, decoupled and multiplied by eta.
        b1: in [0, 1).

    Raises:
        ValueError: a number out of its range.

    Source: Kosson et al. 2024, arXiv:2305.17212.
    """
    _check(learning_rate, weight_decay, b1)
    return math.sqrt(2 * learning_rate * weight_decay * (1 - b1) / (1 + b1))


def lars_rotation(learning_rate: Any, momentum: Any = 0.9) -> float:
    """Root mean square angle of LARS with any weight decay > 0 and trust coefficient 1 [rad].

    Each gradient adds a |w| across and s a |w| along to the velocity, with

        a = eta |g| / (|g| + lambda |w|),  s = lambda |w| / |g|,  so a (1 + s) = eta

    In the long run |w|^2 grows by a^2 / (1 - beta)^2 and shrinks by 2 s a / (1 - beta), relative;
    they balance at s = a / (2 (1 - beta)), whatever lambda is:

        a = (1 - beta) (sqrt(1 + 2 eta / (1 - beta)) - 1),  angle a / sqrt(1 - beta^2)

    Another trust coefficient multiplies eta.

    Args:
        learning_rate: eta > 0.
        momentum: beta in [0, 1).

    Raises:
        ValueError: a number out of its range.

    Derived here, for the ratio of You, Gitman, Ginsburg 2017, arXiv:1708.03888.
    """
    _check(learning_rate, 1.0, momentum)
    rest = 1 - momentum
    across = rest * (math.sqrt(1 + 2 * learning_rate / rest) - 1)
    return across / math.sqrt(1 - momentum**2)


def lamb_rotation(learning_rate: Any) -> float:
    """Angle of LAMB [rad], each of whose updates has length eta |w|: at rest weights before and
    after are equally long, so it is 2 arcsin(eta / 2).

    Args:
        learning_rate: eta in (0, 2).

    Raises:
        ValueError: a number out of its range.

    Derived here, for You et al. 2020, arXiv:1904.00962, Algorithm 2.
    """
    _check(learning_rate, 1.0, 0.0)
    require('learning_rate', learning_rate, learning_rate < 2, 'a number < 2')
    return 2 * math.asin(learning_rate / 2)


def _check(learning_rate, weight_decay, momentum):
    require('learning_rate', learning_rate, learning_rate > 0, 'a number > 0')
    require('weight_decay', weight_decay, weight_decay > 0, 'a number > 0: nothing else shrinks')
    require('momentum', momentum, (momentum >= 0) & (momentum < 1), '0 <= momentum < 1')
