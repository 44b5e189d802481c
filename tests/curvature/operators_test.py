"""Products against the dense matrix; chunks, blocks and preconditioners of them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from lbexp.curvature import operators, trees


def flat(tree):
    return np.asarray(ravel_pytree(tree)[0], np.float64)


@pytest.fixture(scope='module')
def vector(dense):
    return trees.normal_like(jax.random.key(3), dense.params)


@pytest.fixture(scope='module')
def image(dense, vector):
    return flat(jax.jit(operators.hessian_product(dense.loss, dense.params))(vector))


def test_the_hessian_product_is_the_hessians(dense, vector, image):
    exact = dense.matrix.astype(np.float64) @ flat(vector)
    assert np.abs(image - exact).max() < 2e-6 * np.abs(exact).max()


@pytest.mark.parametrize('chunk', [100, 256])
def test_chunks_change_rounding_alone(dense, vector, image, chunk):
    """100 does not divide 1,024: the rest comes last."""
    loss = operators.sample_loss(dense.losses, dense.examples, chunk)
    chunked = flat(jax.jit(operators.hessian_product(loss, dense.params))(vector))
    assert np.abs(chunked - image).max() < 1e-6 * np.abs(image).max()


def test_a_chunk_of_all_is_bitwise_no_chunk(dense, vector):
    images = []
    for chunk in (None, 1024, 5000):
        loss = operators.sample_loss(dense.losses, dense.examples, chunk)
        images.append(flat(jax.jit(operators.hessian_product(loss, dense.params))(vector)))
    np.testing.assert_array_equal(images[0], images[1])
    np.testing.assert_array_equal(images[0], images[2])


def test_chunks_are_added_in_stored_order():
    # 2^26 + 1 = 2^26 in float32: the sum tells its order
    values = jnp.array([1.0, 2.0**26, -(2.0**26), 1.0])

    def total(part):
        return part.sum()

    assert operators.chunked_sum(total, values, 1) == 1.0
    assert operators.chunked_sum(total, values[::-1], 1) == 1.0
    assert operators.chunked_sum(total, values[jnp.array([1, 2, 0, 3])], 1) == 2.0


@pytest.mark.parametrize('chunk', [0, -1])
def test_a_chunk_below_1_is_refused(chunk):
    with pytest.raises(ValueError, match='chunk: found'):
        operators.chunked_sum(jnp.sum, jnp.ones(3), chunk)


def jacobian_form(dense):
    """(1/n) sum J^T (diag p - p p^T) J, in NumPy, of a few examples."""
    few = {name: values[:40] for name, values in dense.examples.items()}
    weights, unravel = ravel_pytree(dense.params)
    jacobians = jax.jacobian(lambda w: dense.outputs(unravel(w), few))(weights)
    jacobians = np.asarray(jacobians, np.float64)
    p = np.asarray(jax.nn.softmax(dense.outputs(dense.params, few)), np.float64)
    matrix = np.zeros((len(weights), len(weights)))
    for jacobian, q in zip(jacobians, p, strict=True):
        matrix += jacobian.T @ (np.diag(q) - np.outer(q, q)) @ jacobian / 40
    return few, matrix


@pytest.mark.long
def test_the_gauss_newton_product(dense, vector):
    few, matrix = jacobian_form(dense)
    exact = matrix @ flat(vector)

    def output_loss(outputs, examples):
        picked = jnp.take_along_axis(outputs, examples['label'][:, None], axis=1)[:, 0]
        return jax.nn.logsumexp(outputs, axis=1) - picked

    for curvature in (operators.softmax_curvature, operators.curvature_of(output_loss)):
        for chunk in (None, 16):
            product = operators.gauss_newton_product(
                dense.outputs, curvature, dense.params, few, chunk
            )
            image = flat(jax.jit(product)(vector))
            assert np.abs(image - exact).max() < 3e-6 * np.abs(exact).max()
            assert flat(vector) @ image > 0


def test_of_a_linear_model_gauss_newton_is_the_hessian():
    x = jax.random.normal(jax.random.key(0), (30, 4))
    y = jax.random.normal(jax.random.key(1), (30, 2))
    params = {'w': jnp.ones((4, 2)), 'b': jnp.zeros(2)}

    def outputs(params, examples):
        return examples['x'] @ params['w'] + params['b'][None]

    def output_loss(values, examples):
        return jnp.sum((values - examples['y']) ** 2, axis=1) / 2

    def losses(params, examples):
        return output_loss(outputs(params, examples), examples)

    examples = {'x': x, 'y': y}
    hessian = operators.hessian_product(operators.sample_loss(losses, examples), params)
    curvature = operators.curvature_of(output_loss)
    newton = operators.gauss_newton_product(outputs, curvature, params, examples)
    vector = trees.normal_like(jax.random.key(2), params)
    np.testing.assert_allclose(flat(newton(vector)), flat(hessian(vector)), rtol=1e-5, atol=1e-6)


def test_a_block_is_the_block_of_the_matrix(dense):
    loss, chosen = operators.restricted(dense.loss, dense.params, ['last/'])
    assert list(chosen) == ['last/bias', 'last/kernel']
    vector = trees.normal_like(jax.random.key(4), chosen)
    image = flat(jax.jit(operators.hessian_product(loss, chosen))(vector))
    # ravel_pytree has first/bias, first/kernel, last/bias, last/kernel
    block = dense.matrix[-170:, -170:].astype(np.float64)
    exact = block @ flat(vector)
    assert np.abs(image - exact).max() < 2e-6 * np.abs(exact).max()


def test_a_pattern_that_matches_nothing_is_refused(dense):
    with pytest.raises(ValueError, match="found 'frist'; allowed: what is found in first/bias"):
        operators.select(dense.params, ['last', 'frist'])


def test_preconditioned_eigenvalues_are_those_of_the_inverse_times_the_matrix():
    matrix = jnp.array([[3.0, 1.0], [1.0, -2.0]])
    p = jnp.array([4.0, 0.25])
    between = operators.preconditioned(lambda v: matrix @ v, p)
    columns = jnp.stack([between(row) for row in jnp.eye(2)], axis=1)
    exact = np.sort(np.linalg.eigvals(np.diag(1 / np.asarray(p)) @ np.asarray(matrix)).real)
    np.testing.assert_allclose(np.linalg.eigvalsh(columns), exact, rtol=1e-6)
