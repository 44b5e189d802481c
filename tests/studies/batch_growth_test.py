"""A batch that grows in training: the engine against a bare loop, stopped and resumed; the study's
verdicts."""

import json
import pathlib

import jax
import numpy as np
import pytest
from rounds import analysis, rounds
from training import of_trial, tiny, train
from training import rows as rows_of

from lbexp import analysis as words
from lbexp import config as configs
from lbexp import main
from lbexp.config import check, lookup
from lbexp.engine import run
from lbexp.engine.plan import plan

ROOT = pathlib.Path(__file__).parents[2]
# 320 examples: 8 an update until 80 are consumed, 24 until 160, then 72, of which 48 are allowed.
GROWTH = dict(boundaries=(0.25, 0.5), factor=3.0, largest=48)
SIZES = [8] * 10 + [24] * 4 + [48] * 3


def growing(**fields):
    given = dict(steps=40, batch_size=8, microbatch=4, batch_growth=GROWTH, num_rows=len(SIZES))
    return tiny(**{**given, 'schedule': dict(name='cosine'), **fields})


def bare_loop(seed, sizes, rate_factors, rate=0.05, momentum=0.9):
    """Heavy ball on linear regression in float64, batch after batch of the source's own order."""
    workload = lookup.build('workload', dict(name='linear_regression', size=100))
    params, _ = workload.init(jax.random.fold_in(jax.random.key(seed), 0))
    w = np.array([float(params['kernel'][0, 0]), float(params['bias'][0])])
    velocity, position = np.zeros(2), 0
    for count, (size, factor) in enumerate(zip(sizes, rate_factors, strict=True)):
        positions = np.arange(position, position + size, dtype=np.uint32)
        batch = workload.train.draw(workload.train.arrays, np.uint32(seed), positions)
        x = np.float64(batch['x'][:, 0])
        error = w[0] * x + w[1] - np.float64(batch['line']) - 0.5 * np.float64(batch['e'])
        gradient = np.array([np.mean(error * x), np.mean(error)])
        velocity, position = momentum * velocity + gradient, position + size
        now = rate * factor * (1 + np.cos(np.pi * count / len(sizes))) / 2
        w = w - now * velocity
        yield dict(
            step=count + 1,
            examples=position,
            loss=np.mean(error**2) / 2,
            gradient_norm=np.linalg.norm(gradient),
            learning_rate=now,
            parameter_norm=np.linalg.norm(w),
        )


@pytest.mark.long
def test_a_growing_batch_is_the_bare_loop(tmp_path):
    """Sizes, positions in the data, rates (where growth ends the rate falls instead) and weights,
    update by update."""
    factors = [1.0] * 14 + [48 / 72] * 3
    rows = train(growing(seed=5), tmp_path)
    expected = list(bare_loop(5, SIZES, factors))
    assert [row['step'] for row in rows] == list(range(1, 18))  # 17 updates, not 40
    for row, told in zip(rows, expected, strict=True):
        for name, value in told.items():
            assert row[name] == pytest.approx(value, rel=2e-5, abs=1e-7), (name, row['step'])
    wrong = list(bare_loop(5, SIZES, [1.0] * 17))  # the comparison sees a factor that is forgotten
    assert rows[-1]['parameter_norm'] != pytest.approx(wrong[-1]['parameter_norm'], rel=2e-5)


@pytest.mark.long
def test_stopped_in_mid_ramp_it_ends_the_same(tmp_path):
    """To the bit, though stops fall inside global batches: a dispatch has 16 microbatches of 4
    examples."""
    config = growing(num_rows=3, sweep=(('seed', (0, 1)),))
    whole = train(config, tmp_path / 'whole')
    trials, stood = [configs.resolve(config, overrides) for overrides in configs.trials(config)], []
    (tmp_path / 'cut').mkdir()
    for _ in range(20):
        run.run(trials, tmp_path / 'cut', should_stop=lambda: True)
        status = json.loads((tmp_path / 'cut' / 'status.json').read_text())
        stood.append(status['trials']['0']['step'])
        if status['status'] == 'done':
            break
    assert rows_of(tmp_path / 'cut') == whole
    assert any(10 < step < whole[-1]['step'] for step in stood), (
        'no stop came after the batch had grown'
    )


