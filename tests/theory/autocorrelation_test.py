"""Correlation times against sums over autocovariances and against simulated series."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lbexp.theory.autocorrelation import (
    autocorrelation,
    autocorrelation_time,
    burn_in,
    effective_sample_size,
    sde_coefficient,
)
from lbexp.theory.process import process

pytestmark = pytest.mark.usefixtures('quick_compilation')


@pytest.fixture(autouse=True, scope='module')
def x64():
    with jax.enable_x64(True):
        yield


@pytest.mark.parametrize('r', [-0.7, 0.0, 0.5, 0.99])
def test_time_is_the_double_sum(r):
    for length in (1, 2, 17, 300):
        lags = np.abs(np.subtract.outer(np.arange(length), np.arange(length)))
        exact = np.mean(np.power(r, lags, dtype=float)) * length
        np.testing.assert_allclose(autocorrelation_time(r, length), exact, rtol=1e-11)
        np.testing.assert_allclose(effective_sample_size(r, length), length / exact, rtol=1e-11)
    np.testing.assert_allclose(autocorrelation_time(r), autocorrelation_time(r, 10**9), rtol=1e-6)


def test_mean_of_a_simulated_series():
    generator, r = np.random.default_rng(0), 0.9
    x, total = generator.standard_normal(20_000), 0.0
    for _ in range(50):
        x = r * x + np.sqrt(1 - r**2) * generator.standard_normal(20_000)
        total = total + x
    measured = np.var(total / 50)
    assert abs(measured / (autocorrelation_time(r, 50) / 50) - 1) < 4 * np.sqrt(2 / 20_000)


def test_autocorrelation_of_sgd_and_momentum():
    np.testing.assert_allclose(
        autocorrelation(process(0.3, 1.0), 1.0, 5), 0.7 ** np.arange(6), rtol=1e-11
    )
    beta, h, lags = 0.8, 0.3, 6
    # Yule and Walker for the AR(2) process that heavy ball is.
    rho = [1.0, (1 + beta - h) / (1 + beta)]
    for _ in range(lags - 1):
        rho.append((1 + beta - h) * rho[-1] - beta * rho[-2])
    np.testing.assert_allclose(autocorrelation(process(h, 1.0, beta), 2.0, lags), rho, rtol=1e-10)


def test_autocorrelation_of_lookahead_counts_cycles():
    found = autocorrelation(process(0.3, 1.0, k=5, slow_step_size=0.4), 1.0, 4)
    np.testing.assert_allclose(found, (0.6 + 0.4 * 0.7**5) ** np.arange(5), rtol=1e-11)


def test_sde_is_the_limit_of_sgd():
    np.testing.assert_allclose(sde_coefficient(2.0, 0.25), np.exp(-0.5))
    for h in (1e-3, 1e-4):
        assert sde_coefficient(h, 1.0) == pytest.approx(1 - h, abs=h**2)


def test_burn_in():
    steps = burn_in(0.98, 1e-3)
    assert 0.98**steps <= 1e-3 < 0.98 ** (steps - 1)


def test_out_of_range():
    for call, words in (
        (lambda: autocorrelation_time(1.0), 'coefficient: found 1.0'),
        (lambda: burn_in(1.0), 'radius: found 1.0'),
        (lambda: burn_in(0.5, 0.0), 'tolerance: found 0.0'),
        (lambda: sde_coefficient(-1.0, 1.0), 'relaxation: found -1.0'),
        (lambda: autocorrelation(process(2.5, 1.0), 1.0, 3), 'spectral radius'),
    ):
        with pytest.raises(ValueError, match=words):
            call()
    assert np.isinf(jax.jit(autocorrelation_time)(jnp.array([1.0, 1.5]))).all()
    assert np.isinf(jax.jit(burn_in)(1.5))
