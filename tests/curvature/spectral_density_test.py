"""The smoothed density against the exact one."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lbexp.curvature import lanczos, spectral_density


@pytest.mark.long
def test_the_density_of_a_network(dense, dense_product):
    def measure(key):
        return spectral_density.quadrature(dense_product, dense.params, key, 40, 10)

    measured = jax.jit(measure)(jax.random.key(0))
    assert measured.nodes.shape == (10, 40)
    np.testing.assert_allclose(measured.weights.sum(axis=1), 1, rtol=1e-5)
    # what is finer than the range of the spectrum over the steps is not resolved
    linear, width = dense.values[0] / 40, 0.3
    t = np.linspace(-3, 6, 301)
    points = jnp.asarray(np.sinh(t) * linear, jnp.float32)
    smooth = spectral_density.density(measured, points, width, linear)
    every = spectral_density.Quadrature(
        jnp.asarray(dense.values[None], jnp.float32), jnp.full((1, 1210), 1 / 1210)
    )
    exact = spectral_density.density(every, points, width, linear)
    step = t[1] - t[0]
    assert abs(exact.value.sum() * step - 1) < 1e-3
    assert np.abs(smooth.value - exact.value).sum() * step < 0.03
    assert np.isnan(exact.standard_error).all()
    # the standard error is the error's size
    away = np.abs(smooth.value - exact.value) - 4 * smooth.standard_error
    assert away.max() < 0.01
    # tr H = n sum w theta
    traces = 1210 * (measured.weights * measured.nodes).sum(axis=1)
    error = traces.std(ddof=1) / np.sqrt(10)
    assert abs(traces.mean() - dense.values.sum()) < 4 * error


def test_weights_are_squared_first_components():
    """Of e_1 as the first vector the measure is exact: sum w theta^k = (A^k)_11."""
    run = lanczos.Tridiagonal(jnp.array([1.0, 2.0, -1.0]), jnp.array([0.5, 3.0, 0.0]), ())
    pairs = lanczos.ritz(run)
    matrix = np.diag([1.0, 2.0, -1.0]) + np.diag([0.5, 3.0], 1) + np.diag([0.5, 3.0], -1)
    for k in range(4):
        moment = float((pairs.weights * pairs.values**k).sum())
        assert abs(moment - np.linalg.matrix_power(matrix, k)[0, 0]) < 1e-4
