"""A part that breaks its contract is refused in one line, where the program is traced, before it
trains."""

import re

import pytest
from training import tiny, train

from lbexp import config as configs
from lbexp.engine import run
from lbexp.engine.plan import plan, splits
from lbexp.errors import Refusal, describe, refused

ONE_EACH = 'one value per example, (16,)'


def trials(**fields):
    config = tiny(**fields)
    return [configs.resolve(config, overrides) for overrides in configs.trials(config)]


def part(name, breach, **more):
    return dict(name=f'breaches:{name}', breach=breach, **more)


def optimizer(breach):
    return dict(optimizer=part('optimizer', breach, learning_rate=0.1))


@pytest.mark.parametrize(
    'fields, told',
    [
        (dict(workload=part('workload', 'mean')), ["loss gives 'loss' of shape ()", ONE_EACH]),
        (
            dict(workload=part('workload', 'keepdims')),
            ["loss gives 'loss' of shape (1,)", ONE_EACH],
        ),
        (
            dict(workload=part('workload', 'other shape')),
            ["loss gives 'accuracy' of shape ()", ONE_EACH],
        ),
        (
            dict(workload=part('workload', 'no loss')),
            ["loss gives values ['cost']", "'loss' among them"],
        ),
        (dict(workload=part('workload', 'none')), ['loss gives None', 'a dict of values']),
        (dict(workload=part('workload', 'text')), ["loss gives 'note' of 'fine'", ONE_EACH]),
        (
            dict(workload=part('workload', 'whole')),
            ["loss gives 'loss' of dtype int32", 'floating point'],
        ),
        (dict(workload=part('workload', 'taken name')), ["loss gives 'step'", 'another name']),
        (
            dict(workload=part('workload', 'no pair')),
            ['loss gives an array', '(values, model_state)'],
        ),
        (
            dict(workload=part('workload', 'state')),
            ['a model_state with', "at ['count']", 'nothing, as before'],
        ),
        (
            dict(workload=part('statistics', 'dtype')),
            ["float32 of shape () at ['count']", 'int32 of shape ()'],
        ),
        (
            dict(workload=part('statistics', 'shape')),
            ["int32 of shape (1,) at ['count']", 'int32 of shape ()'],
        ),
        (dict(workload=part('initial', 'no pair')), ['init gives a dict', '(params, model_state)']),
        (dict(workload=part('initial', 'none')), ['init gives None', '(params, model_state)']),
        (
            dict(workload=part('initial', 'whole')),
            ['init', 'of dtype int32', ('arrays of floating point')],
        ),
        (dict(workload=part('initial', 'empty')), ['no parameters']),
        (
            dict(workload=part('initial', 'numbers')),
            ["params['w'] of 1.0", ('arrays of floating point')],
        ),
        (
            dict(workload=part('assessed', 'mean')),
            ["metrics gives 'loss' of shape ()", 'one value per example'],
        ),
        (dict(workload=part('assessed', 'none')), ['metrics gives None']),
        (
            dict(workload=part('drawn', 'short')),
            ['train.draw gives an array of shape (15,', '(16, ...)'],
        ),
        (dict(workload=part('drawn', 'none')), ['train.draw gives no arrays']),
        (optimizer('scalars'), ['update gives updates with shape ()', 'as the gradients']),
        (optimizer('fewer'), ["nothing at ['bias']"]),
        (optimizer('whole'), ['int32 of shape']),
        (optimizer('none'), ['update gives None', '(updates, state)']),
        (optimizer('updates alone'), ['update gives', '(updates, state)']),
        (
            optimizer('state dtype'),
            ['a state with float32 of shape ()', ('int32 of shape (), as before')],
        ),
        (optimizer('state shape'), ['a state with', 'int32 of shape (1,)']),
        (optimizer('state structure'), ['a state with']),
        (
            dict(optimizer=dict(name='lookahead', k=2, inner=optimizer('none')['optimizer'])),
            ['update gives None'],
        ),
        (dict(transforms=(part('optimizer', 'none', learning_rate=0.1),)), ['update gives None']),
        (dict(optimizer=dict(name='breaches:nothing')), ['None', 'GradientTransformation']),
        (dict(optimizer=dict(name='breaches:a_class')), ['class', 'GradientTransformation']),
        (dict(optimizer=dict(name='breaches:a_tuple')), ['GradientTransformation']),
        (
            dict(optimizer=dict(name='optax:lbfgs')),
            ['required keyword-only', ('the engine gives it value')],
        ),
        (
            dict(schedule=dict(name='breaches:number_as_schedule')),
            ['breaches:number_as_schedule', 'allowed: '],
        ),
        (dict(schedule=part('schedule', 'vector')), ['of shape (2,)', 'one number']),
        (dict(schedule=part('schedule', 'none')), ['gives a rate None', 'one number']),
        (dict(example_weights=part('weights', 'mean')), ["gives 'weights' of shape ()", ONE_EACH]),
        (dict(example_weights=part('weights', 'none')), ["gives 'weights' of None"]),
        (
            dict(probes=(part('probe', 'dtype'),)),
            ['a state with int32', ('float32 of shape (), as before')],
        ),
        (dict(probes=(part('probe', 'none'),)), ['a state with nothing', 'float32 of shape ()']),
        (dict(probes=(part('probe', 'number'),)), ['gives an array', 'a dict of columns']),
        (dict(probes=(part('probe', 'text'),)), ["'mine': 'text'", 'a number or a small array']),
        (dict(probes=(part('probe', 'large'),)), ["'mine': float32[131072]", 'a small array']),
        (dict(probes=(part('probe', 'taken'),)), ["gives 'step'", 'another name']),
        (dict(probes=(part('probe', 'twice'),)), ["'loss' twice"]),
        (dict(probes=(dict(name='distance'), dict(name='distance'))), ["'distance' twice"]),
        (
            dict(replicas=part('workers', 'start')),
            ['a tuple of 3', ('(params, model_state, opt_state, replicas)')],
        ),
        (
            dict(replicas=part('workers', 'step')),
            ['a state with float32', ('int32 of shape (), as before')],
        ),
        (dict(replicas=part('workers', 'deployed')), ['(params, model_state)']),
        (dict(replicas=part('workers', 'columns')), ["gives 'tick'", 'another name']),
    ],
)
def test_a_breach_is_told(fields, told):
    with pytest.raises(ValueError) as caught:
        plan(trials(**fields))
    line = describe(caught.value)
    assert all(words in line for words in told), line
    assert '\n' not in line and 'Tracer' not in line
    if fields.get('optimizer', {}).get('name') != 'optax:lbfgs':
        assert refused(caught.value)


