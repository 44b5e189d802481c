"""Batch size and generalization, without training: known errors give known verdicts, under-trained
batches none, and test, validation and training errors are not mistaken for one another."""

import pathlib

import numpy as np
import pytest
from rounds import analysis, rounds

from lbexp import config as configs
from lbexp.analysis import NOT_REPRODUCED, REPRODUCED, UNDECIDED, UNDER_TRAINED

ROOT = pathlib.Path(__file__).parents[2]
SIZES = (32, 128, 512)
# of each batch size: (training error, test error) at equal epochs, then at equal updates
SOUND = {32: (0.0, 0.30), 128: (0.0, 0.30), 512: (0.0, 0.36)}
ENOUGH = {32: (0.0, 0.30), 128: (0.0, 0.30), 512: (0.0, 0.30)}


def experiment(**study):
    config = configs.load(str(ROOT / 'experiments' / 'generalization_gap.py'))
    arguments = dict(batch_sizes=SIZES, budget=6, seeds=6, tunings=1, extensions=0, speed=False)
    config.study.update(**{**arguments, **study})
    return config


def made_up(
    at_epochs=SOUND, at_updates=ENOUGH, distance=None, diverging=(), validation=0.0, updates=40
):
    """Trials of known errors, a few thousandths of noise that pairs do not share; away from the
    best learning rate the validation error is higher."""

    def answer(trial):
        size, seed = trial['batch_size'], trial['seed']
        regime = at_updates if trial['regime_adaptation'] else at_epochs
        training, test = regime[size]
        noise = np.random.default_rng((seed, size, regime is at_updates)).normal(0, 0.002, 2)
        off = 0.05 * np.log10(trial['optimizer']['learning_rate'] / 0.1) ** 2
        end = dict(
            train_accuracy=1 - training - abs(noise[0]),
            test_accuracy=1 - test - noise[1],
            validation_accuracy=1 - test - off - validation,
        )
        if (size, seed) in diverging:
            return [dict(step=1, epoch=0.1, loss=None)], 'diverged'
        rows = []
        for step in range(1, updates + 1):
            row = dict(step=step, epoch=step / updates, **end)
            if distance is not None:
                row['distance'] = distance(step)
            rows.append(row)
        return rows, 'done'

    return answer


def claims(tmp_path, answer, **study):
    config = experiment(**study)
    rounds(config, tmp_path, answer)
    return analysis(config, tmp_path).claims


def outcomes(found):
    return [claim.outcome for claim in found]


def test_a_gap_at_equal_training_error_that_updates_close(tmp_path):
    keskar, shallue, shrinks, left = claims(tmp_path, made_up())
    assert outcomes([keskar, shallue, shrinks, left]) == [REPRODUCED] * 4
    assert '"equal epochs, B 512" minus "equal epochs, B 32"' in keskar.measured
    assert np.median(keskar.effects) == pytest.approx(0.06, abs=0.004)
    assert keskar.contrast == ('test_error', 'equal epochs, B 512', 'equal epochs, B 32')
    assert np.median(shrinks.effects) == pytest.approx(0.06, abs=0.004)
    # the premise stands beside what the paper claims, with its number
    assert '1609.04836' in keskar.paper and 'sharp' in keskar.paper
    assert '1811.03600' in shallue.paper


@pytest.mark.long
def test_a_large_batch_that_generalizes_better(tmp_path):
    better = {**SOUND, 512: (0.0, 0.25)}
    keskar, shallue, shrinks, left = claims(tmp_path, made_up(better, better))
    assert keskar.outcome == NOT_REPRODUCED and np.median(keskar.effects) < -0.04
    assert shallue.outcome == left.outcome == REPRODUCED
    assert shrinks.outcome == UNDECIDED  # nothing to shrink


@pytest.mark.long
def test_updates_that_close_nothing(tmp_path):
    _, shallue, shrinks, left = claims(tmp_path, made_up(SOUND, {**SOUND, 512: (0.0, 0.40)}))
    assert outcomes([shallue, shrinks, left]) == [NOT_REPRODUCED] * 3


def test_an_under_trained_batch_decides_nothing(tmp_path):
    """Training error rises as much as test error: that is optimization. The claim is judged at the
    largest batch that fits."""
    unfit = {32: (0.0, 0.30), 128: (0.0, 0.34), 512: (0.12, 0.42)}
    config = experiment()
    rounds(config, tmp_path, made_up(unfit))
    found = analysis(config, tmp_path)
    at_fitting, at_largest, shallue, shrinks, _ = found.claims
    assert at_fitting.outcome == REPRODUCED and 'B 128' in at_fitting.measured
    assert at_largest.outcome == UNDER_TRAINED and 'B 512' in at_largest.measured
    assert 'training error, "equal epochs, B 512" minus' in at_largest.measured
    assert np.isnan(at_largest.p_value)
    assert shallue.outcome == REPRODUCED and 'equal updates, B 512' in shallue.measured
    assert 'B 128' in shrinks.measured
    assert '"equal epochs, B 128": its test error is 0.0' in found.verdict
    assert '"equal epochs, B 512" has a test error 0.1' in found.verdict


