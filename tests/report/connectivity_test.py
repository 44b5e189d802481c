"""Paths between networks whose losses are known."""

import itertools
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from curvature_cases import digits

from lbexp.curvature.operators import sample_loss
from lbexp.report.connectivity import connectivity
from lbexp.report.measured import Settings

SETTINGS = Settings(
    examples=60,
    points=8,
    products=0,
    seed=0,
    batch_norm=None,
    updates=300,
    learning_rate=0.02,
    groups=0,
)


def trial(number, params, losses):
    """What connectivity asks of a trained network."""

    def objective(part, count, batch_norm):
        examples = digits(2 * count)
        places = slice(None, count) if part == 'train' else slice(count, None)
        examples = jax.tree.map(lambda values: values[places], examples)
        loss = sample_loss(losses, examples)
        return SimpleNamespace(
            loss=loss, losses=losses, examples=examples, description=f'{count} of {part}'
        )

    workload = SimpleNamespace(test=SimpleNamespace(size=40))
    return SimpleNamespace(
        number=number, params=params, model_state={}, workload=workload, objective=objective
    )


def layers(seed, widths):
    params = {}
    for place, (inputs, outputs) in enumerate(itertools.pairwise(widths)):
        generator = np.random.default_rng([seed, place])
        params[f'Dense_{place}'] = {
            'kernel': generator.normal(0, 1, (inputs, outputs)).astype(np.float32) / inputs**0.5,
            'bias': generator.normal(0, 0.3, outputs).astype(np.float32),
        }
    return params


def dense(x, layer):
    return x @ layer['kernel'] + layer['bias'][None]


def cross_entropy(logits, labels):
    log_p = jax.nn.log_softmax(logits)
    return -jnp.take_along_axis(log_p, labels[:, None], axis=1)[:, 0]


def two_layers(params, examples):
    hidden = jax.nn.relu(dense(examples['x'], params['Dense_0']))
    return cross_entropy(dense(hidden, params['Dense_1']), examples['label'])


def residual(params, examples):
    """Layers named and shaped as those of a plain network, whose sum they add to."""
    hidden = dense(examples['x'], params['Dense_0'])
    hidden = hidden + jax.nn.relu(dense(hidden, params['Dense_1']))
    return cross_entropy(dense(hidden, params['Dense_2']), examples['label'])


def fitted(params, losses):
    """Parameters after 150 updates on the training examples."""
    examples, optimizer = digits(SETTINGS.examples), optax.adam(0.02)

    def update(state, _):
        params, opt_state = state
        gradient = jax.grad(lambda weights: losses(weights, examples).mean())(params)
        updates, opt_state = optimizer.update(gradient, opt_state)
        return (optax.apply_updates(params, updates), opt_state), None

    @jax.jit
    def train(params):
        return jax.lax.scan(update, (params, optimizer.init(params)), length=150)[0][0]

    return jax.device_get(train(params))


def by_path(measured, part='train'):
    """{path: (loss at 0, loss at 1, barrier)} of the table."""
    return {row[1]: row[2:5] for row in measured.table.rows if row[0] == part}


def losses_of(measured, name):
    (series,) = [series for series in measured.figures[0].series if series.name == name]
    return np.array(series.y)


def test_a_network_and_itself_in_another_order():
    params = fitted(layers(0, (64, 12, 10)), two_layers)
    order = np.random.default_rng(1).permutation(12)
    shuffled = {
        'Dense_0': {name: leaf[..., order] for name, leaf in params['Dense_0'].items()},
        'Dense_1': {**params['Dense_1'], 'kernel': params['Dense_1']['kernel'][order]},
    }
    measured = connectivity(trial(3, params, two_layers), trial(5, shuffled, two_layers), SETTINGS)
    assert not measured.notes
    for part in ('train', 'test'):
        paths = by_path(measured, part)
        assert paths['line'][2] > 0.3
        first, last, barrier = paths['line, units matched']
        assert first == last and barrier == pytest.approx(0, abs=1e-5)
        losses = losses_of(measured, f'{part}: line, units matched')
        np.testing.assert_allclose(losses, first, rtol=1e-5)
    assert by_path(measured)['curve'][2] < 0.5 * by_path(measured)['line'][2]
    assert measured.figures[0].name == 'connectivity_3_5'
    # the whole of a test set that is smaller than --examples
    assert '60 of train, 40 of test' in measured.table.caption


def test_in_a_bowl_the_curve_is_below_the_line():
    target = np.linspace(-1, 1, 64).astype(np.float32)

    def bowl(params, examples):
        return jnp.sum((params['w'] - target) ** 2) + 0 * examples['label']

    generator = np.random.default_rng(0)
    ends = [{'w': generator.normal(size=64).astype(np.float32)} for _ in range(2)]
    measured = connectivity(trial(0, ends[0], bowl), trial(1, ends[1], bowl), SETTINGS)
    line, curve = (losses_of(measured, f'train: {name}') for name in ('line', 'curve'))
    assert (curve[1:-1] < line[1:-1]).all()
    expected = [np.sum((end['w'] - target) ** 2) for end in ends]
    np.testing.assert_allclose(curve[[0, -1]], expected, rtol=1e-5)
    paths = by_path(measured)
    assert paths['curve'][2] <= paths['line'][2] + 1e-5
    assert paths['line'][2] == pytest.approx(0, abs=1e-4)
    assert measured.notes == (
        "Units are not matched: layers: found 'w'; allowed: dense layers with numbers alone.",
    )


def test_layers_that_are_connected_otherwise_are_not_matched():
    ends = [layers(seed, (64, 12, 12, 10)) for seed in range(2)]
    settings = SETTINGS._replace(updates=1, points=2)
    measured = connectivity(trial(0, ends[0], residual), trial(1, ends[1], residual), settings)
    assert list(by_path(measured)) == ['line', 'curve']
    (note,) = measured.notes
    assert note == 'Units are not matched: in another order they are another function.'
