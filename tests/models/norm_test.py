"""Ghost batch norm: the paper's algorithm, its running statistics, and the same result on any
number of devices."""

import jax
import numpy as np
import pytest
from training import tiny, train

from lbexp.config import lookup
from lbexp.models.cnn import CNN
from lbexp.models.mlp import MLP
from lbexp.models.norm import BatchNorm, together
from lbexp.parallel.mesh import mesh, named_sharding

pytestmark = pytest.mark.usefixtures('shared_programs')

RATE, EPS = 0.1, 1e-5


def reference(x, ghost, scale, bias):
    """Hoffer, Hubara, Soudry 2017, Algorithm 1, in float64: outputs, running mean and variance."""
    mean, variance = np.zeros(x.shape[-1]), np.ones(x.shape[-1])
    out = np.empty_like(x)
    for start in range(0, len(x), ghost):
        part = x[start : start + ghost]
        axes = tuple(range(part.ndim - 1))
        m, v = part.mean(axes), part.var(axes)
        out[start : start + ghost] = scale * (part - m) / np.sqrt(v + EPS) + bias
        mean, variance = (1 - RATE) * mean + RATE * m, (1 - RATE) * variance + RATE * v
    return out, mean, variance


@pytest.mark.quick
@pytest.mark.parametrize('shape', [(24, 5), (24, 3, 4, 5)])
@pytest.mark.parametrize('ghost', [1, 4, 12, 24])
def test_it_is_the_papers_algorithm(shape, ghost):
    generator = np.random.default_rng(0)
    x = 3 + 2 * generator.standard_normal(shape)
    scale, bias = generator.standard_normal((2, 5))
    module = BatchNorm(ghost, RATE, EPS)
    start = module.init(jax.random.key(0), x.astype(np.float32), True)['batch_stats']
    params = {'scale': scale.astype(np.float32), 'bias': bias.astype(np.float32)}
    variables = {'params': params, 'batch_stats': start}
    out, new = module.apply(variables, x.astype(np.float32), True, mutable=['batch_stats'])
    expected, mean, variance = reference(x, ghost, scale, bias)
    if ghost > 1:  # a ghost of one example has no variance: rounding is all that is left
        np.testing.assert_allclose(out, expected, atol=2e-4)
    np.testing.assert_allclose(new['batch_stats']['mean'], mean, rtol=1e-4)
    np.testing.assert_allclose(new['batch_stats']['variance'], variance, rtol=1e-4)


@pytest.mark.quick
def test_evaluation_never_uses_ghosts():
    """An example alone, in any company, and with a ghost that does not divide: the same output."""
    x = np.random.default_rng(1).standard_normal((8, 5)).astype(np.float32)
    module = BatchNorm(ghost=4)
    variables = module.init(jax.random.key(0), x, True)
    _, new = module.apply(variables, x, True, mutable=['batch_stats'])
    variables = {**variables, **new}
    whole = module.apply(variables, x, False)
    for i in range(8):
        np.testing.assert_allclose(
            module.apply(variables, x[i : i + 1], False)[0], whole[i], rtol=1e-6
        )
    np.testing.assert_allclose(module.apply(variables, x[:7], False), whole[:7], rtol=1e-6)


@pytest.mark.parametrize('ghost', [0, 5, -4, 48, 'replicas', 2.0, True])
def test_what_is_no_ghost(ghost):
    with pytest.raises(
        ValueError,
        match=(
            r'ghost: found .* with 24 examples in a microbatch; allowed: a '
            r"divisor, 'sync'"
        ),
    ):
        BatchNorm(ghost).init(jax.random.key(0), np.zeros((24, 5), np.float32), True)


@pytest.mark.quick
def test_what_has_to_stay_together():
    assert [together(False, 8), together(True, 8)] == [1, 8]
    assert [together(True, policy) for policy in (None, 'sync', 'replica')] == [None] * 3


def losses(tmp_path, ghost, **fields):
    """[rows, metrics] of a trial; of each trial one after the other where the fields sweep."""
    part = dict(name='digits_mlp', hidden=(16,), batch_norm=True, ghost=ghost)
    name = '-'.join(
        ''.join(c for c in str(value) if c.isalnum()) for value in (ghost, *fields.values())
    )
    rows = train(tiny(workload=part, batch_size=32, **fields), tmp_path / name)
    return np.array([[row['loss'], row.get('test_loss', 0), row['gradient_norm']] for row in rows])


@pytest.mark.parametrize('ghost', [8, pytest.param(16, marks=pytest.mark.long)])
def test_ghosts_are_the_same_on_any_number_of_devices(tmp_path, ghost):
    """32 examples: on 2 devices a ghost is smaller than or equal to a device's share, on 8 it is
    larger."""
    one = losses(tmp_path, ghost, data_parallel=1)
    for devices in (2, 8) if ghost == 16 else (8,):
        np.testing.assert_allclose(losses(tmp_path, ghost, data_parallel=devices), one, rtol=1e-4)


