"""Masks and stacked axes as trees: what optax.masked takes is taken, another model's is refused by
its paths."""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from lbexp import optimizers

PARAMS = {
    layer: {'bias': jnp.ones(3), 'kernel': jnp.ones((3, 3))} for layer in ('Dense_0', 'Dense_1')
}
ALL = {f'{layer}/{name}' for layer in PARAMS for name in ('bias', 'kernel')}
FIRST = {'Dense_0/bias', 'Dense_0/kernel'}
MASKED = ['adamw', 'lars', 'larc', 'lamb', 'novograd']
every_masked = pytest.mark.parametrize('name', MASKED)


class Pair(NamedTuple):
    weight: object
    bias: object


class Callable(eqx.Module):
    """A pytree that can be called, as models are."""

    weight: object
    bias: object

    def __call__(self, x):
        return self.weight @ x + self.bias


def make(name, mask, **more):
    adapt = {} if name == 'adamw' else {'adapt': 'none'}
    return getattr(optimizers, name)(1.0, weight_decay=0.1, decay=mask, **adapt, **more)


def decayed(tx, params=PARAMS):
    """Paths of what moves without a gradient."""
    updates, _ = tx.update(jax.tree.map(jnp.zeros_like, params), tx.init(params), params)
    found = jax.tree.leaves_with_path(updates)
    return {
        jax.tree_util.keystr(path, simple=True, separator='/')
        for path, u in found
        if (u != 0).any()
    }


@pytest.mark.parametrize(
    ('mask', 'expected'),
    [
        (True, ALL),
        (False, set()),
        (np.True_, ALL),
        ({'Dense_0': True, 'Dense_1': False}, FIRST),
        ({'Dense_0': True, 'Dense_1': {'bias': False, 'kernel': True}}, FIRST | {'Dense_1/kernel'}),
        ({'Dense_0': jnp.bool_(True), 'Dense_1': np.bool_(False)}, FIRST),
        (lambda params: {'Dense_0': True, 'Dense_1': False}, FIRST),
        (
            lambda params: jax.tree.map(lambda p: p.ndim > 1, params),
            {'Dense_0/kernel', 'Dense_1/kernel'},
        ),
    ],
)
@every_masked
def test_takes_what_optax_takes(name, mask, expected):
    assert (
        decayed(make(name, mask))
        == expected
        == decayed(optax.adamw(1.0, weight_decay=0.1, mask=mask))
    )


OTHERS = {
    'an entry more': (
        {'Conv_0': {'kernel': True}, 'Dense_0': True, 'Dense_1': True},
        "an entry for 'Conv_0/kernel'",
    ),
    'an entry less': ({'Dense_0': True}, "no entry for 'Dense_1/bias', 'Dense_1/kernel'"),
    'as many entries': (
        {'Dense_0': True, 'Dense_2': {'bias': True, 'kernel': False, 'scale': True}},
        (
            r"no entry for 'Dense_1/bias', 'Dense_1/kernel' and an entry for 'Dense_2/bias', .* "
            r"'Dense_2/scale'"
        ),
    ),
    'too deep': (
        {'Dense_0': True, 'Dense_1': {'bias': True, 'kernel': {'a': True}}},
        "no entry for 'Dense_1/kernel'",
    ),
    'none at a parameter': (
        {'Dense_0': True, 'Dense_1': None},
        ("no entry for 'Dense_1/bias', 'Dense_1/kernel'"),
    ),
    'a list': ([True, False, True, False], "no entry for 'Dense_0/bias'"),
    'no bools': ({'Dense_0': 1, 'Dense_1': 0}, "found 1 for 'Dense_0/bias'; allowed: True, False"),
    'nothing': (None, "no entry for 'Dense_0/bias'"),
    'a function of another model': (
        lambda params: {'Conv_0': True},
        ("no entry for .* and 1 more and .* 'Conv_0'"),
    ),
}


@pytest.mark.parametrize('other', OTHERS)
@pytest.mark.parametrize('argument', ['decay', 'adapt'])
@pytest.mark.parametrize('name', ['lars', 'novograd'])
def test_another_models_mask_is_refused_at_init_with_the_paths(name, argument, other):
    mask, message = OTHERS[other]
    with pytest.raises(
        ValueError, match=f'^{argument}: found {message}' if 'found' not in message else message
    ):
        getattr(optimizers, name)(1.0, **{argument: mask}).init(PARAMS)


