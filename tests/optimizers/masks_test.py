"""Which parameters are decayed and adapted."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from lbexp import optimizers

pytestmark = pytest.mark.quick

PARAMS = {
    'blocks': {'kernel': jnp.ones((3, 4, 2)), 'bias': jnp.ones((3, 2))},
    'head': {'kernel': jnp.ones((2, 5)), 'bias': jnp.ones(5), 'scale': jnp.ones(())},
}


def chosen(which, stacked_axes=0):
    marks = jax.tree_util.tree_leaves_with_path(optimizers.masks(which, PARAMS, stacked_axes))
    return {jax.tree_util.keystr(path, simple=True, separator='/') for path, mark in marks if mark}


def test_the_default_is_matrices_and_knows_stacked_axes():
    assert chosen('matrices') == {'blocks/kernel', 'blocks/bias', 'head/kernel'}
    assert chosen('matrices', {'blocks': 1}) == {'blocks/kernel', 'head/kernel'}
    assert chosen('matrices', {'blocks/kernel': 2, 'blocks/bias': 1}) == {'head/kernel'}


@pytest.mark.parametrize(
    ('which', 'expected'),
    [
        ('none', set()),
        ('tables', set()),
        ('all', {'blocks/kernel', 'blocks/bias', 'head/kernel', 'head/bias', 'head/scale'}),
        ('kernel$', {'blocks/kernel', 'head/kernel'}),
        (['^head/', 'blocks/bias'], {'head/kernel', 'head/bias', 'head/scale', 'blocks/bias'}),
        (('!bias', '!scale'), {'blocks/kernel', 'head/kernel'}),
        (('^head', '!bias'), {'head/kernel', 'head/scale'}),
        (lambda params: jax.tree.map(lambda w: w.ndim == 1, params), {'head/bias'}),
    ],
)
def test_patterns(which, expected):
    assert chosen(which) == expected


@pytest.mark.parametrize('which', ['kernels', ['kernel', 'norm'], ['!norm']])
def test_a_pattern_that_matches_nothing_is_an_error_with_the_paths_that_exist(which):
    with pytest.raises(
        ValueError,
        match=(
            r'matches no parameter. There are: blocks/bias, '
            r'blocks/kernel, head/bias'
        ),
    ):
        optimizers.masks(which, PARAMS)


@pytest.mark.parametrize(
    ('decay', 'moved'), [('matrices', {'kernel'}), ('all', {'kernel', 'bias'}), ('bias', {'bias'})]
)
@pytest.mark.parametrize('name', ['adamw', 'lamb', 'lars', 'larc', 'novograd'])
def test_decay_reaches_what_the_mask_says(name, decay, moved):
    """Without gradients only decay moves weights."""
    params = {'kernel': jnp.ones((3, 2)), 'bias': jnp.ones(2)}
    tx = getattr(optimizers, name)(0.1, weight_decay=0.5, decay=decay)
    updates, _ = tx.update(jax.tree.map(jnp.zeros_like, params), tx.init(params), params)
    assert {key for key, u in updates.items() if (u != 0).any()} == moved


@pytest.mark.parametrize('name', ['lamb', 'lars', 'larc', 'novograd'])
def test_what_is_not_adapted_takes_the_plain_step(name):
    params = {'kernel': jnp.full((3, 2), 5.0), 'bias': jnp.full(2, 5.0)}
    slope = jax.tree.map(lambda w: 0.3 * jnp.ones_like(w), params)
    more = {'mode': 'scale'} if name == 'larc' else {}
    tx = getattr(optimizers, name)(0.1, weight_decay=0.0, adapt='kernel', **more)
    updates, _ = tx.update(slope, tx.init(params), params)
    plain = optax.adam(0.1, eps=1e-6) if name == 'lamb' else optax.sgd(0.1, 0.9)
    expected, _ = plain.update(slope, plain.init(params), params)
    np.testing.assert_allclose(updates['bias'], expected['bias'], rtol=1e-5)
    assert not np.allclose(updates['kernel'], expected['kernel'], rtol=0.01)


def test_rows_that_are_not_seen_do_not_decay_where_decay_is_lazy():
    """A table of embeddings, two of whose rows a batch has, beside a kernel without a gradient."""
    params = {'categories': jnp.ones((4, 3)), 'kernel': jnp.ones((4, 3))}
    slope = {'categories': jnp.zeros((4, 3)).at[1, 2].set(0.3).at[3].set(0.2)}
    slope['kernel'] = jnp.zeros((4, 3))

    def update(**options):
        tx = optimizers.adamw(0.1, weight_decay=0.5, **options)
        return tx.update(slope, tx.init(params), params)[0]

    dense, lazy = update(lazy_decay='none'), update(lazy_decay='categories')
    assert (dense['categories'] != 0).all(), 'as in the paper'
    np.testing.assert_array_equal(lazy['categories'][jnp.asarray([0, 2])], 0)
    for row in (1, 3):
        np.testing.assert_array_equal(lazy['categories'][row], dense['categories'][row])
    np.testing.assert_array_equal(lazy['kernel'], dense['kernel'])
    traced = jax.jit(lambda mask: update(lazy_decay={'categories': mask, 'kernel': False}))
    np.testing.assert_allclose(traced(True)['categories'], lazy['categories'], rtol=1e-6)
    np.testing.assert_allclose(traced(False)['categories'], dense['categories'], rtol=1e-6)


def test_unseen_rows_of_two_layers_of_tables():
    params = {'table': jnp.ones((2, 3, 4))}
    slope = {'table': jnp.zeros((2, 3, 4)).at[0, 1].set(1.0).at[1, 2].set(1.0)}
    tx = optimizers.adamw(0.1, weight_decay=0.5, lazy_decay='all', stacked_axes=1)
    moved = (tx.update(slope, tx.init(params), params)[0]['table'] != 0).all(axis=-1)
    np.testing.assert_array_equal(moved, [[False, True, False], [False, False, True]])


def test_lazy_decay_of_what_is_not_there():
    with pytest.raises(ValueError, match=r"lazy_decay: found 'users', which matches no parameter"):
        optimizers.adamw(0.1, lazy_decay='users').init(PARAMS)
