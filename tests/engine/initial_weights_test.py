"""Trials that begin from other weights: what is taken, what is refused, and that a run neither
needs them twice nor takes others unseen."""

import json
import shutil

import jax
import numpy as np
import pytest
from networks import trained
from training import of_trial, rows, tiny, train

import lbexp
from lbexp import config as configs
from lbexp import main
from lbexp.config import lookup
from lbexp.engine import initial_weights
from lbexp.engine.arguments import data
from lbexp.engine.components import components
from lbexp.engine.plan import plan
from lbexp.engine.run import build_once
from lbexp.errors import Refusal
from lbexp.trained.initial_weights import gather

NORMED = dict(name='digits_mlp', hidden=(8,), batch_norm=True)
SOURCE = tiny(workload=NORMED, sweep=(('seed', (0, 1, 2)),))


@pytest.fixture(scope='module')
def source(tmp_path_factory):
    return trained(SOURCE, tmp_path_factory.mktemp('source') / 'run')


def begun(weights, **fields):
    """A configuration that begins from `weights`; fields of 'init_from' by their names."""
    settings = {name: fields.pop(name) for name in ('trial', 'take', 'rename') if name in fields}
    config = tiny(**{'workload': NORMED, **fields})
    config.init_from.update(weights=str(weights), **settings)
    return config


def resolved(config, **overrides):
    return configs.resolve(config, overrides)


def initial(config):
    """(params, model_state) with which the trial begins."""
    trial = resolved(config)
    gather([trial], None)
    arrays = data(trial['workload'], trial['init_from'])
    return components(trial, 1, arrays).workload.init(jax.random.key(0))


def same(left, right):
    return jax.tree.map(np.array_equal, left, right)


def test_parameters_and_statistics_are_those_of_the_source(source):
    there = lbexp.open(source).trial(1)
    params, model_state = initial(begun(source, trial=1))
    assert all(jax.tree.leaves(same(params, there.params)))
    assert all(jax.tree.leaves(same(model_state, there.model_state)))
    assert not np.array_equal(
        params['Dense_0']['kernel'], initial(tiny(workload=NORMED))[0]['Dense_0']['kernel']
    )


def tiny_fresh():
    return tiny(workload=NORMED)


@pytest.mark.parametrize('take', [('Dense_1',), ('!Dense_0', '!BatchNorm')])
def test_patterns_say_what_is_taken(source, take):
    """Statistics go with the parameters of their layer."""
    there = lbexp.open(source).trial(0)
    params, model_state = initial(begun(source, take=take))
    fresh, fresh_state = initial(tiny(workload=NORMED))
    assert all(jax.tree.leaves(same(params['Dense_1'], there.params['Dense_1'])))
    for layer in ('Dense_0', 'BatchNorm_0'):
        assert all(jax.tree.leaves(same(params[layer], fresh[layer])))
    assert all(jax.tree.leaves(same(model_state, fresh_state)))
    _, model_state = initial(begun(source, take=('BatchNorm_0/scale',)))
    assert all(jax.tree.leaves(same(model_state, there.model_state)))


def test_names_may_be_changed(source, tmp_path):
    there = lbexp.open(source).trial(0)
    kernel = np.asarray(there.params['Dense_1']['kernel'])
    np.savez(tmp_path / 'mine.npz', **{'head/kernel': kernel})
    config = begun(tmp_path / 'mine.npz', rename=(('^head', 'Dense_1'),))
    params, _ = initial(config)
    np.testing.assert_array_equal(params['Dense_1']['kernel'], kernel)
    workload = lookup.build('workload', resolved(config)['workload'])
    words = initial_weights.in_words(resolved(config)['init_from'], workload)
    assert '1 of 5 parameters, 0 of 2 arrays of the model state' in words
    assert 'fresh: params/BatchNorm_0/bias' in words


@pytest.mark.parametrize('format', ['safetensors', 'npz', 'msgpack'])
def test_files_are_as_the_workdir(source, tmp_path, format):
    path = tmp_path / f'weights.{format}'
    lbexp.open(source).trial(0).export(path, format)
    from_file, from_workdir = initial(begun(path)), initial(begun(source))
    assert all(jax.tree.leaves(same(from_file, from_workdir)))


@pytest.mark.parametrize(
    'fields, problem',
    [
        (
            dict(workload=dict(NORMED, hidden=(9,))),
            r'init_from: found params/BatchNorm_0/bias \(8,\) there, \(9,\) here; .*'
            r'params/Dense_0/kernel \(64, 8\) there, \(64, 9\) here',
        ),
        (dict(take=('Dense_9',)), "init_from.take: found 'Dense_9', which matches no parameter"),
        (dict(rename=(('^', 'x/'),)), 'and of these nothing to take; allowed: some of'),
        (dict(trial=7), 'trial: found 7 in .*; allowed: 0, 1, 2'),
    ],
)
def test_what_does_not_fit_is_refused(source, fields, problem):
    with pytest.raises((Refusal, ValueError), match=problem) as refused:
        trial = resolved(begun(source, **fields))
        gather([trial], None)
        build_once([trial])
    assert '\n' not in str(refused.value)


