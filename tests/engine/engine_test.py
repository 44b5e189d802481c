"""The engine from outside: a run is what its equations say, however its trials are laid out or cut
into segments."""

import json

import jax
import numpy as np
import pytest
from training import of_trial, tiny, train

from lbexp import config as configs
from lbexp.config import lookup
from lbexp.engine.plan import plan

pytestmark = pytest.mark.usefixtures('shared_programs')

RATES = (0.02, 0.05, 0.1)
SMALL = dict(name='digits_mlp', hidden=(16,))


def test_gradient_descent_is_what_numpy_computes(tmp_path):
    """Full batch, so the order of the data does not matter: w <- w - rate * mean gradient, in
    float64."""
    config = tiny(batch_size=100, num_rows=24, optimizer=dict(name='optax:sgd', learning_rate=0.1))
    rows = train(config, tmp_path)
    arrays = lookup.build('workload', dict(name='linear_regression', size=100)).train.arrays
    x, y = np.float64(arrays['x'][:, 0]), np.float64(arrays['line'] + 0.5 * arrays['e'])
    # The first row's parameter norm and update norm give the initial weights away up to sign; so
    # start from them.
    first = lookup.build('workload', dict(name='linear_regression', size=100))
    key = jax.random.fold_in(jax.random.key(0), 0)
    params, _ = first.init(key)
    w, b = float(params['kernel'][0, 0]), float(params['bias'][0])
    for row in rows:
        error = w * x + b - y
        assert row['loss'] == pytest.approx(np.mean(error**2) / 2, rel=1e-5)
        gradient = np.array([np.mean(error * x), np.mean(error)])
        assert row['gradient_norm'] == pytest.approx(np.linalg.norm(gradient), rel=1e-4)
        w, b = w - 0.1 * gradient[0], b - 0.1 * gradient[1]
        assert row['update_norm'] == pytest.approx(0.1 * np.linalg.norm(gradient), rel=1e-4)
        assert row['parameter_norm'] == pytest.approx(np.hypot(w, b), rel=1e-5)
        assert row['learning_rate'] == pytest.approx(0.1)


def test_rows_say_where_they_are(tmp_path):
    rows = train(tiny(), tmp_path)
    assert [row['step'] for row in rows] == [4, 8, 12, 16, 20, 24]
    assert [row['examples'] for row in rows] == [64, 128, 192, 256, 320, 384]
    assert [row['epoch'] for row in rows] == pytest.approx([0.64, 1.28, 1.92, 2.56, 3.2, 3.84])
    assert ['test_loss' in row for row in rows] == [False, True] * 3


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


def test_vmap_agrees_with_map(tmp_path):
    sweep = (('optimizer.learning_rate', RATES), ('seed', (0, 7)))
    mapped = train(tiny(workload=SMALL, sweep=sweep), tmp_path / 'map')
    batched = train(tiny(workload=SMALL, sweep=sweep, layout='vmap'), tmp_path / 'vmap')
    # 24 updates at moderate rates: rounding grows, but not far.
    assert_close(mapped, batched, 2e-4)


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


def test_segments_do_not_matter(tmp_path):
    """The same last row, however many rows, evaluations and checkpoints cut the run."""
    coarse = train(tiny(num_rows=1, num_evaluations=1, num_checkpoints=0), tmp_path / 'coarse')[-1]
    fine = train(tiny(num_rows=24, num_evaluations=24, num_checkpoints=6), tmp_path / 'fine')[-1]
    means = ('loss', 'learning_rate')  # over the rows' own intervals
    assert {k: v for k, v in coarse.items() if k not in means} == {
        k: v for k, v in fine.items() if k not in means
    }


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
@pytest.mark.parametrize('devices', [pytest.param(2, marks=pytest.mark.slow), 8])
def test_the_same_curve_on_many_devices(tmp_path, devices):
    config = dict(workload=dict(SMALL, batch_norm=True, dropout=0.1), batch_size=32)
    one = train(tiny(**config, data_parallel=1), tmp_path / 'one')
    many = train(tiny(**config, data_parallel=devices), tmp_path / 'many')
    assert_close(one, many, 1e-4)


@pytest.mark.parametrize(
    'name', [pytest.param('linear_regression', marks=pytest.mark.slow), 'digits_mlp']
)
def test_evaluation_is_exact(tmp_path, monkeypatch, name):
    """Means over the whole test set, whatever the chunk: 100 and 360 examples are no multiple of
    any chunk used."""
    config = tiny(workload=dict(name=name), num_rows=1, num_evaluations=1)
    row = train(config, tmp_path)[-1]
    monkeypatch.setattr('lbexp.engine.program._EVALUATION_CHUNK', 7)
    config.num_rows = 2  # another cohort: a program of its own
    other = train(config, tmp_path / 'other')[-1]
    assert other['test_loss'] == pytest.approx(row['test_loss'], rel=1e-6)
    if 'test_accuracy' in row:
        count = lookup.build('workload', dict(name=name)).test.size
        assert row['test_accuracy'] * count == pytest.approx(
            round(row['test_accuracy'] * count), abs=1e-3
        )


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


def test_learning_rate_follows_schedule_and_batch_size(tmp_path):
    scaled = tiny(
        batch_scaling=dict(rule='linear', reference=8),
        schedule=dict(name='cosine', warmup=0.5),
        num_rows=24,
    )
    rows = train(scaled, tmp_path)
    rates = [row['learning_rate'] for row in rows]
    assert max(rates) == pytest.approx(0.05 * 16 / 8, rel=0.1)
    assert rates[0] < rates[6] < rates[11] > rates[18] > rates[23]


