"""The example in the docstring of each kind of part is one that works."""

import importlib
import sys
import textwrap
import types

import pytest
from training import tiny, train

from lbexp import config as configs
from lbexp.config import lookup
from lbexp.engine.plan import plan
from lbexp.sweep.executors import Resources
from lbexp.sweep.run import run
from lbexp.sweep.schedule import Outcome, SchedulerOptions

pytestmark = pytest.mark.quick

EXAMPLES = [
    ('lbexp.workloads', dict(workload=dict(name='contract_example:halves'))),
    (
        'lbexp.datasets',
        dict(
            workload=dict(
                name='classification',
                data=dict(name='contract_example:signs'),
                model=dict(name='mlp', hidden=(4,)),
            )
        ),
    ),
    (
        'lbexp.models',
        dict(
            workload=dict(
                name='classification',
                data=dict(name='digits'),
                model=dict(name='contract_example:linear'),
            )
        ),
    ),
    (
        'lbexp.optimizers',
        dict(optimizer=dict(name='contract_example:descent', learning_rate=0.1, damping=0.5)),
    ),
    ('lbexp.schedules', dict(schedule=dict(name='contract_example:halving'))),
    ('lbexp.probes', dict(probes=(dict(name='contract_example:largest_loss'),))),
    ('lbexp.probes', dict(probes=(dict(name='contract_example:gradient_length'),))),
    ('lbexp.parallel.replicas', dict(replicas=dict(name='contract_example:quiet', workers=2))),
]


@pytest.fixture
def example(request, monkeypatch):
    """The blocks of code in the docstring of a package, as a module."""
    lines = importlib.import_module(request.param).__doc__.splitlines()
    starts = [
        i for i, line in enumerate(lines) if line.startswith(('    import', '    from', '    def'))
    ]
    block = []
    for line in lines[starts[0] :]:
        if line and not line.startswith('    '):
            break
        block.append(line)
    module = types.ModuleType('contract_example')
    exec(textwrap.dedent('\n'.join(block)), module.__dict__)
    monkeypatch.setitem(sys.modules, 'contract_example', module)
    return request.param


@pytest.mark.parametrize('example, fields', EXAMPLES, indirect=['example'])
def test_the_example_is_planned_as_one_program_with_its_numbers_traced(example, fields):
    config = tiny(**fields, sweep=(('optimizer.learning_rate', (0.1, 0.05)),))
    (cohort,) = plan([configs.resolve(config, overrides) for overrides in configs.trials(config)])
    assert not cohort.untraced


@pytest.mark.parametrize('example', ['lbexp.workloads'], indirect=True)
def test_the_workload_of_the_example_learns(example, tmp_path):
    optimizer = dict(name='sgd', learning_rate=0.5)
    rows = train(tiny(workload=dict(name='contract_example:halves'), optimizer=optimizer), tmp_path)
    assert rows[-1]['loss'] < rows[0]['loss'] / 2


@pytest.mark.parametrize('example', ['lbexp.probes'], indirect=True)
def test_the_evaluation_probe_of_the_example_measures(example, tmp_path):
    probes = (dict(name='contract_example:gradient_length', examples=100),)
    config = tiny(probes=probes, batch_size=100, steps=6, num_evaluations=6)
    rows = train(config, tmp_path)
    # A row's gradient is that before its update, of the weights that the row before measured; here
    # the batch is the whole training set, and so is what is measured.
    measured = [row['gradient_length'] for row in rows[:-1]]
    assert measured == pytest.approx([row['gradient_norm'] for row in rows[1:]], rel=1e-5)


@pytest.mark.parametrize('example', ['lbexp.trackers'], indirect=True)
def test_the_tracker_of_the_example_writes_every_row(example, tmp_path):
    rows = train(tiny(), tmp_path, trackers=['contract_example:one_table'])
    lines = (tmp_path / 'all.csv').read_text().splitlines()
    losses = [line for line in lines if ',train/loss,' in line]
    assert losses == [f'0,{row["step"]},train/loss,{row["loss"]}' for row in rows]


@pytest.mark.processes
@pytest.mark.parametrize('example', ['lbexp.sweep.executors'], indirect=True)
def test_the_executor_of_the_example_trains(example, tmp_path):
    executor = lookup.find('executor', 'contract_example:one_by_one')(Resources(None, None, 0))
    config = tiny(workload=dict(name='linear_regression', size=100), steps=2, num_rows=1)
    study = lookup.build('study', configs.plain(config.study))
    options = SchedulerOptions(executor, 1, 60.0, lambda: False, print)
    trials = study.trials(config)
    assert run(study, config, tmp_path, trials, options) == Outcome(stopped=False, failed={})
    assert (tmp_path / 'metrics.jsonl').read_text().count('\n') == len(trials)


@pytest.mark.parametrize('example', ['lbexp.studies'], indirect=True)
def test_the_study_of_the_example_has_its_trials(example):
    study = lookup.build('study', dict(name='contract_example:two_seeds'))
    assert [trial.overrides for trial in study.trials(tiny())] == [{'seed': 0}, {'seed': 1}]
    assert study.analyse(None).verdict == 'two seeds'
