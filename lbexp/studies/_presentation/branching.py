"""What `branching` shows: critical batch sizes beside noise scales, and the losses of branches."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from lbexp.analysis import Figure, Series, Table, format_interval, interval
from lbexp.studies._branches import Range
from lbexp.studies._comparison import compare


class Point(NamedTuple):
    """A point of the trunk, and the branches from there; NaN: there is none."""

    updates: int
    begun: np.ndarray  # loss where they begin [seeds]
    ends: np.ndarray  # loss where they end, the smallest batch first [seeds, sizes]; inf: diverged
    noise_scales: np.ndarray  # of the smallest batch [seeds] examples; NaN: not resolved


def table(measured: Sequence[Point], ranges: Sequence[Sequence[Range]]) -> Table:
    """A row for each point."""
    rows = []
    for point, critical in zip(measured, ranges, strict=True):
        scales, middles = point.noise_scales, _middles(critical)
        cells = [point.begun, point.begun - point.ends[:, 0]]
        rows.append(
            [
                str(point.updates),
                *map(format_interval, cells),
                format_interval(middles) + _lacking(critical),
                format_interval(scales),
                format_interval(scales / middles),
            ]
        )
    columns = ['updates', 'loss', 'falls by', 'critical batch size', 'noise scale']
    columns.append('noise scale / critical')
    caption = (
        'Loss on the training set where the branches begin, and by how much that of the smallest '
        'batch falls. Sizes in examples; what lies beyond the largest branch counts as that. '
        'Medians with intervals over seeds.'
    )
    return Table('Critical batch size', columns, rows, caption)


def sizes_figure(measured: Sequence[Point], ranges: Sequence[Sequence[Range]]) -> Figure:
    """Critical batch size and noise scale along the run."""
    x = [point.updates for point in measured]
    series = compare.points('branches', x, [_middles(critical) for critical in ranges])
    series += compare.points('noise scale', x, [point.noise_scales for point in measured])
    labels = 'updates', 'batch size [examples]'
    caption = 'Medians with intervals over seeds; what lies beyond the largest branch counts as it.'
    title = 'Critical batch size along the run'
    return Figure('branching', title, *labels, series, 'log', 'log', caption)


def losses_figure(
    measured: Sequence[Point], sizes: Sequence[int], allowed: Callable[[float], float]
) -> Figure:
    """Loss of the branches by their batch sizes, with what is allowed as a level line.

    Args:
        allowed: fall of the loss in the smallest batch -> by how much a loss may be higher.
    """
    series = []
    for point in measured:
        name = f'after {point.updates} updates'
        series += compare.points(name, list(sizes), list(point.ends.T))
        begun, end = [interval(values)[0] for values in (point.begun, point.ends[:, 0])]
        level = end + allowed(begun - end)
        ends = [sizes[0], sizes[-1]]
        series.append(Series(f'{name}, allowed', ends, [level, level], group=name))
    labels = 'batch size [examples]', 'loss at the end of the branch'
    caption = 'At equal examples: medians with intervals over the seeds that did not diverge.'
    return Figure('branches', 'Loss of the branches', *labels, series, 'log', 'log', caption)


def _middles(critical):
    return np.array([size.middle for size in critical])


def _lacking(critical):
    beyond = sum(np.isinf(size.high) for size in critical)
    unknown = sum(np.isnan(size.low) for size in critical)
    words = ''
    if beyond:
        words += f'; {beyond} of {len(critical)} or more'
    if unknown:
        words += f'; {unknown} of {len(critical)} not known'
    return words
