"""Factors of the learning rate by parameter: what a rate of their own would do, under each
optimizer."""

import jax
import numpy as np
import pytest
from networks import trained
from training import of_trial, tiny, train

import lbexp
from lbexp import config as configs
from lbexp.engine.components import components
from lbexp.engine.plan import plan
from lbexp.engine.run import build_once
from lbexp.errors import Refusal

DIGITS = dict(name='digits_mlp', hidden=(8,))


def rates_of(name, rate):
    """The optimizer `name` at this learning rate; lookahead around momentum."""
    if name == 'lookahead':
        return dict(name='lookahead', k=3, inner=rates_of('momentum', rate))
    decay = {} if name == 'momentum' else {'weight_decay': 0.1}
    return dict(name=name, learning_rate=rate, **decay)


@pytest.mark.long
@pytest.mark.parametrize('name', ['momentum', 'adamw', 'lamb', 'lars', 'novograd', 'lookahead'])
def test_a_factor_of_all_is_another_learning_rate(tmp_path, name):
    fields = dict(workload=DIGITS, schedule=dict(name='cosine'))
    halved = train(tiny(**fields, optimizer=rates_of(name, 0.01)), tmp_path / 'halved')
    scaled = tiny(**fields, optimizer=rates_of(name, 0.02), rates=(('', 0.5),))
    scaled = train(scaled, tmp_path / 'scaled')
    for a, b in zip(halved, scaled, strict=True):
        for column in ('loss', 'test_loss', 'parameter_norm', 'update_norm'):
            if column in a:
                assert a[column] == pytest.approx(b[column], rel=2e-4), column


@pytest.mark.long
def test_the_first_pattern_that_matches_counts(tmp_path):
    """0 leaves a parameter as it is; what nothing matches has the rate of the optimizer."""
    sgd = dict(name='sgd', learning_rate=0.1)
    once = dict(workload=DIGITS, optimizer=sgd, steps=1, num_rows=1, num_evaluations=1)
    plain = lbexp.open(trained(tiny(**once), tmp_path / 'plain')).trial(0).params
    rates = (('Dense_0/bias', 0.0), ('Dense_0', 3.0))
    scaled = lbexp.open(trained(tiny(**once, rates=rates), tmp_path / 'scaled')).trial(0).params
    none = lbexp.open(trained(tiny(**once, rates=(('', 0.0),)), tmp_path / 'none')).trial(0).params

    def moved(params, layer, kind):
        return np.asarray(params[layer][kind], float) - none[layer][kind]

    assert np.abs(moved(plain, 'Dense_0', 'bias')).max() > 0
    assert not moved(scaled, 'Dense_0', 'bias').any()
    expected = 3 * moved(plain, 'Dense_0', 'kernel')
    np.testing.assert_allclose(moved(scaled, 'Dense_0', 'kernel'), expected, atol=1e-6)
    np.testing.assert_array_equal(scaled['Dense_1']['kernel'], plain['Dense_1']['kernel'])


@pytest.mark.long
def test_factors_are_numbers_of_one_program(tmp_path):
    values = [(('Dense_0', factor),) for factor in (0.1, 0.0, 2.0)]
    config = tiny(workload=DIGITS, sweep=(('rates', values),))
    resolved = [configs.resolve(config, overrides) for overrides in configs.trials(config)]
    (cohort,) = plan(resolved)
    assert sorted(cohort.numbers['rates.0.1'].tolist()) == [0.0, 0.1, 2.0]
    together = train(config, tmp_path / 'together')
    config.sweep, config.rates = (), values[2]
    assert of_trial(train(config, tmp_path / 'alone'), 0) == of_trial(together, 2)


def test_the_state_is_the_optimizers():
    config = tiny(workload=DIGITS)
    states = []
    for rates in ((), (('', 0.5),)):
        trial = components(configs.resolve(config, {'rates': rates}), 24)
        params, _ = trial.workload.init(jax.random.key(0))
        states.append(jax.eval_shape(trial.optimizer.init, params))
    assert states[0] == states[1]


@pytest.mark.parametrize(
    'fields, problem',
    [
        (dict(rates=(('Dense_9', 1.0),)), "rates: found 'Dense_9', which matches no parameter"),
        (
            dict(
                rates=(('', 0.5),),
                optimizer=dict(name='optax.contrib:schedule_free_sgd', learning_rate=0.1),
            ),
            'rates: found optax.contrib:schedule_free_sgd, which keeps an average of the weights',
        ),
    ],
)
def test_what_cannot_be_scaled_is_refused(fields, problem):
    config = tiny(workload=DIGITS, **fields)
    with pytest.raises((Refusal, ValueError), match=problem):
        build_once([configs.resolve(config, {})], trace=True)
