"""Claims on how steps to a target fall with batch size."""

import functools
from collections.abc import Sequence

import numpy as np

from lbexp.analysis import UNDECIDED, Claim, above, below, within
from lbexp.studies import _papers
from lbexp.studies._comparison.scaling_fits import Fit, span
from lbexp.studies._presentation.steps_to_target import format_span, slopes
from lbexp.theory.critical_batch_size import critical_batch_size
from lbexp.theory.steps_to_target import tuned_steps

_SHALLUE = 'Shallue et al. 2019, arXiv:1811.03600'
_MCCANDLISH = 'McCandlish et al. 2018, arXiv:1812.06162'
_ZHANG = 'Zhang et al. 2019, arXiv:1907.04164'
_FEWEST = 2  # batch sizes, from which a slope can be read
_FEWEST_REACHED = 3  # batch sizes, from which a curve of two parameters may fail to fit
_TAIL = 0.025  # share of the resamples beyond an end of a 95 % interval
_PERFECT = 1 / 4  # of the critical batch size, below which scaling may be perfect


def perfect_scaling(name: str, fit: Fit, sizes: Sequence[int], margin: float) -> Claim:
    """Slope -1, where the fitted curve may show it, and nowhere else.

    At a quarter of the critical batch size its slope is -0.8; above it scaling is not perfect by
    the curve's own account.
    """
    claim = (
        f'{name}: at small batch sizes scaling is perfect, steps ~ 1 / B: slope -1 within '
        f'{margin:g} ({_SHALLUE})'
    )
    critical = float(fit.critical[0])
    # NaN: there is no fit, and no size is below
    below_turn = [size for size in sizes if size < _PERFECT * critical]
    count = len(below_turn)
    if count < _FEWEST:
        measured = (
            f'{count} batch sizes lie below a quarter of the critical batch size, '
            f'{format_span(span(fit.critical, fit.seeds))}'
        )
        return Claim(claim, measured, UNDECIDED, paper=_papers.SHALLUE_SCALING)
    slope, low, high = span(slopes(below_turn, fit.medians[:, :count]), fit.seeds)
    return Claim(
        claim,
        f'slope {format_span((slope, low, high))} over the {count} batch sizes below a quarter of '
        'the critical one',
        within((low + 1, high + 1), margin),
        paper=_papers.SHALLUE_SCALING,
    )


def hyperbola(name: str, fit: Fit, tolerance: float) -> Claim:
    """That the fitted curve describes the medians. It has two parameters, so it describes any two:
    undecided where fewer than three batch sizes reach the target in too many resamples."""
    deviation, low, high = span(fit.deviation, fit.seeds)
    measured = f'deviation, root mean square: {format_span((deviation, low, high))}'
    # Chance adds to a root mean square: the interval lies too high rather than too low.
    outcome = below((low, high), tolerance)
    reached = np.isfinite(fit.medians).sum(axis=1)
    too_few = float(np.mean(reached < _FEWEST_REACHED))
    if too_few > _TAIL:
        outcome = UNDECIDED
        measured += f'; in {too_few:.0%} of the resamples two batch sizes or fewer reach the target'
    return Claim(
        f'{name}: (S / S_min - 1)(E / E_min - 1) = 1 within {tolerance:.0%} ({_MCCANDLISH})',
        measured,
        outcome,
        paper=_papers.MCCANDLISH,
    )


def momentum_over_sgd(momentum: Fit, sgd: Fit) -> Claim:
    """By the ratio of critical batch sizes, beside what a noisy quadratic has."""
    model = (
        f'. A noisy quadratic of 500 curvatures 1 / i has a ratio of {_noisy_quadratic():.2g}; it '
        'is not fitted to this network, and no number of the paper'
    )
    return _ratio(
        f'Momentum has a larger critical batch size than SGD ({_SHALLUE})',
        *(momentum, sgd, _papers.SHALLUE_MOMENTUM + model),
    )


def preconditioned_over_momentum(name: str, adam: Fit, momentum: Fit) -> Claim:
    """By the ratio of critical batch sizes."""
    claim = f'{name} has a larger critical batch size than momentum ({_ZHANG})'
    return _ratio(claim, adam, momentum, _papers.ZHANG_PRECONDITIONED)


def _ratio(claim, fit, other, paper):
    """By the ratio of critical batch sizes."""
    # inf / inf where neither turns from perfect scaling
    with np.errstate(invalid='ignore'):
        values = fit.critical / other.critical
    ratio, low, high = span(values, min(fit.seeds, other.seeds))
    words = format_span((ratio, low, high))
    return Claim(claim, words, above((low, high), 1.0), paper=paper)


@functools.cache
def _noisy_quadratic():
    """Critical batch size of momentum 0.9 over that of SGD, learning rates tuned, 500 curvatures 1
    / i."""
    import jax
    import jax.numpy as jnp

    with jax.enable_x64(True):
        sizes, spectrum = 4.0 ** jnp.arange(10), 1 / jnp.arange(1, 501.0)

        @jax.jit
        def steps_of(beta):
            def at_size(size):
                steps, _ = tuned_steps(size, beta, spectrum=spectrum)
                return steps

            return jax.lax.map(at_size, sizes)

        def critical(beta):
            steps = steps_of(beta).tolist()
            return critical_batch_size(sizes.tolist(), steps, [True] * len(steps)).critical

        return critical(0.9) / critical(0.0)
