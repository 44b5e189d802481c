"""The optimum of a tuned number, from all that was tried near it: a parabola in its logarithm.

The lowest of a few noisy scores lies where the points happened to be and the noise happened to be
low. Near its optimum a score is a parabola in the logarithm of a learning rate, whose vertex uses
every point, and whose curvature says what it costs to miss it.
"""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from lbexp import inference
from lbexp.studies._comparison.searches import Point

# Points from which a parabola is fitted. On surfaces with a cliff four of them, of which one lies
# behind it, put the vertex where the score is worse than at the best point; five do not.
LEAST = 5
_SHARE = 0.75  # of the points, the nearest to the best: far ones see higher orders
_CLIFF = 8.0  # scores that exceed the best by this many times the usual excess are no parabola's


class Parabola(NamedTuple):
    """score = value + curvature (x - vertex)^2; arrays of the leading axes of what was fitted, NaN
    where no such optimum was found."""

    curvature: np.ndarray  # > 0 [score / x^2]
    vertex: np.ndarray  # x of the lowest score
    vertex_error: np.ndarray  # standard error of the vertex
    value: np.ndarray  # score at the vertex
    value_error: np.ndarray  # its standard error
    freedom: np.ndarray  # degrees of freedom of both


def parabola(x: np.ndarray, scores: np.ndarray) -> Parabola:
    """Least squares of a + b u + c u^2, u = x - mean(x), through the scores around the best one.

        vertex = mean(x) - b / (2 c),     value = a - b^2 / (4 c)

    with standard errors by the delta method from the covariance s^2 (A' A)^-1 of the coefficients,
    s^2 = RSS / (m - 3). Taken are the m = max(5, 3 n / 4) of n finite points that are nearest to
    the best; of them none that exceeds the best by 8 times the median excess (behind the edge of
    stability scores leap, and would bend the fit). NaN where fewer than 5 points remain, where
    c <= 0, and where the vertex lies outside of them.

    Args:
        x: [..., n], what is tuned, in the logarithm for a rate.
        scores: [..., n], lower is better; inf where a point has none.
    """
    taken = _window(x, scores)
    count = taken.sum(axis=-1)
    center = np.where(taken, x, 0.0).sum(axis=-1) / np.maximum(count, 1)
    u = np.where(taken, x - center[..., None], 0.0)
    (a, b, c), inverse, variance = _least_squares(taken, u, np.where(taken, scores, 0.0))
    bends = c > 0
    safe = np.where(bends, c, 1.0)
    shift = -b / (2 * safe)
    inside = (u.min(axis=-1) <= shift) & (shift <= u.max(axis=-1))
    sound = bends & inside & (count >= LEAST)
    # of the vertex and of the value there, by the coefficients
    vertex_slopes = np.stack([np.zeros_like(c), -0.5 / safe, b / (2 * safe**2)], axis=-1)
    value_slopes = np.stack([np.ones_like(c), shift, shift**2], axis=-1)
    numbers = Parabola(
        curvature=c,
        vertex=center + shift,
        vertex_error=np.sqrt(variance * _quadratic_form(vertex_slopes, inverse)),
        value=a + b * shift + c * shift**2,
        value_error=np.sqrt(variance * _quadratic_form(value_slopes, inverse)),
        freedom=count - 3,
    )
    return Parabola(*(np.where(sound, number, np.nan) for number in numbers))


def _least_squares(taken, u, y):
    """Coefficients (a, b, c), the inverse of A' A, and the variance of the residuals."""
    design = np.stack([taken.astype(float), u, u**2], axis=-1)
    transposed = np.swapaxes(design, -1, -2)
    # too few points, or all at few places, have no inverse: what stands in for it is not used
    inverse = np.linalg.pinv(transposed @ design, hermitian=True)
    coefficients = inverse @ (transposed @ y[..., None])
    residuals = y - (design @ coefficients)[..., 0]
    freedom = np.maximum(taken.sum(axis=-1) - 3, 1)
    variance = (residuals**2).sum(axis=-1) / freedom
    return np.moveaxis(coefficients[..., 0], -1, 0), inverse, variance


