"""Updates as they are written for an accelerator, run on CPU: the papers' numbers, no branch, no
type changed."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from breadth import param
from paper_cases import CASES, SQUARED, TOLERANCE
from paper_problems import compared, edge, network

from lbexp import optimizers
from lbexp.optimizers._layerwise import backend

pytestmark = pytest.mark.usefixtures('quick_compilation')
# Those that are written otherwise for an accelerator; without -m slow one of each way of writing.
WRITTEN = ('lars', 'lars norm of sum', 'larc clip', 'lamb', 'lamb normalized gradients', 'novograd')
WRITTEN += ('lookahead momentum interpolate',)
DIFFERENT = [
    param(name, default=name in WRITTEN)
    for name in CASES
    if name.startswith(('lars', 'larc', 'lamb', 'novograd', 'lookahead'))
]
OPTIMIZERS = {
    'sgd': optimizers.sgd,
    'momentum': optimizers.momentum,
    'adamw': optimizers.adamw,
    'lars': optimizers.lars,
    'larc': optimizers.larc,
    'lamb': optimizers.lamb,
    'novograd': optimizers.novograd,
    'lookahead': lambda rate: optimizers.lookahead(optimizers.momentum(rate)),
}


@pytest.fixture(autouse=True)
def on_gpu(monkeypatch):
    monkeypatch.setattr(jax, 'default_backend', lambda: 'gpu')


@pytest.mark.parametrize('name', DIFFERENT)
def test_equals_the_paper_at_zeros_and_extremes(name):
    largest = 1e18 if any(part in name for part in SQUARED) else 1e20
    difference, _ = compared(CASES[name], edge(largest), 'float32')
    assert difference <= TOLERANCE['float32']


@pytest.mark.parametrize('name', DIFFERENT)
def test_equals_the_paper_in_float64(name):
    difference, distance = compared(CASES[name], network(), 'float64')
    assert difference <= TOLERANCE['float64'] and distance > 0.01


@pytest.mark.parametrize('replicas', [None, 3])
@pytest.mark.parametrize('name', OPTIMIZERS)
def test_no_branch_and_no_loop(name, replicas):
    """The host would wait for each."""
    tx = OPTIMIZERS[name](0.1)
    params = {'w': jnp.ones((4, 3)), 'b': jnp.ones(3)}

    def update(g, s, p):
        return tx.update(g, s, p)

    init = tx.init
    if replicas:
        update, init = jax.vmap(update), jax.vmap(init)
        params = jax.tree.map(lambda x: jnp.stack([x] * replicas), params)
    text = str(jax.make_jaxpr(update)(params, init(params), params))
    assert not re.search(r'\b(cond|while|scan)\[', text)


@pytest.mark.parametrize('name', OPTIMIZERS)
def test_leaves_read_the_learning_rate_from_one_array(name):
    """Without it XLA makes a kernel of every leaf (`scripts/benchmark.py accelerators` counts
    them)."""
    tx = OPTIMIZERS[name](0.1)
    params = {'w': jnp.ones((4, 3)), 'b': jnp.ones(3)}
    text = str(jax.make_jaxpr(tx.update)(params, tx.init(params), params))
    assert len(re.findall(r'optimization_barrier', text)) == (2 if name == 'lookahead' else 1)


@pytest.mark.parametrize('number', [0.1, np.float64(0.1), jnp.float32(0.1), jnp.bfloat16(0.1)])
def test_a_number_broadcast_scalar_keeps_value_and_type(number):
    found = backend.broadcast_scalar(number)
    assert found == number
    half = jnp.ones(2, jnp.bfloat16)
    assert (found * half).dtype == (number * half).dtype
