"""A run that is asked to be longer: as if at once where nothing depends on its length; else a
choice is asked for."""

import jax
import numpy as np
import pytest
from training import rows, tiny

import lbexp
from lbexp import config as configs
from lbexp.engine import record, run
from lbexp.engine.extension import is_extension
from lbexp.engine.status import statuses, write_status
from lbexp.errors import Refusal


def command(config, workdir, **how):
    """As the command does it: recorded, then run."""
    overrides, told = configs.trials(config), []
    record.record(workdir, configs.plain(config), overrides, log=told.append, **how)
    run.run([configs.resolve(config, each) for each in overrides], workdir)
    return told


def config_of(**fields):
    workload = dict(name='digits_mlp', hidden=(8,), dropout=0.2)
    return tiny(**{'workload': workload, 'sweep': (('seed', (0, 1)),), **fields})


@pytest.mark.long
@pytest.mark.parametrize('schedule', [{}, dict(name='constant', warmup=0.0)])
def test_extended_is_at_once(tmp_path, schedule):
    """To the bit: states, and the last row."""
    fields = dict(schedule=schedule) if schedule else {}
    command(config_of(**fields), tmp_path / 'run')
    told = command(config_of(**fields, steps=48), tmp_path / 'run')
    command(config_of(**fields, steps=48), tmp_path / 'once')
    assert told == ['changed since the run was begun: steps: 24 there, 48 now']
    document = record.read(tmp_path / 'run')
    assert document['changes'] == [{'steps': [24, 48]}]
    assert statuses(tmp_path / 'run')[1]['status'] == 'done'
    for trial in (0, 1):
        extended = lbexp.open(tmp_path / 'run').trial(trial).state
        at_once = lbexp.open(tmp_path / 'once').trial(trial).state
        assert all(jax.tree.leaves(jax.tree.map(np.array_equal, extended, at_once)))
    assert rows(tmp_path / 'run')[-1] == rows(tmp_path / 'once')[-1]


def test_epochs_extend_a_run_that_was_stopped(tmp_path):
    fields = dict(steps=None, batch_size=64)
    command(config_of(**fields, epochs=0.5), tmp_path / 'run')
    command(config_of(**fields, epochs=1.0), tmp_path / 'run')
    command(config_of(**fields, epochs=1.0), tmp_path / 'once')
    assert rows(tmp_path / 'run')[-1] == rows(tmp_path / 'once')[-1]


@pytest.mark.parametrize(
    'fields, what',
    [
        (dict(schedule=dict(name='cosine')), "schedule 'cosine'"),
        (dict(schedule=dict(name='constant', warmup=0.2)), "schedule 'constant'"),
        (
            dict(
                microbatch=16,
                batch_growth=dict(boundaries=(0.5,), factor=2.0, largest=32),
            ),
            'batch_growth',
        ),
    ],
)
def test_what_depends_on_the_length_asks_for_a_choice(tmp_path, fields, what):
    command(config_of(**fields), tmp_path)
    longer = config_of(**fields, steps=48)
    with pytest.raises(Refusal) as refused:
        command(longer, tmp_path)
    line = str(refused.value)
    assert line.startswith(f'steps: found 24 there, 48 now, with {what}, which depends on')
    assert f'--config.init_from.weights={tmp_path}' in line
    if what == 'batch_growth':
        with pytest.raises(Refusal, match='with batch_growth, which depends on the length'):
            command(longer, tmp_path, may_change=True)
        return
    assert '--allow_config_change' in line
    command(longer, tmp_path, may_change=True)
    assert rows(tmp_path)[-1]['step'] == 48


GROWTH = dict(boundaries=(0.5,), factor=2.0, largest=32)


def recorded(config, workdir, **how):
    """As `command`, without the training."""
    record.record(workdir, configs.plain(config), [{}], **how)


def trial_config(**fields):
    return tiny(**{'microbatch': 16, **fields})


@pytest.mark.parametrize(
    'fields, now, counts',
    [
        (dict(batch_growth=GROWTH), dict(batch_growth=GROWTH, steps=12), (18, 24, 30)),
        (dict(batch_size=32), dict(batch_size=16), (24, 48, 24)),
        (dict(batch_size=16), dict(batch_size=32), (24, 24, 48)),
        (dict(batch_size=32), dict(batch_size=32, microbatch=8), (24, 48, 96)),
    ],
)
def test_updates_of_other_microbatches_are_refused(tmp_path, fields, now, counts):
    """Where none would be due again, or one would be the mean of others; whatever is allowed."""
    updates, taken, asked = counts
    recorded(trial_config(**fields), tmp_path)
    write_status(tmp_path, 'done', {0: dict(status='done', step=updates, saved=updates)})
    before = (tmp_path / 'config.json').read_bytes()
    with pytest.raises(Refusal) as refused:
        recorded(trial_config(**now), tmp_path, may_change=True)
    line = str(refused.value)
    assert line.startswith(f'trial 0: found {updates} updates of {taken} microbatches there, ')
    assert f'would have been {asked} now' in line
    assert (tmp_path / 'config.json').read_bytes() == before


@pytest.mark.parametrize(
    'now, saved',
    [
        (dict(batch_size=32, steps=12), 24),
        (dict(batch_size=16), 0),  # no checkpoint: it begins anew
        (dict(batch_size=32, batch_growth=GROWTH), 12),  # so far no other batch
    ],
)
def test_a_change_that_keeps_the_updates_goes_on(tmp_path, now, saved):
    recorded(trial_config(batch_size=32), tmp_path)
    write_status(tmp_path, 'preempted', {0: dict(status='running', step=24, saved=saved)})
    recorded(trial_config(**now), tmp_path, may_change=True)
    assert len(record.read(tmp_path)['changes']) == 1


def test_shorter_or_other_is_refused_as_before(tmp_path):
    command(config_of(), tmp_path)
    for fields in (dict(steps=12), dict(steps=48, batch_size=32)):
        with pytest.raises(Refusal, match='holds a run with another configuration'):
            command(config_of(**fields), tmp_path)
    with pytest.raises(Refusal, match='holds a run with another configuration'):
        command(config_of(steps=48), tmp_path, may_change=None)


def test_what_is_an_extension():
    assert is_extension({'steps': [24, 48], 'num_checkpoints': [1, 2]})
    assert is_extension({'epochs': [10.0, 20.0]})
    assert not is_extension({'num_checkpoints': [1, 2]})
    assert not is_extension({'steps': [48, 24]})
    assert not is_extension({'steps': [24, None], 'epochs': [None, 2.0]})
    assert not is_extension({'steps': [24, 48], 'seed': [0, 1]})
