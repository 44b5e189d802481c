"""Noise scales over a run, beside the critical batch size: table and figure."""

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from lbexp.analysis import Figure, Series, Table, format_interval
from lbexp.studies._comparison import compare
from lbexp.studies._comparison.scaling_fits import Fit, span
from lbexp.studies._presentation.steps_to_target import Scaling, format_span

PARTS = 4  # of a run, each with a noise scale of its own
_SEED = 18120


class Noise(NamedTuple):
    """Of an optimizer: noise scales by seed and part [seeds, PARTS] [examples]; NaN: not known."""

    simple: np.ndarray  # B_simple
    hessian: np.ndarray  # B_noise
    scaling: Scaling


class ClosedForm(NamedTuple):
    """The same of a problem that is known, [PARTS] [examples]."""

    simple: np.ndarray
    hessian: np.ndarray
    critical: float  # critical batch size [examples]


def of_run(scales: np.ndarray) -> np.ndarray:
    """By seed, the geometric mean over the parts; NaN where one is not known."""
    return np.exp(np.mean(np.log(scales), axis=-1))


def ratio(scales: np.ndarray, fit: Fit) -> tuple[float, float, float]:
    """(estimate, low, high) of the noise scale over the critical batch size: medians of resampled
    seeds over the fits of resampled seeds."""
    scale = of_run(scales)
    known = scale[np.isfinite(scale)]
    if not len(known):
        return math.nan, math.nan, math.nan
    draws = np.random.default_rng(_SEED)
    places = draws.integers(len(known), size=(len(fit.critical) - 1, len(known)))
    medians = np.concatenate([[np.median(known)], np.median(known[places], axis=1)])
    return span(medians / fit.critical, min(fit.seeds, len(known)))


def format_ratio(scales: np.ndarray, fit: Fit) -> str:
    """`ratio` in words."""
    values = ratio(scales, fit)
    words = 'unknown'
    if math.isfinite(values[0]):
        words = format_span(values)
    lost = int(np.sum(~np.isfinite(of_run(scales))))
    if lost:
        words += f'; {lost} of {len(scales)} seeds have none'
    return words


def table(
    noise_of: Mapping[str, Noise], closed_form: ClosedForm, measured_at: int, has_hessian: bool
) -> Table:
    """A row for each optimizer and kind of noise scale, below those in closed form."""
    columns = ['', *(f'quarter {part + 1}' for part in range(PARTS))]
    columns += ['over the run', 'critical batch size', 'noise scale / critical']
    name = 'SGD on a noisy quadratic, closed form'
    rows = [_exact(f'{name}, B_simple', closed_form.simple, closed_form.critical)]
    if has_hessian:
        rows.append(_exact(f'{name}, B_noise', closed_form.hessian, closed_form.critical))
    for name, noise in noise_of.items():
        rows.append(_row(f'{name}, B_simple', noise.simple, noise.scaling.fit))
        if has_hessian:
            rows.append(_row(f'{name}, B_noise', noise.hessian, noise.scaling.fit))
    caption = (
        f'B_simple = tr Sigma / |G|^2 and B_noise = tr(H Sigma) / (G^T H G) [examples] over '
        f'quarters of the updates until the target, at batch size {measured_at}: medians and '
        'intervals over seeds; of AdamW and LAMB B_simple is that of the preconditioned gradient. '
        'Over the run: the geometric mean. Intervals of the last two columns: bootstrap over '
        'seeds. Closed form: 100 curvatures 1 / i, loss 0.01.'
    )
    return Table('Noise scale', columns, rows, caption)


def _exact(name, scales, critical):
    mean = float(of_run(scales))
    values = (*scales, mean, critical, mean / critical)
    return [name, *(f'{value:.3g}' for value in values)]


def _row(name, scales, fit):
    parts = [format_interval(of_part) for of_part in scales.T]
    critical = format_span(span(fit.critical, fit.seeds))
    return [name, *parts, format_interval(of_run(scales)), critical, format_ratio(scales, fit)]


def figure(noise_of: Mapping[str, Noise], has_hessian: bool) -> Figure:
    """Noise scales along the run, with the critical batch size as a line."""
    x = [(part + 0.5) / PARTS for part in range(PARTS)]
    series = []
    for name, noise in noise_of.items():
        series += compare.points(name, x, list(noise.simple.T))
        if has_hessian:
            series += compare.points(f'{name}, B_noise', x, list(noise.hessian.T))
        critical = float(noise.scaling.fit.critical[0])
        if math.isfinite(critical):
            series.append(Series(f'{name}, critical', [0, 1], [critical, critical], group=name))
    caption = (
        'Points: medians and intervals over seeds, by quarters of the run. Level lines: the '
        'critical batch size of the same optimizer.'
    )
    labels = 'share of the updates to the target', 'noise scale [examples]'
    return Figure('noise_scale', 'Noise scale', *labels, series, 'linear', 'log', caption)
