"""Trials that go on at the update of their source: to the bit, the run that the source began."""

import functools
import json

import jax
import numpy as np
import pytest
from networks import prepared, trained
from training import of_trial, rows, tiny, train

import lbexp
from lbexp import config as configs
from lbexp.engine.plan import plan
from lbexp.engine.run import build_once
from lbexp.errors import Refusal, RunFailed

MOMENTUM = dict(name='momentum', learning_rate=0.05, momentum=0.9)
COSINE = dict(name='cosine', warmup=0.3)
# Each with what its training depends on beside its weights: a state, or none; noise of a stream of
# its own; batches that grow.
RUNS = {
    'without a state': dict(optimizer=dict(name='sgd', learning_rate=0.05)),
    # its cycle of 5 is open after 12 updates
    'lookahead': dict(optimizer=dict(name='lookahead', k=5, inner=MOMENTUM)),
    'noise': dict(
        optimizer=MOMENTUM,
        transforms=(dict(name='gradient_noise', eta=0.1),),
        example_weights=dict(name='example_weights', matched_batch_size=4.0),
    ),
    'growth': dict(
        optimizer=MOMENTUM, microbatch=8, batch_growth=dict(boundaries=(0.3, 0.6), factor=2.0)
    ),
}


def run_of(**fields):
    return tiny(**{'schedule': COSINE, 'num_evaluations': 1, 'num_checkpoints': 0, **fields})


def going_on(source, **fields):
    config = run_of(**fields)
    config.init_from.update(weights=str(source), position=True)
    return config


def state(workdir, trial=0):
    """What training depends on, of the last checkpoint."""
    end = lbexp.open(workdir).trial(trial).state
    return jax.tree.leaves((end.step, end.tick, end.params, end.opt_state))


@pytest.mark.long
@pytest.mark.parametrize('name', RUNS)
def test_it_is_to_the_bit_the_run_straight_through(tmp_path, name):
    fields = RUNS[name]
    straight = trained(run_of(**fields), tmp_path / 'straight')
    first = trained(run_of(**fields, stop_at=0.5, num_rows=3), tmp_path / 'first')
    config = going_on(first, **fields, num_rows=3)
    prepared(config)
    second = trained(config, tmp_path / 'second')
    ends = [int(lbexp.open(workdir).trial(0).step) for workdir in (straight, first, second)]
    assert ends[0] == ends[2] and ends[1] == round(ends[0] / 2)
    for expected, reached in zip(state(straight), state(second), strict=True):
        np.testing.assert_array_equal(expected, reached)
    (*_, last), (*_, last_of_second) = rows(straight), rows(second)
    # means over the updates of a row, which are as many where a row begins at the source's end
    if ends[0] == 24:
        assert rows(first) + rows(second) == without_evaluation(rows(straight), rows(first))
    assert last['test_loss'] == last_of_second['test_loss']


def without_evaluation(straight, first):
    """The rows of the straight run, with the evaluation that the first half has at its end."""
    end = len(first) - 1
    return [*straight[:end], straight[end] | first[end], *straight[end + 1 :]]


@pytest.mark.long
def test_what_was_stopped_goes_on(tmp_path):
    """A trial that is interrupted before it has a checkpoint, and after, is the same."""
    source = trained(run_of(stop_at=0.5), tmp_path / 'source')
    whole = train(prepared_config(source), tmp_path / 'whole')
    for dispatches in (1, 2):
        folder, answers = tmp_path / str(dispatches), [False] * (dispatches - 1) + [True]
        config = prepared_config(source, num_checkpoints=1)
        train(config, folder, should_stop=functools.partial(next, iter(answers), False))
        status = json.loads((folder / 'status.json').read_text())
        assert status['trials']['0']['status'] == 'running'
        assert train(config, folder) == whole


@pytest.mark.long
def test_what_was_killed_before_a_checkpoint_begins_where_it_began(tmp_path):
    source = trained(run_of(stop_at=0.5), tmp_path / 'source')
    whole = train(prepared_config(source), tmp_path / 'whole')

    def kill():
        raise KeyboardInterrupt

    config = prepared_config(source)
    with pytest.raises(KeyboardInterrupt):
        train(config, tmp_path / 'killed', should_stop=kill)
    assert train(config, tmp_path / 'killed') == whole


