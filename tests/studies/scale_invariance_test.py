"""The study of rotation: what it says of rows that are known, that the network is as it says, and a
run of it."""

import math
import pathlib

import jax
import numpy as np
import pytest
from rounds import analysis, rounds

import lbexp
from lbexp import config as configs
from lbexp.analysis import NOT_REPRODUCED, REPRODUCED, UNDECIDED
from lbexp.config import lookup
from lbexp.probes.rotation import scale_invariance

ROOT = pathlib.Path(__file__).parents[2]
LAYERS = 'Dense_0/kernel', 'Dense_1/kernel'
OTHER = 'Dense_2/kernel'


@pytest.fixture
def config():
    return configs.load(str(ROOT / 'experiments' / 'scale_invariance.py'))


def expected(trial):
    """The closed form of a trial, from the equations (LARS: from its balance, by halving)."""
    optimizer = trial['optimizer']
    rate, name = optimizer['learning_rate'], optimizer['name']
    if name == 'lamb':
        return rate
    if name == 'lars':
        beta = optimizer['momentum']
        low, high = 0.0, rate
        for _ in range(60):
            a = (low + high) / 2
            # growth a^2 / (1 - beta)^2 against decay 2 a (rate - a) / (1 - beta)
            if a**2 / (1 - beta) < 2 * (rate - a):
                low = a
            else:
                high = a
        return a / math.sqrt(1 - beta**2)
    if name == 'adamw':
        b1 = optimizer['b1']
        return math.sqrt(2 * rate * optimizer['weight_decay'] * (1 - b1) / (1 + b1))
    (decay,) = [each['weight_decay'] for each in trial['transforms']]
    return math.sqrt(2 * rate * decay / (1 + optimizer.get('momentum', 0)))


def planted(config, workdir, factor_of):
    """The analysis of angles that are `factor_of(name of the optimizer)` times the closed form's,
    with noise of 0.2 %."""

    def answer(trial):
        name, seed = trial['optimizer']['name'], trial['seed']
        row = {'step': trial['steps']}
        for place, layer in enumerate(LAYERS):
            draws = np.random.default_rng((seed, place, round(1e6 * expected(trial))))
            noise = 0.002 * draws.standard_normal()
            row[f'rotation/{layer}'] = expected(trial) * factor_of(name) * (1 + noise)
        row[f'rotation/{OTHER}'] = 0.3 * expected(trial) * (1 + 1e-6 * seed)
        early = {key: 2 * value for key, value in row.items()} | {'step': trial['steps'] // 2}
        return [early, row], 'diverged' if factor_of(name) is math.inf else 'done'

    rounds(config, workdir, answer)
    return analysis(config, workdir)


def test_what_turns_as_predicted_is_reproduced(config, tmp_path):
    answer = planted(config, tmp_path, lambda name: 1.0)
    assert answer.passed and [claim.outcome for claim in answer.claims] == [REPRODUCED] * 5
    (table,) = answer.tables
    assert len(table.rows) == 3 * 10
    without = [row for row in table.rows if row[3] == 'no']
    assert {row[2] for row in without} == {OTHER}
    assert all(row[6] == pytest.approx(0.3, rel=1e-4) and row[-1] < -4 for row in without)
    (figure,) = answer.figures
    assert len(figure.places) == 10 and {series.name for series in figure.series} == set(LAYERS)


@pytest.mark.parametrize(
    'factors, outcomes, passed',
    [
        # beyond the tolerance
        ({'adamw': 0.9}, {'AdamW': NOT_REPRODUCED}, False),
        ({'lars': 1.12}, {'LARS': NOT_REPRODUCED}, False),
        # on its edge
        ({'lamb': 1.05}, {'LAMB': UNDECIDED}, None),
        # within it, but not within errors
        ({'sgd': 1.02}, {}, False),
        ({'adamw': 1.02}, {}, True),
        ({'momentum': math.inf}, {'momentum': UNDECIDED}, None),
    ],
)
def test_another_angle_is_noticed(config, tmp_path, factors, outcomes, passed):
    answer = planted(config, tmp_path, lambda name: factors.get(name, 1.0))
    for claim in answer.claims:
        name = claim.claim.split(':')[0]
        assert claim.outcome == outcomes.get(name, REPRODUCED), name
    assert answer.passed == passed


def test_the_layers_of_the_experiment_are_scale_invariant(config):
    """And the last, which no norm follows, is not."""
    workload = lookup.build('workload', configs.plain(config.workload))
    params, state = workload.init(jax.random.key(0))
    examples = workload.train.read(workload.train.arrays, np.arange(config.batch_size))

    def loss(params):
        metrics, _ = workload.loss(params, state, examples, jax.random.key(0))
        return metrics['loss'].mean()

    report = scale_invariance(jax.jit(jax.grad(loss)), params)
    for layer in config.study.layers:
        assert report[layer].cosine < 1e-3 and report[layer].homogeneity < 1e-2
    assert report[OTHER].cosine > 0.01 and report[OTHER].homogeneity > 0.1


@pytest.mark.long
def test_it_runs(config, tmp_path):
    """A step of LARS and LAMB has its length from the first update on."""
    few = dict(shares=(), step_lengths=(0.01,), momentum=0.0, updates=60, seeds=1)
    changes = {f'study.{name}': value for name, value in few.items()}
    result = lbexp.run(config, changes, workdir=tmp_path / 'run', show=False)
    assert [claim.outcome for claim in result.claims] == [UNDECIDED] * 2
    assert list(result.final()['rotation/Dense_0/kernel']) == pytest.approx([0.01] * 2, rel=0.05)