@pytest.mark.parametrize(
    'name, content, problem',
    [
        ('a.npz', b'no archive', 'a.npz: found no weights'),
        ('a.safetensors', b'\0' * 16, 'a.safetensors: found no weights'),
        ('a.msgpack', b'\xc1', 'a.msgpack: found no weights'),
        ('a.pt', b'', r'a.pt: found no known format; allowed: safetensors, npz, msgpack'),
        (None, b'', "init_from.weights: found no '.*a.npz'; allowed: the workdir of a run"),
    ],
)
def test_files_that_are_none(tmp_path, name, content, problem):
    if name:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(Refusal, match=problem):
        gather([resolved(begun(tmp_path / (name or 'a.npz')))], None)


def test_a_pickle_is_not_executed(tmp_path):
    np.savez(tmp_path / 'a.npz', w=np.array([{}], object))
    with pytest.raises(Refusal, match='found no weights'):
        gather([resolved(begun(tmp_path / 'a.npz'))], None)


@pytest.mark.long
def test_trials_from_several_trials_are_one_program(source, tmp_path):
    """Each begins from its own, and alone is in company."""
    config = begun(source, sweep=((('init_from.trial', 'seed'), ((0, 5), (2, 6), (2, 7))),))
    trials = [resolved(config, **overrides) for overrides in configs.trials(config)]
    gather(trials, None)
    assert len(plan(trials)) == 1
    together = train(config, tmp_path / 'together')
    config.sweep, config.seed, config.init_from.trial = (), 6, 2
    alone = train(config, tmp_path / 'alone')
    assert of_trial(alone, 0) == of_trial(together, 1)
    config.init_from.trial = 0
    gather([resolved(config)], None)
    assert of_trial(train(config, tmp_path / 'other'), 0) != of_trial(alone, 0)


@pytest.mark.long
def test_sharded_over_devices(source, tmp_path):
    lone = begun(source, data_parallel=1)
    gather([resolved(lone)], None)
    expected = train(lone, tmp_path / 'lone')
    shared = train(begun(source, data_parallel=2), tmp_path / 'shared')
    for a, b in zip(expected, shared, strict=True):
        assert a['loss'] == pytest.approx(b['loss'], rel=1e-4)


EXPERIMENT = """
from lbexp import config
def get_config():
    c = config.base()
    c.workload = dict(name='digits_mlp', hidden=(8,), batch_norm=True)
    c.steps, c.batch_size, c.num_rows, c.num_evaluations, c.num_checkpoints = 12, 16, 4, 1, 2
    c.init_from.weights = {weights!r}
    return c
"""


@pytest.fixture
def command(source, tmp_path, capsys):
    """(arguments) -> (exit status, standard output, standard error) of lbexp.main."""
    copied = shutil.copytree(source, tmp_path / 'source')
    experiment = tmp_path / 'experiment.py'
    experiment.write_text(EXPERIMENT.format(weights=str(copied)))

    def run(*arguments):
        workdir = tmp_path / 'run'
        flags = [f'--config={experiment}', f'--workdir={workdir}', '--figures=']
        status = main.main(['main', *flags, *arguments])
        return status, *capsys.readouterr()

    return run


@pytest.mark.long
def test_the_command_tells_what_it_takes_and_keeps_it(command, tmp_path):
    status, out, _ = command()
    assert status == 0 and out.count('begins from trial 0 of') == 1
    assert '5 of 5 parameters, 2 of 2 arrays of the model state' in out
    document = json.loads((tmp_path / 'run' / 'config.json').read_text())
    assert 'initial weights of trial 0' in document['environment']
    name = f'weights of trial 0 of {tmp_path / "source"}'
    assert len(document['fingerprint'][name]) == 64
    # without the source the same command has a copy
    whole = rows(tmp_path / 'run')
    shutil.rmtree(tmp_path / 'source')
    for left in ('checkpoints', 'metrics.jsonl', 'status.json'):
        path = tmp_path / 'run' / left
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert command()[0] == 0 and rows(tmp_path / 'run') == whole


@pytest.mark.long
def test_other_weights_are_refused(command, source, tmp_path):
    assert command()[0] == 0
    shutil.rmtree(tmp_path / 'source')
    other = tiny(workload=NORMED, seed=9)
    trained(other, tmp_path / 'source')
    status, _, err = command()
    assert status == 2 and 'holds a run with another configuration (weights of trial 0 of' in err
    assert len(err.splitlines()) == 1


def test_shapes_are_told_before_anything_is_written(command, tmp_path):
    status, out, err = command('--config.workload.hidden=(9,)')
    assert status == 2 and not out and not (tmp_path / 'run').exists()
    assert len(err.splitlines()) == 1 and '(64, 8) there, (64, 9) here' in err