@pytest.mark.long
def test_trials_that_grow_differently_share_a_cohort(tmp_path):
    config = growing(sweep=(('batch_growth.factor', (2.0, 3.0)),), num_rows=5)
    (cohort,) = plan([configs.resolve(config, overrides) for overrides in configs.trials(config)])
    assert cohort.trials == [0, 1]
    # factor 2: 10 of 8, 5 of 16, 5 of 32; factor 3: 17 as above.
    assert cohort.steps.tolist() == [20, 17]
    together = train(config, tmp_path / 'both')
    for trial, factor in enumerate((2.0, 3.0)):
        alone = growing(batch_growth={**GROWTH, 'factor': factor}, num_rows=5)
        assert of_trial(train(alone, tmp_path / str(trial)), 0) == of_trial(together, trial)


@pytest.mark.parametrize(
    'fields, told',
    [
        (
            dict(batch_growth=dict(boundaries=(0.5, 0.2), factor=2.0)),
            ('batch_growth.boundaries: found [0.5, 0.2]'),
        ),
        (dict(batch_growth=dict(boundaries=(0.5, 1.0), factor=2.0)), 'in (0, 1)'),
        (dict(batch_growth=dict(boundaries=(0.5,), factor=0.0)), 'batch_growth.factor: found 0.0'),
        (
            dict(batch_growth=dict(boundaries=(0.5,), factr=2.0)),
            ('batch_growth.factr: no such field'),
        ),
        (dict(microbatch=None), 'microbatch: found None with batch_growth'),
    ],
)
def test_bad_growth_is_told_in_one_line(fields, told):
    (problem,) = check.check(growing(**fields))
    assert told in problem and '\n' not in problem


def experiment(**study):
    config = configs.load(str(ROOT / 'experiments' / 'batch_growth.py'))
    with config.unlocked():
        config.study = {**configs.plain(config.study), 'tunings': 1, **study}
    return config


def made_up(growth=0.0, hybrid=0.0, constant=0.03, diverging=(), validation=0.0):
    """Test errors of a known difference between arms; rate 0.1 is the best. Validation errors of
    growing batches are `validation` higher."""

    def answer(trial):
        grown = trial['batch_growth']
        kind = 'hybrid' if 'largest' in grown else 'growth' if grown else trial['schedule']['name']
        noise = 0.001 * np.random.default_rng(trial['seed']).standard_normal() + 0.02
        error = noise + dict(growth=growth, hybrid=hybrid, constant=constant, step=0.0)[kind]
        error += 0.01 * abs(np.log(trial['optimizer']['learning_rate'] / 0.1))
        if (kind, trial['seed']) in diverging:
            return [dict(step=1, epoch=1.0, examples=100, learning_rate=0.1, loss=None)], 'diverged'
        last = 40 if grown else 100
        return [
            dict(
                step=last * i // 10,
                epoch=float(i),
                examples=100 * i,
                learning_rate=0.1,
                validation_accuracy=1 - error - validation * bool(grown),
                test_accuracy=1 - error,
            )
            for i in range(1, 11)
        ], 'done'

    return answer


@pytest.mark.parametrize(
    'differences, outcomes',
    [
        (dict(), [words.REPRODUCED] * 5),
        (
            dict(growth=0.02),
            [words.NOT_REPRODUCED, words.REPRODUCED, words.NOT_REPRODUCED] + [words.REPRODUCED] * 2,
        ),
        (
            # the control shows no effect: what is equivalent to it says nothing
            dict(hybrid=-0.02, constant=0.0),
            [
                words.UNDECIDED,
                words.NOT_REPRODUCED,
                words.UNDECIDED,
                words.REPRODUCED,
                words.UNDECIDED,
            ],
        ),
    ],
)
def test_the_verdict_follows_the_differences(tmp_path, differences, outcomes):
    config = experiment(seeds=6)
    rounds(config, tmp_path, made_up(**differences))
    found = analysis(config, tmp_path)
    for claim, expected in zip(found.claims, outcomes, strict=True):
        assert expected is None or claim.outcome == expected, claim
    assert '60% fewer' in found.claims[3].measured
    passed = {words.REPRODUCED: True, words.NOT_REPRODUCED: False, words.UNDECIDED: None}
    assert found.passed is passed[outcomes[0]]


def test_what_is_claimed_at_the_end_is_of_the_test_set(tmp_path):
    """The curves are validation errors, the ends test errors: neither is mistaken for the other."""
    config = experiment(seeds=6)
    rounds(config, tmp_path, made_up(validation=0.05))
    growth, hybrid, curve, _, _ = analysis(config, tmp_path).claims
    assert growth.outcome == hybrid.outcome == words.REPRODUCED
    assert curve.outcome == words.NOT_REPRODUCED
    np.testing.assert_allclose(curve.effects, 0.05, atol=1e-6)


