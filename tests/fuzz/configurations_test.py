"""Whatever stands in a configuration is refused in one line, or can be built and traced. Never a
traceback, or a hang.

A failure prints its seed and number; `LBEXP_FUZZ=SEED:NUMBER pytest tests/fuzz -n 0` repeats it
alone.
"""

import contextlib
import functools
import json
import os
import signal
import types

import pytest
from ml_collections import ConfigDict
from mutations import EXPERIMENTS, POOL, Case, case, read

from lbexp import command, errors
from lbexp import config as configs
from lbexp.config import _part_problems, lookup
from lbexp.engine import run
from lbexp.engine.plan import plan

SEED = 20261126
OPTAX_LOOKAHEAD = {
    'name': 'optax:lookahead',
    'fast_optimizer': {'name': 'sgd', 'learning_rate': 0.1},
    'sync_period': 2,
    'slow_step_size': 0.5,
}
_LONGEST = 60  # seconds of a case, of the processor: the machine may be busy with others


def outcome(mutated: Case, monkeypatch) -> str:
    """'refused', or 'traced': built and traced abstractly, as a run would before it trains."""
    config, overrides = read(mutated.experiment), []
    for path, value in mutated.changes.items():
        if mutated.how == 'command line':
            overrides.append((path, str(value)))
        elif mutated.how == 'sweep' and path.split('.')[0] not in ('sweep', 'search', 'study'):
            axes = config.sweep if isinstance(config.sweep, (tuple, list)) else ()
            config.sweep = (*axes, (path, (value,)))
        else:
            _set(config, path, value)
    loaded = config
    monkeypatch.setattr(configs, 'load', lambda argument: loaded)
    given = types.SimpleNamespace(is_parsed=lambda: True, config='experiment.py', traceback=False)
    config, problems = command.read(given, overrides)
    problems = problems or command.checked(config)
    if problems:
        assert all(isinstance(problem, str) and 'Traceback' not in problem for problem in problems)
        return 'refused'
    try:
        study = lookup.build('study', configs.plain(config.study))
        trials = [configs.resolve(config, trial.overrides) for trial in study.trials(config)[:1]]
        _build_and_trace(json.dumps(_without_floats(trials[0])), json.dumps(trials[0]))
    except ValueError as error:
        if not errors.refused(error.with_traceback(_of_lbexp(error.__traceback__))):
            raise
        return 'refused'
    return 'traced'


def _of_lbexp(traceback):
    """Without the frames of this file, which would count as the user's."""
    while traceback.tb_next and traceback.tb_frame.f_code.co_filename == __file__:
        traceback = traceback.tb_next
    return traceback


@functools.lru_cache(None)
def _seen(shape):
    return []


def _build_and_trace(shape, trial):
    if not _seen(shape):
        run.build_once([json.loads(trial)])
        plan([json.loads(trial)])
        _seen(shape).append(True)


def _without_floats(value):
    """What the trace of a trial depends on: floats are numbers in its program."""
    if isinstance(value, dict):
        return {name: _without_floats(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_without_floats(inner) for inner in value]
    return (0.5 if 0 < value < 1 else 1.5) if isinstance(value, float) and value > 0 else value


def _set(config, path, value):
    *parents, name = path.split('.')
    for parent in parents:
        if not isinstance(config.get(parent), ConfigDict):
            config[parent] = {}
        config = config[parent]
    with contextlib.suppress(ValueError):  # ConfigDict takes no names with dots
        config[name] = value


def failure(seed: int, number: int, monkeypatch) -> str | None:
    """What went wrong in a case, and how to repeat it; None: nothing."""
    mutated = case(seed, number)

    def too_long(signal_number, frame):
        raise TimeoutError(f'more than {_LONGEST} seconds')

    previous = signal.signal(signal.SIGPROF, too_long)
    signal.setitimer(signal.ITIMER_PROF, _LONGEST)
    try:
        outcome(mutated, monkeypatch)
    except Exception as error:
        text = f'{type(error).__name__}: {errors.describe(error)}'
        return f'LBEXP_FUZZ={seed}:{number}: {mutated}: {text}'
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, previous)
    return None


def _failures(seed, count, monkeypatch):
    found = (failure(seed, number, monkeypatch) for number in range(count))
    return [text for text in found if text]


@pytest.mark.parametrize('count', [50, pytest.param(500, marks=pytest.mark.long)])
def test_no_mutation_ends_in_a_traceback(monkeypatch, count):
    if 'LBEXP_FUZZ' in os.environ:
        seed, number = map(int, os.environ['LBEXP_FUZZ'].split(':'))
        outcome(case(seed, number), monkeypatch)
        return
    assert not _failures(SEED, count, monkeypatch)


@pytest.mark.parametrize('experiment', EXPERIMENTS)
def test_what_is_not_mutated_is_traced(experiment, monkeypatch):
    """What refused everything would end in no traceback."""
    assert outcome(Case(experiment, 'file', {}), monkeypatch) == 'traced'


@pytest.mark.parametrize(
    'experiment, how, changes, expected',
    [
        ('lamb.py', 'file', {'optimizer': OPTAX_LOOKAHEAD}, 'refused'),
        ('lamb.py', 'file', {'optimizer': {'name': 'optax:TransformInitFn'}}, 'refused'),
        (
            'lamb.py',
            'file',
            {'optimizer': {'name': 'optax:GradientTransformation', 'init': 1, 'update': 1}},
            'refused',
        ),
        (
            'lamb.py',
            'file',
            {'optimizer': {'name': 'optax:measure_with_ema', 'measure': 1, 'decay': 0.1}},
            'refused',
        ),
        (
            'lamb.py',
            'file',
            {'optimizer': {'name': 'optax.contrib:sophia', 'learning_rate': 0.1}},
            'refused',
        ),
        ('lamb.py', 'file', {'workload.dropout': 0}, 'traced'),
        ('lamb.py', 'file', {'optimizer.decay': {'name': 'sgd', 'learning_rate': 0.1}}, 'refused'),
        ('momentum.py', 'sweep', {'workload.ghost': 3, 'epochs': 1e308}, 'refused'),
        ('momentum.py', 'sweep', {'schedule': 'optax:sgd', 'schedule.warmup': 'sgd'}, 'refused'),
    ],
)
def test_what_once_ended_in_a_traceback(experiment, how, changes, expected, monkeypatch):
    assert outcome(Case(experiment, how, changes), monkeypatch) == expected


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_no_mutation_of_many_ends_in_a_traceback(monkeypatch):
    assert not _failures(SEED + 1, 10_000, monkeypatch)


def test_the_fuzzer_notices_a_part_that_breaks(monkeypatch):
    """A check that lets everything pass: then the parts raise what a user would see as a
    traceback."""
    monkeypatch.setattr(_part_problems, 'violation', lambda value, annotation: None)
    _part_problems._of_signature.cache_clear()
    broken = Case('momentum.py', 'file', {'workload.hidden': 64})
    with pytest.raises(TypeError):
        outcome(broken, monkeypatch)
    _part_problems._of_signature.cache_clear()


def test_cases_repeat():
    assert str(case(SEED, 17)) == str(case(SEED, 17)) and len(POOL) > 80
