"""What a layer is, and that it moves by its own norms, however it lies in leaves and on devices."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

from lbexp import optimizers

pytestmark = pytest.mark.usefixtures('quick_compilation')
PARAMS = {
    'blocks': {'kernel': jnp.ones((3, 4, 2)), 'bias': jnp.ones((3, 2))},
    'head': jnp.ones((2, 5)),
}
LAYERWISE = {
    'lars': lambda **more: optimizers.lars(0.1, trust_coefficient=0.1, **more),
    'larc': lambda **more: optimizers.larc(0.1, mode='scale', **more),
    'lamb': lambda **more: optimizers.lamb(0.1, max_gradient_norm=1.0, **more),
    'novograd': lambda **more: optimizers.novograd(0.1, **more),
}


@pytest.mark.parametrize(
    ('given_', 'expected'),
    [
        (1, {'blocks/kernel': (3,), 'blocks/bias': (3,), 'head': (2,)}),
        ({'blocks': 1}, {'blocks/kernel': (3,), 'blocks/bias': (3,), 'head': ()}),
        ({'kernel': 2, 'blocks': 1}, {'blocks/kernel': (3, 4), 'blocks/bias': (3,), 'head': ()}),
        (lambda path: int(path == 'head'), {'blocks/kernel': (), 'blocks/bias': (), 'head': (2,)}),
    ],
)
def test_a_layer_is_a_path_and_a_number_of_stacked_axes(given_, expected):
    assert optimizers.layers(PARAMS, given_) == expected


def test_a_pattern_that_matches_nothing_and_too_many_axes_are_errors():
    with pytest.raises(
        ValueError,
        match=(
            r"'block/' matches no parameter.*blocks/bias, "
            r'blocks/kernel, head'
        ),
    ):
        optimizers.layers(PARAMS, {'block/': 1})
    with pytest.raises(ValueError, match="found 3 for 'blocks/bias', which has 2 axes"):
        optimizers.layers(PARAMS, 3)


def stacked(count=3):
    draw = np.random.default_rng(0)
    scale = np.array([0.01, 1.0, 50.0])[:, None, None]
    params = {'kernel': jnp.asarray(scale * draw.standard_normal((3, 6, 4)), jnp.float32)}
    slopes = [
        {'kernel': jnp.asarray(draw.standard_normal((3, 6, 4)), jnp.float32)} for _ in range(count)
    ]
    return params, slopes


def walk(tx, params, slopes):
    state, update = tx.init(params), jax.jit(tx.update)
    for slope in slopes:
        updates, state = update(slope, state, params)
        params = optax.apply_updates(params, updates)
    return params, state


@pytest.mark.parametrize('name', ['lars', 'larc', 'novograd', 'lamb'])
def test_stacked_layers_move_as_they_would_apart(name, backend):
    make = (lambda **more: optimizers.lamb(0.1, **more)) if name == 'lamb' else LAYERWISE[name]
    params, slopes = stacked()
    together, _ = walk(make(stacked_axes=1), params, slopes)

    def pick(tree, i):
        return jax.tree.map(lambda x: x[i], tree)

    for i in range(3):
        apart, _ = walk(make(), pick(params, i), [pick(slope, i) for slope in slopes])
        np.testing.assert_allclose(together['kernel'][i], apart['kernel'], rtol=1e-5, atol=1e-7)


class Block(nn.Module):
    @nn.compact
    def __call__(self, x, _):
        return x + nn.Dense(4)(x), None


STACKED = dict(variable_axes={'params': 0}, split_rngs={'params': True})
LIFTS = {
    'scan': lambda: nn.scan(Block, **STACKED, length=3)(name='blocks'),
    'vmap': lambda: nn.vmap(Block, **STACKED, in_axes=None, axis_size=3)(name='blocks'),
}


@pytest.mark.parametrize('lift', LIFTS)
@pytest.mark.parametrize('name', ['lars', 'lamb', 'novograd'])
def test_layers_of_flax_scan_and_vmap_have_ratios_of_their_own(name, lift):
    """Real gradients; the reference has the same layers as leaves of their own."""

    class Net(nn.Module):
        @nn.compact
        def __call__(self, x):
            return jnp.sum(LIFTS[lift]()(x, None)[0], axis=None)

    x = jnp.asarray(np.random.default_rng(3).standard_normal((5, 4)), jnp.float32)
    params = Net().init(jax.random.key(0), x)['params']
    scales = jnp.array([0.1, 1.0, 20.0])[:, None, None]
    params['blocks']['Dense_0']['kernel'] *= scales
    slope = jax.grad(lambda p: Net().apply({'params': p}, x) ** 2)(params)
    make = (lambda **more: optimizers.lamb(0.1, **more)) if name == 'lamb' else LAYERWISE[name]
    together, _ = walk(make(stacked_axes={'^blocks': 1}), params, [slope])

    def split(tree):
        return {str(i): jax.tree.map(lambda w, i=i: w[i], tree['blocks']) for i in range(3)}

    apart, _ = walk(make(), split(params), [split(slope)])
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), split(together), apart
    )
    one_ratio, _ = walk(make(), params, [slope])
    assert not np.allclose(
        one_ratio['blocks']['Dense_0']['kernel'], together['blocks']['Dense_0']['kernel'], rtol=1e-3
    )


MESH = ((2, 4), ('data', 'model'))


def sharded_walk(make, params, slopes, specs, axes, check_vma=True):
    mesh = jax.make_mesh(*MESH, axis_types=(AxisType.Auto,) * 2)
    tx = make(axis_name=axes)

    def steps(params, *slopes):
        return walk(tx, params, slopes)[0]

    run = jax.shard_map(
        steps,
        mesh=mesh,
        in_specs=(specs, *[specs] * len(slopes)),
        out_specs=specs,
        check_vma=check_vma,
    )
    return jax.jit(run)(params, *slopes)


def three_leaves():
    """Split over two mesh axes, over one of them, and held by every device."""
    draw = np.random.default_rng(1)
    shapes = {'both': (8, 4), 'one': (8, 3), 'whole': (5, 3)}
    specs = {'both': P('data', 'model'), 'one': P(('model',)), 'whole': P()}

    def tree(scale):
        return {
            n: jnp.asarray(scale * draw.standard_normal(s), jnp.float32) for n, s in shapes.items()
        }

    return tree(1), [tree(3.0), tree(0.1)], specs


@pytest.mark.parametrize('name', LAYERWISE)
def test_shards_of_shard_map_move_as_the_whole(name, backend):
    params, slopes, specs = three_leaves()
    expected, _ = walk(LAYERWISE[name](), params, slopes)
    found = sharded_walk(LAYERWISE[name], params, slopes, specs, ('data', 'model'))
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-6), found, expected
    )


def test_shards_need_no_checking_where_every_leaf_is_split():
    params, slopes, specs = three_leaves()

    def only(tree):
        return {'both': tree['both']}

    params, slopes, specs = only(params), [only(s) for s in slopes], only(specs)
    expected, _ = walk(LAYERWISE['lars'](), params, slopes)
    found = sharded_walk(
        LAYERWISE['lars'], params, slopes, specs, ('data', 'model'), check_vma=False
    )
    np.testing.assert_allclose(found['both'], expected['both'], rtol=1e-6, atol=1e-6)


def reductions(lowered):
    """All-reduces that every update runs: those of the entry computation."""
    entry = re.search(r'\nENTRY .*?\n}', lowered.compile().as_text(), re.S).group()
    return len(re.findall(r' all-reduce(?:-start)?\(', entry))


@pytest.mark.parametrize(
    ('name', 'phases'), [('lars', 1), ('larc', 1), ('novograd', 1), ('lamb', 1)]
)
def test_one_all_reduce_for_each_norm_phase(name, phases):
    mesh = jax.make_mesh((8,), ('data',), axis_types=(AxisType.Auto,))
    params = {
        f'w{i}': jax.device_put(jnp.ones((16, 8)), NamedSharding(mesh, P('data')))
        for i in range(10)
    }
    make = (lambda **more: optimizers.lamb(0.1, **more)) if name == 'lamb' else LAYERWISE[name]
    tx = make()
    assert reductions(jax.jit(tx.update).lower(params, tx.init(params), params)) == phases

    manual = make(axis_name='data')
    spec = jax.tree.map(lambda _: P('data'), params)
    in_shards = jax.shard_map(
        lambda g, p: manual.update(g, manual.init(p), p)[0],
        mesh=mesh,
        in_specs=(spec, spec),
        out_specs=spec,
    )
    assert reductions(jax.jit(in_shards).lower(params, params)) == phases


@pytest.mark.parametrize('name', ['lars', 'lamb', 'novograd'])
def test_step_length_does_not_depend_on_the_scale_of_the_gradient(name):
    """LARS and LAMB as their papers prove it; NovoGrad for every layer apart."""
    make = {
        'lars': lambda: optimizers.lars(0.1, 0.0),
        'lamb': lambda: optimizers.lamb(0.1, eps=0.0, weight_decay=0.0),
        'novograd': lambda: optimizers.novograd(0.1, eps=0.0),
    }[name]
    params, slopes = stacked(4)
    params, slopes = (
        {'a': params['kernel'][1], 'b': params['kernel'][2]},
        [{'a': s['kernel'][0], 'b': s['kernel'][1]} for s in slopes],
    )
    scaled = [{'a': s['a'] * 1e3, 'b': s['b'] * 1e-12} for s in slopes]
    plain, other = walk(make(), params, slopes)[0], walk(make(), params, scaled)[0]
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=2e-5, atol=1e-6), plain, other)


@pytest.mark.parametrize('name', ['lars', 'lamb'])
def test_a_first_step_is_a_fraction_of_the_weights(name):
    make = {
        'lars': lambda: optimizers.lars(2.0, 0.0),
        'lamb': lambda: optimizers.lamb(0.002, weight_decay=0.1),
    }[name]
    params, slopes = stacked(1)
    params = {'kernel': params['kernel'][2]}
    moved, _ = walk(make(), params, [{'kernel': slopes[0]['kernel'][0]}])
    length = jnp.linalg.norm(moved['kernel'] - params['kernel']) / jnp.linalg.norm(params['kernel'])
    assert length == pytest.approx(0.002, rel=1e-4)
