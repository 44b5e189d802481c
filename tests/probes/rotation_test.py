"""Angles against float64 and against the closed forms at equilibrium; and which layers are
scale-invariant."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from probe_updates import update_info
from training import tiny, train

from lbexp.models.mlp import MLP
from lbexp.optimizers import adamw
from lbexp.probes.rotation import rotation, scale_invariance

pytestmark = pytest.mark.usefixtures('shared_programs')


@pytest.mark.parametrize('length', [1.0, 1e-2, 1e-6])
def test_angles_of_every_size_in_stacked_layers(length):
    """In float32, against float64; an arccos gives 0 for the smallest."""
    generator = np.random.default_rng(0)
    before, update = generator.standard_normal((2, 3, 4, 5))
    update = np.asarray(length * update, 'f4').astype('f8')
    after = np.asarray(before + update, 'f4').astype('f8')
    part = rotation(stacked_axes={'w': 1}, batches=4)
    state = part.init(update_info(0, {'w': jnp.zeros((3, 4, 5)), 'b': jnp.zeros(3)}))
    params = {'w': jnp.asarray(after, 'float32'), 'b': jnp.ones(3)}
    updates = {'w': jnp.asarray(update, 'float32'), 'b': jnp.ones(3)}
    info = update_info(1, params, updates=updates, rate=0.3, is_row=True)
    row = part.summary(part.update(state, info))
    expected = []
    for w, u in zip(after.reshape(3, -1), update.reshape(3, -1), strict=True):
        across = u - (u @ w) / (w @ w) * w
        ahead = np.linalg.norm(w) - u @ w / np.linalg.norm(w)
        expected.append(np.arctan2(np.linalg.norm(across), ahead))
    squares = (after**2).sum((1, 2))
    np.testing.assert_allclose(row['rotation/w'], expected, rtol=1e-4)
    np.testing.assert_allclose(row['weight_norm/w'], np.sqrt(squares), rtol=1e-5)
    np.testing.assert_allclose(row['effective_rate/w'], 0.3 / squares, rtol=1e-5)
    assert 'rotation/b' not in row


@pytest.mark.parametrize('b1', [0.0, 0.9])
def test_adamw_turns_random_gradients_by_the_closed_form(b1):
    """sqrt(2 eta lambda (1 - beta1) / (1 + beta1)), at equilibrium, for gradients orthogonal to the
    weights."""
    eta, decay, d = 0.01, 0.1, 400
    optimizer, part = adamw(eta, b1=b1, b2=0.99, weight_decay=decay, decay='all'), rotation('all')
    params = {'w': jax.random.normal(jax.random.key(0), (d,)) / 3}

    def step(carry, t):
        params, state, probe = carry
        w = params['w']
        g = jax.random.normal(jax.random.fold_in(jax.random.key(1), t), (d,))
        g = g - (g @ w) / (w @ w) * w
        updates, state = optimizer.update({'w': g}, state, params)
        params = {'w': w + updates['w']}
        info = update_info(t, params, updates=updates, is_row=t == 3000)
        return (params, state, part.update(probe, info)), None

    start = params, optimizer.init(params), part.init(update_info(0, params))
    run = jax.jit(lambda carry: jax.lax.scan(step, carry, jnp.arange(1, 6001))[0])
    row = part.summary(run(start)[2])
    closed = np.sqrt(2 * eta * decay * (1 - b1) / (1 + b1))
    np.testing.assert_allclose(row['rotation/w'], closed, rtol=0.03)
    assert row['rotation_error/w'] < 0.01 * closed


def test_layers_before_a_norm_are_scale_invariant_and_others_not():
    module = MLP((8,), 3, batch_norm=True)
    x = jax.random.normal(jax.random.key(0), (64, 5))
    labels = jnp.arange(64) % 3
    variables = module.init(jax.random.key(1), x, train=True)
    statistics = variables['batch_stats']

    def loss(params):
        outputs = module.apply(
            {'params': params, 'batch_stats': statistics}, x, train=True, mutable=['batch_stats']
        )
        logits = outputs[0]
        return -jnp.mean(jax.nn.log_softmax(logits)[jnp.arange(64), labels])

    # Biases begin at 0, where any gradient is orthogonal to them.
    params = jax.tree.map(lambda w: w + 0.1, variables['params'])
    report = scale_invariance(jax.jit(jax.grad(loss)), params)
    for path, found in report.items():
        is_invariant = found.cosine < 1e-3 and found.homogeneity < 1e-3
        assert is_invariant == (path == 'Dense_0/kernel'), path


def test_a_factor_that_shows_nothing_is_refused():
    with pytest.raises(ValueError, match='factor: found 1; allowed: a number > 0, not 1'):
        scale_invariance(lambda params: params, {'w': jnp.ones(2)}, factor=1)


def test_it_does_not_change_what_is_trained(tmp_path):
    fields = dict(workload=dict(name='digits_mlp', hidden=(16,)))
    plain = train(tiny(**fields), tmp_path / 'plain')
    rows = train(tiny(**fields, probes=(dict(name='rotation'),)), tmp_path / 'probed')
    for row, of_plain in zip(rows, plain, strict=True):
        assert of_plain.items() <= row.items()
        assert 0 < row['rotation/Dense_0/kernel'] < 0.1
        rate = row['effective_rate/Dense_0/kernel'] * row['weight_norm/Dense_0/kernel'] ** 2
        np.testing.assert_allclose(rate, 0.05, rtol=1e-5)
