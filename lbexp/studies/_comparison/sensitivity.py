"""Sensitivity: the score of every arm against what was tuned, with the parabola through it."""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from lbexp.analysis import Figure, Series
from lbexp.studies._comparison.arms import Arm, TuningResult

_MOST = 6  # arms of a figure
_PLACES = 40  # of a curve
_FAR = 3.0  # times the range of the scores tried, beyond which a parabola is not drawn


def sensitivity_figures(arms: Sequence[Arm], tuned: Mapping[str, TuningResult]) -> list[Figure]:
    """Score against what each arm tunes on a logarithmic scale, if that is one number, or against
    its learning rate: points as tried, and the parabola. Six arms to a figure, in their order.

    What it is for: two arms whose curves are as flat as the difference between them were not told
    apart by tuning, and a point that lies alone below its neighbours is luck.

    Args:
        tuned: by the name of the arm, of one tuning.
    """
    drawn = [
        arm for arm in arms if arm.tuned_as is None and _path(arm) and _scored(tuned[arm.name])
    ]
    figures = []
    for number, first in enumerate(range(0, len(drawn), _MOST)):
        series = []
        for arm in drawn[first : first + _MOST]:
            series += _series(arm, tuned[arm.name])
        name = 'sensitivity' if not number else f'sensitivity_{number + 1}'
        figures.append(_figure(name, series))
    return figures


def _path(arm):
    """The only number on a logarithmic scale, or the learning rate; '': neither."""
    paths = [path for path, (scale, *_) in arm.space.items() if scale == 'log']
    if len(paths) != 1:
        paths = [path for path in paths if path.endswith('learning_rate')]
    return paths[0] if paths else ''


def _scored(result):
    return bool(np.isfinite(result.scores).any())


def _series(arm, result):
    path = _path(arm)
    values = np.array([point[path] for point in result.points], float)
    order = values.argsort(kind='stable')
    scores = np.where(np.isfinite(result.scores), result.scores, math.nan)[order]
    x = values[order].tolist()
    yield Series(arm.name, x, scores.tolist(), style='points', group=arm.name)
    if result.fit is None:
        return
    places = np.geomspace(x[0], x[-1], _PLACES)
    distance = np.log(places) - result.fit.vertex
    curve = result.fit.value + result.fit.curvature * distance**2
    highest = np.nanmin(scores) + _FAR * max(float(np.ptp(scores[np.isfinite(scores)])), 1e-12)
    curve = np.where(curve <= highest, curve, math.nan)
    name = f'{arm.name}, parabola'
    yield Series(name, places.tolist(), curve.tolist(), group=arm.name)


def _figure(name, series):
    caption = (
        'Every point of the first tuning, what it was tuned by (lower is better), and the '
        'parabola through the points around the best, where there is one. Points without a score '
        'are not drawn.'
    )
    labels = 'what is tuned: learning rate', 'score on the validation examples'
    title = 'Sensitivity to what was tuned'
    return Figure(name, title, *labels, series, 'log', 'linear', caption)
