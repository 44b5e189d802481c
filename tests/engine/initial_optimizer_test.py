"""Trials that go on with the optimizer state of their source: as it would have gone on itself, and
refused where they could not."""

import jax
import numpy as np
import pytest
from networks import prepared, trained
from training import of_trial, tiny, train

import lbexp
from lbexp import config as configs
from lbexp.engine.plan import plan
from lbexp.engine.run import build_once
from lbexp.errors import Refusal

WHOLE = 100  # examples of the training set: a batch of all has no order
MOMENTUM = dict(name='momentum', learning_rate=0.05, momentum=0.9)
OPTIMIZERS = {
    'momentum': MOMENTUM,
    'adamw': dict(name='adamw', learning_rate=0.05),
    # evaluated are its slow weights, trained are others; 12 is within a cycle
    'lookahead': dict(name='lookahead', k=5, inner=MOMENTUM),
}


def going_on(source, **fields):
    """12 more updates from a source; fields of 'init_from' by their names."""
    settings = {'optimizer_state': True}
    for name in ('trial', 'take', 'rename', 'optimizer_state'):
        if name in fields:
            settings[name] = fields.pop(name)
    config = tiny(**{'steps': 12, 'batch_size': WHOLE, 'seed': 1, **fields})
    config.init_from.update(weights=str(source), **settings)
    return config


def weights(workdir):
    params = lbexp.open(workdir).trial(0).params
    return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(params)])


@pytest.mark.long
@pytest.mark.parametrize('name', OPTIMIZERS)
def test_it_goes_on_as_the_source_would_have(tmp_path, name):
    optimizer = OPTIMIZERS[name]
    half = trained(tiny(optimizer=optimizer, steps=12, batch_size=WHOLE, seed=1), tmp_path / 'half')
    whole = trained(
        tiny(optimizer=optimizer, steps=24, batch_size=WHOLE, seed=1), tmp_path / 'whole'
    )
    ends = {}
    for takes in (True, False):
        config = going_on(half, optimizer=optimizer, optimizer_state=takes)
        prepared(config)
        ends[takes] = weights(trained(config, tmp_path / str(takes)))
    moved = np.linalg.norm(weights(whole) - weights(half))
    assert np.linalg.norm(ends[True] - weights(whole)) < 1e-4 * moved
    assert np.linalg.norm(ends[False] - weights(whole)) > 1e-2 * moved


@pytest.fixture(scope='module')
def source(tmp_path_factory):
    sweep = (('seed', (0, 1, 2)),)
    return trained(tiny(steps=12, sweep=sweep), tmp_path_factory.mktemp('source') / 'run')


@pytest.mark.parametrize(
    'fields, problem',
    [
        (
            dict(optimizer=dict(name='sgd', learning_rate=0.1)),
            r'found opt_state/velocity/bias there alone',
        ),
        (
            dict(optimizer=dict(name='adamw', learning_rate=0.1)),
            'found opt_state/mu/bias here alone, .*, opt_state/velocity/kernel there alone',
        ),
        (dict(schedule=dict(name='cosine')), 'found schedule .*cosine.*; allowed: constant'),
        (dict(schedule=dict(name='constant', warmup=0.1)), 'found schedule .*warmup'),
        (dict(take=('kernel',)), r"found take \['kernel'\]; allowed: all"),
        (
            dict(replicas=dict(name='local_sgd', workers=2, k=2)),
            'found replicas; allowed: none; found',
        ),
    ],
)
def test_what_cannot_go_on_is_refused(source, fields, problem):
    with pytest.raises(Refusal, match=f'^init_from.optimizer_state: .*{problem}') as refused:
        prepared(going_on(source, **fields))
    assert '\n' not in str(refused.value)


def test_a_file_of_weights_has_no_optimizer_state(source, tmp_path):
    lbexp.open(source).trial(0).export(tmp_path / 'a.npz', 'npz')
    with pytest.raises(Refusal, match=r'found none in trial 0 of .*a\.npz with its optimizer'):
        prepared(going_on(tmp_path / 'a.npz'))


def test_there_have_to_be_weights():
    config = tiny()
    config.init_from.optimizer_state = True
    with pytest.raises(Refusal, match=r'found no init_from\.weights'):
        build_once([configs.resolve(config, {})])


def test_workers_have_no_state_in_common(tmp_path):
    several = tiny(replicas=dict(name='local_sgd', workers=2, k=2), steps=4)
    workdir = trained(several, tmp_path / 'run')
    with pytest.raises(Refusal, match='found a source with replicas, trial 0; allowed: one'):
        prepared(going_on(workdir))


@pytest.mark.long
def test_branches_of_several_trials_are_one_program(source, tmp_path):
    """Each begins from its own, at a batch size of its own, and alone is in company."""
    paths = ('init_from.trial', 'batch_size', 'steps')
    sweep = ((paths, ((0, 8, 16), (2, 16, 8), (2, 32, 4))),)
    config = going_on(source, sweep=sweep, microbatch=8, num_rows=2, num_evaluations=1)
    assert len(plan(prepared(config))) == 1
    together = train(config, tmp_path / 'together')
    config.sweep, config.batch_size, config.steps = (), 16, 8
    config.init_from.trial = 2
    prepared(config)
    alone = train(config, tmp_path / 'alone')
    assert of_trial(alone, 0) == of_trial(together, 1)


def test_weights_alone_are_another_source(source):
    """Of one trial, with its state and without: neither stands for the other."""
    from lbexp.engine import initial_weights

    both = prepared(going_on(source)) + prepared(going_on(source, optimizer_state=False))
    digests = [initial_weights.sha256(trial['init_from']) for trial in both]
    assert digests[0] != digests[1]
    names = [set(initial_weights.arrays(trial['init_from'])) for trial in both]
    assert names[1] == {'params/kernel', 'params/bias'}
    assert names[1] < names[0] and 'opt_state/velocity/kernel' in names[0]
