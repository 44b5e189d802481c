"""P read from states, against the updates that the optimizers make."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from lbexp import optimizers
from lbexp.curvature.preconditioner import preconditioner

PARAMS = {'kernel': jnp.array([[1.0, -2.0], [0.5, 3.0]]), 'bias': jnp.array([0.1, 0.2])}
GRADIENTS = {'kernel': jnp.array([[0.3, -0.2], [0.1, 0.4]]), 'bias': jnp.array([0.5, -0.7])}

# Without momentum and decay an update is -rate P^-1 g: P is what gradients were divided by.
CASES = {
    'adamw': (optimizers.adamw(0.1, b1=0.0, b2=0.9, eps=1e-3, weight_decay=0.0), 0.9, 1e-3),
    'optax': (optax.adam(0.1, b1=0.0, b2=0.9, eps=1e-3), 0.9, 1e-3),
    'lamb': (optimizers.lamb(0.1, b1=0.0, b2=0.9, eps=1e-3, weight_decay=0.0), 0.9, 1e-3),
    'lars': (optimizers.lars(0.1, momentum=0.0, weight_decay=0.0), 0.9, 1e-3),
    'chained': (
        optax.chain(optax.clip(10.0), optimizers.adamw(0.1, b1=0.0, b2=0.9, weight_decay=0.0)),
        0.9,
        1e-8,
    ),
    'lookahead': (
        optimizers.lookahead(optimizers.adamw(0.1, b1=0.0, b2=0.9, weight_decay=0.0), k=50),
        0.9,
        1e-8,
    ),
}


@pytest.mark.parametrize('name', CASES)
def test_an_update_is_the_gradient_over_p(name):
    optimizer, b2, eps = CASES[name]
    params, state = PARAMS, optimizer.init(PARAMS)
    for i in range(3):
        gradients = {name: (i + 1) * gradient for name, gradient in GRADIENTS.items()}
        updates, state = optimizer.update(gradients, state, params)
        params = optax.apply_updates(params, updates)
    diagonal = jax.jit(lambda state: preconditioner(state, params, b2, eps))(state)
    for key, update in updates.items():
        expected = -0.1 * gradients[key] / diagonal[key]
        np.testing.assert_allclose(update, expected, rtol=2e-5)


def test_lamb_without_bias_correction():
    optimizer = optimizers.lamb(0.1, b1=0.0, b2=0.9, weight_decay=0.0, bias_correction=False)
    updates, state = optimizer.update(GRADIENTS, optimizer.init(PARAMS), PARAMS)
    diagonal = preconditioner(state, PARAMS, 0.9, 1e-6, bias_correction=False)
    expected = -0.1 * GRADIENTS['kernel'] / diagonal['kernel']
    np.testing.assert_allclose(updates['kernel'], expected, rtol=2e-5)


def test_before_the_first_update_it_is_not_defined():
    state = optimizers.adamw(0.1).init(PARAMS)
    assert np.isnan(preconditioner(state, PARAMS)['bias']).all()


def test_a_stack_of_layers_has_several_ratios():
    params = {'blocks': jnp.ones((3, 2, 2)), 'kernel': jnp.ones((2, 2))}
    optimizer = optimizers.lars(0.1, stacked_axes={'blocks': 1})
    _, state = optimizer.update(params, optimizer.init(params), params)
    diagonal = preconditioner(state, params)
    assert np.isnan(diagonal['blocks']).all() and np.isfinite(diagonal['kernel']).all()


@pytest.mark.parametrize('name', ['momentum', 'novograd', 'larc'])
def test_others_are_refused(name):
    optimizer = getattr(optimizers, name)(0.1)
    with pytest.raises(ValueError, match='allowed: one adamw, lars, lamb or'):
        preconditioner(optimizer.init(PARAMS), PARAMS)
