"""The small convolutional network: dropout between its blocks."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lbexp.models.cnn import CNN
from lbexp.models.dropout import Dropout

IMAGES = jnp.asarray(np.random.default_rng(0).normal(size=(16, 10, 9, 2)), jnp.float32)
RATE = 0.3


def outputs(train, **arguments):
    """Of a network of two blocks, and what each of its dropouts gives."""
    module = CNN((8, 4), 6, 3, **arguments)
    variables = CNN((8, 4), 6, 3).init(jax.random.key(0), IMAGES, False)
    values, state = module.apply(
        variables,
        IMAGES,
        train,
        rngs={'dropout': jax.random.key(1)},
        capture_intermediates=_is_dropout,
        mutable='intermediates',
    )
    return values, state.get('intermediates', {})


def _is_dropout(module, _):
    return isinstance(module, Dropout)


@pytest.mark.parametrize('rate, train', [(0.0, True), (RATE, False)])
def test_without_a_rate_or_a_training_step_nothing_is_dropped(rate, train):
    np.testing.assert_array_equal(outputs(train, block_dropout=rate)[0], outputs(train)[0])


def test_each_pooling_loses_its_share_and_the_rest_grows():
    whole = outputs(True, block_dropout=0.0)[1]
    dropped = outputs(True, block_dropout=RATE)[1]
    (first,), (first_whole,) = (each['Dropout_0']['__call__'] for each in (dropped, whole))
    assert first.shape == (16, 5, 4, 8) and dropped['Dropout_1']['__call__'][0].shape[1:3] == (2, 2)
    first, first_whole = np.asarray(first), np.asarray(first_whole)
    is_kept = first != 0
    np.testing.assert_allclose(first[is_kept], first_whole[is_kept] / (1 - RATE), rtol=1e-6)
    # of those that are not 0 anyway
    share = 1 - is_kept[first_whole != 0].mean()
    assert abs(share - RATE) < 4 * np.sqrt(RATE * (1 - RATE) / (first_whole != 0).sum())
    # unit by unit, not whole channels
    is_dropped = ~is_kept & (first_whole != 0)
    assert (is_kept.any((1, 2)) & is_dropped.any((1, 2))).mean() > 0.9


def test_the_dense_layer_has_a_rate_of_its_own():
    of_blocks = outputs(True, block_dropout=RATE)[1]
    of_both = outputs(True, block_dropout=RATE, dropout=0.5)[1]
    assert set(of_blocks) == {'Dropout_0', 'Dropout_1'}
    assert of_both['Dropout_2']['__call__'][0].shape == (16, 6)