def prepared_config(source, **fields):
    config = going_on(source, **fields)
    prepared(config)
    return config


@pytest.fixture(scope='module')
def source(tmp_path_factory):
    """Three trials of 12 updates."""
    sweep = (('seed', (0, 1, 2)),)
    return trained(run_of(stop_at=0.5, sweep=sweep), tmp_path_factory.mktemp('source') / 'run')


@pytest.mark.long
def test_trials_of_several_sources_are_one_program(source, tmp_path):
    sweep = ((('init_from.trial', 'seed'), ((0, 0), (2, 2))),)
    config = going_on(source, sweep=sweep)
    (cohort,) = plan(prepared(config))
    assert cohort.starts.tolist() == [12, 12] and cohort.steps.tolist() == [24, 24]
    together = train(config, tmp_path / 'together')
    config.sweep, config.seed, config.init_from.trial = (), 2, 2
    prepared(config)
    assert of_trial(train(config, tmp_path / 'alone'), 0) == of_trial(together, 1)


@pytest.mark.parametrize(
    'fields, problem',
    [
        (dict(steps=12), 'found 12 updates there, 12 here; allowed: a longer run'),
        (dict(stop_at=0.25), 'found 12 updates there, 6 here; allowed: a longer run'),
        (dict(microbatch=8), 'of 12 microbatches there, of 24 here; allowed: the batches'),
        (dict(optimizer=dict(name='sgd', learning_rate=0.1)), 'opt_state/velocity/bias there al'),
        (dict(replicas=dict(name='local_sgd', workers=2, k=2)), 'found replicas; allowed: none'),
    ],
)
def test_what_cannot_go_on_is_refused(source, fields, problem):
    with pytest.raises(Refusal, match=f'^init_from.position: .*{problem}') as refused:
        prepared(going_on(source, **fields))
    assert '\n' not in str(refused.value)


def test_a_file_of_weights_has_no_position(source, tmp_path):
    lbexp.open(source).trial(0).export(tmp_path / 'a.npz', 'npz')
    sgd = dict(name='sgd', learning_rate=0.1)
    with pytest.raises(Refusal, match=r'^init_from.position: found none in .*a\.npz'):
        prepared(going_on(tmp_path / 'a.npz', optimizer=sgd))


def test_there_have_to_be_weights():
    config = tiny()
    config.init_from.position = True
    with pytest.raises(Refusal, match=r'^init_from.position: found no init_from\.weights'):
        build_once([configs.resolve(config, {})])


@pytest.mark.long
def test_a_copy_of_what_it_began_from_serves(source, tmp_path, monkeypatch):
    """With its position: the same run where the source is gone."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'source').symlink_to(source)
    options = dict(figures=(), show=False)
    config = going_on('source')
    lbexp.run(config, workdir='run', **options)
    first = rows(tmp_path / 'run')
    (tmp_path / 'source').unlink()
    for file in (tmp_path / 'run' / 'checkpoints', tmp_path / 'run' / 'metrics.jsonl'):
        file.rename(tmp_path / file.name)
    lbexp.run(config, workdir='run', restart_lost=True, **options)
    assert rows(tmp_path / 'run') == first


@pytest.mark.long
def test_a_stopped_run_becomes_longer_under_any_schedule(tmp_path):
    """Its schedule was that of the whole run: nothing has to be chosen."""
    options = dict(figures=(), show=False)
    straight = lbexp.run(run_of(), workdir=tmp_path / 'straight', **options)
    lbexp.run(run_of(stop_at=0.5), workdir=tmp_path / 'run', **options)
    longer = lbexp.run(run_of(), workdir=tmp_path / 'run', **options)
    for expected, reached in zip(state(straight.workdir), state(longer.workdir), strict=True):
        np.testing.assert_array_equal(expected, reached)
    with pytest.raises(RunFailed, match='another configuration'):
        lbexp.run(run_of(stop_at=0.5), workdir=tmp_path / 'run', **options)