def test_a_breach_is_told_with_the_place_of_the_function():
    with pytest.raises(Refusal) as caught:
        plan(trials(workload=part('workload', 'mean')))
    pattern = r'workload breaches:workload: loss gives .* \(\S*breaches.py:\d+ in loss\)'
    assert re.fullmatch(pattern, describe(caught.value))


@pytest.mark.parametrize(
    'package, name',
    [
        ('workload', 'nothing'),
        ('workload', 'a_class'),
        ('probes', 'nothing'),
        ('replicas', 'a_tuple'),
    ],
)
def test_what_is_no_such_part_is_refused(package, name):
    found = dict(name=f'breaches:{name}')
    with pytest.raises(Refusal, match=r'allowed: ') as caught:
        plan(trials(**{package: (found,) if package == 'probes' else found}))
    assert f'breaches:{name}' in str(caught.value)


def test_what_keeps_its_contract_trains(tmp_path):
    fields = dict(
        workload=part('statistics', 'sound'), **optimizer('sound'), probes=(part('probe', 'sound'),)
    )
    assert [row['step'] for row in train(tiny(**fields), tmp_path)] == [4, 8, 12, 16, 20, 24]


@pytest.mark.parametrize('name', ['naive', 'from_the_left'])
def test_a_rate_that_is_taken_for_a_number_says_that_it_is_a_function(name):
    with pytest.raises(TypeError) as caught:
        plan(trials(optimizer=dict(name=f'breaches:{name}', learning_rate=0.1)))
    line = describe(caught.value)
    assert 'learning_rate is a function of the updates done' in line
    assert 'breaches.py:' in line and line.count('\n') == 0


