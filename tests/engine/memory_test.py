"""What cannot fit in memory is refused from its shapes, before anything is allocated or
compiled."""

import math

import jax
import pytest
from training import tiny

from lbexp import config as configs
from lbexp.engine import program as programs
from lbexp.engine.plan import plan
from lbexp.engine.trial_plan import run_length
from lbexp.errors import Refusal


def cohort(**fields):
    config = tiny(**fields)
    (only,) = plan([configs.resolve(config, overrides) for overrides in configs.trials(config)])
    return only


@pytest.fixture
def no_compiler(monkeypatch):
    def compiled(*arguments, **options):
        raise AssertionError('compiled before memory was looked at')

    monkeypatch.setattr(programs, '_compiled', compiled)


def test_a_model_that_no_machine_holds(no_compiler):
    """10^12 weights, their gradients and their momentum, 4 bytes each."""
    wide = cohort(workload=dict(name='digits_mlp', hidden=(10**6, 10**6)))
    with pytest.raises(
        Refusal,
        match=(
            r'memory: found 12\.0 TB \(120\d+ bytes\) for the trial: '
            r'parameters 4\.0 TB'
        ),
    ):
        programs.program(wide, 'auto', None)


def test_each_trial_of_a_sweep_counts(no_compiler, monkeypatch):
    """Weight and bias with momentum: 16 bytes a trial, and 8 of a gradient for each device that
    trains one."""
    monkeypatch.setattr('lbexp.engine.memory._host_memory', lambda: 1)
    with pytest.raises(
        Refusal,
        match=(
            r'for the 16 trials of a cohort: parameters 128.0 B, '
            r'gradients 64.0 B'
        ),
    ):
        programs.program(cohort(sweep=(('seed', tuple(range(16))),)), 'map', None)
    with pytest.raises(Refusal, match=r'parameters 128.0 B, gradients 128.0 B'):
        programs.program(cohort(sweep=(('seed', tuple(range(16))),)), 'vmap', None)


def test_what_fits_is_not_refused(monkeypatch):
    monkeypatch.setattr('lbexp.engine.memory._host_memory', lambda: 10**6)
    jax.block_until_ready(programs.program(cohort(), 'auto', None).init())


@pytest.mark.parametrize(
    'fields, told',
    [
        (
            dict(steps=3_000_000_000),
            ('steps: found 3000000000, which is 3e\\+09 forward and backward passes'),
        ),
        (dict(steps=None, epochs=1e9), 'epochs: found 1000000000.0, which is 6.25e\\+09 forward'),
        (dict(steps=2**31 - 1), 'which is 3.44e\\+10 examples; allowed: at most 2\\^32 - 1'),
    ],
)
def test_a_run_that_is_longer_than_its_counters(fields, told):
    with pytest.raises(Refusal, match=told):
        run_length(configs.resolve(tiny(**fields), {}))


def temporary(**fields):
    """Bytes of temporary arrays of the training program, and of the states, on a device."""
    ready = programs.program(cohort(**fields), 'map', None)
    leaves = jax.tree.leaves(ready.states)
    states = sum(leaf.dtype.itemsize * math.prod(_on_a_device(leaf)) for leaf in leaves)
    planned = ready.memory()['segment']
    assert planned.alias_size_in_bytes >= states  # donated, all of them
    return planned.temp_size_in_bytes, states


def _on_a_device(leaf):
    return leaf.sharding.shard_shape(leaf.shape)


def test_trials_are_updated_where_their_states_lie():
    """What is temporary is of one trial: there is no second array of the states of all."""
    wide = dict(name='noisy_quadratic', dimension=1024)
    seeds = (('seed', tuple(range(256))),)
    bytes_of_temporary, states = temporary(workload=wide, sweep=seeds, batch_size=1)
    assert bytes_of_temporary < 0.5 * states


@pytest.mark.long
@pytest.mark.parametrize(
    'optimizer, moments',
    [
        (dict(name='lars', learning_rate=1.0), 1),
        (dict(name='momentum', learning_rate=0.1), 1),
        (dict(name='adamw', learning_rate=0.1), 2),
    ],
)
def test_updates_have_the_memory_of_gradients(optimizer, moments):
    """Needed are parameters, moments and gradient, although norms are told of updates, too."""
    wide = dict(name='digits_mlp', hidden=(512, 512))
    bytes_of_temporary, states = temporary(workload=wide, optimizer=optimizer, batch_size=4)
    gradient = states / (1 + moments)
    assert bytes_of_temporary < 1.1 * gradient
