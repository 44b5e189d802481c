"""Rows of tables that a batch does not read do not decay, in every optimizer that decays."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from optimizer_cases import HOME, OPTIMIZERS
from paper_problems import trained
from reference import optimizers as reference

from lbexp import optimizers
from lbexp.config import lookup

pytestmark = pytest.mark.usefixtures('quick_compilation')

STEPS = 30
DECAYING = [
    name for name in OPTIMIZERS if 'weight_decay' in lookup.parameters(lookup.find(HOME, name))
]
every_decaying = pytest.mark.parametrize('name', DECAYING)


class Case(NamedTuple):
    """An optimizer, with decays that move weights within 30 updates, beside its paper."""

    ours: Callable  # (lazy_decay) -> transformation
    paper: Any  # reference update


CASES = {
    'adamw': Case(
        lambda lazy: optimizers.adamw(0.02, weight_decay=0.5, lazy_decay=lazy),
        reference.adamw(0.02, wd=0.5),
    ),
    'lamb': Case(
        lambda lazy: optimizers.lamb(0.05, weight_decay=0.5, lazy_decay=lazy),
        reference.lamb(0.05, wd=0.5),
    ),
    'lamb decay schedule': Case(
        lambda lazy: optimizers.lamb(
            0.05, weight_decay=lambda t: 1 / (1 + 0.1 * t), lazy_decay=lazy
        ),
        reference.lamb(0.05, wd=lambda t: 1 / (1 + 0.1 * t)),
    ),
    'lars': Case(
        lambda lazy: optimizers.lars(0.5, 0.5, trust_coefficient=0.1, lazy_decay=lazy),
        reference.lars(0.5, 0.5, eta=0.1),
    ),
    'lars outside nesterov': Case(
        lambda lazy: optimizers.lars(
            0.5,
            0.5,
            trust_coefficient=0.1,
            momentum_form='outside',
            nesterov=True,
            lazy_decay=lazy,
        ),
        reference.lars(0.5, 0.5, eta=0.1, form='outside', nesterov=True),
    ),
    'lars norm of sum': Case(
        lambda lazy: optimizers.lars(
            0.5, 0.5, trust_coefficient=0.1, denominator='norm_of_sum', lazy_decay=lazy
        ),
        reference.lars(0.5, 0.5, eta=0.1, den='of_sum'),
    ),
    'lars average': Case(
        lambda lazy: optimizers.lars(0.05, 0.5, momentum_form='average', lazy_decay=lazy),
        reference.lars(0.05, 0.5, form='average'),
    ),
    'larc clip': Case(
        lambda lazy: optimizers.larc(0.1, 0.5, lazy_decay=lazy), reference.larc(0.1, 0.5)
    ),
    'larc scale': Case(
        lambda lazy: optimizers.larc(0.1, 0.5, mode='scale', lazy_decay=lazy),
        reference.larc(0.1, 0.5, mode='scale'),
    ),
    'novograd': Case(
        lambda lazy: optimizers.novograd(0.01, weight_decay=0.5, lazy_decay=lazy),
        reference.novograd(0.01, wd=0.5),
    ),
    'novograd decoupled': Case(
        lambda lazy: optimizers.novograd(
            0.01, weight_decay=0.5, decoupled_decay=True, lazy_decay=lazy
        ),
        reference.novograd(0.01, wd=0.5, decoupled=True),
    ),
}


def tables():
    """A table, of which a batch reads some rows, and at times none, beside a kernel whose first row
    has no gradient: (weights, gradients of each step)."""
    draw = np.random.default_rng(0)
    weights = {'categories': draw.standard_normal((9, 3)), 'kernel': draw.standard_normal((5, 4))}
    slopes = []
    for t in range(STEPS):
        slope = {name: 0.3 * draw.standard_normal(w.shape) for name, w in weights.items()}
        slope['categories'][draw.random(9) < (1.0 if t % 7 == 6 else 0.6)] = 0
        slope['kernel'][0] = 0
        slopes.append(slope)
    return weights, slopes


def walk(paper, lazy):
    """The weights after each update by the paper, {name: [steps, ...]}, of rows of these tables
    only the ones with a gradient decayed."""
    weights, slopes = tables()
    states = {name: {} for name in weights}
    seen = {name: [] for name in weights}
    for t, slope in enumerate(slopes):
        for name, g in slope.items():
            decay = True
            if name in lazy:
                decay = (g != 0).any(axis=1, keepdims=True)
            weights[name] = paper(weights[name], g, states[name], t, decay=decay)
            seen[name].append(weights[name])
    return {name: np.stack(each) for name, each in seen.items()}


def apart(walked, expected):
    """The largest difference over steps, relative to the longest tensor on the way."""
    largest = 0.0
    for name, along in expected.items():
        lengths = np.linalg.norm(along, axis=(1, 2))
        differences = np.linalg.norm(np.asarray(walked[name]) - along, axis=(1, 2))
        largest = max(largest, (differences / lengths.max()).max())
    return largest


@pytest.mark.parametrize(
    ('lazy_decay', 'decayed_by_row'),
    [('tables', ('categories',)), ('none', ()), ('all', ('categories', 'kernel'))],
)
@pytest.mark.parametrize('name', CASES)
def test_equals_the_paper_with_the_decay_of_rows_that_have_a_gradient(
    name, lazy_decay, decayed_by_row
):
    case = CASES[name]
    expected = walk(case.paper, decayed_by_row)
    with jax.enable_x64(True):
        walked = trained(case.ours(lazy_decay), *tables())
        assert apart(walked, expected) <= 1e-12
    other = () if decayed_by_row else ('categories',)
    assert apart(walk(case.paper, other), expected) > 1e-3, 'rows make no difference here'


def test_there_is_a_case_of_every_optimizer_that_decays():
    assert {'adamw', 'lamb', 'lars', 'larc', 'novograd'} <= set(DECAYING)
    assert {name.split()[0] for name in CASES} == set(DECAYING)


def updated(name, params, slope, **options):
    tx = getattr(optimizers, name)(0.1, weight_decay=0.5, **options)
    return tx.update(slope, tx.init(params), params)[0]


@every_decaying
def test_by_default_tables_alone_keep_rows_without_a_gradient(name):
    """Without gradients only decay moves weights."""
    params = {
        'vectors': {'categories': jnp.ones((4, 2))},
        'Embed_0': {'embedding': jnp.ones((4, 2))},
        'CoAction_0': {'networks': jnp.ones((4, 2)), 'inputs': jnp.ones((4, 2))},
        'embedding': {'kernel': jnp.ones((4, 2))},
        'inputs': jnp.ones((4, 2)),
        'position': jnp.ones((4, 2)),
    }
    updates = updated(name, params, jax.tree.map(jnp.zeros_like, params))
    is_moved = {}
    for path, change in jax.tree.leaves_with_path(updates):
        is_moved[jax.tree_util.keystr(path, simple=True, separator='/')] = bool(change.any())
    assert is_moved == {
        'vectors/categories': False,
        'Embed_0/embedding': False,
        'CoAction_0/networks': False,
        'CoAction_0/inputs': False,
        'embedding/kernel': True,
        'inputs': True,
        'position': True,
    }
    dense = updated(name, params, jax.tree.map(jnp.zeros_like, params), lazy_decay='none')
    assert all(bool(change.all()) for change in jax.tree.leaves(dense))


@every_decaying
def test_without_tables_it_is_the_same_program(name):
    """Beside it one with a table, which is another program."""

    def program(params, **options):
        tx = getattr(optimizers, name)(0.1, weight_decay=0.5, **options)
        update = jax.jit(lambda g, s, p: tx.update(g, s, p))
        return update.lower(params, tx.init(params), params).as_text()

    kernels = {'Dense_0': {'kernel': jnp.ones((4, 2)), 'bias': jnp.ones(2)}}
    assert program(kernels) == program(kernels, lazy_decay='none')
    embedded = {**kernels, 'Embed_0': {'embedding': jnp.ones((4, 2))}}
    assert program(embedded) != program(embedded, lazy_decay='none')


@every_decaying
def test_a_mask_that_fits_no_parameter_is_refused_at_once(name):
    tx = getattr(optimizers, name)(0.1, weight_decay=0.5, lazy_decay='users')
    with pytest.raises(ValueError, match=r"lazy_decay: found 'users', which matches no parameter"):
        tx.init({'kernel': jnp.ones((4, 2))})


@every_decaying
def test_layers_of_tables_have_rows_of_their_own(name):
    """Two layers [2, 3, 4], of which one row each is read; a traced mask says the same."""
    params = {'table': jnp.ones((2, 3, 4))}
    slope = {'table': jnp.zeros((2, 3, 4)).at[0, 1].set(1.0).at[1, 2].set(1.0)}
    updates = updated(name, params, slope, lazy_decay='table', stacked_axes=1)
    is_moved = (updates['table'] != 0).all(axis=-1)
    np.testing.assert_array_equal(is_moved, [[False, True, False], [False, False, True]])

    @jax.jit
    def masked(is_table):
        return updated(name, params, slope, lazy_decay={'table': is_table}, stacked_axes=1)

    np.testing.assert_allclose(masked(True)['table'], updates['table'], rtol=1e-6)
    dense = updated(name, params, slope, lazy_decay='none', stacked_axes=1)
    np.testing.assert_allclose(masked(False)['table'], dense['table'], rtol=1e-6)


@every_decaying
def test_what_was_learned_moves_a_row_after_it_was_read_and_decay_does_not(name):
    """The moments are dense: a row that is read once goes on along them."""
    tx = getattr(optimizers, name)(0.1, weight_decay=0.5)
    params = {'categories': jnp.ones((3, 2)), 'kernel': jnp.ones((3, 2))}
    read = jax.tree.map(lambda w: jnp.zeros_like(w).at[1].set(0.3), params)
    state, nothing = tx.init(params), jax.tree.map(jnp.zeros_like, params)
    for slope in (read, nothing, nothing):
        updates, state = tx.update(slope, state, params)
        params = optax.apply_updates(params, updates)
        is_moved = (updates['categories'] != 0).all(axis=1)
        np.testing.assert_array_equal(is_moved, [False, True, False])
    np.testing.assert_array_equal(params['categories'][0], 1)
    assert (params['kernel'][0] < 1).all()
