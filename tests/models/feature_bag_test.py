"""A model that sees some of the columns: which, that the others say nothing, and what is left as it
was."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from click_tables import INPUTS, table
from training import of_trial, tiny, train

from lbexp import config as configs
from lbexp.engine.plan import plan
from lbexp.models.dcn import dcn
from lbexp.models.feature_bag import _chosen, feature_bag

ARRAYS = {name: values for name, values in table().items() if name in INPUTS}
DCN = dcn(hidden=(8,), embedding=4)


def columns(share, seed):
    _, state = feature_bag(DCN, share).network(INPUTS, 1).init(jax.random.key(seed))
    return np.concatenate([state['columns'][name] for name in INPUTS])


@pytest.mark.parametrize('share, visible', [(0.05, 1), (0.4, 2), (0.7, 4), (1.0, 5)])
def test_as_many_columns_as_the_share_says(share, visible):
    for seed in range(2):
        assert columns(share, seed).sum() == visible
    assert jax.jit(lambda share: columns_of(share))(share).sum() == visible


def columns_of(share):
    _, state = feature_bag(DCN, share).network(INPUTS, 1).init(jax.random.key(0))
    return jnp.concatenate([state['columns'][name] for name in INPUTS])


def test_every_column_is_seen_as_often():
    sizes = {'categorical': 3, 'numeric': 2}
    keys = jax.random.split(jax.random.key(0), 400)
    chosen = jax.vmap(lambda key: _chosen(key, sizes, 0.4))(keys)
    often = np.concatenate([chosen[name].mean(axis=0) for name in sizes])
    # 4 standard deviations of a share of 400
    assert np.abs(often - 0.4).max() < 4 * np.sqrt(0.4 * 0.6 / 400)


def test_what_is_not_seen_says_nothing_and_what_is_does():
    network = feature_bag(DCN, 0.6).network(INPUTS, 1)
    params, state = network.init(jax.random.key(3))
    outputs, _ = network.apply(params, state, ARRAYS, False, None)
    for name in INPUTS:
        for column, is_seen in enumerate(state['columns'][name]):
            changed = np.array(ARRAYS[name])
            changed[:, column] = (changed[:, column] + 1) % 3
            others, _ = network.apply(params, state, {**ARRAYS, name: changed}, False, None)
            assert bool(jnp.all(outputs == others)) != bool(is_seen)


def test_with_all_columns_it_is_the_model_itself():
    """Weights, outputs and gradient, to the bit."""
    bare, bagged = DCN.network(INPUTS, 1), feature_bag(DCN, 1.0).network(INPUTS, 1)
    params, _ = bare.init(jax.random.key(1))
    same, state = bagged.init(jax.random.key(1))
    jax.tree.map(np.testing.assert_array_equal, params, same)

    def total(network, state):
        return lambda params: network.apply(params, state, ARRAYS, True, None)[0].sum()

    expected = jax.jit(jax.value_and_grad(total(bare, {})))(params)
    found = jax.jit(jax.value_and_grad(total(bagged, state)))(params)
    jax.tree.map(np.testing.assert_array_equal, found, expected)


@pytest.mark.long
def test_members_and_the_whole_model_are_one_cohort(tmp_path):
    """And a member is the same alone."""
    bag = dict(name='feature_bag', model=dict(name='dcn', hidden=(8,), embedding=4), share=0.5)
    part = dict(name='binary', data=dict(name='made_data:clicks'), model=bag)
    sweep = (('workload.model.share', (0.5, 1.0)), ('seed', (0, 1)))
    optimizer = dict(name='adamw', learning_rate=0.01)
    config = tiny(workload=part, optimizer=optimizer, sweep=sweep)
    trials = [configs.resolve(config, overrides) for overrides in configs.trials(config)]
    (cohort,) = plan(trials)
    assert len(cohort.trials) == 4
    together = train(config, tmp_path / 'all')
    config.sweep = (('workload.model.share', (0.5,)), ('seed', (1,)))
    assert of_trial(train(config, tmp_path / 'alone'), 0) == of_trial(together, 1)


def test_inputs_that_are_no_columns():
    picture = INPUTS['numeric']._replace(shape=(8, 8, 3))
    with pytest.raises(ValueError, match=r"feature_bag: found 'image' of shape \(8, 8, 3\)"):
        feature_bag(DCN).network({'image': picture}, 1)
