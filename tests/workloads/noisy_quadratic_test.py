"""The workload's gradient, noise and streams from outside; its population against the exact
recursion."""

import json
import os
import pathlib
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from lbexp.optimizers import evaluation_params, lookahead
from lbexp.theory import fixed_point, process
from lbexp.theory import noisy_quadratic as exact
from lbexp.workloads.noisy_quadratic import noisy_quadratic

ROOT = pathlib.Path(__file__).parents[2]
SEED = jnp.uint32(7)


def draw(workload, positions):
    source = workload.train
    return source.draw(source.arrays, SEED, jnp.asarray(positions, jnp.uint32))


def value_and_grad(workload, params, examples):
    def loss(p):
        return workload.loss(p, {}, examples, jax.random.key(0))[0]['loss'].mean()

    return jax.value_and_grad(loss)(params)


def test_gradient_is_per_replica_and_loss_the_mean():
    w = noisy_quadratic(
        curvature=2.0, noise=0.5, dimension=3, spectrum=1.0, replicas=4, optimum=0.25
    )
    params = {'x': jnp.arange(12.0).reshape(4, 3)}
    examples = draw(w, np.arange(5))
    loss, grads = value_and_grad(w, params, examples)
    a, c = 2.0 / np.arange(1, 4), 0.25 + 0.5 * np.asarray(examples['xi'])
    distance = np.asarray(params['x'])[None] - c
    np.testing.assert_allclose(grads['x'], (a * distance).mean(0), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(loss, (a * distance**2 / 2).sum(-1).mean(), rtol=1e-5)


def test_noise_is_a_function_of_seed_and_position():
    w = noisy_quadratic(dimension=2, replicas=500)
    some, others = draw(w, [3, 4, 5])['xi'], draw(w, [5, 3, 900_000])['xi']
    np.testing.assert_array_equal(some[0], others[1])
    np.testing.assert_array_equal(some[2], others[0])
    flat = np.asarray(draw(w, np.arange(64))['xi']).reshape(64, -1)
    assert abs(flat.mean()) < 4 / np.sqrt(flat.size)
    assert abs(flat.var() - 1) < 4 * np.sqrt(2 / flat.size)
    # No two positions, replicas or coordinates share their noise: correlations of order 1 /
    # sqrt(n).
    assert np.abs(np.corrcoef(flat)[np.triu_indices(64, 1)]).max() < 5 / np.sqrt(1000)
    again = w.train.draw(w.train.arrays, jnp.uint32(8), jnp.arange(3, dtype=jnp.uint32))['xi']
    assert abs(np.corrcoef(again.ravel(), flat[:3].ravel())[0, 1]) < 0.1


def test_start():
    w = noisy_quadratic(start=2.0, start_spread=0.5, optimum=10.0, replicas=20_000)
    x = w.init(jax.random.key(1))[0]['x']
    assert x.shape == (20_000, 1)
    assert abs(x.mean() - 12) < 4 * 0.5 / np.sqrt(20_000)
    assert abs(x.std() - 0.5) < 4 * 0.5 / np.sqrt(40_000)
    # The start is not the noise of an early position.
    noise = np.asarray(draw(w, np.arange(4))['xi'])[..., 0]
    assert np.abs(np.corrcoef(np.asarray(x).T, noise)[0, 1:]).max() < 5 / np.sqrt(20_000)


def test_spectra():
    w = noisy_quadratic(curvature=2.0, noise=3.0, dimension=4, spectrum=1.0, noise_spectrum=-0.5)
    params = {'x': jnp.ones((1, 4))}
    zero = {'xi': jnp.zeros((1, 1, 4))}
    a = value_and_grad(w, params, zero)[1]['x'][0]
    np.testing.assert_allclose(a, 2.0 / np.arange(1, 5), rtol=1e-6)
    noise = a - value_and_grad(w, params, {'xi': jnp.ones((1, 1, 4))})[1]['x'][0]
    # Gradient noise a_i sigma_i: its variance is proportional to a_i.
    np.testing.assert_allclose(noise**2 / a, np.full(4, 18.0), rtol=1e-5)
    listed = noisy_quadratic(curvature=2.0, dimension=2, spectrum=(1.0, 0.1))
    found = value_and_grad(listed, {'x': jnp.ones((1, 2))}, {'xi': jnp.zeros((1, 1, 2))})[1]['x'][0]
    np.testing.assert_allclose(found, [2.0, 0.2], rtol=1e-6)


def test_means_of_examples_drawn_directly():
    w = noisy_quadratic(noise=2.0, examples_per_draw=16, replicas=3)
    params = {'x': jnp.zeros((3, 1))}
    one = draw(w, [0])
    _, grads = value_and_grad(w, params, one)
    np.testing.assert_allclose(grads['x'], -2.0 / 4 * one['xi'][0], rtol=1e-6)


def test_test_loss_is_the_excess():
    w = noisy_quadratic(curvature=3.0, noise=5.0, replicas=2, optimum=1.0)
    examples = w.test.read(w.test.arrays, jnp.zeros(4, jnp.int32))
    values = w.metrics({'x': jnp.array([[1.0], [3.0]])}, {}, examples)
    np.testing.assert_allclose(values['loss'], np.full(4, 3.0 * 4 / 2 / 2))


@pytest.mark.parametrize(
    'given, words',
    [
        (dict(curvature=-1.0), 'curvature: found -1.0; allowed: numbers > 0'),
        (dict(curvature=0.0), 'curvature: found 0.0'),
        (dict(dimension=2, spectrum=(1.0, -2.0)), 'curvature: found -2.0'),
        (dict(noise=-0.5), 'noise: found -0.5; allowed: a standard deviation >= 0'),
        (dict(dimension=2, noise_spectrum=(1.0, -2.0)), 'noise: found -2.0'),
        (dict(start_spread=-1.0), 'start_spread: found -1.0'),
        (dict(replicas=0), 'replicas: found 0'),
        (dict(dimension=0), 'dimension: found 0'),
        (dict(examples_per_draw=0), 'examples_per_draw: found 0'),
        (dict(dimension=3, spectrum=(1.0, 2.0)), 'curvature: found a spectrum of 2 entries'),
        (dict(dtype='float16'), "dtype: found 'float16'; allowed: float32, float64"),
        (dict(dtype='float64'), 'JAX_ENABLE_X64'),
    ],
)
def test_bad_input_is_told_in_one_line(given, words):
    with pytest.raises(ValueError, match=words) as caught:
        noisy_quadratic(**given)
    assert '\n' not in str(caught.value)


@pytest.mark.long
def test_float64():
    with jax.enable_x64(True):
        w = noisy_quadratic(dtype='float64', replicas=2, spectrum=1.0)
        loss, grads = value_and_grad(w, w.init(jax.random.key(0))[0], draw(w, [0]))
        assert loss.dtype == grads['x'].dtype == jnp.float64


@pytest.mark.processes
@pytest.mark.long
def test_float64_through_the_engine(tmp_path):
    """Without noise x <- (1 - rate a) x, to the last digits; the precision is chosen before JAX
    starts."""
    (tmp_path / 'experiment.py').write_text(EXPERIMENT)
    command = [
        sys.executable,
        '-m',
        'lbexp.main',
        '--figures=',
        f'--config={tmp_path}/experiment.py',
        f'--workdir={tmp_path}/run',
    ]
    environment = {**os.environ, 'JAX_ENABLE_X64': '1'}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    rows = [
        json.loads(line) for line in (tmp_path / 'run' / 'metrics.jsonl').read_text().splitlines()
    ]
    assert len(rows) == 4
    for row in rows:
        exact = sum(a * (1 - 0.3 * a) ** (2 * row['step']) / 2 for a in (1.0, 0.25))
        assert row['test_loss'] == pytest.approx(exact, rel=1e-13)


EXPERIMENT = """
from lbexp import config
def get_config():
    c = config.base()
    c.workload = dict(name='noisy_quadratic', noise=0.0, dimension=2, spectrum=(1.0, 0.25), dtype='float64')
    c.optimizer = dict(name='sgd', learning_rate=0.3)
    c.steps, c.batch_size, c.num_rows, c.num_evaluations = 40, 1, 4, 4
    return c
"""  # noqa: E501


def train(workload, optimizer, steps, batch_size=1):
    """The usual loop, in one program: batches of consecutive positions through an optax
    optimizer."""

    def step(t, carry):
        params, state = carry
        positions = t.astype(jnp.uint32) * batch_size + jnp.arange(batch_size, dtype=jnp.uint32)
        _, grads = value_and_grad(workload, params, workload.train.draw((), SEED, positions))
        updates, state = optimizer.update(grads, state, params)
        return optax.apply_updates(params, updates), state

    params, _ = workload.init(jax.random.key(0))
    return jax.jit(lambda c: jax.lax.fori_loop(0, steps, step, c))((params, optimizer.init(params)))


def agrees(x, mean, variance, z=4.5):
    """Mean and variance of independent normals against what they should be."""
    n = x.shape[0]
    assert abs(x.mean() - mean) < z * np.sqrt(variance / n)
    assert abs(x.var(ddof=1) / variance - 1) < z * np.sqrt(2 / (n - 1))


@pytest.mark.parametrize('buffer', ['maintain', 'reset', 'interpolate'])
@pytest.mark.parametrize('nesterov', [False, True])
def test_project_optimizers_follow_the_exact_recursion(buffer, nesterov):
    """Fast and slow weights mid-cycle, far from rest: 20 000 replicas after 13 updates of k = 5."""
    w = noisy_quadratic(curvature=0.8, noise=0.9, replicas=20_000, start=1.5, start_spread=0.3)
    inner = optax.sgd(0.2, momentum=0.8, nesterov=nesterov)
    params, state = train(w, lookahead(inner, k=5, slow_step_size=0.6, buffer_policy=buffer), 13)
    p = process.process(0.2, 0.8, 0.8, nesterov, k=5, slow_step_size=0.6, buffer_policy=buffer)
    after = exact.noisy_quadratic(p, 0.81, exact.start(p, 1.5, 0.09), 13)
    agrees(params['x'][:, 0], *exact.fast_weights(p, after))
    agrees(evaluation_params(state, params)['x'][:, 0], *exact.evaluation_weights(p, after))


def test_batches_divide_the_variance():
    for batch_size, examples_per_draw in ((8, 1), (1, 8), (2, 4)):
        w = noisy_quadratic(
            noise=2.0, replicas=10_000, start=0.0, examples_per_draw=examples_per_draw
        )
        params, _ = train(w, optax.sgd(0.5), 12, batch_size)
        rest = fixed_point.fixed_point(process.process(0.5, 1.0), 4.0 / 8)
        agrees(params['x'][:, 0], 0.0, rest.covariance[0, 0])