@pytest.mark.long
@pytest.mark.parametrize(
    'microbatch, devices', [pytest.param(16, 1, marks=pytest.mark.slow), (16, 2), (8, 8)]
)
def test_ghosts_are_the_same_with_accumulation(tmp_path, microbatch, devices):
    """Two ghosts in a microbatch; a ghost on each of two devices; a ghost spread over eight."""
    found = losses(tmp_path, 8, microbatch=microbatch, data_parallel=devices)
    np.testing.assert_allclose(found, losses(tmp_path, 8), rtol=1e-4)


@pytest.mark.long
def test_policies(tmp_path):
    """'replica' is a ghost of a device's share; 'sync' is the whole batch wherever it lies."""
    replicas = losses(tmp_path, 'replica', data_parallel=2)
    np.testing.assert_allclose(replicas, losses(tmp_path, 16, data_parallel=1), rtol=1e-4)
    whole = losses(tmp_path, None, data_parallel=1)
    np.testing.assert_allclose(losses(tmp_path, 'sync', data_parallel=2), whole, rtol=1e-4)
    np.testing.assert_allclose(losses(tmp_path, 'replica', data_parallel=1), whole, rtol=1e-4)
    assert abs(replicas - whole).max() > 1e-3


@pytest.mark.long
def test_replicas_share_the_microbatch(tmp_path):
    """With accumulation a replica has its share of the microbatch, not of the batch."""
    replicas = losses(tmp_path, 'replica', microbatch=16, data_parallel=2)
    np.testing.assert_allclose(
        replicas, losses(tmp_path, 8, microbatch=16, data_parallel=1), rtol=1e-4
    )


@pytest.mark.long
@pytest.mark.parametrize('layout', ['map', 'vmap'])
def test_replicas_are_counted_along_the_batch_and_not_over_trials(tmp_path, layout):
    """Three trials beside each other: with vmap six devices, two of which share a batch."""
    sweep = (('seed', (0, 1, 2)),)
    replicas = losses(tmp_path, 'replica', layout=layout, data_parallel=2, sweep=sweep)
    alone = losses(tmp_path, 16, data_parallel=1, sweep=sweep)
    np.testing.assert_allclose(replicas, alone, rtol=1e-4)


@pytest.mark.long
@pytest.mark.parametrize('devices', [1, 8])
@pytest.mark.parametrize(
    'make', [lambda ghost: MLP((8,), 10, True, ghost), lambda ghost: CNN((2,), 8, 10, True, ghost)]
)
def test_replicas_in_a_model_under_a_mesh(make, devices):
    """Outputs and running statistics of 'replica' on so many devices are those of ghosts of a
    device's share."""
    x = np.random.default_rng(2).standard_normal((16, 8, 8, 1)).astype(np.float32)
    variables = make(None).init(jax.random.key(0), x, True)

    def run(ghost):
        return jax.jit(lambda x: make(ghost).apply(variables, x, True, mutable=['batch_stats']))

    expected = run(16 // devices)(x)
    made = mesh(1, devices)
    with jax.set_mesh(made):
        found = run('replica')(jax.device_put(x, named_sharding(made, 'data')))
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), found, expected
    )


def test_a_workload_says_what_has_to_stay_together():
    def build(**given):
        return lookup.build('workload', dict(name='digits_mlp', hidden=(8,), **given)).together

    assert [build(), build(ghost='replica')] == [1, 1]
    assert [build(batch_norm=True, ghost=ghost) for ghost in (8, None, 'sync', 'replica')] == [
        8,
        None,
        None,
        None,
    ]


def test_frozen_statistics_normalize_in_training_and_stay():
    """Keras' rule of training=False, also while the weights train: outputs as in evaluation, each
    example by itself, statistics as they were."""
    x = np.random.default_rng(2).standard_normal((8, 5)).astype(np.float32)
    learned = BatchNorm()
    variables = learned.init(jax.random.key(0), x, True)
    _, new = learned.apply(variables, 3 + 2 * x, True, mutable=['batch_stats'])
    variables = {**variables, **new}
    frozen = BatchNorm('frozen')
    out, after = frozen.apply(variables, x, True, mutable=['batch_stats'])
    np.testing.assert_array_equal(out, frozen.apply(variables, x, False))
    np.testing.assert_array_equal(out, learned.apply(variables, x, False))
    assert all(jax.tree.leaves(jax.tree.map(np.array_equal, after, new)))
    assert together(True, 'frozen') == 1
