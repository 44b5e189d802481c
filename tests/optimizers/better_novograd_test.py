"""What optax's NovoGrad does and what this one does, in numbers."""

import inspect

import jax.numpy as jnp
import numpy as np
import optax
import pytest
from layerwise import length, updates

from lbexp import optimizers


def test_novograd_averages_gradients_and_schedules_its_decay():
    w, slope = jnp.ones((2, 2)), jnp.ones((2, 2))
    assert 'grad_averaging' not in inspect.signature(optax.novograd).parameters

    # The second step: (b1 + 1) / 2 in units of the first without averaging, b1 + (1 - b1) = 1 with.
    def second(**more):
        return length(updates(optimizers.novograd(1.0, b1=0.5, **more), slope, w, steps=2))

    assert second() == pytest.approx(1.5)
    assert second(grad_averaging=True) == pytest.approx(1)

    def decay(count):
        return 0.1 / (1 + count)

    theirs, ours = (
        optax.novograd(1.0, weight_decay=decay),
        optimizers.novograd(1.0, b1=0.0, weight_decay=decay),
    )
    with pytest.raises(TypeError, match='unsupported operand'):
        updates(theirs, slope, w)
    zeros = jnp.zeros_like(w)
    np.testing.assert_allclose(updates(ours, zeros, w), -0.1, rtol=1e-6)
    np.testing.assert_allclose(updates(ours, zeros, w, steps=2), -0.05, rtol=1e-6)


def test_a_layer_that_starts_late_takes_a_step_of_its_usual_length():
    """No gradient at the first update: optax's first step is then 1 / sqrt(1 - b2) = 7.1 too
    long."""
    w, zeros, slope = jnp.ones((2, 2)), jnp.zeros((2, 2)), jnp.ones((2, 2))

    def late(tx):
        _, state = tx.update(zeros, tx.init(w), w)
        return length(tx.update(slope, state, w)[0])

    assert late(optax.novograd(1.0, b2=0.98)) == pytest.approx(7.07, rel=1e-3)
    assert late(optimizers.novograd(1.0, b2=0.98)) == pytest.approx(1)


def test_optax_does_not_say_that_novograd_lacks_parameters():
    tx, w = optax.novograd(0.1), jnp.ones((2, 2))
    with pytest.raises(TypeError, match=r"unsupported operand.* 'float' and 'NoneType'"):
        tx.update(w, tx.init(w))
