"""The probe in training: against closed forms, beside a run without it, cut, in company and on
devices; and what it refuses."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from training import of_trial, tiny, train

from lbexp import config as configs
from lbexp.engine.components import components
from lbexp.engine.plan import plan
from lbexp.engine.state import MODEL, stream_key
from lbexp.engine.step import by_example
from lbexp.engine.trial_plan import trial_plan
from lbexp.errors import Refusal
from lbexp.optimizers import adamw, lamb, sgd
from lbexp.probes import GradientNoise, UpdateInfo
from lbexp.probes.gradient_noise_scale import gradient_noise_scale
from lbexp.workloads.linear_regression import linear_regression

NAME = 'gradient_noise_scale'
DIGITS = dict(name='digits_mlp', hidden=(16,))
pytestmark = pytest.mark.usefixtures('shared_programs')


def probe(**arguments):
    return (dict(name=NAME, **arguments),)


def without_probe(rows):
    """The columns of a run without the probe."""
    marks = ('noise', 'gradient_trace', 'gradient_square', 'alignment', 'rotation')
    plain = []
    for row in rows:
        plain.append({k: v for k, v in row.items() if not k.startswith(marks)})
    return plain


@pytest.mark.long
@pytest.mark.parametrize('arguments', [dict(microbatch=10), dict(groups=2)])
def test_at_fixed_weights_it_is_the_closed_form(tmp_path, arguments):
    """Linear regression at its start: the weights of seed 0, and the data's own moments."""
    groups = arguments.pop('groups', 1)
    config = tiny(
        optimizer=dict(name='sgd', learning_rate=0.0),
        batch_size=20,
        steps=400,
        num_rows=1,
        probes=probe(groups=groups, layers=True),
        **arguments,
    )
    row = train(config, tmp_path)[-1]
    workload = linear_regression(size=100)
    params, _ = workload.init(jax.random.fold_in(jax.random.key(0), 0))
    x, e = np.asarray(workload.train.arrays['x'], 'f8'), workload.train.arrays['e']
    line = np.asarray(workload.train.arrays['line'], 'f8')
    weight, bias = np.asarray(params['kernel'], 'f8'), np.asarray(params['bias'], 'f8')
    error = (x @ weight)[:, 0] + bias - line - 0.5 * np.asarray(e, 'f8')
    gradients = {'kernel': error[:, None] * x, 'bias': error[:, None]}
    trace = square = 0.0
    for name, gradient in gradients.items():
        # of draws without replacement from 100
        of_layer = gradient.var(0, ddof=1).sum()
        trace += of_layer
        mean = (gradient.mean(0) ** 2).sum() - of_layer / 100
        square += mean
        z = (row[f'gradient_trace/{name}'] - of_layer) / row[f'gradient_trace_error/{name}']
        assert abs(z) < 4
        z = (row[f'gradient_square/{name}'] - mean) / row[f'gradient_square_error/{name}']
        assert abs(z) < 4
    assert abs(row['gradient_trace'] - trace) < 4 * row['gradient_trace_error']
    assert abs(row['gradient_square'] - square) < 4 * row['gradient_square_error']
    assert row['gradient_trace_error'] < 0.1 * trace
    np.testing.assert_allclose(row['noise_scale'], row['gradient_trace'] / row['gradient_square'])
    assert row['noise_scale_low'] < trace / square < row['noise_scale_high']
    assert row['noise_updates'] == 400


@pytest.mark.long
@pytest.mark.parametrize(
    'fields, arguments',
    [
        (dict(microbatch=4), dict()),
        (dict(microbatch=8), dict(groups=4, every=2)),
        (dict(), dict(groups=4)),
    ],
)
def test_it_does_not_change_what_is_trained(tmp_path, fields, arguments):
    config = dict(workload={**DIGITS, 'dropout': 0.2}, optimizer=dict(name='lamb'))
    config['optimizer']['learning_rate'] = 0.01
    plain = train(tiny(**config, **fields), tmp_path / 'plain')
    probed = train(tiny(**config, **fields, probes=probe(**arguments)), tmp_path / 'probed')
    assert without_probe(probed) == plain
    assert all(row['gradient_trace'] > 0 for row in probed)


