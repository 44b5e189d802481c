"""Trials that share a program: each is what it is alone, and its numbers are its own."""

import json

import jax
import numpy as np
import pytest
from training import SMALL, assert_close, of_trial, tiny, train

from lbexp import config as configs
from lbexp.engine.plan import plan

pytestmark = pytest.mark.usefixtures('shared_programs')
RATES = (0.02, 0.05, 0.1)


@pytest.mark.parametrize(
    'workload', ['linear_regression', pytest.param('digits_mlp', marks=pytest.mark.slow)]
)
def test_a_trial_is_the_same_alone_and_in_company(tmp_path, workload):
    """To the bit, on the layout of the CPU, whatever the number of trials."""
    config = tiny(
        workload=dict(name=workload), sweep=(('optimizer.learning_rate', RATES), ('seed', (0, 7)))
    )
    together = train(config, tmp_path / 'all')
    for trial, overrides in list(enumerate(configs.trials(config)))[1::3]:
        alone = tiny(
            workload=dict(name=workload), sweep=tuple((k, (v,)) for k, v in overrides.items())
        )
        assert of_trial(train(alone, tmp_path / str(trial)), 0) == of_trial(together, trial)


@pytest.mark.long
@pytest.mark.parametrize('optimizer', ['lamb', pytest.param('adamw', marks=pytest.mark.slow)])
def test_a_trial_with_the_whole_kit_is_the_same_alone_and_in_company(tmp_path, optimizer):
    """Two trials on one device, one on each other, and a lone trial: to the bit, with whatever
    divides by a number."""
    workload = dict(SMALL, dropout=0.1, batch_norm=True, ghost=16, label_smoothing=0.1)
    fields = dict(
        workload=workload,
        batch_size=32,
        optimizer=dict(name=optimizer, learning_rate=0.01),
        transforms=(dict(name='gradient_noise', eta=0.01, gamma=0.55),),
        example_weights=dict(name='example_weights', matched_batch_size=8),
        schedule=dict(name='cosine', warmup=0.1),
    )
    together = train(tiny(**fields, sweep=(('seed', tuple(range(9))),)), tmp_path / 'all')
    alone = train(tiny(**fields, sweep=(('seed', (3,)),)), tmp_path / 'alone')
    assert of_trial(alone, 0) == of_trial(together, 3)


@pytest.mark.long
def test_vmap_agrees_with_map(tmp_path):
    sweep = (('optimizer.learning_rate', RATES), ('seed', (0, 7)))
    mapped = train(tiny(workload=SMALL, sweep=sweep), tmp_path / 'map')
    batched = train(tiny(workload=SMALL, sweep=sweep, layout='vmap'), tmp_path / 'vmap')
    # 24 updates at moderate rates: rounding grows, but not far.
    assert_close(mapped, batched, 2e-4)


@pytest.mark.long
def test_a_diverged_trial_stands_still_and_disturbs_nobody(tmp_path):
    sound = train(tiny(sweep=(('optimizer.learning_rate', (0.02, 0.05)),)), tmp_path / 'sound')
    mixed = train(
        tiny(sweep=(('optimizer.learning_rate', (0.02, 1e30, 0.05)),)), tmp_path / 'mixed'
    )
    assert of_trial(mixed, 0) == of_trial(sound, 0)
    assert of_trial(mixed, 2) == of_trial(sound, 1)
    (last,) = of_trial(mixed, 1)
    assert last['loss'] is None and last['step'] < 24
    status = json.loads((tmp_path / 'mixed' / 'status.json').read_text())
    assert [status['trials'][str(i)]['status'] for i in range(3)] == ['done', 'diverged', 'done']
    assert status['trials']['1']['step'] == last['step']


