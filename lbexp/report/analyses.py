"""The loss around trained networks as tables and figures."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from lbexp.analysis import Figure, Series, Table
from lbexp.curvature import lanczos, landscape, operators, spectral_density, trace, trees
from lbexp.report.contour import Contour
from lbexp.report.measured import TOP, Measured, Settings, evenly, of_one_network, sample

_PROBES = 4  # random vectors of the density
_WIDTH = 0.3  # of its smoothing, in units of asinh(x / linear)


def hessian(trial: Any, settings: Settings) -> Measured:
    """Eigenvalues, trace and density of the Hessian of the training loss."""
    objective = sample(trial, 'train', settings)

    @jax.jit
    def measure(params, key):
        product = operators.hessian_product(objective.loss, params)
        first, second, third = jax.random.split(key, 3)
        count = min(TOP, trees.size(params))
        ends = lanczos.extremes(product, params, first, settings.products, count)
        samples = max(2, settings.products // 2)
        mean = trace.xtrace(product, params, second, samples)
        masses = spectral_density.quadrature(product, params, third, settings.products, _PROBES)
        return ends, mean, masses

    ends, mean, masses = jax.device_get(measure(trial.params, jax.random.key(settings.seed)))
    rows = []
    for place, (value, residual) in enumerate(zip(ends.top, ends.top_residuals, strict=True)):
        rows.append([f'eigenvalue {place + 1}', float(value), float(residual)])
    rows.append(['smallest eigenvalue', float(ends.bottom), float(ends.bottom_residual)])
    rows.append(['trace', float(mean.value), float(mean.standard_error)])
    caption = (
        f'{objective.description}. Errors: of eigenvalues the residual, after '
        f'{int(ends.products)} products; of the trace the standard error ({int(mean.products)} '
        'products), of which 3 hold the truth.'
    )
    whole = Table(f'Hessian of trial {trial.number}', ['', 'value', 'error'], rows, caption)
    return Measured(whole, [_density(trial, masses, settings.products)], [])


def slices(trial: Any, settings: Settings) -> Measured:
    """The training loss along two random filter-normalised directions, and in their plane, from -1
    to 1: the whole length of the weights."""
    objective = sample(trial, 'train', settings)
    points = evenly(-1, 1, settings)

    @jax.jit
    def measure(params, key):
        first, second = jax.random.split(key)
        along = landscape.random_direction(first, params)
        across = landscape.random_direction(second, params)
        grid = landscape.plane(objective.loss, params, along, across, points, points)
        lines = [landscape.line(objective.loss, params, each, points) for each in (along, across)]
        return lines, grid

    lines, grid = jax.device_get(measure(trial.params, jax.random.key(settings.seed)))
    series = []
    for label, losses in zip(('first direction', 'second direction'), lines, strict=True):
        series.append(Series(label, points.tolist(), losses.tolist()))
    x_label = 'distance along the direction [lengths of the filters]'
    name, title = f'landscape_{trial.number}', f'Loss around trial {trial.number}'
    caption = f'{objective.description}; directions of seed {settings.seed}.'
    figure = Figure(f'{name}_lines', title, x_label, 'loss', series, caption=caption)
    axes = 'second direction', 'first direction'
    contour = Contour(
        f'{name}_plane', title, *axes, 'loss', np.asarray(points), np.asarray(points), grid
    )
    rows = [['at the weights', float(lines[0][settings.points])]]
    for label, losses in zip(('first', 'second'), lines, strict=True):
        rows.append([f'at -1 and 1 along the {label}', f'{losses[0]:.5g}, {losses[-1]:.5g}'])
    return Measured(Table(title, ['', 'loss'], rows, caption), [figure], [contour])


def interpolation(first: Any, last: Any, settings: Settings) -> Measured:
    """Loss on the line from one trial's weights (0) to another's (1), from -1 to 2, over training
    and test examples."""
    of_one_network(first, last, settings)
    points = evenly(-1, 2, settings)
    samples = {part: sample(first, part, settings) for part in ('train', 'test')}
    series, rows = [], []
    for part, objective in samples.items():
        measure = jax.jit(functools.partial(_between, objective.loss, points))
        losses, barrier = jax.device_get(measure(first.params, last.params))
        series.append(Series(part, points.tolist(), losses.tolist()))
        ends = losses[settings.points], losses[2 * settings.points]
        rows.append([part, *map(float, ends), float(barrier.height), float(barrier.place)])
    name = f'interpolation_{first.number}_{last.number}'
    title = f'From trial {first.number} to trial {last.number}'
    measured = ', '.join(objective.description for objective in samples.values())
    caption = f'{measured}; units are not aligned.'
    label = f'place between trial {first.number} (0) and trial {last.number} (1)'
    figure = Figure(name, title, label, 'loss', series, caption=caption)
    columns = ['set', 'loss at 0', 'loss at 1', 'barrier', 'at']
    return Measured(Table(title, columns, rows, caption), [figure], [])


def _between(loss, points, first, last):
    losses = landscape.interpolation(loss, first, last, points)
    return losses, landscape.barrier(losses, points)


def _density(trial, masses, products):
    """Density of the eigenvalues on the axis asinh(x / linear), with twice its standard error."""
    largest = np.abs(masses.nodes).max()
    # finer than this nothing is resolved
    linear = max(float(largest), 1e-30) / products
    reach = np.arcsinh(1.5 * largest / linear)
    t = np.linspace(-reach, reach, 401)
    smooth = spectral_density.density(masses, jnp.asarray(np.sinh(t) * linear), _WIDTH, linear)
    value, error = np.asarray(smooth.value), np.asarray(smooth.standard_error)
    low = np.maximum(value - 2 * error, 0)
    drawn = [values.tolist() for values in (t, value, low, value + 2 * error)]
    curve = Series('density', *drawn)
    caption = (
        f'Stochastic Lanczos quadrature, {_PROBES} random vectors, smoothed by {_WIDTH}; band: two '
        'standard errors. The mass of single outliers is not resolved.'
    )
    label = f'asinh(eigenvalue / {linear:.3g})'
    title = f'Hessian eigenvalues of trial {trial.number}'
    name = f'hessian_{trial.number}_density'
    return Figure(name, title, label, 'density', [curve], caption=caption)