@every_masked
def test_a_pattern_that_matches_nothing_is_refused_at_init(name):
    with pytest.raises(
        ValueError,
        match=(
            r"^decay: found 'kernl', which matches no parameter. "
            r'There are: Dense_0/bias'
        ),
    ):
        make(name, 'kernl').init(PARAMS)
    with pytest.raises(
        ValueError,
        match=(
            r"^decay: found '\*kernel'; allowed: .*regular "
            r'expression.*nothing to repeat'
        ),
    ):
        make(name, '*kernel')
    with pytest.raises(
        ValueError,
        match=(
            r"^accumulator_dtype: found 'bf16'; allowed: a floating "
            r'dtype such as'
        ),
    ):
        make(name, 'all', accumulator_dtype='bf16')


@every_masked
def test_trees_that_can_be_called_are_trees(name):
    model, mask = Callable(jnp.ones((2, 2)), jnp.ones(2)), Callable(True, False)
    assert decayed(make(name, mask), model) == {'weight'}
    assert decayed(optax.adamw(1.0, weight_decay=0.1, mask=mask), model) == {'weight'}
    assert decayed(make(name, lambda model: Callable(False, True)), model) == {'bias'}


@every_masked
def test_bools_may_be_traced_where_they_decay(name):
    run = jax.jit(
        lambda on: make(name, {'Dense_0': on, 'Dense_1': True}).update(
            jax.tree.map(jnp.zeros_like, PARAMS), make(name, True).init(PARAMS), PARAMS
        )[0]
    )
    plain = make(name, {'Dense_0': False, 'Dense_1': True})
    expected, _ = plain.update(jax.tree.map(jnp.zeros_like, PARAMS), plain.init(PARAMS), PARAMS)
    jax.tree.map(np.testing.assert_array_equal, run(False), expected)
    assert float(jnp.abs(run(True)['Dense_0']['kernel']).min()) > 0


def test_traced_bools_cannot_choose_what_is_adapted():
    with pytest.raises(ValueError, match=r'^adapt: found traced bools'):
        jax.jit(lambda on: optimizers.lamb(1.0, adapt=on).init(PARAMS))(True)


def test_entries_where_there_is_no_parameter_are_passed_by():
    """None (a filtered model), and what optax.masked and optax.partition hide."""
    params = Pair(jnp.ones((2, 2)), None)
    for mask in (Pair(True, None), Pair(True, True), Pair(True, {'anything': True}), True):
        assert decayed(make('lamb', mask), params) == {'weight'}
    whole = jax.tree.map(lambda p: True, PARAMS)
    assert decayed(optax.masked(make('lars', whole), {'Dense_0': True, 'Dense_1': False})) == FIRST


def test_stacked_axes_as_trees():
    params = {
        'blocks': {'kernel': jnp.ones((3, 4, 2)), 'bias': jnp.ones((3, 2))},
        'head': [jnp.ones((2, 2))],
    }
    expected = {'blocks/bias': (3,), 'blocks/kernel': (3,), 'head/0': ()}
    whole = {'blocks': {'kernel': 1, 'bias': 1}, 'head': [0]}
    trees = (
        whole,
        {'blocks': 1, 'head': [0]},
        {'blocks': np.int64(1), 'head': 0},
        lambda path: int('blocks' in path),
    )
    for tree in trees:
        assert optimizers.layers(params, tree) == expected
    assert optimizers.layers(params) == optimizers.layers(params, 0) == dict.fromkeys(expected, ())
    for tree, message in (
        ({'blocks': {'kernel': 1}, 'head': [0]}, "no entry for 'blocks/bias'"),
        (
            {'blocks': {'kernel': 1, 'bias': 1, 'scale': 1}, 'head': [0]},
            "an entry for 'blocks/scale'",
        ),
        ([1, 1, 0], "no entry for 'blocks/bias'"),
        (1.5, "found 1.5 for 'blocks/bias'; allowed: an integer"),
        (True, "found True for 'blocks/bias'; allowed: an integer"),
        (
            {'blocks': {'kernel': 4, 'bias': 1}, 'head': [0]},
            ("found 4 for 'blocks/kernel', which has 3 axes"),
        ),
    ):
        with pytest.raises(ValueError, match=message):
            optimizers.layers(params, tree)
        with pytest.raises(ValueError, match=r'^stacked_axes: '):
            optimizers.adamw(1.0, stacked_axes=tree).init(params)