@pytest.mark.long
def test_pieces_and_microbatches_are_the_same_groups(tmp_path):
    fields = dict(workload=DIGITS, steps=8, num_rows=2)
    microbatches = train(tiny(microbatch=4, probes=probe(), **fields), tmp_path / 'microbatches')
    pieces = train(tiny(probes=probe(groups=4), **fields), tmp_path / 'pieces')
    mixed = train(tiny(microbatch=8, probes=probe(groups=2), **fields), tmp_path / 'mixed')
    for of_microbatches, of_pieces, of_both in zip(microbatches, pieces, mixed, strict=True):
        for name in ('gradient_trace', 'gradient_square', 'noise_scale'):
            np.testing.assert_allclose(of_pieces[name], of_microbatches[name], rtol=1e-4)
        # other groups, from half of the pairs
        np.testing.assert_allclose(
            of_both['gradient_trace'], of_microbatches['gradient_trace'], rtol=0.3
        )


@pytest.mark.long
@pytest.mark.parametrize('workload', [DIGITS, dict(name='linear_regression', size=100)])
def test_examples_are_pieces_of_one(tmp_path, workload):
    """By their squares, of a network of dense layers, and of one that is none."""
    fields = dict(workload=workload, steps=8, num_rows=2)
    pieces = train(tiny(probes=probe(groups=16, layers=True), **fields), tmp_path / 'pieces')
    examples = train(
        tiny(probes=probe(groups='examples', layers=True), **fields), tmp_path / 'examples'
    )
    halves = train(
        tiny(probes=probe(groups='examples'), microbatch=8, **fields), tmp_path / 'halves'
    )
    for of_pieces, of_examples, of_halves in zip(pieces, examples, halves, strict=True):
        assert set(of_pieces) == set(of_examples)
        for name, value in of_pieces.items():
            if value is None:  # an interval without an end
                assert of_examples[name] is None
            else:
                assert of_examples[name] == pytest.approx(value, rel=1e-3, abs=1e-5), name
        # a mean over two halves, each about its own mean
        assert of_halves['gradient_trace'] == pytest.approx(of_pieces['gradient_trace'], rel=0.3)


def test_examples_that_are_computed_apart_have_draws_of_their_own():
    """As dropout has: one draw for all would be no noise."""
    trial = components(*trial_plan(configs.resolve(tiny(batch_size=64), {})))

    def loss(params, state, examples, key):
        draws = jax.random.normal(key, (len(jax.tree.leaves(examples)[0]),))
        return {'loss': params['w'] * draws}, state

    trial = trial._replace(workload=trial.workload._replace(loss=loss))
    squares_of = by_example(trial, lambda examples: examples)
    _, squares = jax.jit(squares_of)({'w': jnp.ones(())}, {}, jnp.zeros((), jnp.int32))
    # the mean of 64 squares of normal numbers: deviation sqrt(2 / 64)
    assert abs(float(squares['w']) - 1) < 4 * np.sqrt(2 / 64)
    key = jax.random.fold_in(stream_key(trial.seed, MODEL), 0)
    assert float(squares['w']) != pytest.approx(float(jax.random.normal(key, (1,))[0] ** 2))


@pytest.mark.long
@pytest.mark.parametrize('groups', [1, 2, 'examples'])
def test_in_company_and_cut_it_is_what_it_is_alone(tmp_path, groups):
    """To the bit: two batch sizes and rates in one program, stopped once, and one of them alone."""
    fields = dict(workload=DIGITS, microbatch=4, num_checkpoints=6, probes=probe(groups=groups))
    sweep = (('optimizer.learning_rate', (0.02, 0.1)), ('batch_size', (8, 16)))
    company = tiny(**fields, sweep=sweep)
    left = iter([False, False, True])
    cut = train(company, tmp_path / 'company', should_stop=lambda: next(left))
    together = train(company, tmp_path / 'company')
    assert len(cut) < len(together) == 24
    alone = tiny(**fields, sweep=(('optimizer.learning_rate', (0.1,)), ('batch_size', (16,))))
    assert of_trial(train(alone, tmp_path / 'alone'), 0) == of_trial(together, 3)