def fitted(
    space: Mapping[str, tuple], tried: Sequence[Point], scores: np.ndarray
) -> Parabola | None:
    """The parabola of a space of one number that is no whole one; None: there is none, or it has no
    optimum."""
    if len(space) != 1:
        return None
    ((path, (scale, *_)),) = space.items()
    if scale == 'whole':
        return None
    values = np.array([point.values[path] for point in tried], float)
    fit = parabola(_coordinate(scale, values), scores)
    return None if np.isnan(fit.vertex) else fit


def vertex_point(space: Mapping[str, tuple], fit: Parabola, best: Point) -> Point:
    """The best point moved to the vertex; its number is rounded to three digits, so that another
    machine's last bit asks for no other trial."""
    ((path, (scale, *_)),) = space.items()
    value = float(fit.vertex)
    if scale == 'log':
        value = math.exp(value)
    value = float(f'{value:.3g}')
    return best._replace(values={path: value}, fitted=value)


def grid_error(
    space: Mapping[str, tuple], tried: Sequence[Point], scores: np.ndarray, best: Point | None
) -> float:
    """By how much the reported optimum may score above the true one, because of where the points
    were [score].

        at a tried point   c h^2, h half the larger distance to a neighbour
        at the vertex      c (t s)^2 where that is less, s the standard error of the vertex and t
                           Student's quantile for 95 %
        without a parabola half the larger rise to a neighbour

    Returns:
        0 where nothing is tuned; NaN where several numbers are, and where no point has a score;
        inf without a neighbour that has one.
    """
    if not space:
        return 0.0
    if len(space) != 1 or best is None:
        return math.nan
    ((path, (scale, *_)),) = space.items()
    order = sorted(range(len(tried)), key=lambda place: tried[place].values[path])
    x = _coordinate(scale, np.array([tried[place].values[path] for place in order], float))
    y = np.asarray(scores)[order]
    place = int(y.argmin())
    beside = [other for other in (place - 1, place + 1) if 0 <= other < len(order)]
    fit = fitted(space, tried, scores)
    if fit is None:
        rises = [y[other] - y[place] for other in beside if math.isfinite(y[other])]
        return float(max(rises)) / 2 if rises else math.inf
    reach = max(abs(x[other] - x[place]) for other in beside) / 2
    if best.fitted is not None:
        quantile = inference.student(int(fit.freedom), 0.95)
        reach = min(reach, quantile * float(fit.vertex_error))
    return float(fit.curvature) * reach**2


def _coordinate(scale, values):
    return np.log(values) if scale == 'log' else values


def _window(x, scores):
    """Which of the points are taken."""
    finite = np.isfinite(scores)
    count = finite.sum(axis=-1, keepdims=True)
    low = np.where(finite, scores, np.inf)
    best = np.take_along_axis(x, low.argmin(axis=-1, keepdims=True), axis=-1)
    distance = np.where(finite, np.abs(x - best), np.inf)
    # the rank of each by its distance
    rank = distance.argsort(axis=-1, kind='stable').argsort(axis=-1, kind='stable')
    size = np.minimum(count, np.maximum(LEAST, np.ceil(_SHARE * count)))
    near = finite & (rank < size)
    lowest = low.min(axis=-1, keepdims=True)
    lowest = np.where(np.isfinite(lowest), lowest, 0.0)
    excess = np.where(near, low - lowest, np.inf)
    middle = np.maximum((size - 1) // 2, 0).astype(int)
    usual = np.take_along_axis(np.sort(excess, axis=-1), middle, axis=-1)
    return near & (excess <= _CLIFF * usual)


def _quadratic_form(vector, matrix):
    """v' M v over leading axes; rounding makes none negative."""
    return np.maximum(np.einsum('...i,...ij,...j->...', vector, matrix, vector), 0.0)
