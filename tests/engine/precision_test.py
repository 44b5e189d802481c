"""Runs in bfloat16: what stays float32, what equals what, and what is refused."""

import jax
import numpy as np
import pytest
from experiment_files import problems
from networks import trained
from training import of_trial, rows, tiny

import lbexp

NORMED = dict(name='digits_mlp', hidden=(16,), batch_norm=True, ghost=8)
PROBES = (
    dict(name='gradient_noise_scale', groups=2),
    dict(name='directional_curvature', examples=200, batch_norm='frozen'),
)
LOW = tiny(
    workload=NORMED,
    precision='bfloat16',
    optimizer=dict(name='adamw', learning_rate=0.01),
    freeze=('Dense_1/kernel',),
    probes=PROBES,
    sweep=((('optimizer.learning_rate', 'seed'), ((0.01, 0), (0.003, 1), (0.01, 2))),),
)


@pytest.fixture(scope='module')
def low(tmp_path_factory):
    return trained(LOW, tmp_path_factory.mktemp('low') / 'run')


@pytest.fixture(scope='module')
def whole(tmp_path_factory):
    config = LOW.copy_and_resolve_references()
    config.precision = 'float32'
    return trained(config, tmp_path_factory.mktemp('whole') / 'run')


def test_what_is_kept_is_float32_and_what_is_frozen_stays_to_the_bit(low, whole):
    state, exact = (lbexp.open(workdir).trial(1).state for workdir in (low, whole))
    kept = (state.params, state.opt_state, state.model_state)
    dtypes = {str(leaf.dtype) for leaf in jax.tree.leaves(kept)}
    assert 'float32' in dtypes and 'bfloat16' not in dtypes
    kernels = [lbexp.open(each).trial(1).params['Dense_1']['kernel'] for each in (low, whole)]
    np.testing.assert_array_equal(*kernels)
    moved = [each.params['Dense_0']['kernel'] for each in (state, exact)]
    assert not np.array_equal(*moved)
    # not rounded at the end of an update: small updates are not lost
    assert (np.asarray(moved[0]).view(np.uint32) & 0xFFFF).any()


def test_rows_are_near_those_of_float32(low, whole):
    """Before the trajectories part. What a probe measures is of the network as it is computed, its
    second derivatives too."""
    row, exact = (of_trial(rows(workdir), 0)[1] for workdir in (low, whole))
    assert row.keys() == exact.keys()
    names = 'loss', 'test_loss', 'gradient_norm', 'noise_scale', 'directional_curvature'
    for name in names:
        assert row[name] == pytest.approx(exact[name], rel=4 * 2**-8), name
        assert row[name] != exact[name], name


@pytest.mark.long
def test_a_trial_alone_is_what_it_is_in_company(low, tmp_path):
    fields = LOW.copy_and_resolve_references()
    fields.sweep, fields.seed, fields.optimizer.learning_rate = (), 1, 0.003
    alone = trained(fields, tmp_path / 'alone')
    assert of_trial(rows(alone), 0) == of_trial(rows(low), 1)


def test_what_is_opened_computes_as_it_was_evaluated(low, whole):
    trial = lbexp.open(low).trial(2)
    means = trial.evaluate('test')
    for name, mean in means.items():
        assert mean == pytest.approx(trial.metrics[f'test_{name}'], rel=1e-6)
    assert trial.evaluate('test') != lbexp.open(whole).trial(2).evaluate('test')


@pytest.mark.parametrize(
    ('fields', 'expected'),
    [
        (dict(precision='bfloat17'), ["precision: found 'bfloat17'", "Did you mean 'bfloat16'?"]),
        (dict(precision='bfloat16'), ['with the workload linear_regression', "allowed: 'float32'"]),
    ],
)
def test_what_is_no_precision_is_told_in_one_line(experiment, capsys, fields, expected):
    arguments = [f'--config.{name}={value}' for name, value in fields.items()]
    (line,) = problems(capsys, f'--config={experiment}', *arguments)
    for words in expected:
        assert words in line
