"""The study of weight diffusion: curves are known again, and paths of a known shape give known
claims."""

import pathlib

import numpy as np
import pytest
from rounds import analysis, rounds

import lbexp
from lbexp import config as configs
from lbexp.analysis import NOT_REPRODUCED, REPRODUCED, UNDECIDED
from lbexp.studies._diffusion import curve, held_out_errors, log_spaced, misfit

ROOT = pathlib.Path(__file__).parents[2]
T = np.arange(10.0, 4001, 10)


@pytest.fixture
def config():
    return configs.load(str(ROOT / 'experiments' / 'weight_diffusion.py'))


@pytest.mark.parametrize('power', [0.0, 0.25, 0.5, 1.0, -0.3])
def test_the_power_of_a_curve_comes_back(power):
    y = 1.5 + 0.3 * (np.log(T) if power == 0 else T**power)
    fitted = curve(T, y)
    assert fitted.power == pytest.approx(power, abs=0.005)
    np.testing.assert_allclose(fitted.at(T), y, rtol=1e-6)
    assert misfit(T, y, power) < 1e-10 < 1e-4 < misfit(T, y, power + 0.5)


def test_misfit_is_one_less_the_squared_correlation():
    y = np.log(T) + np.random.default_rng(0).standard_normal(len(T))
    correlation = np.corrcoef(np.sqrt(T), y)[0, 1]
    assert misfit(T, y, 0.5) == pytest.approx(1 - correlation**2)


def test_a_seed_is_held_out_of_its_own_curve():
    """Seeds that differ by an offset alone: the curve of the others misses by it."""
    offsets = np.array([0.0, 0.0, 3.0])
    paths = np.log(T)[None] + offsets[:, None]
    np.testing.assert_allclose(held_out_errors(T, paths, 0.0), [1.5**2, 1.5**2, 9.0], rtol=1e-6)


def test_points_are_evenly_spaced_in_log_t():
    steps = np.diff(np.log(T[log_spaced(T, 12)]))
    assert len(steps) == 11 and max(steps) < 2.2 * min(steps)


def planted(config, workdir, shape, lost=()):
    """The analysis of distances `shape(t)`, with an offset and a slope of each seed's own."""

    def answer(trial):
        seed = trial['seed']
        draws = np.random.default_rng((seed, trial['batch_size']))
        slope, offset = 1 + 0.01 * draws.standard_normal(2)
        rows = [{'step': int(t), 'distance': offset + slope * float(shape(t))} for t in T]
        return rows, 'diverged' if seed in lost else 'done'

    rounds(config, workdir, answer)
    return analysis(config, workdir)


@pytest.mark.parametrize(
    'shape, expected',
    [
        (np.log, [REPRODUCED, REPRODUCED]),
        (np.sqrt, [NOT_REPRODUCED, NOT_REPRODUCED]),
        # nearer to log t than to t^1/2, and yet no log t
        (lambda t: 4 * t**0.15, [REPRODUCED, NOT_REPRODUCED]),
    ],
)
def test_claims_follow_the_shape(config, tmp_path, shape, expected):
    answer = planted(config, tmp_path, shape)
    assert [claim.outcome for claim in answer.claims] == expected * 3
    assert answer.passed == (expected == [REPRODUCED] * 2)
    (table,) = answer.tables
    assert [row[0] for row in table.rows] == ['batch 32', 'batch 128', 'batch 512']
    assert len(answer.figures[0].series) == 6


def test_a_seed_that_diverged_may_be_anything(config, tmp_path):
    answer = planted(config, tmp_path, np.log, lost=(0, 1, 2))
    assert {claim.outcome for claim in answer.claims} == {UNDECIDED}
    assert '3 of 8 diverged' in answer.claims[0].measured


def test_all_but_one_diverged(config, tmp_path):
    answer = planted(config, tmp_path, np.log, lost=range(7))
    assert not answer.claims and answer.tables[0].rows[0][1] == 'fewer than two seeds'


@pytest.mark.long
def test_it_runs(config, tmp_path):
    small = {'batch_sizes': (32,), 'updates': 40, 'seeds': 2}
    changes = {f'study.{name}': value for name, value in small.items()}
    changes |= {'workload.hidden': (8,), 'num_rows': 20}
    result = lbexp.run(config, changes, workdir=tmp_path / 'run', show=False)
    assert [claim.outcome for claim in result.claims] == [UNDECIDED] * 2
    distances = result.final()['distance'].to_numpy()
    assert (distances > 0).all()
