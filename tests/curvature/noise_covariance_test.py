"""Noise of gradients against covariances that are known."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lbexp.curvature import noise_covariance as noise

DIMENSION, GROUPS, SIZE = 200, 32, 8
SIGMA = 1 / np.arange(1, DIMENSION + 1)  # eigenvalues of the covariance of one gradient
CURVATURE = np.linspace(2, 0.1, DIMENSION)
GRADIENT = 0.15 * np.ones(DIMENSION) / np.sqrt(DIMENSION)


def drawn(key, gradient=GRADIENT, groups=GROUPS):
    noise = jax.random.normal(key, (groups, DIMENSION)) * np.sqrt(SIGMA / SIZE)[None]
    gradients = jnp.asarray(gradient, jnp.float32)[None] + noise
    return {'a': gradients[:, :50], 'b': gradients[:, 50:].reshape(groups, 75, 2)}


def over_keys(measure, seed, count):
    """The measurement repeated, as NumPy arrays [count, ...]."""
    keys = jax.random.split(jax.random.key(seed), count)
    return jax.device_get(jax.jit(lambda keys: jax.lax.map(measure, keys))(keys))


def joined(gradients):
    return np.hstack([leaf.reshape(len(leaf), -1) for leaf in jax.tree.leaves(gradients)])


def test_the_gram_trick_gives_the_sample_covariance():
    gradients = drawn(jax.random.key(0))
    measured = noise.covariance(noise.gram(gradients), SIZE, 3)
    sample = np.cov(joined(gradients).T) * SIZE
    np.testing.assert_allclose(measured.values, np.linalg.eigvalsh(sample)[::-1][:3], rtol=1e-4)
    assert measured.trace == pytest.approx(np.trace(sample), rel=1e-5)


def test_the_largest_eigenvalue_lies_between_the_samples_and_that_held_out():
    def measure(key):
        return noise.covariance(noise.gram(drawn(key)), SIZE, 3)

    measured = over_keys(measure, 1, 300)
    total = SIGMA.sum()
    assert abs(measured.trace.mean() - total) < 4 * measured.trace.std() / np.sqrt(300)
    assert measured.trace_error.mean() == pytest.approx(measured.trace.std(), rel=0.2)
    # the sample's largest are too large, by about tr Sigma / K
    assert measured.values[:, 0].mean() > SIGMA[0] + 0.5 * total / GROUPS
    # held out they are not: along directions that are not quite the eigenvectors
    assert 0.6 * SIGMA[0] < measured.held_out[:, 0].mean() < SIGMA[0]
    assert measured.held_out_error[:, 0].mean() > 0.8 * measured.held_out[:, 0].std()


def test_held_out_is_the_variance_along_the_others_eigenvectors():
    gradients = joined(drawn(jax.random.key(0)))
    measured = noise.covariance(noise.gram(drawn(jax.random.key(0))), SIZE, 2)
    halves = gradients[:16], gradients[16:]
    expected = []
    for chosen, judged in (halves, halves[::-1]):
        _, vectors = np.linalg.eigh(np.cov(chosen.T))
        expected.append((judged @ vectors[:, ::-1][:, :2]).var(axis=0, ddof=1) * SIZE)
    np.testing.assert_allclose(measured.held_out, np.mean(expected, axis=0), rtol=1e-3)


def test_the_overlap_with_a_space():
    vectors = {'a': jnp.eye(50)[:4], 'b': jnp.zeros((4, 75, 2))}

    def measure(key):
        return noise.overlap(drawn(key), vectors)

    measured = over_keys(measure, 2, 200)
    truth = SIGMA[:4].sum() / SIGMA.sum()
    assert measured.value.mean() == pytest.approx(truth, rel=0.03)
    assert measured.standard_error.mean() == pytest.approx(measured.value.std(), rel=0.2)


def product(vector):
    curvature = jnp.asarray(CURVATURE, jnp.float32)
    return {
        'a': vector['a'] * curvature[:50],
        'b': vector['b'] * curvature[50:].reshape(75, 2),
    }


@pytest.mark.parametrize('size', [0.3, 8.0])
def test_b_noise(size):
    """tr(H Sigma) and G^T H G are unbiased, and the interval holds the ratio: where the gradient is
    resolved, and where it is not."""
    gradient = GRADIENT * size

    def measure(key):
        return noise.hessian_noise_scale(product, drawn(key, gradient), SIZE)

    measured = over_keys(measure, 3, 400)
    numerator = (CURVATURE * SIGMA).sum()
    denominator = (CURVATURE * gradient**2).sum()
    parts = (
        (measured.numerator, measured.numerator_error, numerator),
        (measured.denominator, measured.denominator_error, denominator),
    )
    for values, errors, truth in parts:
        assert abs(values.mean() - truth) < 4 * values.std() / np.sqrt(400)
        # the jackknife's is sqrt 2 too large of a product of noise with noise, never too small
        assert 0.85 < np.sqrt((errors**2).mean()) / values.std() < 1.55
    ratio = measured.ratio
    truth = numerator / denominator
    held = (ratio.low <= truth) & (truth <= ratio.high)
    assert 0.91 < held.mean() <= 0.99
    if size == 0.3:
        assert ratio.resolved.mean() < 0.5 and (measured.denominator < 0).mean() > 0.05
    else:
        assert ratio.resolved.all()
        assert abs(ratio.value / truth - 1).mean() < 0.2


def few(count):
    """Gradients of so many examples in four directions, and a curvature."""
    generator = np.random.default_rng(3)
    return generator.normal(0.4, 1, (count, 4)), np.array([2.0, 1.0, 0.5, -0.2])


def test_b_simple_is_b_noise_of_no_curvature():
    gradients = {'w': jnp.asarray(few(8)[0], jnp.float32)}
    simple = noise.noise_scale(noise.gram(gradients), 5, 90)
    other = noise.hessian_noise_scale(lambda vector: vector, gradients, 5, 90)
    jax.tree.map(np.testing.assert_array_equal, simple, other)


def test_without_replacement_the_mean_over_all_draws_is_that_of_the_population():
    """Exactly, over the 35 draws of 4 of 7 examples; as of independent draws it would be less."""
    examples, curvature = few(7)

    def product(vector):
        return {'w': vector['w'] * jnp.asarray(curvature, jnp.float32)}

    parts = []
    for places in itertools.combinations(range(7), 4):
        gradients = {'w': jnp.asarray(examples[list(places)], jnp.float32)}
        measured = noise.hessian_noise_scale(product, gradients, 1, 7)
        independent = noise.hessian_noise_scale(product, gradients, 1)
        parts.append([measured.numerator, measured.denominator, independent.denominator])
    numerator, denominator, of_independent = np.mean(parts, axis=0)
    noise_of_all = np.trace(np.diag(curvature) @ np.cov(examples.T))
    mean = examples.mean(axis=0)
    assert numerator == pytest.approx(noise_of_all, rel=1e-4)
    assert denominator == pytest.approx(mean @ (curvature * mean), rel=1e-4)
    assert of_independent == pytest.approx(denominator - noise_of_all / 7, rel=1e-4)


def test_one_gradient_on_both_sides_would_be_biased():
    """What the denominator avoids: g^T H g of the mean is larger by tr(H Sigma) / examples."""

    def measure(key):
        gradients = drawn(key)
        mean = jax.tree.map(lambda leaf: leaf.mean(axis=0), gradients)
        parts = jax.tree.map(lambda x, y: jnp.sum(x * y), mean, product(mean))
        return sum(jax.tree.leaves(parts))

    naive = over_keys(measure, 4, 400).mean()
    denominator = (CURVATURE * GRADIENT**2).sum()
    bias = (CURVATURE * SIGMA).sum() / (GROUPS * SIZE)
    assert naive == pytest.approx(denominator + bias, rel=0.1)
    assert bias > 0.3 * denominator


def test_groups_are_neighbours():
    def losses(params, examples):
        return (params['w'] * examples['x']) ** 2

    examples = {'x': jnp.arange(7.0)}
    gradients = noise.group_gradients(losses, {'w': jnp.ones(())}, examples, 3)
    # the seventh example fills no group
    np.testing.assert_allclose(gradients['w'], [1.0, 13.0, 41.0])


def test_too_few_groups_are_refused():
    with pytest.raises(ValueError, match='groups: found 8 for 4 eigenvalues; allowed: 10 or more'):
        noise.covariance(jnp.eye(8), 1, 4)
    with pytest.raises(ValueError, match='groups: found 2; allowed: 3 or more'):
        noise.hessian_noise_scale(lambda v: v, jnp.ones((2, 3)), 1)
    with pytest.raises(ValueError, match='groups: found 1; allowed: 2'):
        noise.group_gradients(lambda p, x: x, jnp.ones(1), jnp.ones(5), 1)
