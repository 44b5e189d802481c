"""The noise scale on a noisy quadratic, beside simulated gradients."""

import numpy as np
import pytest

from lbexp.theory.noise_scale import noise_scales

SPECTRUM = 1 / np.arange(1.0, 6)


def test_simulated_descent_has_the_same_ratio_of_means():
    draws = np.random.default_rng(0)
    size, rate, steps, runs = 8, 0.2, 12, 20000
    x = draws.choice([-1.0, 1.0], (runs, len(SPECTRUM)))
    squares, forms = [], []
    for _ in range(steps):
        gradient = SPECTRUM * x
        squares.append(np.mean(np.sum(gradient**2, axis=1)))
        forms.append(np.mean(np.sum(SPECTRUM * gradient**2, axis=1)))
        noise = draws.standard_normal(x.shape) * np.sqrt(SPECTRUM / size)
        x = x - rate * (gradient + noise)
    scales = noise_scales(steps, size, rate, SPECTRUM, 3)
    expected = [SPECTRUM.sum() / np.mean(part) for part in np.split(np.array(squares), 3)]
    np.testing.assert_allclose(scales.simple, expected, rtol=0.01)
    expected = [np.sum(SPECTRUM**2) / np.mean(part) for part in np.split(np.array(forms), 3)]
    np.testing.assert_allclose(scales.hessian, expected, rtol=0.01)


def test_at_the_start_it_is_the_ratio_itself():
    scales = noise_scales(1, 4, 0.1, SPECTRUM)
    assert scales.simple == pytest.approx([SPECTRUM.sum() / np.sum(SPECTRUM**2)])
    assert scales.hessian == pytest.approx([np.sum(SPECTRUM**2) / np.sum(SPECTRUM**3)])


def test_a_run_has_an_update_in_each_part():
    with pytest.raises(ValueError, match='steps: found 2'):
        noise_scales(2, 4, 0.1, SPECTRUM, 3)
