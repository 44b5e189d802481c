"""Quasi-random points of a search space: point i is a function of space, seed and i alone."""

import math
from collections.abc import Mapping

from lbexp.errors import Refusal


def search(
    space: Mapping[str, tuple], count: int, seed: int = 0, kind: str = 'halton'
) -> list[dict[str, float]]:
    """The first `count` points of a low-discrepancy sequence over `space`, as {path: value}.

    A search is extended by asking for more points: the first ones stay. Quasi-random points cover a
    space more evenly than random ones, and in each single dimension as a grid would (Bousquet et
    al. 2017, arXiv:1706.03200).

    Args:
        space: path -> (scale, low, high); scale is 'linear', 'log' (low > 0), or 'whole' (numbers
            low .. high, both included).
        count: points, >= 1.
        seed: of the scrambling.
        kind: 'halton' (scrambled), 'sobol' (scrambled; balanced at powers of two).

    Raises:
        Refusal: an empty space, a scale or kind that does not exist, low > high, or a count below
            1.
    """
    problems = []
    for path, axis in space.items():
        problems += [f'{path}: {problem}' for problem in _problems(axis)]
    if not space:
        problems.append('space: found nothing; allowed: at least one path -> (scale, low, high)')
    if count < 1:
        problems.append(f'count: found {count}; allowed: at least 1 point')
    if kind not in ('halton', 'sobol'):
        problems.append(f"kind: found {kind!r}; allowed: 'halton', 'sobol'")
    if problems:
        raise Refusal('; '.join(problems))
    from scipy.stats import qmc  # a second to import

    if kind == 'halton':
        unit_points = qmc.Halton(len(space), scramble=True, rng=seed).random(count)
    else:
        # Sobol sequences are made, and balanced, in powers of two.
        sequence = qmc.Sobol(len(space), scramble=True, rng=seed)
        unit_points = sequence.random_base2(math.ceil(math.log2(count)))[:count]
    points = []
    for coordinates in unit_points.tolist():
        values = [_at(x, *axis) for x, axis in zip(coordinates, space.values(), strict=True)]
        points.append(dict(zip(space, values)))
    return points


def _problems(axis):
    scales = ('linear', 'log', 'whole')
    if not isinstance(axis, (tuple, list)) or len(axis) != 3 or axis[0] not in scales:
        yield f"found {axis!r}; allowed: ('linear', 'log' or 'whole', low, high)"
        return
    scale, low, high = axis
    if not isinstance(low, (int, float)) or not isinstance(high, (int, float)):
        yield f'found {axis!r}; allowed: numbers low and high'
    elif scale == 'log' and (low > high or low <= 0):
        yield f'found {axis!r}; allowed: low <= high, low > 0'
    elif low > high:
        yield f'found {axis!r}; allowed: low <= high'


def _at(x, scale, low, high):
    if scale == 'whole':
        # x < 1, but the product may be rounded up
        return min(low + int(x * (high - low + 1)), high)
    if scale == 'linear':
        return low + x * (high - low)
    return low * (high / low) ** x