def test_example_weights_enter_the_loss(tmp_path):
    """Multiplicative noise changes the path of training, not what is reported as the loss of the
    first batch."""
    plain = train(tiny(num_rows=24), tmp_path / 'plain')
    noisy = train(
        tiny(num_rows=24, example_weights=dict(name='example_weights', matched_batch_size=4)),
        tmp_path / 'noisy',
    )
    assert noisy[0]['loss'] == pytest.approx(plain[0]['loss'], rel=1e-6)
    assert noisy[0]['gradient_norm'] != plain[0]['gradient_norm']
    assert noisy[-1]['test_loss'] != plain[-1]['test_loss']


@pytest.mark.long
def test_noise_of_trials_is_independent(tmp_path):
    """A transformation that takes a seed gets the trial's."""
    config = tiny(
        transforms=(dict(name='gradient_noise', kind='isotropic'),), sweep=(('seed', (0, 1)),)
    )
    rows = train(config, tmp_path)
    again = train(
        tiny(transforms=(dict(name='gradient_noise', kind='isotropic'),), seed=1),
        tmp_path / 'again',
    )
    assert of_trial(rows, 1) == of_trial(again, 0)
    assert of_trial(rows, 0)[0]['update_norm'] != of_trial(rows, 1)[0]['update_norm']


def test_each_seed_and_each_update_draws_its_own(tmp_path):
    """Examples and example weights: the problem has one start and one curvature, so nothing else
    can differ."""
    weighted = dict(name='example_weights', matched_batch_size=1)
    for name, fields in {'examples': dict(noise=1.0), 'weights': dict(noise=0.0)}.items():
        config = tiny(
            workload=dict(name='noisy_quadratic', **fields),
            optimizer=dict(name='sgd', learning_rate=1e-20),
            example_weights=weighted if name == 'weights' else {},
            sweep=(('seed', (0, 1)),),
            num_rows=24,
        )
        seen = [row['gradient_norm'] for row in train(config, tmp_path / name)]
        assert len(set(seen)) == 48, name


@pytest.mark.long
def test_each_update_drops_other_units(tmp_path):
    """Batches that do not differ and weights that do not move: the loss tells the dropout masks
    apart."""
    workload = dict(name='streamed:one_digit', hidden=(16,), dropout=0.5)
    still = dict(optimizer=dict(name='sgd', learning_rate=1e-20), steps=8, num_rows=8)
    losses = [row['loss'] for row in train(tiny(workload=workload, **still), tmp_path / 'whole')]
    assert len(set(losses)) == 8
    plain = [
        row['loss']
        for row in train(tiny(workload=dict(workload, dropout=None), **still), tmp_path / 'plain')
    ]
    assert len(set(plain)) == 1


@pytest.mark.long
def test_a_stream_trains_as_memory_does(tmp_path):
    """To the bit, across epochs and segments: the stream hands the engine one stretch of positions
    after another."""
    fields = dict(steps=100, batch_size=32, num_rows=7)
    held = train(tiny(workload=dict(name='digits_mlp', hidden=(8,)), **fields), tmp_path / 'memory')
    streamed = train(
        tiny(workload=dict(name='streamed:digits', hidden=(8,)), **fields), tmp_path / 'stream'
    )
    assert streamed == held


def assert_close(left, right, tolerance):
    assert len(left) == len(right)
    for a, b in zip(left, right, strict=True):
        assert set(a) == set(b)
        for name in a:
            assert a[name] == pytest.approx(b[name], rel=tolerance, abs=tolerance), name


@pytest.mark.long
def test_ghost_batches_through_the_engine(tmp_path):
    """Two ghosts in a batch are not one, and a ghost as large as the batch is the batch."""

    def part(ghost):
        return dict(name='digits_mlp', hidden=(16,), batch_norm=True, ghost=ghost)

    rows = {
        ghost: train(tiny(workload=part(ghost)), tmp_path / str(ghost)) for ghost in (None, 16, 8)
    }
    assert_close(rows[None], rows[16], 1e-5)
    assert abs(rows[8][0]['loss'] - rows[16][0]['loss']) > 1e-3


@pytest.mark.long
def test_adam_scales_its_betas_with_the_batch_size(tmp_path):
    """Malladi et al. 2022 by hand, and as a rule; traced with the batch size."""
    optimizer = dict(name='adamw', learning_rate=0.01, b1=0.9, b2=0.99, eps=1e-3, weight_decay=0.0)
    scaled = dict(rule='square_root_adam', reference=4)
    ruled = train(
        tiny(
            optimizer=optimizer,
            batch_scaling=scaled,
            sweep=(('batch_size', (4, 16)),),
            microbatch=4,
        ),
        tmp_path,
    )
    by_hand = {
        4: optimizer,
        16: dict(optimizer, learning_rate=0.02, b1=1 - 4 * 0.1, b2=1 - 4 * 0.01, eps=0.5e-3),
    }
    for trial, (size, part) in enumerate(by_hand.items()):
        alone = train(tiny(optimizer=part, batch_size=size, microbatch=4), tmp_path / str(size))
        assert_close(of_trial(alone, 0), of_trial(ruled, trial), 1e-5)
    wrapped = dict(name='lookahead', inner=dict(name='optax:adam', learning_rate=0.01), k=5)
    (cohort,) = plan([configs.resolve(tiny(optimizer=wrapped, batch_scaling=scaled), {})])
    assert cohort.steps.tolist() == [24]
    with pytest.raises(
        ValueError, match=("'square_root_adam' with momentum, which has no b1, b2, eps")
    ):
        plan([configs.resolve(tiny(batch_scaling=scaled), {})])
