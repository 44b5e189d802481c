"""Optimizers know the tables of embeddings of every model here, and take nothing else for one."""

import jax
import jax.numpy as jnp
import pytest
from click_tables import INPUTS

from lbexp import optimizers
from lbexp.config import lookup
from lbexp.models.encoder import FirstPosition, TokensAtPlaces
from lbexp.models.lstm import LSTM
from lbexp.models.transformer import Transformer

VOCABULARY = (41, 37, 53)  # of the columns; no layer is as wide
TOKENS = 101
PAIRS = (('film', 'user'), ('user', 'town'))
MODELS = {
    'linear': dict(name='linear'),
    'mlp': dict(name='mlp', hidden=(8,)),
    **{f'dcn {form}': dict(name='dcn', cross=form) for form in ('vector', 'matrix', 'mixture')},
    'autoint': dict(name='autoint'),
    'co_action': dict(name='co_action', pairs=PAIRS),
    'compressed_fields': dict(name='compressed_fields'),
    'feature_bag': dict(name='feature_bag', model=dict(name='dcn')),
}


def of_columns(name):
    """Shapes of the parameters of a model of columns."""
    categorical = INPUTS['categorical']._replace(vocabulary=VOCABULARY)
    network = lookup.build('model', MODELS[name]).network({**INPUTS, 'categorical': categorical}, 1)
    return jax.eval_shape(network.init, jax.random.key(0))[0]


def of_sequences(module, **more):
    """Shapes of the parameters of a module of tokens."""
    tokens = jnp.ones((2, 6), jnp.int32)

    def init(key):
        return module.init(key, tokens, tokens, train=False, **more)

    return jax.eval_shape(init, jax.random.key(0))['params']


def tables(params):
    """Shapes of what is taken for tables, and of what has a row for each id."""
    marks = optimizers.masks('tables', params)
    leaves = jax.tree.leaves(params)
    taken = [leaf.shape for leaf, mark in zip(leaves, jax.tree.leaves(marks)) if mark]
    rows = {*VOCABULARY, sum(VOCABULARY), TOKENS}
    by_id = [leaf.shape for leaf in leaves if leaf.ndim == 2 and leaf.shape[0] in rows]
    return taken, by_id


@pytest.mark.parametrize('name', MODELS)
def test_tables_of_columns(name):
    taken, by_id = tables(of_columns(name))
    assert taken == by_id and taken


def test_tables_of_tokens():
    trunk = Transformer(TOKENS, width=8, blocks=2, heads=2, positions=12)
    encoder = Transformer(TOKENS, width=8, blocks=1, heads=2, positions=6, causal=False, types=2)
    places = jnp.zeros((2, 1), jnp.int32)
    for params in (
        of_sequences(LSTM(TOKENS, embedding=5, hidden=6, layers=2)),
        of_sequences(trunk),
        of_sequences(FirstPosition(encoder, 1), kinds=jnp.zeros((2, 6), jnp.int32)),
        of_sequences(TokensAtPlaces(encoder), places=places),
    ):
        taken, by_id = tables(params)
        assert taken == by_id and len(taken) == 1


@pytest.mark.parametrize('name', ['digits_mlp', 'mnist1d', 'linear_regression'])
def test_networks_without_ids_have_none(name):
    part = lookup.build('workload', {'name': name})
    params = jax.eval_shape(part.init, jax.random.key(0))[0]
    marks = jax.tree.leaves(optimizers.masks('tables', params))
    assert marks and not any(marks)
