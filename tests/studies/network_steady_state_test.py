"""A network's weight variance beside the quadratic's, without training: planted variances, Hessians
and noise give known claims."""

import pathlib

import numpy as np
import pytest
from planted import outcomes
from rounds import analysis, rounds

from lbexp import config as configs
from lbexp import results
from lbexp.analysis import NOT_REPRODUCED, REPRODUCED, UNDECIDED
from lbexp.config import check
from lbexp.studies._network.spectra import SPECTRA_FILE

ROOT = pathlib.Path(__file__).parents[2]
UPDATES, DECAY, K, ALPHA = 4000, 0.05, 5, 0.5
# the last is flat, whatever decays: it wanders for longer than the window, with little noise
HESSIAN, NOISE = np.array([1.0, 0.2, 0.02, -0.1]), np.array([4.0, 0.5, 0.2, 1e-5])


def experiment(**study):
    config = configs.load(str(ROOT / 'experiments' / 'network_steady_state.py'))
    few = dict(learning_rates=(0.05, 0.1), batch_sizes=(8, 16), slow_step_sizes=(ALPHA,), k=K)
    config.study.update({**few, 'weight_decay': DECAY, 'seeds': 6, **study})
    return config


def at_rest(gamma, size, alpha, decay=DECAY, k=K):
    """Variance about the mean of a window, summed over directions, by summing over all lags.

    The slow weights, seen every k updates, go on by a factor q a cycle. Beyond the stability limit
    any number will do.
    """
    if gamma * (HESSIAN.max() + decay) >= 2:
        return 1.0
    total = 0.0
    for curvature, noise in zip(HESSIAN + decay, NOISE / size, strict=True):
        r, count = 1 - gamma * max(curvature, 1e-6 / gamma), UPDATES
        variance = gamma**2 * noise / (1 - r**2)
        if alpha is not None:
            q, count = 1 - alpha + alpha * r**k, UPDATES // k
            variance *= alpha**2 * (1 - r ** (2 * k)) / (1 - q**2)
            r = q
        lags = np.arange(1, count)
        total += variance * (1 - (count + 2 * np.sum((count - lags) * r**lags)) / count**2)
    return total


def setting_of(config):
    optimizer = config['optimizer']
    inner = optimizer.get('inner', optimizer)
    return inner['learning_rate'], config['batch_size'], optimizer.get('slow_step_size')


def run(config, workdir, factor_of, **wrong):
    """The study's analysis of variances that are `factor_of(gamma, B, alpha)` times the theory's,
    with one per cent of noise that the settings of a seed do not share."""

    def rows(trial):
        setting = setting_of(trial)
        draws = np.random.default_rng((trial['seed'], hash(setting) % 2**32))
        factor = factor_of(*setting) * (1 + 0.01 * draws.standard_normal())
        (decay,) = [each['weight_decay'] for each in trial['transforms']]
        assert decay == DECAY
        measured = factor * at_rest(*setting, **wrong)
        row = {
            'step': 10,
            # two coordinates, so that they have to be summed
            'evaluation_coordinate_variance': [0.25 * measured, 0.75 * measured],
            'evaluation_coordinate_mean': [0.0] * len(HESSIAN),
            'evaluation_count': UPDATES,
            'evaluation_loss_mean': 0.1,
            'evaluation_loss_stationarity_z': 0.5,
            'evaluation_burn_in': 100,
        }
        return [row], 'done'

    rounds(config, workdir, rows)
    spectrum = np.stack([HESSIAN, NOISE, np.zeros(len(HESSIAN))])
    trials = {str(trial): spectrum for trial in results.final(workdir)['trial']}
    np.savez(workdir / SPECTRA_FILE, **trials)
    return analysis(config, workdir)


def exact(gamma, size, alpha):
    return 1.0


# the power of gamma / B; the level at gamma 0.05 and 0.1; Lookahead at 0.05 and 0.1: lower, and by
# as much as predicted
ALL = [REPRODUCED] * 7


@pytest.mark.parametrize(
    'factor_of, expected',
    [
        (exact, ALL),
        # ten times the batch leaves a tenth of the noise, and too little is left at high rates
        (
            lambda gamma, size, alpha: (0.05 / gamma) ** 0.8,
            [NOT_REPRODUCED, REPRODUCED, NOT_REPRODUCED, *ALL[3:]],
        ),
        # Lookahead at the higher rate leaves what SGD does
        (
            lambda gamma, size, alpha: 3.0 if alpha and gamma == 0.1 else 1.0,
            [*ALL[:5], NOT_REPRODUCED, NOT_REPRODUCED],
        ),
        # Lookahead lowers it more than it should
        (
            lambda gamma, size, alpha: 0.5 if alpha else 1.0,
            [*ALL[:4], NOT_REPRODUCED, REPRODUCED, NOT_REPRODUCED],
        ),
        (lambda gamma, size, alpha: 1.5, [REPRODUCED, NOT_REPRODUCED, NOT_REPRODUCED, *ALL[3:]]),
    ],
)
def test_claims_follow_the_variances(tmp_path, factor_of, expected):
    found = run(experiment(), tmp_path, factor_of)
    assert outcomes(found) == expected
    # the mean of log ratios, within the one per cent over two settings
    words = found.claims[1].measured.split()
    assert float(words[3]) == pytest.approx(factor_of(0.05, 8, None), rel=0.02)


@pytest.mark.parametrize('wrong', [dict(decay=0.0), dict(decay=2 * DECAY), dict(k=40)])
def test_another_curvature_or_cycle_is_noticed(tmp_path, wrong):
    """What is measured belongs to curvatures without the decay, or to other cycles."""
    found = run(experiment(tolerance=0.1), tmp_path, exact, **wrong)
    assert NOT_REPRODUCED in outcomes(found)


def test_what_is_predicted_is_the_sum_over_lags(tmp_path):
    settings = []
    for row in run(experiment(), tmp_path, exact).tables[0].rows:
        alpha = None if row[0] == 'SGD' else ALPHA
        settings.append((row[1], row[2], alpha))
        assert row[6] == pytest.approx(at_rest(row[1], row[2], alpha), rel=1e-6)
    assert len(set(settings)) == 5


def test_the_interval_is_that_of_the_median_of_six(tmp_path):
    """Planted without other noise: the ends are the least and the largest of six."""
    found = run(experiment(), tmp_path, exact)
    ratios = []
    for row in results.final(tmp_path)['evaluation_coordinate_variance'][:6]:
        ratios.append(sum(row) / at_rest(0.05, 8, None))
    middle, low, high = np.median(ratios), min(ratios), max(ratios)
    assert found.claims[1].measured.startswith(
        f'measured over predicted {middle:.3g} [{low:.3g}, {high:.3g}], logarithm: '
    )


def test_a_quadratic_beyond_its_limit_decides_nothing(tmp_path):
    found = run(experiment(learning_rates=(0.05, 1.95)), tmp_path, exact)
    # gamma a = 2.05 at the second rate, of SGD and of Lookahead
    assert outcomes(found)[2] == UNDECIDED and outcomes(found)[6] == UNDECIDED
    assert '6 of 6 diverged' in found.claims[2].measured


def test_five_seeds_decide_nothing(tmp_path):
    found = run(experiment(seeds=5), tmp_path, exact)
    assert outcomes(found) == [UNDECIDED] * 7


def test_bad_arguments_are_told_in_one_line():
    (problem,) = check.check(experiment(tolerance=0.0))
    assert 'tolerance' in problem
