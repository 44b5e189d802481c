"""The curvature along the gradient against Hessians in closed form."""

import numpy as np
import pytest
from networks import trained
from training import rows, tiny

import lbexp
from lbexp.config import lookup

pytestmark = pytest.mark.usefixtures('shared_programs')


def of_matrix(hessian, gradient):
    """(c, r) in float64."""
    u = gradient / np.linalg.norm(gradient)
    c = u @ hessian @ u
    return c, np.linalg.norm(hessian @ u - c * u)


@pytest.mark.long
def test_of_a_linear_regression(tmp_path):
    """H = mean of z z^T and g = mean of (w . z - y) z, z = (x, 1), over the whole test set."""
    workload = dict(name='linear_regression', size=60, weights=(3.0, -1.0), noise=0.5)
    probe = dict(name='directional_curvature', examples=60, part='test')
    row = rows(trained(tiny(workload=workload, probes=(probe,)), tmp_path))[-1]
    part = lookup.build('workload', workload)
    data = {name: np.asarray(v, np.float64) for name, v in part.test.arrays.items()}
    z = np.concatenate([data['x'], np.ones((60, 1))], axis=1)
    params = lbexp.open(tmp_path).trial(0).params
    w = np.concatenate([params['kernel'][:, 0], params['bias']])
    error = z @ w - data['line'] - 0.5 * data['e']
    c, r = of_matrix(z.T @ z / 60, error @ z / 60)
    assert row['directional_curvature'] == pytest.approx(c, rel=1e-4)
    assert row['directional_curvature_residual'] == pytest.approx(r, rel=1e-3)


def test_of_a_quadratic(tmp_path):
    """H = diag(a): c = sum a_i^3 e_i^2 / sum a_i^2 e_i^2, e the distance from the optimum; it lies
    between the smallest and the largest a_i, and an a_i lies within the residual of it."""
    a = np.array([4.0, 1.0, 0.25])
    workload = dict(
        name='noisy_quadratic', dimension=3, spectrum=tuple(a), noise=0.3, start=1.0, epoch=512
    )
    probe = dict(name='directional_curvature', examples=32)
    optimizer = dict(name='sgd', learning_rate=0.05)
    config = tiny(workload=workload, probes=(probe,), optimizer=optimizer)
    measured = rows(trained(config, tmp_path))
    e = np.asarray(lbexp.open(tmp_path).trial(0).params['x'][0], np.float64)
    c, r = of_matrix(np.diag(a), a * e)
    row = measured[-1]
    assert row['directional_curvature'] == pytest.approx(c, rel=1e-4)
    assert row['directional_curvature_residual'] == pytest.approx(r, rel=1e-3)
    assert np.abs(a - row['directional_curvature']).min() <= row['directional_curvature_residual']
    # gradient descent forgets the stiff direction first
    assert measured[1]['directional_curvature'] > row['directional_curvature']


def test_where_the_gradient_is_zero_there_is_none(tmp_path):
    workload = dict(name='noisy_quadratic', noise=0.0, start=0.0)
    probe = dict(name='directional_curvature', examples=4)
    optimizer = dict(name='sgd', learning_rate=0.05)
    config = tiny(workload=workload, probes=(probe,), optimizer=optimizer)
    row = rows(trained(config, tmp_path))[-1]
    assert row['directional_curvature'] is None  # NaN