@pytest.mark.long
@pytest.mark.parametrize('arguments', [dict(microbatch=8), dict(groups=4), dict(groups='examples')])
def test_on_eight_devices_it_is_what_it_is_on_one(tmp_path, arguments):
    """Order of sums aside. Pieces of 4 examples are fewer than the devices."""
    groups = arguments.pop('groups', 1)
    fields = dict(workload=DIGITS, **arguments, probes=probe(groups=groups))
    one = train(tiny(**fields, data_parallel=1), tmp_path / 'one')
    eight = train(tiny(**fields, data_parallel=8), tmp_path / 'eight')
    for of_one, of_eight in zip(one, eight, strict=True):
        for name in ('gradient_trace', 'gradient_square', 'loss'):
            np.testing.assert_allclose(of_eight[name], of_one[name], rtol=1e-3, atol=1e-5)


BATCH_NORM = dict(**DIGITS, batch_norm=True)


@pytest.mark.parametrize(
    'fields, arguments, message',
    [
        (dict(), dict(), 'one group, a batch of 16 in one microbatch; allowed: a microbatch'),
        (dict(microbatch=16), dict(), 'one group'),
        (dict(), dict(groups=3), 'groups 3 and 16 examples at once; allowed: a divisor of 16'),
        (dict(workload=BATCH_NORM), dict(groups='examples'), "the workload's ghost"),
        (dict(workload=BATCH_NORM), dict(groups=2), "the workload's ghost, a divisor of 8"),
        (dict(workload={**BATCH_NORM, 'ghost': 8}), dict(groups=4), 'groups of whole ghosts'),
        (dict(replicas=dict(name='synchronous', workers=2)), dict(groups=2), 'one worker'),
        (dict(), dict(groups=2, preconditioned=True), '0 second moments'),
        (dict(), dict(groups='examples', preconditioned=True), 'more than the square of each'),
        (dict(), dict(groups='examples', stacked_axes=1), 'more than the square of each'),
    ],
)
def test_groups_that_there_are_not_are_refused(fields, arguments, message):
    config = tiny(**fields, probes=probe(**arguments))
    with pytest.raises(Refusal, match=message):
        plan([configs.resolve(config, {})])


def test_probes_that_want_different_groups_are_refused():
    config = tiny(probes=(*probe(groups=2), *probe(groups=4, prefix='four_')))
    with pytest.raises(Refusal, match=r'groups \[2, 4\]; allowed: one number'):
        plan([configs.resolve(config, {})])


def test_batch_norm_over_ghosts_or_microbatches_is_measured():
    ghosts = tiny(workload={**BATCH_NORM, 'ghost': 4}, probes=probe(groups=2))
    microbatches = tiny(workload=BATCH_NORM, microbatch=8, probes=probe())
    assert plan([configs.resolve(ghosts, {})]) and plan([configs.resolve(microbatches, {})])


PARAMS = {'a': jnp.arange(1.0, 7.0).reshape(2, 3), 'b': jnp.ones(3)}
GRADIENT = {'a': jnp.asarray([[0.5, -1.0, 2.0], [1.0, 0.1, -0.3]]), 'b': jnp.asarray([1.0, 0, 3])}


def measured(optimizer, **arguments):
    """Of GRADIENT, after one update with it."""
    _, state = optimizer.update(GRADIENT, optimizer.init(PARAMS), PARAMS)
    groups = gradient_noise_scale(2, layers=True, **arguments).groups
    return groups.measure(GRADIENT, PARAMS, (optax.EmptyState(), state))


