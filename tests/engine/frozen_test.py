"""Parameters that stay as they are: to the bit, without gradient and optimizer state, whatever
trains the others."""

import jax
import numpy as np
import pytest
from networks import trained
from training import of_trial, rows, tiny, train

import lbexp
from lbexp import config as configs
from lbexp.engine.components import components
from lbexp.engine.frozen import bound, joined, split
from lbexp.engine.plan import plan
from lbexp.engine.run import build_once
from lbexp.engine.state import INIT, stream_key
from lbexp.engine.step import initial_state
from lbexp.errors import Refusal

DIGITS = dict(name='digits_mlp', hidden=(8,), batch_norm=True, ghost=4)
DECAYED = dict(name='adamw', learning_rate=0.01, weight_decay=0.5)
MOMENTUM = dict(name='momentum', learning_rate=0.05, momentum=0.9)


def initial(config):
    """The parameters that the trial begins with, frozen or not."""
    resolved = configs.resolve(config, {})
    workload = components(resolved, 1).workload
    return workload.init(stream_key(resolved['seed'], INIT))[0]


def flat(params):
    return {jax.tree_util.keystr(path): leaf for path, leaf in jax.tree.leaves_with_path(params)}


@pytest.mark.long
@pytest.mark.parametrize(
    'fields',
    [
        dict(optimizer=DECAYED),
        dict(optimizer=dict(name='lookahead', k=3, inner=DECAYED)),
        dict(optimizer=dict(name='lamb', learning_rate=0.01, weight_decay=0.1, adapt='all')),
        dict(microbatch=8),
        dict(replicas=dict(name='local_sgd', workers=3, k=2, slow_step_size=0.7), batch_size=24),
        dict(replicas=dict(name='synchronous', workers=2)),
        dict(data_parallel=2, sharding='fsdp', workload=dict(DIGITS, hidden=(128,))),
        dict(transforms=[dict(name='gradient_noise', eta=0.1, gamma=0.55)]),
    ],
    ids=['adamw', 'lookahead', 'lamb', 'microbatch', 'local_sgd', 'synchronous', 'fsdp', 'noise'],
)
def test_frozen_parameters_are_unchanged_to_the_bit(tmp_path, fields):
    config = tiny(**{'workload': DIGITS, 'freeze': ('Dense_0', 'BatchNorm_0/bias'), **fields})
    trial = lbexp.open(trained(config, tmp_path / 'run')).trial(0)
    before, after = flat(initial(config)), flat(trial.params)
    assert before.keys() == after.keys()
    for name, values in after.items():
        is_frozen = 'Dense_0' in name or name == "['BatchNorm_0']['bias']"
        assert np.array_equal(values, before[name]) == is_frozen, name
    # what is opened is what was evaluated
    evaluated = trial.evaluate('test')['accuracy']
    assert evaluated == pytest.approx(trial.metrics['test_accuracy'], abs=1e-6)


def test_nothing_is_kept_of_them_and_no_gradient_is_taken():
    """Neither optimizer state nor gradient has their arrays, and the backward pass has no product
    for the first layer's kernel."""
    config = tiny(workload=dict(name='digits_mlp', hidden=(8,)), optimizer=DECAYED)
    config.freeze = ('Dense_0',)
    trial = components(configs.resolve(config, {}), 24)
    state = jax.eval_shape(lambda: initial_state(trial))
    shapes = [leaf.shape for leaf in jax.tree.leaves(state._replace(frozen=()))]
    assert (64, 8) not in shapes and (8,) not in shapes
    assert sorted(leaf.shape for leaf in jax.tree.leaves(state.frozen)) == [(8,), (64, 8)]

    def products(frozen):
        full = components(configs.resolve(config, {'freeze': frozen}), 24)

        def loss(params, frozen_params, examples):
            workload = bound(full, frozen_params).workload
            return workload.loss(params, {}, examples, jax.random.key(0))[0]['loss'].mean()

        examples = {'image': np.zeros((4, 8, 8, 1), np.uint8), 'label': np.zeros(4, np.int32)}
        parts = split(frozen, initial(config))
        compiled = jax.jit(jax.grad(loss)).lower(*parts, examples).as_text()
        return compiled.count('dot_general')

    # forward 2; backward: both kernels and the hidden layer, or the last kernel alone
    assert (products([]), products(['Dense_0'])) == (5, 3)


