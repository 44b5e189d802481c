"""Gradient noise of a small network against NumPy in float64."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from curvature_cases import digits, losses, tanh_network
from jax.flatten_util import ravel_pytree

from lbexp.curvature.operators import sample_loss
from lbexp.report.gradient_noise import gradient_noise
from lbexp.report.measured import Settings

pytestmark = pytest.mark.long
EXAMPLES, GROUPS, SIZE, POPULATION = 120, 40, 3, 300
SETTINGS = Settings(
    examples=EXAMPLES,
    points=1,
    products=60,
    seed=0,
    batch_norm=None,
    updates=1,
    learning_rate=0.1,
    groups=GROUPS,
)


def trial(params, losses, examples, population=POPULATION):
    objective = SimpleNamespace(
        loss=sample_loss(losses, examples), losses=losses, examples=examples, description='some'
    )
    return SimpleNamespace(
        number=2,
        params=params,
        model_state={},
        workload=SimpleNamespace(train=SimpleNamespace(size=population), test=None),
        objective=lambda part, count, batch_norm: objective,
    )


@pytest.fixture(scope='module')
def network():
    return tanh_network(0, (64, 3, 10)), digits(EXAMPLES)


@pytest.fixture(scope='module')
def measured(network):
    return gradient_noise(trial(network[0], losses, network[1]), SETTINGS)


@pytest.fixture(scope='module')
def expected(network):
    """Gradients of groups [40, n], and the Hessian [n, n], in float64."""
    params, examples = network
    flat, unravel = ravel_pytree(params)

    def loss(weights, image, label):
        return losses(unravel(weights), {'x': image[None], 'label': label[None]})[0]

    of_examples = jax.vmap(jax.grad(loss), (None, 0, 0))
    gradients = np.asarray(of_examples(flat, examples['x'], examples['label']), np.float64)
    hessian = jax.hessian(lambda weights: losses(unravel(weights), examples).mean())(flat)
    return gradients.reshape(GROUPS, SIZE, -1).mean(axis=1), np.asarray(hessian, np.float64)


def rows(measured):
    return {row[0]: row[1:] for row in measured.table.rows}


def test_noise_and_signal(measured, expected):
    gradients, hessian = expected
    covariance = np.cov(gradients.T) * SIZE
    mean = gradients.mean(axis=0)
    share = 1 / EXAMPLES - 1 / POPULATION
    values = rows(measured)
    for matrix, noise, signal, scale in (
        (np.eye(len(mean)), 'tr Sigma', '|G|^2', 'B_simple = tr Sigma / |G|^2 [examples]'),
        (hessian, 'tr(H Sigma)', 'G^T H G', 'B_noise = tr(H Sigma) / (G^T H G) [examples]'),
    ):
        trace = np.trace(matrix @ covariance)
        form = mean @ matrix @ mean - trace * share
        assert values[noise][0] == pytest.approx(trace, rel=1e-3)
        assert values[signal][0] == pytest.approx(form, rel=3e-3)
        value, _, low, high = values[scale]
        assert value == pytest.approx(trace / form, rel=5e-3)
        assert 0 < low < value < high < np.inf


def test_eigenvalues_and_their_overlap(measured, expected):
    gradients, hessian = expected
    covariance = np.cov(gradients.T) * SIZE
    values = rows(measured)
    largest = np.linalg.eigvalsh(covariance)[::-1]
    of_hessian, vectors = np.linalg.eigh(hessian)
    for place in range(4):
        name = f'eigenvalue {place + 1} of Sigma, sample'
        assert values[name][0] == pytest.approx(largest[place], rel=1e-3)
        name = f'eigenvalue {place + 1} of H'
        assert values[name][0] == pytest.approx(of_hessian[-1 - place], rel=1e-3)
    top = vectors[:, -4:]
    share = np.trace(top.T @ covariance @ top) / np.trace(covariance)
    measured_share, error = values['share of tr Sigma in the top 4 of H'][:2]
    assert measured_share == pytest.approx(share, rel=1e-3)
    assert 0 < error < 0.5 * share
    drawn, held_out = measured.figures[0].series
    assert drawn.x == list(range(1, 20))
    np.testing.assert_allclose(drawn.y[:8], largest[:8], rtol=1e-3)
    assert held_out.y[0] == pytest.approx(values['eigenvalue 1 of Sigma, held out'][0])


def test_where_the_gradient_vanishes_no_noise_scale_is_a_number():
    x = jnp.asarray(np.random.default_rng(0).normal(size=(EXAMPLES, 6)), jnp.float32)

    def bowl(params, examples):
        return jnp.sum((params['w'][None] - examples['x']) ** 2, axis=1) / 2

    at_rest = trial({'w': x.mean(axis=0)}, bowl, {'x': x}, EXAMPLES)
    values = rows(gradient_noise(at_rest, SETTINGS._replace(products=6)))
    assert values['|G|^2'][0] == pytest.approx(0, abs=1e-5)
    for name, row in values.items():
        if name.startswith('B_'):
            assert np.isnan(row[0]) and row[3] == np.inf
    assert values['share of tr Sigma in the top 4 of H'][0] < 1