def test_where_no_batch_fits_all_are_under_trained(tmp_path):
    unfit = {32: (0.0, 0.30), 128: (0.1, 0.40), 512: (0.2, 0.50)}
    found = claims(tmp_path, made_up(unfit, unfit))
    assert outcomes(found) == [UNDER_TRAINED] * 4


@pytest.mark.long
def test_a_batch_that_fits_better_than_the_small_one_fits(tmp_path):
    """Less training error and more test error is a gap all the more."""
    noisy = {32: (0.05, 0.30), 128: (0.0, 0.30), 512: (0.0, 0.36)}
    keskar, *_ = claims(tmp_path, made_up(noisy))
    assert keskar.outcome == REPRODUCED


@pytest.mark.long
@pytest.mark.parametrize('fit_margin, outcome', [(0.02, UNDER_TRAINED), (0.2, REPRODUCED)])
def test_the_margin_of_fit_is_an_argument(tmp_path, fit_margin, outcome):
    errors = {32: (0.0, 0.30), 512: (0.12, 0.42)}
    study = dict(batch_sizes=(32, 512), fit_margin=fit_margin)
    assert claims(tmp_path, made_up(errors), **study)[0].outcome == outcome


@pytest.mark.long
def test_few_seeds_and_lost_ones_decide_nothing(tmp_path):
    assert set(outcomes(claims(tmp_path / 'few', made_up(), seeds=3))) == {UNDECIDED}
    lost = {(512, seed) for seed in (2, 4)}
    _, largest, *_ = claims(tmp_path / 'lost', made_up(diverging=lost))
    assert largest.outcome == UNDECIDED and '"equal epochs, B 512" minus' in largest.measured
    assert '2 of 6 diverged' in largest.measured


@pytest.mark.long
def test_what_is_claimed_is_of_the_test_set(tmp_path):
    """Validation errors that say the opposite change nothing."""
    keskar, *_ = claims(tmp_path, made_up(validation=0.2))
    assert np.median(keskar.effects) == pytest.approx(0.06, abs=0.004)
    config = experiment()
    (table,) = analysis(config, tmp_path).tables
    column = table.columns.index('test error')
    assert float(table.rows[0][column].split()[0]) == pytest.approx(0.30, abs=0.004)


@pytest.mark.long
@pytest.mark.parametrize(
    'distance, outcome', [(np.log, REPRODUCED), (np.sqrt, NOT_REPRODUCED), (None, None)]
)
def test_growth_of_the_distance(tmp_path, distance, outcome):
    def rough(step):
        return float(distance(step)) + 0.01 * (step % 3)

    found = claims(tmp_path, made_up(distance=rough if distance else None))
    diffusion = [claim for claim in found if 'log t' in claim.claim]
    assert outcomes(diffusion) == ([outcome] if outcome else [])
    if outcome:
        assert 'first 20 updates' in diffusion[0].measured


@pytest.mark.parametrize('updates, claimed', [(8, 0), (15, 0), (16, 1)])
def test_a_few_updates_tell_nothing_of_the_distance(tmp_path, updates, claimed):
    """Those of the first half of the run: 4, 7 and 8."""
    answer = made_up(distance=lambda step: float(np.log(step)) + 0.01 * (step % 3), updates=updates)
    found = claims(tmp_path, answer)
    assert len([claim for claim in found if 'log t' in claim.claim]) == claimed


@pytest.mark.long
def test_a_seed_that_diverged_is_told_of_the_distance(tmp_path):
    answer = made_up(distance=lambda step: float(np.log(step) + 0.01 * (step % 3)))
    lost = made_up(diverging={(512, 3)})
    found = claims(tmp_path, lambda trial: (lost if trial['seed'] == 3 else answer)(trial), seeds=7)
    (diffusion,) = [claim for claim in found if 'log t' in claim.claim]
    assert '1 of 7 diverged' in diffusion.measured and diffusion.outcome == UNDECIDED


@pytest.mark.long
def test_figures_tell_optimization_and_generalization_apart(tmp_path):
    config = experiment()
    rounds(config, tmp_path, made_up())
    figures = {figure.name: figure for figure in analysis(config, tmp_path).figures}
    assert {'errors', 'gap', 'paths', 'paths_training', 'paths_gap'} <= set(figures)
    names = {series.name for series in figures['errors'].series}
    assert names == {
        f'{part}, {regime}'
        for part in ('test', 'training')
        for regime in ('equal epochs', 'equal updates')
    }
    assert 'over 6 seeds' in figures['errors'].caption
    (gap_of_largest,) = {
        series.y[-1] for series in figures['gap'].series if 'epochs' in series.name
    }
    assert gap_of_largest == pytest.approx(0.36, abs=0.006)


def test_several_tunings_are_the_draws(tmp_path):
    answer = made_up(distance=lambda step: float(np.log(step) + 0.01 * (step % 3)))
    found = claims(tmp_path, answer, tunings=6, seeds=2, budget=2)
    assert {len(claim.effects) for claim in found} == {6}
    assert found[0].outcome == REPRODUCED