@pytest.mark.long
def test_the_others_train_as_if_they_were_all(tmp_path):
    """One step of SGD moves what trains exactly as where all of it does."""
    fields = dict(workload=DIGITS, optimizer=dict(name='sgd', learning_rate=0.1), steps=1)
    fields |= dict(num_rows=1, num_evaluations=1, num_checkpoints=1)
    whole = lbexp.open(trained(tiny(**fields), tmp_path / 'whole')).trial(0)
    frozen = tiny(**fields, freeze=('Dense_0',))
    part = lbexp.open(trained(frozen, tmp_path / 'part')).trial(0)
    for name in ('BatchNorm_0', 'Dense_1'):
        for kind, values in part.params[name].items():
            np.testing.assert_allclose(values, whole.params[name][kind], atol=1e-7)
    assert not np.array_equal(part.params['Dense_0']['kernel'], whole.params['Dense_0']['kernel'])


@pytest.mark.long
def test_alone_is_in_company_and_stopped_is_whole(tmp_path):
    config = tiny(workload=DIGITS, freeze=('Dense_0',), optimizer=MOMENTUM)
    config.sweep = (('seed', (0, 1, 2)),)
    assert len(plan([configs.resolve(config, {'seed': seed}) for seed in (0, 1, 2)])) == 1
    together = train(config, tmp_path / 'together')
    answers = iter([False, False])
    train(config, tmp_path / 'cut', should_stop=lambda: next(answers, True))
    assert train(config, tmp_path / 'cut') == together
    config.sweep, config.seed = (), 1
    assert of_trial(train(config, tmp_path / 'alone'), 0) == of_trial(together, 1)


@pytest.mark.long
def test_probes_see_what_trains(tmp_path):
    """Norms are of trained parameters; groups of gradients and curvature work beside frozen
    ones."""
    config = tiny(workload=dict(name='digits_mlp', hidden=(8,)), freeze=('Dense_0',))
    config.probes = (
        dict(name='gradient_noise_scale', groups=4),
        dict(name='hessian', examples=32, eigenvalues=1, products=4),
    )
    last = train(config, tmp_path / 'run')[-1]
    assert last['hessian_top'][0] > 0 and last['noise_scale'] > 0
    trained(config, tmp_path / 'open')
    params = lbexp.open(tmp_path / 'open').trial(0).params['Dense_1']
    norm = np.sqrt(sum((np.asarray(leaf, float) ** 2).sum() for leaf in params.values()))
    assert rows(tmp_path / 'open')[-1]['parameter_norm'] == pytest.approx(norm, rel=1e-5)


@pytest.mark.long
def test_an_export_has_all_parameters(tmp_path):
    config = tiny(workload=DIGITS, freeze=('Dense_0',))
    lbexp.open(trained(config, tmp_path / 'run')).trial(0).export(tmp_path / 'a.npz', 'npz')
    with np.load(tmp_path / 'a.npz') as file:
        assert {'params/Dense_0/kernel', 'params/Dense_1/kernel'} <= set(file.files)


@pytest.mark.parametrize(
    'patterns, problem',
    [
        (['Dense_7'], "freeze: found 'Dense_7', which matches no parameter. There are: "),
        (['.*'], r"freeze: found \['.*'\], which match every parameter; allowed: some that train"),
    ],
)
def test_what_matches_nothing_or_everything_is_refused(patterns, problem):
    config = tiny(workload=DIGITS, freeze=patterns)
    with pytest.raises((Refusal, ValueError), match=problem):
        build_once([configs.resolve(config, {})], trace=True)


def test_halves_make_a_whole():
    params = {'a': {'x': np.ones(2), 'y': np.zeros(3)}, 'b': [np.ones(1), np.zeros(1)]}
    trained_half, frozen_half = split(['a/x', 'b/1'], params)
    assert len(jax.tree.leaves(trained_half)) == len(jax.tree.leaves(frozen_half)) == 2
    assert jax.tree.structure(joined(trained_half, frozen_half)) == jax.tree.structure(params)
    assert split([], params) == (params, ())
