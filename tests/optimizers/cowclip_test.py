"""CowClip against its paper's equations in float64 NumPy, its scaling rule, and what it refuses."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from lbexp import optimizers

pytestmark = pytest.mark.usefixtures('quick_compilation')

ROWS, WIDTH = 6, 3
# 0 often, 3 twice in an example, 5 never
IDS = np.array([[0, 1], [0, 2], [3, 3], [0, 4], [0, 1], [0, 2]])


def start(seed=0):
    generator = np.random.default_rng(seed)
    table = 0.1 * generator.standard_normal((ROWS, WIDTH))
    table[4] = 0  # whose length says nothing: zeta limits it
    return {'dense': generator.standard_normal((2 * WIDTH,)), 'table': table}


def gradients(params, targets):
    """Of the mean square of dense . (two rows, one after another) - target."""

    def loss(params):
        vectors = params['table'][IDS].reshape(len(IDS), -1)
        return jnp.mean((vectors @ params['dense'] - targets) ** 2)

    return jax.grad(loss)(params)


TARGETS = np.random.default_rng(1).standard_normal((5, len(IDS)))


def clipped(g, w, counts, r, zeta, l2):
    """Row by row, as the paper has it."""
    limited = np.zeros_like(g)
    for row in range(len(g)):
        step = g[row] + l2 * w[row]
        limit = max(counts[row], 1) * max(r * np.linalg.norm(w[row]), zeta)
        length = np.linalg.norm(step)
        limited[row] = step * min(1.0, limit / length) if length else step
    return limited


def by_the_paper(r, zeta, l2, table_rate, rate, ratio, eps=1e-8):
    params = {name: np.float64(leaf) for name, leaf in start().items()}
    mean = {name: np.zeros_like(leaf) for name, leaf in params.items()}
    square = {name: np.zeros_like(leaf) for name, leaf in params.items()}
    counts = np.bincount(IDS.reshape(-1), minlength=ROWS)
    rates = {'table': table_rate, 'dense': rate * np.sqrt(ratio)}
    for t, targets in enumerate(TARGETS, start=1):
        g = {name: np.asarray(leaf) for name, leaf in gradients(params, targets).items()}
        g['table'] = clipped(g['table'], params['table'], counts, r, zeta, l2 * ratio)
        for name in params:
            mean[name] = 0.9 * mean[name] + 0.1 * g[name]
            square[name] = 0.999 * square[name] + 0.001 * g[name] ** 2
            direction = mean[name] / (1 - 0.9**t)
            direction = direction / (np.sqrt(square[name] / (1 - 0.999**t)) + eps)
            params[name] = params[name] - rates[name] * direction
    return params


def trained(tx, dtype, **extra):
    params = jax.tree.map(lambda leaf: jnp.asarray(leaf, dtype), start())
    state = tx.init(params)
    counts = jnp.bincount(jnp.asarray(IDS).reshape(-1), length=ROWS)
    update = jax.jit(tx.update)
    for targets in TARGETS:
        slope = gradients(params, jnp.asarray(targets, dtype))
        updates, state = update(slope, state, params, row_counts={'table': counts}, **extra)
        params = optax.apply_updates(params, updates)
    return params


# which limit holds: that of a row's length, of zeta, of both, none
CASES = {
    'rows': dict(r=0.3, zeta=1e-5),
    'zeta': dict(r=0.0, zeta=0.02),
    'both': dict(r=0.2, zeta=0.01, l2=0.3),
    'none': dict(r=1e6, zeta=1e6, l2=0.3),
}


@pytest.mark.parametrize('ratio', [1.0, 9.0])
@pytest.mark.parametrize('case', CASES)
def test_equals_the_paper(case, ratio):
    numbers = {'l2': 0.0, **CASES[case]}
    with jax.enable_x64(True):
        expected = by_the_paper(**numbers, table_rate=0.01, rate=0.02, ratio=ratio)
        tx = optimizers.cowclip(
            0.02, 'table', table_learning_rate=0.01, batch_ratio=ratio, **numbers
        )
        found = trained(tx, jnp.float64)
    for name in found:
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-10, atol=1e-12)


def test_the_limits_are_met_and_counts_matter():
    """Otherwise the comparison above would say nothing."""
    params = start()
    g = np.asarray(gradients(jax.tree.map(jnp.asarray, params), TARGETS[0])['table'])
    counts = np.bincount(IDS.reshape(-1), minlength=ROWS)
    ones = np.ones_like(counts)
    for case in ('rows', 'zeta', 'both'):
        numbers = {'l2': 0.0, **CASES[case]}
        limited = clipped(g, params['table'], counts, **numbers)
        assert not np.allclose(limited, clipped(g, params['table'], counts, 1e6, 1e6, 0.0))
        assert not np.allclose(limited, clipped(g, params['table'], ones, **numbers))


def test_without_tables_or_limits_it_is_adam():
    """The same function computes it, but for the rate, which is multiplied afterwards."""
    adam = trained(optimizers.adamw(0.02, weight_decay=0.0), jnp.float32)
    for tables, limits in (('none', {}), ('table', dict(r=1e9, zeta=1e9))):
        found = trained(optimizers.cowclip(0.02, tables, **limits), jnp.float32)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), found, adam)


def test_a_batch_four_times_as_large():
    """The rate of tables stays, that of dense weights doubles, l2 is four times as large."""
    plain = optimizers.cowclip(0.02, 'table', l2=0.1, r=0.5)
    scaled = optimizers.cowclip(0.01, 'table', 0.02, l2=0.025, r=0.5, batch_ratio=4.0)
    found, expected = trained(scaled, jnp.float32), trained(plain, jnp.float32)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), found, expected)


@pytest.mark.parametrize(
    'row_counts, told',
    [
        (None, r"found none for the table 'table' of shape \(6, 3\)"),
        ({'other': jnp.ones(6)}, "found none for the table 'table'"),
        ({'table': jnp.ones(5)}, r'found shape \(5,\)'),
    ],
)
def test_counts_that_are_none(row_counts, told):
    params = jax.tree.map(jnp.asarray, start())
    tx = optimizers.cowclip(0.1, 'table')
    with pytest.raises(ValueError, match=f'row_counts: {told}'):
        tx.update(params, tx.init(params), params, row_counts=row_counts)


def test_tables_that_are_none():
    params = jax.tree.map(jnp.asarray, start())
    with pytest.raises(ValueError, match="tables: found 'emb', which matches no parameter"):
        optimizers.cowclip(0.1, 'emb').init(params)
