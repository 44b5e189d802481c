"""The learning-rate range test: what it asks for, and its marks on curves that are known."""

import math
import pathlib

import numpy as np
import pytest
from rounds import analysis, rounds

from lbexp import config as configs
from lbexp.config import lookup
from lbexp.studies.learning_rate_range import marks, smoothed

ROOT = pathlib.Path(__file__).parents[2]
RATES = np.logspace(-4, 1, 101)


@pytest.fixture
def config():
    return configs.load(str(ROOT / 'experiments' / 'learning_rate_range.py'))


def curve(fastest, back, seed=0):
    """A loss that falls from 2 by 1.9 around the rate `fastest`, as a logistic curve does, and is
    at 2 again at the rate `back`."""
    depth = 1.9 / (1 + np.exp(-4 * np.log(RATES / fastest)))
    return 2 - depth + 1.9 * (RATES / back) ** 3 + 0.001 * seed


def measured(config, workdir, fastest, back=math.inf, diverges_at=math.inf):
    def answer(trial):
        rows = []
        for place, (rate, loss) in enumerate(zip(RATES, curve(fastest, back, trial['seed']))):
            if rate < diverges_at:
                rows.append({'step': place + 1, 'learning_rate': rate, 'loss': loss})
        return rows, 'diverged' if diverges_at < math.inf else 'done'

    rounds(config, workdir, answer)
    return analysis(config, workdir)


def told(of):
    """The three medians of the table."""
    return [float(row[1].split()[0]) for row in of.tables[0].rows if row[1] != 'none']


def test_the_rate_rises_over_the_whole_range(config):
    study = lookup.build('study', configs.plain(config.study))
    first, *others = study.trials(config)
    assert first.overrides == {
        'seed': 0,
        'optimizer.learning_rate': 10.0,
        'schedule': {'name': 'rising', 'start': 1e-5, 'scale': 'log'},
    }
    assert len(others) == 2 and others[1].overrides['seed'] == 2
    config.optimizer = dict(name='lookahead', inner=dict(name='sgd', learning_rate=0.1))
    assert study.trials(config)[0].overrides['optimizer.inner.learning_rate'] == 10.0


def test_the_marks_are_where_the_curve_has_them(config, tmp_path):
    of = measured(config, tmp_path, fastest=0.02, back=3.0)
    fastest, lowest, back = told(of)
    assert fastest == pytest.approx(0.02, rel=0.13) and back == pytest.approx(3.0, rel=0.13)
    # the lowest point of the same curve, on a fine grid
    fine = np.logspace(-4, 1, 100_001)
    depth = 1.9 / (1 + np.exp(-4 * np.log(fine / 0.02)))
    exact = fine[np.argmin(2 - depth + 1.9 * (fine / 3.0) ** 3)]
    assert lowest == pytest.approx(exact, rel=0.13)
    assert 'falls fastest at a learning rate of 0.02' in of.verdict
    (figure,) = of.figures
    assert figure.x_scale == 'log' and len(figure.series) == 3 + 3
    assert np.nanmax(figure.series[0].y) <= 4.01  # twice the first loss


def test_a_run_that_diverges_is_back_where_it_ends(config, tmp_path):
    of = measured(config, tmp_path, fastest=0.02, diverges_at=0.5)
    assert told(of)[2] == pytest.approx(RATES[RATES < 0.5][-1], rel=1e-2)
    assert 'wider' not in of.verdict


def test_a_range_that_ends_too_low_is_said(config, tmp_path):
    of = measured(config, tmp_path, fastest=0.5)
    assert of.verdict.endswith('It is lowest at the end of the range, which should be wider.')
    assert of.tables[0].rows[2][1] == 'none'


def test_a_loss_that_only_rises_has_no_best_rate(config, tmp_path):
    of = measured(config, tmp_path, fastest=1e9, back=0.01)
    assert of.verdict.startswith('The loss never falls')
    assert marks(RATES[:1], np.ones(1), False) == pytest.approx((math.nan,) * 3, nan_ok=True)


def test_smoothing_keeps_lines_and_ends():
    line = np.arange(9.0)
    assert smoothed(line) == pytest.approx(line)
    spike = np.zeros(9)
    spike[4] = 5.0
    assert smoothed(spike) == pytest.approx([0, 0, 1, 1, 1, 1, 1, 0, 0])


def test_a_range_without_extent_is_refused():
    with pytest.raises(ValueError, match=r'low, high: found 0.1, 0.1; allowed: low < high'):
        lookup.build('study', dict(name='learning_rate_range', low=0.1, high=0.1))
