"""The noise of gradients at trained weights as a table and a figure."""

import functools
from typing import Any, NamedTuple

import jax
import numpy as np

from lbexp.analysis import Figure, Series, Table
from lbexp.curvature import lanczos, operators, trees
from lbexp.curvature import noise_covariance as noise
from lbexp.errors import Refusal
from lbexp.report.measured import TOP, Measured, Settings, has_statistics, sample


class _Noise(NamedTuple):
    covariance: noise.Covariance
    simple: noise.NoiseScale  # B_simple
    hessian: noise.NoiseScale  # B_noise
    top: lanczos.Extremes  # of the Hessian
    share: noise.Overlap


def gradient_noise(trial: Any, settings: Settings) -> Measured:
    """Sigma, the covariance of the gradient of one example, beside G, the mean gradient over the
    training set, and the Hessian H: tr Sigma, |G|^2 and B_simple; the largest eigenvalues of Sigma
    and the share of it in the space of the top eigenvectors of H; tr(H Sigma), G^T H G and B_noise.
    A noise scale is a number only where its denominator is resolved and positive: near convergence
    it seldom is, and then at least the low end of its interval.

    Raises:
        Refusal: batch norm with the statistics of a batch, whose examples have no gradient of their
            own.
    """
    if settings.batch_norm == 'batch' and has_statistics(trial):
        raise Refusal(
            "--batch_norm: found 'batch', with which an example has no gradient of its own; "
            "allowed for noise: 'frozen'"
        )
    objective = sample(trial, 'train', settings)
    population = trial.workload.train.size
    measure = jax.jit(functools.partial(_measure, objective, population, settings))
    measured = jax.device_get(measure(trial.params, jax.random.key(settings.seed)))
    size = settings.examples // settings.groups
    caption = (
        f'{objective.description} ({population} in all), in {settings.groups} groups of {size}. '
        'Sigma: covariance of the gradient of one example; G: mean gradient of the set. Errors: '
        'standard errors, of eigenvalues of H residuals; low, high: 95 % intervals (Fieller). An '
        "endless one: at least its low end. The sample's largest are too large, those held out "
        'too small.'
    )
    columns = ['', 'value', 'error', 'low', 'high']
    title = f'Gradient noise of trial {trial.number}'
    table = Table(title, columns, _rows(measured), caption)
    figure = _spectrum(trial, measured.covariance, caption)
    return Measured(table, [figure], [], f'noise_{trial.number}')


def _measure(objective, population, settings, params, key):
    examples, groups = objective.examples, settings.groups
    size = settings.examples // groups
    gradients = noise.group_gradients(objective.losses, params, examples, groups)
    products = noise.gram(gradients)
    count = min(groups // 2 - 1, trees.size(params))
    covariance = noise.covariance(products, size, count)
    simple = noise.noise_scale(products, size, population)
    product = operators.hessian_product(objective.loss, params)
    hessian = noise.hessian_noise_scale(product, gradients, size, population)
    top = lanczos.extremes(product, params, key, settings.products, min(TOP, trees.size(params)))
    return _Noise(covariance, simple, hessian, top, noise.overlap(gradients, top.vectors))


def _rows(measured):
    """The table's: name, value, error, ends of the interval; NaN where there is none."""
    covariance, simple, hessian = measured.covariance, measured.simple, measured.hessian
    rows = [
        _row('tr Sigma', covariance.trace, covariance.trace_error),
        _row('|G|^2', simple.denominator, simple.denominator_error),
        _scale('B_simple = tr Sigma / |G|^2 [examples]', simple),
    ]
    count = len(measured.top.top)
    for place in range(min(count, len(covariance.values))):
        rows.append(_row(f'eigenvalue {place + 1} of Sigma, sample', covariance.values[place]))
        held_out = covariance.held_out[place], covariance.held_out_error[place]
        rows.append(_row(f'eigenvalue {place + 1} of Sigma, held out', *held_out))
    for place, pair in enumerate(zip(measured.top.top, measured.top.top_residuals, strict=True)):
        rows.append(_row(f'eigenvalue {place + 1} of H', *pair))
    share = f'share of tr Sigma in the top {count} of H'
    rows.append(_row(share, measured.share.value, measured.share.standard_error))
    rows.append(_row('tr(H Sigma)', hessian.numerator, hessian.numerator_error))
    rows.append(_row('G^T H G', hessian.denominator, hessian.denominator_error))
    rows.append(_scale('B_noise = tr(H Sigma) / (G^T H G) [examples]', hessian))
    return rows


def _row(name, value, error=np.nan):
    return [name, float(value), float(error), np.nan, np.nan]


def _scale(name, measured):
    """A ratio alone is a number only where it has a meaning."""
    ratio = measured.ratio
    value = np.nan
    if ratio.resolved and measured.denominator > 0:
        value = float(ratio.value)
    return [name, value, np.nan, float(ratio.low), float(ratio.high)]


def _spectrum(trial, covariance, caption):
    """Eigenvalues in their order, those of the sample and the variances held out."""
    # what rounding leaves of nothing has no logarithm
    least = np.finfo(np.float32).eps * covariance.values[0]
    is_there = (covariance.values > least) & (covariance.held_out > least)
    places = (np.flatnonzero(is_there) + 1).tolist()
    sample_values, held_out = covariance.values[is_there], covariance.held_out[is_there]
    error = covariance.held_out_error[is_there]
    ends = (held_out - error).tolist(), (held_out + error).tolist()
    series = [
        Series('sample', places, sample_values.tolist(), style='points'),
        Series('held out', places, held_out.tolist(), *ends, style='points'),
    ]
    name = f'noise_{trial.number}_spectrum'
    title = f'Eigenvalues of the gradient noise of trial {trial.number}'
    return Figure(name, title, 'place', 'eigenvalue', series, 'linear', 'log', caption)
