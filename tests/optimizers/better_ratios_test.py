"""What optax's layerwise optimizers do and what these do, in numbers: the ratio of a layer."""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from layerwise import LAYERWISE, length, updates

from lbexp import optimizers


def test_lars_ratio_where_gradient_and_decay_meet():
    """At g = -beta w (nearly): the ratio is bounded by trust_coefficient / beta / 2 = 0.05; optax's
    is 1000."""
    w = jnp.ones((4, 4))
    slope = -0.01 * w * (1 - 1e-4)
    theirs = optax.lars(1.0, 0.01, trust_coefficient=0.001, momentum=0.0)
    ours = optimizers.lars(1.0, 0.01, trust_coefficient=0.001, momentum=0.0)
    taken = slope + 0.01 * w

    def ratio(tx):
        return length(updates(tx, slope, w)) / length(taken)

    assert ratio(theirs) == pytest.approx(1000, rel=1e-3)
    assert ratio(ours) == pytest.approx(0.05, rel=1e-3)


def test_lars_moves_a_zero_layer_as_far_as_any_other():
    """Rate 29: optax's first step of weights that are 0 is 29 |g|, 1000 times what it is anywhere
    else."""
    zeros, slope = jnp.zeros((2, 2)), jnp.full((2, 2), 0.5)
    assert length(updates(optax.lars(29.0), slope, zeros)) == pytest.approx(29)
    assert length(updates(optax.lars(29.0), slope, slope)) == pytest.approx(0.029)

    def ours(**more):
        return length(updates(optimizers.lars(29.0, **more), slope, zeros))

    assert ours() == pytest.approx(0.029)
    assert ours(zero_ratio=1.0) == pytest.approx(29)
    assert ours(zero_ratio=0.0) == 0


@pytest.mark.parametrize('name', ['lamb', 'lars'])
def test_layers_stacked_in_one_leaf_have_ratios_of_their_own(name):
    """Weights of length 4 and 40, equal gradients: optax moves them 7.1 and 0.71 times their
    share."""
    w = jnp.stack([jnp.full((2, 2), 2.0), jnp.full((2, 2), 20.0)])
    slope = jnp.ones_like(w)
    if name == 'lamb':
        theirs = optax.lamb(1.0)
        ours = optimizers.lamb(1.0, weight_decay=0.0, stacked_axes=1)
    else:
        theirs = optax.lars(1.0, trust_coefficient=1.0)
        ours = optimizers.lars(1.0, 0.0, trust_coefficient=1.0, stacked_axes=1)

    def share(tx):
        return [length(u) / length(each) for u, each in zip(updates(tx, slope, w), w, strict=True)]

    np.testing.assert_allclose(share(theirs), [7.106, 0.7106], rtol=1e-3)
    np.testing.assert_allclose(share(ours), [1, 1], rtol=1e-5)


def test_lamb_spares_biases():
    """A bias of 5 takes optax's step of half a unit, five times Adam's, whatever its mask says."""
    params = {'kernel': jnp.ones((2, 2)), 'bias': jnp.full(1, 5.0)}
    slope = jax.tree.map(jnp.ones_like, params)
    masked = optax.lamb(0.1, weight_decay=0.01, mask={'kernel': True, 'bias': False})
    assert updates(masked, slope, params)['bias'] == pytest.approx(-0.5, rel=1e-4)
    assert updates(optimizers.lamb(0.1), slope, params)['bias'] == pytest.approx(-0.1, rel=1e-4)
    adapted = optimizers.lamb(0.1, adapt='all')
    assert updates(adapted, slope, params)['bias'] == pytest.approx(-0.5, rel=1e-4)


@pytest.mark.parametrize('name', LAYERWISE)
def test_missing_parameters_are_named_in_one_line(name):
    ours, _ = LAYERWISE[name]
    w = jnp.ones((2, 2))
    with pytest.raises(
        ValueError,
        match=(
            r'^this optimizer needs the parameters: call '
            r'update\(.*\)$'
        ),
    ):
        ours().update(w, ours().init(w))


def test_larc_never_exceeds_the_learning_rate():
    assert not hasattr(optax, 'larc')
    w = {'short': jnp.full((2, 2), 0.01), 'long': jnp.full((2, 2), 100.0)}
    slope = jax.tree.map(lambda x: jnp.full_like(x, 0.5), w)
    tx = optimizers.larc(0.1, trust_coefficient=0.02, eps=0.0)
    found = updates(tx, slope, w)
    assert length(found['short']) == pytest.approx(0.02 * 0.02)  # the local rate, 0.02 |w| / |g|
    assert length(found['long']) == pytest.approx(0.1)  # the local rate would be 4


@pytest.mark.parametrize('name', ['lars', 'larc', 'lamb'])
def test_ratios_have_bounds_and_are_told(name):
    ours, theirs = LAYERWISE[name]
    if theirs:
        assert not {'ratio_bounds', 'trust_clip'} & set(inspect.signature(theirs).parameters)
    w = {'a': jnp.full((2, 2), 0.3), 'b': jnp.full((2, 2), 3.0)}
    slope = jax.tree.map(jnp.ones_like, w)
    free, bound = ours(), ours(ratio_bounds=(0.02, 0.04))

    def told(tx):
        return optimizers.diagnostics(tx.update(slope, tx.init(w), w)[1], w)

    lengths = [length(updates(free, slope, w)[key]) for key in w]
    ratio, bounded = np.asarray(told(free)['trust_ratio']), np.asarray(told(bound)['trust_ratio'])
    assert told(free)['layer'] == ['a', 'b']
    np.testing.assert_allclose(bounded, np.clip(ratio, 0.02, 0.04), rtol=1e-6)
    # What it tells is what it did: the same direction, shorter or longer by the ratios.
    np.testing.assert_allclose(
        [length(updates(bound, slope, w)[key]) for key in w], lengths * bounded / ratio, rtol=1e-5
    )