def test_squares_by_layer():
    squares = measured(sgd(0.1), stacked_axes={'a': 1})
    a, b = np.asarray(GRADIENT['a']), np.asarray(GRADIENT['b'])
    np.testing.assert_allclose(squares['a'], (a**2).sum(1), rtol=1e-6)
    np.testing.assert_allclose(squares['b'], (b**2).sum(), rtol=1e-6)
    np.testing.assert_allclose(squares[''], (a**2).sum() + (b**2).sum(), rtol=1e-6)


def test_adam_sees_gradients_over_the_root_of_the_second_moment():
    """After one update v = (1 - b2) g^2, so that g^2 / sqrt(v) = |g| / sqrt(1 - b2)."""
    squares = measured(adamw(0.1, b2=0.99), preconditioned=True, eps=0.0)
    np.testing.assert_allclose(squares['a'], 10 * np.abs(GRADIENT['a']).sum(), rtol=1e-5)
    np.testing.assert_allclose(squares['b'], 10 * np.abs(GRADIENT['b']).sum(), rtol=1e-5)


def test_lamb_sees_them_times_the_trust_ratio_of_the_layer():
    """Unadapted: the vector b. Of one layer and of two that are stacked."""
    for stacked_axes in (None, {'a': 1}):
        adapt = 'all' if stacked_axes else 'matrices'
        optimizer = lamb(
            0.1, b2=0.99, adapt=['a'] if stacked_axes else adapt, stacked_axes=stacked_axes
        )
        _, state = optimizer.update(GRADIENT, optimizer.init(PARAMS), PARAMS)
        squares = measured(optimizer, preconditioned=True, eps=0.0, stacked_axes=stacked_axes)
        plain = 10 * np.abs(GRADIENT['a'])
        expected = plain.sum(1) if stacked_axes else plain.sum()
        np.testing.assert_allclose(
            squares['a'], expected * np.squeeze(state.stats.ratio), rtol=1e-5
        )
        np.testing.assert_allclose(squares['b'], 10 * np.abs(GRADIENT['b']).sum(), rtol=1e-5)


@pytest.mark.long
def test_a_row_is_of_its_own_updates():
    """Values far from each other in two rows, told apart."""
    part = gradient_noise_scale(2, every=2)
    squares = part.groups.measure(GRADIENT, PARAMS, ())
    state = part.init(_info(0, 0.0, squares))
    for step in range(3, 21):
        state = part.update(state, _info(step, 1.0 if step <= 12 else 100.0, squares))
        if step == 12:
            first = part.summary(state)
    second = part.summary(state)
    assert first['noise_updates'] == 5 and second['noise_updates'] == 4
    np.testing.assert_allclose([first['gradient_trace'], second['gradient_trace']], [1, 100])


def test_a_row_has_a_ratio_of_means_and_negative_squares_count():
    """Not the mean of the ratios, 0.25, and not the 2 of squares that are clipped."""
    part = gradient_noise_scale(2)
    shapes = part.groups.measure(GRADIENT, PARAMS, ())
    state = part.init(_info(0, 0.0, shapes))
    for step, trace, square in ((1, 1.0, -1.0), (2, 3.0, 2.0)):
        info = _info(step, trace, shapes)
        squares = jax.tree.map(lambda x, square=square: jnp.full(x.shape, square), shapes)
        state = part.update(state, info._replace(noise=info.noise._replace(square=squares)))
    row = part.summary(state)
    assert (row['gradient_trace'], row['gradient_square'], row['noise_scale']) == (2.0, 0.5, 4.0)


def _info(step, value, squares):
    tree = jax.tree.map(lambda square: jnp.full(square.shape, value), squares)
    zero = jnp.zeros(())
    noise = GradientNoise(tree, tree, jnp.asarray(16.0))
    is_row = jnp.asarray(step in (2, 12, 20))
    return UpdateInfo(jnp.asarray(step), zero, GRADIENT, GRADIENT, PARAMS, (), zero, is_row, noise)