RATES = (('optimizer.learning_rate', (0.1, 0.05)),)


@pytest.mark.long
def test_an_optimizer_that_says_so_gets_a_number(tmp_path):
    """It trains as one that takes a function does under a constant schedule, each trial with its
    own rate."""
    fields = dict(sweep=RATES, num_rows=1)
    optimizers = [dict(name=name, learning_rate=0.1) for name in ('breaches:with_a_number', 'sgd')]
    with_number, with_function = (
        train(tiny(optimizer=o, **fields), tmp_path / o['name']) for o in optimizers
    )
    for row, other in zip(with_number, with_function, strict=True):
        assert row['test_loss'] == pytest.approx(other['test_loss'], rel=1e-5)
        assert row['learning_rate'] == other['learning_rate']
    assert with_number[0]['test_loss'] != with_number[1]['test_loss']


@pytest.mark.parametrize(
    'name',
    [
        'schedule_free_adamw',
        'schedule_free_sgd',
        'prodigy',
        'dadapt_adamw',
        'cocob',
        'dog',
        'muon',
        'momo',
    ],
)
def test_optimizers_of_optax_contrib_are_traced(name):
    (cohort,) = plan(
        trials(optimizer=dict(name=f'optax.contrib:{name}', learning_rate=0.1), sweep=RATES)
    )
    assert 'optimizer.learning_rate' in cohort.numbers


@pytest.mark.parametrize(
    'fields',
    [
        dict(schedule=dict(name='cosine')),
        dict(schedule=dict(name='constant', warmup=0.1)),
        dict(microbatch=16, batch_growth=dict(boundaries=(0.5,), factor=2)),
    ],
)
def test_a_number_cannot_be_scheduled(fields):
    with pytest.raises(
        Refusal,
        match=(
            r"whose learning_rate is a number; allowed: 'constant' "
            r'without warmup'
        ),
    ):
        optimizer = dict(name='optax.contrib:schedule_free_adamw', learning_rate=0.1)
        run.build_once(trials(optimizer=optimizer, **fields))


@pytest.mark.parametrize('name', ['branchy', 'branchy_inside'])
def test_a_number_that_python_looks_at_splits_alone_and_is_named(name):
    found = dict(name=f'breaches:{name}', learning_rate=0.1, clip=1.0)
    (cohort,) = plan(trials(optimizer=found, sweep=RATES))
    assert 'optimizer.learning_rate' in cohort.numbers and 'optimizer.clip' not in cohort.numbers
    (line,) = splits([cohort])
    assert line.startswith('optimizer.clip splits programs: ') and 'breaches.py:' in line
    assert len(plan(trials(optimizer=found, sweep=(*RATES, ('optimizer.clip', (1.0, 2.0)))))) == 2


@pytest.mark.long
def test_what_splits_is_announced_once(tmp_path):
    lines = []
    found = dict(name='breaches:branchy', learning_rate=0.1, clip=1.0)
    sweep = (*RATES, ('optimizer.clip', (1.0, 2.0)))
    train(
        tiny(optimizer=found, sweep=sweep, steps=2, num_rows=1, num_evaluations=0),
        tmp_path,
        log=lines.append,
    )
    assert sum('optimizer.clip splits programs' in line for line in lines) == 1


def test_all_is_traced_in_one_abstract_evaluation(monkeypatch):
    """Where nothing is refused."""
    count = []
    monkeypatch.setattr('lbexp.engine.numbers._trace', _counted(count))
    plan(trials(sweep=RATES))
    assert len(count) == 1


def _counted(count):
    from lbexp.engine import numbers

    trace = numbers._trace

    def counted(*arguments):
        count.append(arguments)
        return trace(*arguments)

    return counted
