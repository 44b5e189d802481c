"""Probes of curvature through the engine: what they write is what the functions say of the trained
network."""

import jax
import numpy as np
import pytest
from networks import trained
from training import rows, tiny

import lbexp
from lbexp.curvature import lanczos, operators
from lbexp.errors import Refusal

DIGITS = dict(name='digits_mlp', hidden=(8,))
MOMENTUM = dict(name='momentum', learning_rate=0.1, momentum=0.9)


def measured(tmp_path, probes, **fields):
    config = tiny(
        workload=DIGITS,
        probes=probes,
        **{'optimizer': MOMENTUM, 'steps': 8, 'batch_size': 64, 'num_evaluations': 1, **fields},
    )
    workdir = trained(config, tmp_path / 'run')
    return workdir, [row for row in rows(workdir) if any(map(is_curvature, row))][-1]


def is_curvature(name):
    return name.startswith(('hessian', 'noise', 'spectral', 'sam', 'gauss', 'preconditioned'))


@pytest.mark.long
def test_the_columns_of_a_run(tmp_path):
    probes = [
        dict(name='hessian', examples=128, products=12, layers=('Dense_1',)),
        dict(name='hessian_trace', examples=128, samples=4, matrix='gauss_newton'),
        dict(name='spectral_density', examples=128, products=6, probes=2),
        dict(name='sharpness', examples=128, steps=4, products=4),
        dict(name='noise_covariance', examples=128, groups=8, eigenvalues=2, products=6),
        dict(name='hessian_noise_scale', examples=128, groups=8),
    ]
    workdir, row = measured(tmp_path, probes)
    trial = lbexp.open(workdir).trial()
    objective = trial.objective(examples=128)
    product = operators.hessian_product(objective.loss, trial.params)
    # another start: the end of the spectrum is the same
    ends = lanczos.extremes(product, trial.params, jax.random.key(5), 20, 2)
    np.testing.assert_allclose(row['hessian_top'][:2], ends.top, rtol=2e-3)
    assert max(row['hessian_top_residual'][:2]) < 0.05 * row['hessian_top'][0]
    assert row['hessian_stability'] == pytest.approx(0.1 * row['hessian_top'][0] / 2, rel=1e-5)
    loss, last = operators.restricted(objective.loss, trial.params, ['Dense_1'])
    block = lanczos.extremes(operators.hessian_product(loss, last), last, jax.random.key(5), 20, 1)
    assert row['hessian_top:Dense_1'][0] == pytest.approx(float(block.top[0]), rel=2e-3)
    # a block's largest eigenvalue is at most the whole's
    assert row['hessian_top:Dense_1'][0] <= row['hessian_top'][0] * (1 + 1e-4)
    assert row['gauss_newton_trace'] > 3 * row['gauss_newton_trace_error'] > 0
    assert np.shape(row['spectral_nodes']) == (2, 6)
    np.testing.assert_allclose(np.sum(row['spectral_weights'], axis=1), 1, rtol=1e-4)
    assert row['sam_sharpness'] >= row['sam_one_step'] > 0
    assert 0 < row['noise_in_top_space'] < 1
    assert row['hessian_noise'] is not None
    # an end that is infinite is null in a row; the ratio is a number where both are finite alone
    is_resolved = row['hessian_noise_scale'] is not None
    assert is_resolved == (row['hessian_noise_scale_high'] is not None)


@pytest.mark.long
def test_preconditioned_by_the_optimizer_that_trains(tmp_path):
    probe = dict(name='hessian', examples=64, products=8, preconditioned=True, eps=1e-8)
    optimizer = dict(name='adamw', learning_rate=0.01)
    _, row = measured(tmp_path, [probe], optimizer=optimizer)
    assert row['preconditioned_hessian_top'][0] > 0
    assert row['preconditioned_hessian_top'][0] > row['preconditioned_hessian_top'][1]


WRONG = {
    'hessian': (dict(layers=('Conv',)), "layers: found 'Conv'"),
    'hessian ': (dict(preconditioned=True), 'optimizer: found'),
    'noise_covariance': (dict(groups=4, eigenvalues=4), 'allowed: 10 or more groups'),
    'hessian_noise_scale': (dict(groups=2), 'groups: found 2; allowed: 3 or more'),
    'hessian_trace': (dict(samples=1), 'samples: found 1'),
}


@pytest.mark.parametrize('name', WRONG)
def test_what_cannot_be_measured_is_refused_before_training(tmp_path, name):
    arguments, message = WRONG[name]
    probe = dict(name=name.strip(), examples=64, **arguments)
    with pytest.raises((Refusal, ValueError), match=message):
        measured(tmp_path, [probe])
    assert not (tmp_path / 'run' / 'metrics.jsonl').exists()
