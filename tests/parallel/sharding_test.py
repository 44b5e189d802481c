"""Parameters and optimizer state in shares: every device has its own, and the numbers stay."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from optimizer_cases import OPTIMIZERS, make
from training import tiny, train

from lbexp import config as configs
from lbexp.engine.plan import plan
from lbexp.engine.program import program
from lbexp.parallel import mesh as meshes

COLLECTIVE = r'\b(all-gather|all-reduce|all-to-all|collective-permute|reduce-scatter)(-start)?\('


def problem(seed=0):
    draw = np.random.default_rng(seed)
    shapes = {'dense': (128, 64), 'kernel': (3, 3, 16, 40), 'bias': (64,)}
    return {
        name: jnp.asarray(draw.standard_normal(shape), jnp.float32)
        for name, shape in shapes.items()
    }


pytestmark = pytest.mark.usefixtures('shared_programs')


@pytest.mark.long
@pytest.mark.parametrize('name', OPTIMIZERS)
def test_an_update_in_shares_gathers_no_parameter(name):
    """Collectives of the compiled update are sums of norms, numbers; and it equals the update of
    whole arrays."""
    tx, mesh, params, gradients = make(name), meshes.mesh(1, 8), problem(), [problem(1), problem(2)]
    state = tx.init(params)
    places, state_places = (meshes.state_sharding(mesh, tree, 'fsdp') for tree in (params, state))

    def update(gradients, state, params):
        updates, state = tx.update(gradients, state, params)
        return optax.apply_updates(params, updates), state

    given = (places, state_places, places)
    shared = jax.jit(update, in_shardings=given, out_shardings=(places, state_places))
    compiled = shared.lower(params, state, params).compile()
    lines = [line.split(' = ')[1] for line in compiled.as_text().splitlines() if ' = ' in line]
    moved = [line for line in lines if re.search(COLLECTIVE, line)]
    # whose norms are those of whole layers
    assert moved or name not in ('lamb', 'larc', 'lars', 'novograd')
    for line in moved:
        assert 'all-reduce' in line
        sizes = re.findall(r'\[([\d,]*)\]', line.split('all-reduce')[0])
        assert all(
            np.prod([int(d) for d in size.split(',') if d]) <= len(params) for size in sizes
        ), line
    whole, parted = (params, state), jax.device_put((params, state), (places, state_places))
    for gradient in gradients:
        whole = jax.jit(update)(gradient, whole[1], whole[0])
        parted = compiled(jax.device_put(gradient, places), parted[1], parted[0])
    for a, b in zip(jax.tree.leaves(whole), jax.tree.leaves(parted), strict=True):
        if not jax.dtypes.issubdtype(a.dtype, jax.dtypes.prng_key):
            np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-6)
    for leaf in jax.tree.leaves(parted):
        own = leaf.addressable_shards[0].data.size
        assert own == (leaf.size // 8 if leaf.size >= 4096 else leaf.size)


@pytest.mark.long
@pytest.mark.parametrize('optimizer', [pytest.param('lamb', marks=pytest.mark.slow), 'lookahead'])
def test_the_curve_is_the_same_in_shares(tmp_path, optimizer):
    """With batch norm, dropout, accumulation and noise; every large array lies in shares before and
    after training."""
    part = dict(name='lamb', learning_rate=0.01)
    fields = dict(
        workload=dict(name='digits_mlp', hidden=(128, 64), batch_norm=True, dropout=0.1),
        optimizer=part if optimizer == 'lamb' else dict(name='lookahead', inner=part),
        transforms=(dict(name='gradient_noise', eta=0.001, gamma=0.55),),
        batch_size=64,
        microbatch=32,
        data_parallel=4,
    )
    whole = train(tiny(**fields), tmp_path / 'whole')
    shared = train(tiny(**fields, sharding='fsdp'), tmp_path / 'shared')
    assert whole == [pytest.approx(row, rel=1e-4, abs=0) for row in shared]
    (cohort,) = plan([configs.resolve(tiny(**fields, sharding='fsdp'), {})])
    ready = program(cohort, 'auto', 4)
    states = ready.init()
    for _ in range(2):
        large = [leaf for leaf in jax.tree.leaves(states) if leaf.size >= 4096]
        assert len(large) > 4 and all(
            leaf.addressable_shards[0].data.size == leaf.size // 4 for leaf in large
        )
        states, _ = ready.segment(states, np.array([2]), np.array([0]), np.array([1]))


@pytest.mark.long
def test_a_run_in_shares_goes_on_to_the_bit(tmp_path):
    fields = dict(
        workload=dict(name='digits_mlp'),
        optimizer=dict(name='lamb', learning_rate=0.01),
        batch_size=32,
    )
    config = tiny(**fields, data_parallel=4, sharding='fsdp', num_rows=24, num_checkpoints=24)
    whole = train(config, tmp_path / 'whole')
    asked = iter([False] * 12)
    stopped = train(config, tmp_path / 'cut', should_stop=lambda: next(asked, True))
    assert 0 < len(stopped) < 24
    assert train(config, tmp_path / 'cut') == whole