def test_several_tunings_are_the_draws(tmp_path):
    """Six tunings of two seeds: six effects, each the mean of its tuning."""
    config = experiment(seeds=2, tunings=6, budget=2)
    rounds(config, tmp_path, made_up(growth=0.02))
    found = analysis(config, tmp_path)
    growth, _, curve, _, control = found.claims
    assert [len(claim.effects) for claim in (growth, curve, control)] == [6] * 3
    assert growth.outcome == words.NOT_REPRODUCED and control.outcome == words.REPRODUCED
    np.testing.assert_allclose(growth.effects, 0.02, atol=1e-6)
    assert growth.contrast == ('test_error', 'growth', 'decay')
    (table,) = found.tables
    assert 'tunings' in table.columns and 'over 6 tunings' in found.figures[0].caption
    # whoever has one tuning that diverged has no interval
    lost = made_up(diverging={('growth', 129), ('growth', 130)})
    rounds(config, tmp_path / 'lost', lost)
    growth = analysis(config, tmp_path / 'lost').claims[0]
    assert growth.outcome == words.UNDECIDED and '1 of 6 diverged' in growth.measured


def test_one_seed_and_diverged_trials_are_told(tmp_path):
    config = experiment(seeds=1)
    rounds(config, tmp_path / 'one', made_up())
    found = analysis(config, tmp_path / 'one')
    assert found.claims[0].outcome == words.UNDECIDED and 'no interval' in found.claims[0].measured
    assert found.passed is None
    config = experiment(seeds=4)
    rounds(config, tmp_path / 'lost', made_up(diverging={('growth', 2), ('growth', 4)}))
    found = analysis(config, tmp_path / 'lost')
    assert '2 of 4 diverged' in found.claims[0].measured
    (table,) = found.tables
    assert table.rows[1][table.columns.index('diverged')] == 2
    everything = {
        (kind, seed) for kind in ('step', 'growth', 'hybrid', 'constant') for seed in range(5)
    }
    rounds(config, tmp_path / 'all', made_up(diverging=everything))
    assert 'nothing to compare' in analysis(config, tmp_path / 'all').verdict


@pytest.mark.parametrize(
    'study, told',
    [
        (dict(batch_size=0), 'batch_size: found 0'),
        (dict(boundaries=()), 'boundaries: found ()'),
        (dict(boundaries=(0.6, 0.3)), 'ascending fractions'),
        (dict(factor=1), 'factor: found 1'),
        (dict(largest=20), 'a multiple of batch_size'),
        (dict(learning_rates=()), 'study.learning_rates: found []'),
        (dict(learning_rates=(0.1, 0.01)), 'low <= high'),
        (dict(seeds=0), 'study.seeds: found 0'),
        (dict(margin=0.0), 'margin: found 0.0'),
    ],
)
def test_bad_arguments_are_told_in_one_line(study, told):
    (problem,) = check.check(experiment(**study))
    assert told in problem and '\n' not in problem


def test_without_validation_examples_there_is_nothing_to_tune_on():
    config = experiment()
    config.workload.validation = 0
    (problem,) = check.check(config)
    assert 'workload.validation: found none' in problem


@pytest.mark.slow
def test_end_to_end_and_more_seeds_in_the_same_workdir(tmp_path):
    how = [
        '--config=experiments/batch_growth.py',
        f'--workdir={tmp_path}',
        '--config.workload.hidden=(8,)',
    ]
    how += [
        '--config.epochs=3',
        '--config.num_rows=12',
        '--config.num_evaluations=12',
        '--config.study.budget=2',
    ]
    how += [
        '--config.study.extensions=0',
        '--config.study.tunings=1',
        '--config.study.batch_size=64',
        '--config.study.largest=128',
    ]
    assert main.main(['', *how, '--config.study.seeds=1']) == 0
    first = (tmp_path / 'metrics.jsonl').read_bytes()
    assert 'undecided' in (tmp_path / 'claims.md').read_text()
    assert main.main(['', *how, '--config.study.seeds=2']) == 0
    rows = (tmp_path / 'metrics.jsonl').read_bytes()
    assert rows.startswith(first) and len(rows) > len(first)
    trials = {json.loads(line)['trial'] for line in rows[len(first) :].splitlines()}
    assert (
        trials.isdisjoint({json.loads(line)['trial'] for line in first.splitlines()})
        and len(trials) == 4
    )
    assert (tmp_path / 'report.html').stat().st_size > 10000
