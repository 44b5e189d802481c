"""The study of sharp minima: known sharpness and errors give known claims, and rescaled layers are
the same function."""

import json
import pathlib

import jax
import numpy as np
import pytest
import scipy.stats
from rounds import analysis, rounds

import lbexp
from lbexp import config as configs
from lbexp import results
from lbexp.analysis import NOT_REPRODUCED, REPRODUCED, UNDECIDED, UNDER_TRAINED
from lbexp.config import lookup
from lbexp.errors import Refusal
from lbexp.studies._network.rescaled import RESCALED_FILE, require_layers, rescaled_layers
from lbexp.studies.sharp_minima import rank_correlation

ROOT = pathlib.Path(__file__).parents[2]
KINDS = 'keskar', 'sam', 'adaptive'


def experiment(**study):
    config = configs.load(str(ROOT / 'experiments' / 'sharp_minima.py'))
    config.study.update(**study)
    return config


def planted(config, workdir, sharper=3.0, worse=0.03, tied=True, unfit=0.0, moved=20.0):
    """The analysis where the batch of 512 is `sharper` times as sharp as that of 32, and its test
    error `worse`.

    Args:
        tied: whether a trial's sharpness says what its test error is; else it says nothing.
        unfit: training error of the largest batch.
        moved: factor by which rescaling moves box sharpness.
    """

    def answer(trial):
        size, seed = trial['batch_size'], trial['seed']
        assert trial['regime_adaptation'] == 32
        kinds = [probe['kind'] for probe in trial['probes']]
        assert kinds == list(KINDS)
        place = np.log2(size / 32) / 4
        draws = np.random.default_rng(
            (size, seed, round(1e6 * trial['optimizer']['learning_rate']))
        )
        noise, other = draws.standard_normal(2)
        error = 0.3 + worse * place + 0.003 * noise
        shown = noise if tied else other
        if not tied:
            place *= 0
        row = {'step': 10, 'test_accuracy': 1 - error, 'validation_accuracy': 0.6}
        row['train_accuracy'] = 1 - unfit * (size == 512)
        for kind in KINDS:
            row[f'{kind}_sharpness'] = sharper**place * np.exp(0.1 * shown)
        return [row], 'done'

    rounds(config, workdir, answer)
    kept = {}
    for trial, tags in results.roles(workdir):
        if tags['phase'] == 'reporting':
            factor = moved * (1 + 0.001 * trial)
            kept[str(trial)] = dict(step=10, keskar=[1.0, factor], adaptive=[1.0, 1.001])
    (workdir / RESCALED_FILE).write_text(json.dumps(kept))
    return analysis(config, workdir)


def outcomes(answer):
    return [claim.outcome for claim in answer.claims]


def test_sharp_minima_that_generalize_worse(tmp_path):
    answer = planted(experiment(), tmp_path)
    premise, *rest = outcomes(answer)
    assert premise == REPRODUCED and rest[:3] == [REPRODUCED] * 3
    # of each measure: correlated, and not weakly
    assert rest[3:9] == [REPRODUCED, NOT_REPRODUCED] * 3
    assert rest[9:] == [REPRODUCED] * 2 and not answer.passed
    assert 'keskar 1.' in answer.verdict
    assert {'sharpness', 'correlation'} <= {figure.name for figure in answer.figures}


def test_flat_minima_and_sharpness_that_says_nothing(tmp_path):
    answer = planted(experiment(), tmp_path, worse=-0.03, tied=False)
    premise, *rest = outcomes(answer)
    assert premise == NOT_REPRODUCED
    assert REPRODUCED not in rest[:3] + rest[3:9:2]


def test_nothing_is_said_of_a_batch_that_does_not_fit(tmp_path):
    answer = planted(experiment(), tmp_path, unfit=0.2)
    assert outcomes(answer)[:4] == [UNDER_TRAINED] * 4
    # and it is in no correlation: two thirds of the trials are left
    reported, all_trials = 8 + 6, 3 * (8 + 6)
    assert f'over {all_trials - reported} trials' in answer.claims[4].measured


def test_box_sharpness_that_stays_is_noticed(tmp_path):
    answer = planted(experiment(), tmp_path, moved=1.2)
    assert outcomes(answer)[-2:] == [NOT_REPRODUCED, REPRODUCED]


def test_no_pairs_decide_nothing(tmp_path):
    config = experiment(seeds=2)
    answer = planted(config, tmp_path)
    assert outcomes(answer)[:4] == [UNDECIDED] * 4


def test_rank_correlation():
    draws = np.random.default_rng(0)
    x = draws.standard_normal(80)
    tau, low, high = rank_correlation(x, x**3)
    assert (tau, low, high) == pytest.approx((1, 1, 1))
    # two normals of correlation r have tau 2 / pi arcsin r
    y = 0.6 * x + 0.8 * draws.standard_normal(80)
    tau, low, high = rank_correlation(x, y)
    assert low < 2 / np.pi * np.arcsin(0.6) < high and 0.05 < high - low < 0.4
    assert tau == pytest.approx(scipy.stats.kendalltau(x, y).statistic)
    rounded, _, _ = rank_correlation(x.round(), y.round())
    assert rounded == pytest.approx(scipy.stats.kendalltau(x.round(), y.round()).statistic)
    assert np.isnan(rank_correlation(x[:5], y[:5])).all()
    with_lost = np.where(np.arange(80) < 60, x, np.nan)
    assert rank_correlation(with_lost, y) == rank_correlation(x[:60], y[:60])


def test_rescaled_layers_are_the_same_function():
    part = dict(name='digits_mlp', hidden=(8, 8))
    workload = lookup.build('workload', part)
    params, state = workload.init(jax.random.key(0))
    # biases begin at 0, which no factor moves
    params = jax.tree.map(lambda leaf: leaf + 0.1, params)
    examples = workload.test.read(workload.test.arrays, np.arange(20))
    other = rescaled_layers(params, ('Dense_0', 'Dense_1'))
    assert not np.allclose(other['Dense_0']['kernel'], params['Dense_0']['kernel'])
    here, there = (
        workload.predict(params, state, examples),
        workload.predict(other, state, examples),
    )
    np.testing.assert_allclose(here, there, atol=1e-5)
    # the bias of the second layer stays, and layers that are not adjacent are not the same function
    wrong = rescaled_layers(params, ('Dense_0', 'Dense_2'))
    assert not np.allclose(here, workload.predict(wrong, state, examples), atol=1e-2)
    with pytest.raises(Refusal, match="found 'Dense_0', 'Dense_7'; allowed: two of Dense_0"):
        require_layers(part, ('Dense_0', 'Dense_7'))


@pytest.mark.long
def test_it_runs(tmp_path):
    """Adaptive sharpness of a trained network stays, box sharpness moves."""
    # at a rate at which the network learns: one whose ReLUs are all 0 has nothing to rescale
    config = experiment(batch_sizes=(32, 64), budget=1, extensions=0, seeds=2, examples=32)
    changes = {'epochs': 4.0, 'workload.hidden': (32, 16), 'evaluate_train': 64}
    changes['study.learning_rates'] = (0.02, 0.05)
    result = lbexp.run(config, changes, workdir=tmp_path / 'run', show=False)
    box, adaptive = [claim.effects for claim in result.claims[-2:]]
    assert len(box) == 4 and min(map(abs, box)) > 0.3
    np.testing.assert_allclose(adaptive, 0, atol=0.05)
