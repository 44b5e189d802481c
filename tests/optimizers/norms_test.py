"""Norms that neither overflow nor underflow, in the way of the CPU and in that of an
accelerator."""

import functools
import re
import unittest.mock

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lbexp.optimizers._layerwise.norms import norms


def measured(x, rank=0):
    compute = compiled(jax.default_backend(), rank)
    return np.asarray(compute(jnp.asarray(x)), np.float64)


@functools.cache
def compiled(platform, rank):
    """One program for each shape; the platform decides how it is written."""
    return jax.jit(lambda x: norms([x], [rank])[0])


def exact(x, rank=0):
    x = np.asarray(x).astype(np.complex128 if np.iscomplexobj(x) else np.longdouble)
    return np.asarray(np.sqrt(np.sum(np.abs(x) ** 2, axis=tuple(range(rank, x.ndim)))), np.float64)


@pytest.mark.parametrize('platform', ['cpu', 'gpu'])
@settings(max_examples=20, deadline=None)
@example(exponent=-25, zeros=0, seed=0)
@example(exponent=25, zeros=1, seed=1)
@given(exponent=st.integers(-30, 30), zeros=st.integers(0, 5), seed=st.integers(0, 100))
def test_norms_are_right_at_every_scale(platform, exponent, zeros, seed):
    x = np.random.default_rng(seed).standard_normal(6) * 10.0**exponent
    x[:zeros] = 0
    x = x.astype(np.float32)
    with unittest.mock.patch.object(jax, 'default_backend', lambda: platform):
        np.testing.assert_allclose(measured(x), exact(x), rtol=1e-6)


def test_norms_of_half_precision_are_sums_of_float32(backend):
    assert measured(np.full(100_000, 300, np.float16)) == pytest.approx(
        300 * np.sqrt(100_000), rel=1e-6
    )
    x = jnp.asarray(np.random.default_rng(0).standard_normal((64, 33)), jnp.bfloat16)
    np.testing.assert_allclose(measured(x), exact(np.asarray(x, np.float32)), rtol=1e-6)


def test_norms_by_layer_of_complex_empty_and_broken_leaves(backend):
    draw = np.random.default_rng(0)
    x = (draw.standard_normal((3, 2, 5)) + 1j * draw.standard_normal((3, 2, 5))).astype(
        np.complex64
    )
    np.testing.assert_allclose(measured(x, 2), exact(x, 2), rtol=1e-6)
    assert measured(np.zeros((0, 3), np.float32)) == 0
    assert measured(np.zeros((2, 0), np.float32), 1).tolist() == [0, 0]
    assert np.isnan(measured(np.array([1, np.nan], np.float32)))
    assert measured(np.array([1, np.inf], np.float32)) == np.inf


def test_a_broken_layer_leaves_the_others_alone(backend):
    wrong, small, right = norms(
        [jnp.array([jnp.nan]), jnp.full(3, 1e-25), jnp.full(4, 2.0)], [0, 0, 0]
    )
    assert np.isnan(wrong)
    assert small == pytest.approx(np.sqrt(3) * 1e-25, rel=1e-6)
    assert right == 4


@pytest.mark.parametrize('outer', [None, 2])
def test_norms_under_vmap_equal_the_loop(outer, backend):
    """One replica needs the scaled pass, the others do not; also where replicas have replicas."""
    draw = np.random.default_rng(0).standard_normal((4, 5, 50))
    x = jnp.asarray(draw * np.array([1e-25, 1.0, 1e25, 0.0])[:, None, None], jnp.float32)

    def norm(x):
        return norms([x, x[0] * 2], [1, 0])

    several = jax.vmap(norm)
    if outer:
        found = jax.vmap(several)(jnp.stack([x] * outer))
        found = jax.tree.map(lambda y: y[0], found)
    else:
        found = several(x)
    expected = [norm(each) for each in x]
    for i, parts in enumerate(expected):
        jax.tree.map(lambda a, b, i=i: np.testing.assert_array_equal(a[i], b), found, parts)


def test_the_scaled_pass_stays_a_branch_under_vmap():
    text = str(jax.make_jaxpr(jax.vmap(lambda x: norms([x], [0])))(jnp.ones((4, 3))))
    assert re.search(r'\bcond\[', text)


@pytest.mark.parametrize('dtype', ['float32', 'float64'])
def test_two_sums_meet_without_a_seam(dtype, monkeypatch):
    """For an accelerator: many numbers of one size, from where the scaled-up sum is small to where
    it is infinite."""
    monkeypatch.setattr(jax, 'default_backend', lambda: 'gpu')
    exponents, rtol = (
        (np.arange(-30, 31), 1e-6) if dtype == 'float32' else (np.arange(-270, 281, 5), 1e-14)
    )
    with jax.enable_x64(dtype == 'float64'):
        for exponent in exponents:
            x = np.random.default_rng(0).standard_normal(10_000) * 10.0**exponent
            x = x.astype(dtype)
            np.testing.assert_allclose(measured(x), exact(x), rtol=rtol)


def test_arrays_of_every_shape_rank_and_dtype_at_once(backend):
    """More of one shape than are summed together, among others: each gets its own norms."""
    draw = np.random.default_rng(0)
    shapes = [(3, 4)] * 19 + [(4, 3), (3, 4, 1), (12,), ()]
    arrays = [
        np.asarray(draw.standard_normal(shape) * 10.0 ** (i - 9), np.float32)
        for i, shape in enumerate(shapes)
    ]
    arrays += [arrays[0].astype(jnp.bfloat16), arrays[1].astype(np.complex64) * (1 + 2j)]
    ranks = [i % 3 if x.ndim > 1 else 0 for i, x in enumerate(arrays)]
    found = norms([jnp.asarray(x) for x in arrays], ranks)
    for x, rank, each in zip(arrays, ranks, found, strict=True):
        np.testing.assert_allclose(each, exact(x, rank), rtol=1e-6)


# squares of 1e-19 are in float32, but not all digits
@pytest.mark.parametrize('exponent', [-20, -19, 0, 20])
def test_single_and_double_precision_in_one_tree(exponent, backend):
    x = np.random.default_rng(0).standard_normal(10) * 10.0**exponent
    with jax.enable_x64():
        single, double = norms([jnp.asarray(x, jnp.float32), jnp.asarray(x)], [0, 0])
    np.testing.assert_allclose(single, exact(x.astype(np.float32)), rtol=1e-6)
    np.testing.assert_allclose(double, exact(x), rtol=1e-14)


@pytest.mark.parametrize('scale', [0.0, 1e-25, 1.0, 1e20])
def test_the_derivative_is_the_direction(scale, backend):
    """Of each layer, at every scale; 0 for zeros."""
    x = jnp.asarray(scale * np.random.default_rng(0).standard_normal((3, 4)), jnp.float32)
    slope = jax.grad(lambda x: norms([x], [1])[0].sum())(x)
    np.testing.assert_allclose(
        slope, np.asarray(x) / np.maximum(exact(x, 1), 1e-38)[:, None], rtol=1e-5
    )
