"""What optax's layerwise optimizers do and what these do, in numbers: layers that lie on several
devices."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P
from layerwise import LAYERWISE, length, normal, updates

from lbexp import optimizers


def in_shards(tx, slope, params):
    """The first update where each of 8 devices has rows of every leaf."""
    mesh = jax.make_mesh((8,), ('data',), axis_types=(AxisType.Auto,))
    first = jax.shard_map(
        lambda g, p: tx.update(g, tx.init(p), p)[0],
        mesh=mesh,
        in_specs=P('data'),
        out_specs=P('data'),
    )
    return jax.jit(first)(slope, params)


def test_shards_of_shard_map_have_the_ratio_of_the_whole_layer():
    """Rows of unequal length: the ratio of a device's rows is not the layer's."""
    rows = jnp.asarray(np.linspace(0.1, 3, 16)[:, None], jnp.float32)
    w, slope = normal(16, 4) * rows, normal(16, 4, seed=1)
    theirs, ours = optax.lamb(0.1), lambda **more: optimizers.lamb(0.1, weight_decay=0.0, **more)
    whole = updates(ours(), slope, w)

    def apart(u):
        return float(jnp.max(jnp.abs(u - whole)) / jnp.max(jnp.abs(whole)))

    assert apart(updates(theirs, slope, w)) < 1e-5
    assert apart(in_shards(theirs, slope, w)) > 0.5
    assert apart(in_shards(ours(axis_name='data'), slope, w)) < 1e-6


def tree(seed, scale=1.0):
    return {f'w{i}': normal(16, 8, scale=scale * 10.0**i, seed=seed + i) for i in range(10)}


def placed(values):
    mesh = jax.make_mesh((8,), ('data',), axis_types=(AxisType.Auto,))
    return jax.tree.map(lambda x: jax.device_put(x, NamedSharding(mesh, P('data'))), values)


@pytest.mark.long
@pytest.mark.parametrize('name', LAYERWISE)
def test_sharded_parameters_move_as_whole_ones(name):
    ours, _ = LAYERWISE[name]
    params, slope = tree(0, 1e-3), tree(20, 1e-4)
    whole, sharded = (
        updates(ours(), g, p, steps=3)
        for g, p in ((slope, params), (placed(slope), placed(params)))
    )
    for key in params:
        assert sharded[key].sharding.spec == P('data')
        assert length(sharded[key] - whole[key]) <= 1e-6 * length(whole[key])


@pytest.mark.parametrize(
    ('name', 'at_most'),
    [('lars', 1), ('larc', 1), ('lamb', 1), ('novograd', 1), ('adamw', 0), ('momentum', 0)],
)
def test_sharded_parameters_need_fewer_all_reduces_than_optax(name, at_most):
    """Ten sharded leaves, as the compiler counts them in what every update runs."""
    params = placed(tree(0))

    def count(tx):
        return reductions(jax.jit(tx.update).lower(params, tx.init(params), params))

    assert count(getattr(optimizers, name)(0.1)) == at_most
    if name in ('lars', 'lamb'):
        assert count(LAYERWISE[name][1](0.1, weight_decay=0.01)) > 10


def reductions(lowered):
    entry = re.search(r'\nENTRY .*?\n}', lowered.compile().as_text(), re.S).group()
    return len(re.findall(r' all-reduce(?:-start)?\(', entry))
