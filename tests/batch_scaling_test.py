"""Rules for a larger batch, through recipe and planner: Adam's numbers in float64, lengths of runs,
bad values."""

from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from reference import optimizers as reference
from training import tiny

from lbexp import config as configs
from lbexp.config.check import check
from lbexp.engine.components import components
from lbexp.engine.plan import plan
from lbexp.engine.trial_plan import run_length

REFERENCE = 16


def scaled(b1, b2, eps, kappa):
    """Malladi et al. 2022, arXiv:2205.10287: an average cannot be shorter than an update."""
    return {
        'b1': max(1 - kappa * (1 - b1), 0),
        'b2': max(1 - kappa * (1 - b2), 0),
        'eps': eps / np.sqrt(kappa),
    }


# A part, the reference with numbers at kappa = 1, and what those are: given in the part, or
# defaults of its function.
CASES = {
    'adamw': (dict(name='adamw', b1=0.8, b2=0.98, eps=0.3), reference.adamw, (0.8, 0.98, 0.3)),
    'adamw, its defaults': (dict(name='adamw'), reference.adamw, (0.9, 0.999, 1e-8)),
    'lamb': (dict(name='lamb', b2=0.99, eps=0.3), reference.lamb, (0.9, 0.99, 0.3)),
    'optax': (
        dict(name='optax:adamw', weight_decay=0.01, eps=0.3),
        reference.adamw,
        (0.9, 0.999, 0.3),
    ),
}
WRAPPED = {
    'bare': (lambda part: part, lambda inner: inner),
    'lookahead': (
        lambda part: dict(name='lookahead', inner=part, k=3, slow_step_size=0.5),
        lambda inner: reference.lookahead(inner, 3),
    ),
    'accumulate': (lambda part: dict(name='accumulate', tx=part, steps=1), lambda inner: inner),
}


def walk(part, batch_size, gradients, **fields):
    """Weights after each gradient, with the optimizer that the recipe builds."""
    scaling = dict(rule='square_root_adam', reference=REFERENCE)
    config = configs.resolve(tiny(optimizer=part, batch_scaling=scaling, **fields), {})
    optimizer = components({**config, 'batch_size': batch_size}, 24).optimizer

    def step(carry, gradient):
        weights, state = carry
        updates, state = optimizer.update({'w': gradient}, state, {'w': weights}, value=0.0)
        weights = optax.apply_updates({'w': weights}, updates)['w']
        return (weights, state), weights

    start = jnp.ones(gradients.shape[1:], jnp.float32)
    return jax.lax.scan(
        step, (start, optimizer.init({'w': start})), jnp.asarray(gradients, jnp.float32)
    )[1]


def expected(update, gradients):
    weights, state, walked = np.ones(gradients.shape[1:]), {}, []
    for t, gradient in enumerate(gradients):
        weights = update(weights, gradient, state, t)
        walked.append(weights)
    return np.array(walked)


@pytest.mark.parametrize('wrapper', WRAPPED)
@pytest.mark.parametrize('case', CASES)
@pytest.mark.parametrize('kappa', [0.25, 1, 4, 16])
def test_square_root_adam_is_float64_adam_with_the_papers_numbers(case, wrapper, kappa):
    """kappa 16 takes b1 to 0; 1 / 4 is a smaller batch. The weights are a matrix: decayed and
    adapted."""
    part, made, numbers = CASES[case]
    outer, outer_reference = WRAPPED[wrapper]
    gradients = np.random.default_rng(0).standard_normal((8, 4, 3))
    update = made(0.01 * np.sqrt(kappa), **scaled(*numbers, kappa), wd=0.01)
    found = walk(outer({**part, 'learning_rate': 0.01}), int(kappa * REFERENCE), gradients)
    np.testing.assert_allclose(
        found, expected(outer_reference(update), gradients), rtol=1e-4, atol=1e-6
    )


def test_numbers_may_be_traced():
    """One program for all batch sizes: a vmap over them equals each alone."""
    part = dict(name='adamw', learning_rate=0.01, eps=1e-3)
    gradients = np.random.default_rng(1).standard_normal((8, 4, 3))
    sizes = np.array([4, 16, 64, 512])
    together = jax.vmap(lambda size: walk(part, size, gradients, microbatch=4))(jnp.asarray(sizes))
    for size, found in zip(sizes, together, strict=True):
        np.testing.assert_allclose(found, walk(part, int(size), gradients, microbatch=4), rtol=1e-5)


@pytest.mark.parametrize('name', ['momentum', 'lars', 'optax:sgd'])
@pytest.mark.parametrize('wrapper', WRAPPED)
def test_an_optimizer_without_betas_is_refused_in_one_line(name, wrapper):
    part = WRAPPED[wrapper][0](dict(name=name, learning_rate=0.1))
    config = tiny(optimizer=part, batch_scaling=dict(rule='square_root_adam', reference=4))
    with pytest.raises(
        ValueError, match=(f"found 'square_root_adam' with {name}, which has no b1, b2, eps")
    ) as refused:
        plan([configs.resolve(config, {})])
    assert '\n' not in str(refused.value)


@pytest.mark.parametrize('epochs', [0.3, 1.0, 2.7])
@pytest.mark.parametrize('size', [100, 37])
def test_regime_adaptation_makes_the_updates_of_the_reference(epochs, size):
    """Also where nothing divides: updates = ceil(epochs N / reference), whatever the batch size."""
    updates = -(-Fraction(str(epochs)) * size // 8)
    for batch_size in (1, 8, 24, 200):
        fields = dict(workload=dict(name='linear_regression', size=size), steps=None, epochs=epochs)
        config = configs.resolve(tiny(**fields, batch_size=batch_size, regime_adaptation=8), {})
        assert run_length(config) == updates
        unadapted = run_length({**config, 'regime_adaptation': None})
        assert unadapted == -(-Fraction(str(epochs)) * size // batch_size)


@pytest.mark.parametrize(
    'fields, told',
    [
        (
            dict(batch_scaling=dict(rule='square_root_adam', reference=None)),
            'batch_scaling.reference: found None',
        ),
        (
            dict(batch_scaling=dict(rule='square_root_adam', reference=0)),
            'batch_scaling.reference: found 0',
        ),
        (
            dict(batch_scaling=dict(rule='sqrt_adam', reference=4)),
            ("found 'sqrt_adam'; allowed: 'linear'"),
        ),
        (dict(regime_adaptation=8), 'regime_adaptation: set with steps; allowed: with epochs'),
        (
            dict(regime_adaptation=0, steps=None, epochs=1.0),
            ('regime_adaptation: found 0; allowed: an integer in [1,'),
        ),
    ],
)
def test_what_is_wrong_is_one_line(fields, told):
    (line,) = check(tiny(**fields))
    assert told in line and '\n' not in line