@pytest.mark.long
def test_batch_size_as_a_number(tmp_path):
    """With a microbatch, batch sizes share a cohort, and each equals the ordinary run of its batch
    size.

    To the bit where that sums in the same order, microbatch after microbatch.
    """
    sizes = (8, 16, 48)
    fields = dict(workload=dict(name='digits_mlp'), steps=None, epochs=0.5)
    fused = tiny(**fields, microbatch=8, sweep=(('batch_size', sizes),))
    trials = [configs.resolve(fused, o) for o in configs.trials(fused)]
    (cohort,) = plan(trials)
    assert list(cohort.accumulation) == [1, 2, 6]
    together = train(fused, tmp_path / 'fused')
    for trial, size in ((0, 8), (2, 48)):
        ordinary = train(tiny(**fields, batch_size=size), tmp_path / str(size))
        assert_close(of_trial(together, trial), of_trial(ordinary, 0), 1e-4)
        same_order = train(
            tiny(**fields, batch_size=size, microbatch=8), tmp_path / f'{size} in eights'
        )
        assert of_trial(together, trial) == of_trial(same_order, 0)


@pytest.mark.long
def test_a_trial_that_waits_for_others_at_a_row_keeps_its_means(tmp_path, monkeypatch):
    """Rows of 4 and of 24 microbatches in one cohort, one microbatch a dispatch."""
    config = tiny(microbatch=4, sweep=(('batch_size', (4, 24)),))
    whole = train(config, tmp_path / 'whole')
    monkeypatch.setattr('lbexp.engine.cohort_runner._DISPATCH_SECONDS', 0.0)
    assert train(config, tmp_path / 'cut') == whole
    assert all(np.isfinite(row['loss']) for row in whole)


@pytest.mark.long
def test_one_compilation_per_cohort(tmp_path):
    """The training program compiles once, whatever the number of trials, rows and evaluations."""
    names = []

    def listener(event, seconds, **kw):
        return names.append(event) if 'backend_compile' in event else None

    def count(config, at):
        return (names.clear(), train(config, tmp_path / at), len(names))[2]

    jax.monitoring.register_event_duration_secs_listener(listener)
    try:
        few = count(tiny(num_rows=2, num_evaluations=1, steps=25), 'few')
        sweep = (('seed', range(5)), ('optimizer.momentum', (0.5, 0.9)))
        many = count(tiny(num_rows=25, num_evaluations=9, steps=25, sweep=sweep), 'many')
    finally:
        jax.monitoring.unregister_event_duration_listener(listener)
    assert few > 0
    assert many == few


def test_the_plan_traces_numbers_and_splits_on_the_rest():
    config = tiny(
        sweep=(
            ('optimizer.learning_rate', RATES),
            ('optimizer.nesterov', (False, True)),
            ('workload.noise', (0.1, 0.5)),
            ('workload.size', (100, 200)),
            ('seed', (0, 1)),
        )
    )
    config.optimizer.nesterov = False
    config.workload.noise = 0.5
    cohorts = plan([configs.resolve(config, o) for o in configs.trials(config)])
    assert len(cohorts) == 4  # nesterov and the size of the data split; rate, noise and seed do not
    assert sorted(i for c in cohorts for i in c.trials) == list(range(48))
    assert all(
        {'optimizer.learning_rate', 'workload.noise', 'seed'} <= set(c.numbers) for c in cohorts
    )


@pytest.mark.long
def test_traced_numbers_are_the_trials_own(tmp_path):
    """Learning rate, momentum, schedule and noise of each trial act on it: trials that differ give
    different rows."""
    config = tiny(
        schedule=dict(name='cosine', warmup=0.25),
        workload=dict(name='linear_regression', size=100, noise=0.5),
        sweep=(
            (
                (
                    'optimizer.learning_rate',
                    'optimizer.momentum',
                    'schedule.warmup',
                    'workload.noise',
                    'seed',
                    'steps',
                ),
                (
                    (0.05, 0.9, 0.25, 0.5, 0, 24),
                    (0.04, 0.9, 0.25, 0.5, 0, 24),
                    (0.05, 0.8, 0.25, 0.5, 0, 24),
                    (0.05, 0.9, 0.5, 0.5, 0, 24),
                    (0.05, 0.9, 0.25, 0.2, 0, 24),
                    (0.05, 0.9, 0.25, 0.5, 1, 24),
                    (0.05, 0.9, 0.25, 0.5, 0, 48),
                ),
            ),
        ),
    )
    rows = train(config, tmp_path)
    losses = [of_trial(rows, trial)[-1]['test_loss'] for trial in range(7)]
    assert len(set(losses)) == 7
    assert of_trial(rows, 6)[-1]['step'] == 48
