"""Training is what its equations say, on any number of devices, from memory or from a stream."""

import jax
import numpy as np
import pytest
from training import SMALL, assert_close, of_trial, tiny, train

from lbexp import config as configs
from lbexp.config import lookup
from lbexp.engine.plan import plan

pytestmark = pytest.mark.usefixtures('shared_programs')


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


@pytest.mark.long
@pytest.mark.parametrize('devices', [pytest.param(2, marks=pytest.mark.slow), 8])
def test_the_same_curve_on_many_devices(tmp_path, devices):
    config = dict(workload=dict(SMALL, batch_norm=True, dropout=0.1), batch_size=32)
    one = train(tiny(**config, data_parallel=1), tmp_path / 'one')
    many = train(tiny(**config, data_parallel=devices), tmp_path / 'many')
    assert_close(one, many, 1e-4)


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
