"""Training may itself be differentiated: with respect to a learning rate, a weight, forwards and
backwards."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from breadth import param

from lbexp import optimizers as o

pytestmark = pytest.mark.usefixtures('quick_compilation')


def NOISY(rate):
    return optax.chain(o.gradient_noise(eta=0.01, gamma=0.5, seed=1), o.momentum(rate))


CASES = {
    'sgd': o.sgd,
    'momentum': o.momentum,
    'adamw': o.adamw,
    'lars': o.lars,
    'lars in blocks': functools.partial(o.lars, denominator='norm_of_sum'),
    'larc': functools.partial(o.larc, mode='scale'),
    'lamb': o.lamb,
    'novograd': o.novograd,
    'ema': lambda rate: o.ema(o.momentum(rate)),
    'accumulate': lambda rate: o.accumulate(o.momentum(rate), 2),
    'lookahead': lambda rate: o.lookahead(o.momentum(rate), 3, 0.5 + rate),
    'lookahead reset': lambda rate: o.lookahead(o.adamw(rate), 2, buffer_policy='reset'),
    'lookahead interpolate': lambda rate: o.lookahead(
        o.momentum(rate), 2, buffer_policy='interpolate'
    ),
    'lookahead optimal': lambda rate: o.lookahead(o.momentum(rate), 2, 'optimal', alpha_low=0.1),
    'lookahead noise': lambda rate: o.lookahead(NOISY(rate), 2),
}
# Parts of others here, or written as others are.
LIKE_OTHERS = (
    'lookahead optimal',
    'momentum',
    'lars',
    'ema',
    'lookahead',
    'lookahead reset',
    'lookahead noise',
)
# written otherwise for an accelerator
OTHERWISE = ('lars', 'lamb', 'novograd', 'lookahead', 'lookahead noise')
PARAMS = {
    'w': np.arange(6.0).reshape(2, 3) + 1,
    'v': np.arange(6.0).reshape(3, 2) - 7.3,
    'b': np.ones(3),
}


def trained(make, rate, params):
    """The loss after 6 steps on f(w) = sum c w^2 + w^3 / 9, in a scan."""
    tx = make(rate)

    def loss(p):
        return sum(jnp.sum((1 + i) * x**2 + x**3 / 9) for i, x in enumerate(jax.tree.leaves(p)))

    def step(carry, _):
        params, state = carry
        updates, state = tx.update(jax.grad(loss)(params), state, params)
        return (optax.apply_updates(params, updates), state), None

    (params, _), _ = jax.lax.scan(step, (params, tx.init(params)), length=6)
    return loss(params)


@pytest.mark.parametrize(
    ('name', 'backend'),
    [param(name, 'cpu', default=name not in LIKE_OTHERS) for name in CASES]
    + [param(name, 'gpu', default=name in ('lamb', 'lookahead')) for name in OTHERWISE],
    indirect=['backend'],
)
def test_backwards_forwards_and_by_differences(name, backend):
    with jax.enable_x64():
        params = jax.tree.map(jnp.asarray, PARAMS)
        h = 1e-6

        def f(rate):
            return trained(CASES[name], rate, params)

        @jax.jit
        def derivatives(rates):
            losses, slopes = jax.vmap(jax.value_and_grad(f))(rates)
            _, forwards = jax.jvp(f, (rates[0],), (jnp.ones_like(rates[0]),))
            return losses, slopes, jax.grad(f)(rates[0]), forwards

        # Replicas of other rates beside it: each has the derivative that it has alone.
        losses, slopes, backwards, forwards = derivatives(jnp.array([0.01, 0.01 + h, 0.01 - h]))
        differences = (losses[1] - losses[2]) / (2 * h)
    np.testing.assert_allclose(backwards, forwards, rtol=1e-10)
    np.testing.assert_allclose(backwards, differences, rtol=1e-6)
    np.testing.assert_allclose(slopes[0], backwards, rtol=1e-10)


@pytest.mark.parametrize(
    ('name', 'backend'),
    [
        param(name, platform, default=(name == 'lamb') == (platform == 'gpu'))
        for name in ('lars', 'lamb', 'lookahead')
        for platform in ('cpu', 'gpu')
    ],
    indirect=['backend'],
)
def test_with_respect_to_the_first_weights(name, backend):
    with jax.enable_x64():
        f = jax.jit(jax.value_and_grad(lambda w: trained(CASES[name], 0.01, {**PARAMS, 'w': w})))
        h = np.zeros((2, 3))
        h[1, 1] = 1e-6
        slope = f(PARAMS['w'])[1][1, 1]
        difference = (f(PARAMS['w'] + h)[0] - f(PARAMS['w'] - h)[0]) / 2e-6
        np.testing.assert_allclose(slope, difference, rtol=1e-6)
