"""SimCLR: the loss by its equation and at its limits, views as a function of seed and position."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from training import assert_close, tiny, train

from lbexp.config import lookup
from lbexp.config.check import check
from lbexp.data.augmentation import paired
from lbexp.data.source import memory
from lbexp.inputs import Input
from lbexp.models.cnn import cnn
from lbexp.models.resnet import resnet
from lbexp.workloads._pairs import mean_potential, nt_xent, squared_distances, unit

GENERATOR = np.random.default_rng(0)
PART = dict(
    name='contrastive',
    data=dict(name='digits', validation=30),
    model=dict(name='cnn', channels=(4,), hidden=6, batch_norm=True),
    augment=dict(shift=0.2, rotation=10.0),
    projection=5,
    contrasted=16,
)


def pairs(count, width=7):
    return unit(jnp.asarray(GENERATOR.normal(size=(count, 2, width)), jnp.float32))


def losses(units, temperature):
    return np.asarray(nt_xent(units, jnp.float32(temperature))[0])


def written_out(units, temperature):
    """(losses, shares found) of equation 1 of Chen et al. 2020, a loop over views, in float64."""
    z = np.asarray(units, np.float64).reshape(-1, units.shape[-1])
    terms, finds = [], []
    for i in range(len(z)):
        partner = i + 1 if i % 2 == 0 else i - 1
        others = [k for k in range(len(z)) if k != i]
        similarity = {k: z[i] @ z[k] / temperature for k in others}
        total = sum(np.exp(similarity[k]) for k in others)
        terms.append(-np.log(np.exp(similarity[partner]) / total))
        finds.append(max(similarity, key=similarity.get) == partner)
    return np.reshape(terms, (-1, 2)).mean(1), np.reshape(finds, (-1, 2)).mean(1)


@pytest.mark.parametrize('temperature', [0.1, 0.5, 3.0])
def test_nt_xent_against_its_equation(temperature):
    first = np.random.default_rng(3).normal(size=(9, 1, 3))
    noise = np.random.default_rng(4).normal(size=(9, 2, 3))
    units = unit(jnp.asarray(first + 0.4 * noise, jnp.float32))
    expected, finds = written_out(units, temperature)
    values, found = nt_xent(units, jnp.float32(temperature))
    np.testing.assert_allclose(values, expected, rtol=1e-5, atol=1e-5)
    assert np.array_equal(found, finds) and 0 < finds.mean() < 1


@pytest.mark.long
def test_limits_of_nt_xent():
    np.testing.assert_allclose(losses(pairs(1), 0.1), 0, atol=1e-5)
    np.testing.assert_allclose(losses(pairs(40), 1e6), np.log(79), rtol=1e-5)
    # vectors of many dimensions that say nothing: cosines are of the order of 1 / sqrt(width)
    assert losses(pairs(64, width=20_000), 0.5).mean() == pytest.approx(np.log(127), abs=0.01)
    # each pair one vector, orthogonal to all others: exp(1 / tau) against 2 n - 2 ones
    same = jnp.eye(8)[:, None].repeat(2, axis=1)
    expected = np.log(np.exp(2) + 14) - 2
    np.testing.assert_allclose(losses(same, 0.5), expected, rtol=1e-5)


def test_the_order_of_examples_and_of_views_does_not_matter():
    units = pairs(10)
    order = GENERATOR.permutation(10)
    np.testing.assert_allclose(losses(units[order], 0.2), losses(units, 0.2)[order], rtol=1e-5)
    np.testing.assert_allclose(losses(units[:, ::-1], 0.2), losses(units, 0.2), rtol=1e-5)


def test_alignment_and_uniformity_by_their_definitions():
    units = pairs(6)
    z = np.asarray(units, np.float64)
    gaps = ((z[:, 0] - z[:, 1]) ** 2).sum(-1)
    np.testing.assert_allclose(squared_distances(units), gaps, rtol=1e-5)
    potentials = []
    for i in range(6):
        for j in range(6):
            if i != j:
                potentials.append(np.exp(-2 * ((z[i, 0] - z[j, 0]) ** 2).sum()))
    assert float(mean_potential(units)) == pytest.approx(np.mean(potentials), rel=1e-5)


@pytest.mark.long
def test_a_vector_of_no_length_has_a_gradient():
    def total(vectors):
        return nt_xent(unit(vectors), jnp.float32(0.5))[0].sum()

    gradient = jax.grad(total)(jnp.zeros((3, 2, 4)).at[0].set(1.0))
    assert np.isfinite(gradient).all()


@pytest.mark.long
def test_views_depend_on_seed_and_position_alone():
    pictures = GENERATOR.integers(0, 256, (20, 7, 6, 3), np.uint8)
    stored = memory({'image': pictures, 'label': np.arange(20)})
    source = paired(stored, 'image', dict(rotation=20.0, shift=0.2, brightness=0.3))

    def views(positions, seed=3):
        positions = jnp.asarray(positions, jnp.uint32)
        return source.draw(source.arrays, jnp.uint32(seed), positions)['views']

    whole = views(range(12))
    assert whole.shape == (12, 2, 7, 6, 3) and whole.dtype == np.uint8
    for batch in ([8], [3, 8, 2]):
        assert np.array_equal(views(batch)[batch.index(8)], whole[8])
    # of one picture, and of other positions and seeds, they differ
    different = [*whole[8], *views([28])[0], *views([8], seed=4)[0]]
    assert len({np.asarray(view).tobytes() for view in different}) == len(different)
    plain = paired(stored, 'image', {})
    drawn = plain.draw(plain.arrays, jnp.uint32(3), jnp.arange(5, dtype=jnp.uint32))
    for view in (0, 1):
        assert np.array_equal(drawn['views'][:, view], drawn['image'])


@pytest.mark.long
def test_stored_views_are_of_the_place():
    pictures = GENERATOR.integers(0, 256, (20, 7, 6, 3), np.uint8)
    source = paired(memory({'image': pictures}), 'image', dict(shift=0.2, rotation=30.0))
    whole = source.read(source.arrays, jnp.arange(20))
    some = source.read(source.arrays, jnp.array([5, 17]))
    assert np.array_equal(some['views'], whole['views'][jnp.array([5, 17])])
    assert np.array_equal(whole['image'], pictures)
    assert not np.array_equal(whole['views'][:, 0], whole['views'][:, 1])


@pytest.mark.long
@pytest.mark.parametrize('model', [cnn((4,), 6, batch_norm=True), resnet(20)])
def test_features_are_what_the_last_layer_is_given(model):
    inputs = {'image': Input('image', (8, 8, 1), 'uint8')}
    whole, encoder = model.network(inputs, 3), model.features(inputs)
    params, state = whole.init(jax.random.key(0))
    last = sorted(name for name in params if name.startswith('Dense'))[-1]
    kernel, bias = params[last]['kernel'], params[last]['bias']
    rest = {name: values for name, values in params.items() if name != last}
    assert jax.tree.structure(encoder.init(jax.random.key(0))[0]) == jax.tree.structure(rest)
    x = {'image': jax.random.normal(jax.random.key(1), (4, 8, 8, 1))}
    features, _ = encoder.apply(rest, state, x, False, None)
    outputs, _ = whole.apply(params, state, x, False, None)
    np.testing.assert_allclose(features @ kernel + bias[None], outputs, rtol=1e-4, atol=1e-5)


@pytest.mark.long
def test_the_workload_as_its_parts():
    """Loss and features from the parameters, written out; a set in blocks of 16."""
    part = lookup.build('workload', PART)
    params, state = part.init(jax.random.key(0))
    examples = part.test.read(part.test.arrays, jnp.arange(40))
    key = jax.random.key(1)
    values, new_state = part.loss(params, state, examples, key)
    encoder = cnn((4,), 6, batch_norm=True).features({'image': Input('image', (8, 8, 1), 'uint8')})
    views = examples['views'].reshape(80, 8, 8, 1) / 16
    h, expected_state = encoder.apply(params['encoder'], state, {'image': views}, True, key)
    head, close = params['head'], functools.partial(jnp.allclose, atol=1e-5)
    hidden = jax.nn.relu(h @ head['Dense_0']['kernel'] + head['Dense_0']['bias'][None])
    z = hidden @ head['Dense_1']['kernel'] + head['Dense_1']['bias'][None]
    expected = written_out(unit(z.reshape(40, 2, 5)), 0.5)
    np.testing.assert_allclose(values['loss'], expected[0], rtol=1e-4)
    np.testing.assert_allclose(values['accuracy'], expected[1])
    assert jax.tree.all(jax.tree.map(close, new_state, expected_state))
    assert part.predict(params, state, {'image': examples['image']}).shape == (40, 6)
    assert part.together is None and part.metrics(params, state, examples).keys() == {'alignment'}
    units = part.set_metrics.outputs(params, state, examples)['units']
    summary = part.set_metrics.summary({'units': units})
    blocks = [written_out(units[:16], 0.5)[0], written_out(units[16:32], 0.5)[0]]
    assert float(summary['loss']) == pytest.approx(np.mean(blocks), rel=1e-4)
    alone = part.set_metrics.summary({'units': units[:10]})
    assert float(alone['loss']) == pytest.approx(written_out(units[:10], 0.5)[0].mean(), rel=1e-4)


CONFIG = dict(
    workload=PART,
    optimizer=dict(name='lars', learning_rate=1.0),
    steps=8,
    batch_size=16,
    num_rows=2,
    num_evaluations=1,
)


@pytest.mark.long
def test_devices_share_a_batch(tmp_path):
    """Statistics and similarities are those of the whole batch on two devices, too."""
    lone = train(tiny(**CONFIG), tmp_path / 'lone')
    shared = train(tiny(**CONFIG, data_parallel=2), tmp_path / 'shared')
    assert_close(shared, lone, 2e-4)
    assert {'test_loss', 'validation_accuracy', 'test_uniformity', 'alignment'} <= lone[-1].keys()
    assert lone[-1]['loss'] < lone[0]['loss']


@pytest.mark.long
def test_a_temperature_is_a_number_of_one_program(tmp_path):
    """In a cohort over temperatures each trial is what it is alone, to the bit."""
    config = tiny(**CONFIG)
    config.sweep = (('workload.temperature', (0.5, 0.2)),)
    both = train(config, tmp_path / 'both')
    config.sweep = ()
    config.workload.temperature = 0.2
    alone = train(config, tmp_path / 'alone')
    second = [{**row, 'trial': 0} for row in both if row['trial'] == 1]
    assert second == alone and second[-1]['loss'] != both[1]['loss']


@pytest.mark.parametrize(
    'changes, problem',
    [
        (dict(data=dict(name='mnist1d')), r'data: found inputs of shapes .*; allowed: one image'),
        (dict(model=dict(name='mlp')), 'model: found one without features; allowed: cnn, resnet'),
        (dict(augment=dict(turn=3.0)), "augment: found 'turn'; allowed: 'rotation'"),
        (dict(temperature=0.0), 'temperature: found 0.0; allowed: a number > 0'),
    ],
)
def test_what_is_refused(changes, problem):
    with pytest.raises(ValueError, match=problem):
        lookup.build('workload', {**PART, **changes})


def test_a_configuration_without_views_is_refused():
    part = {name: value for name, value in PART.items() if name != 'augment'}
    (line,) = check(tiny(workload=part))
    assert 'augment' in line
