"""What is wrong with a configuration is told at once, one line each, with exit status 2 and no traceback."""

import pathlib
import subprocess
import sys

import pytest

from lbexp import config as configs
from lbexp import lookup, main

ROOT = pathlib.Path(__file__).parent.parent

BASE = """
from lbexp import config
def get_config(kind='plain'):
    if kind not in ('plain', 'lookahead'):
        raise ValueError(f"kind: found {kind!r}; allowed: 'plain', 'lookahead'")
    c = config.base()
    c.workload = dict(name='linear_regression')
    c.optimizer = dict(name='momentum', learning_rate=0.05, momentum=0.9)
    if kind == 'lookahead':
        c.optimizer = dict(name='lookahead', k=5, inner=c.optimizer.to_dict())
    c.steps = 20
    c.batch_size = 32
    c.log, c.evaluate, c.checkpoint = 4, 2, 1
    return c
"""


@pytest.fixture
def experiment(tmp_path):
    path = tmp_path / 'experiment.py'
    path.write_text(BASE)
    return path


def problems(capsys, *arguments):
    """The lines that main prints when it refuses these arguments."""
    assert main.main(['main', *arguments]) == 2
    printed = capsys.readouterr()
    assert 'Traceback' not in printed.err
    assert not printed.out
    return printed.err.splitlines()


@pytest.mark.parametrize(
    'argument, told',
    [
        ('--config.optmizer.learning_rate=1', ['optmizer: no such field', "Did you mean 'optimizer'?"]),
        ('--config.optimizer.momentun=1', ['optimizer.momentun: no such field', "Did you mean 'momentum'?"]),
        ('--config.batch_size=big', ['batch_size', "'big'", 'a value like 32 (int)']),
        ('--config.optimizer.learning_rate=fast', ['optimizer.learning_rate', "'fast'", '0.05 (float)']),
        ('--config.workload.name=linear_regresion', ["'linear_regresion'", "Did you mean 'linear_regression'?"]),
        ('--config.optimizer.name=momentm', ["'momentm'", "Did you mean 'momentum'?", 'There are:']),
        ('--config.optimizer.name=optax:adm', ["module 'optax' has no 'adm'"]),
        ('--config.optimizer.name=nowhere:adam', ["No module named 'nowhere'"]),
        ('--config.schedule.name=cosin', ["'cosin'", "Did you mean 'cosine'?"]),
        ('--config.study.name=trainin', ["'trainin'", "Did you mean 'training'?"]),
        ('--config.microbatch=5', ['microbatch: found 5 with batch_size 32', 'a divisor']),
        ('--config.steps=0', ['steps: found 0', '> 0']),
        ('--config.epochs=2', ['steps, epochs: found 20, 2.0', 'one set, the other None']),
        ('--config.seed=-1', ['seed: found -1', '0 .. 2^32 - 1']),
        ('--config.layout=zigzag', ["layout: found 'zigzag'", "'map', 'vmap'"]),
        ('--config.batch_scaling.rule=liner', ["found 'liner'", "Did you mean 'linear'?"]),
        ('--confg=3', ['--confg=3: not a flag', "Did you mean '--config'?"]),
    ],
)
def test_one_problem_is_one_line(experiment, capsys, argument, told):
    lines = problems(capsys, f'--config={experiment}', argument)
    assert any(all(words in line for words in told) for line in lines), lines


def test_all_problems_are_told_at_once(experiment, capsys):
    wrong = ['batch_size=big', 'optimizer.momentun=1', 'workload.name=cifar', 'seed=-1', 'microbatch=5']
    lines = problems(capsys, f'--config={experiment}', *(f'--config.{w}' for w in wrong))
    assert len(lines) == len(wrong)
    for field in ('batch_size', 'optimizer.momentun', 'workload.name', 'seed', 'microbatch'):
        assert any(f'config.{field}' in line for line in lines)


def test_an_argument_that_the_optimizer_does_not_take(experiment, capsys):
    (line,) = problems(capsys, f'--config={experiment}', '--config.optimizer.name=optax:adam')
    assert 'optimizer.momentum' in line and 'optax:adam has no such argument' in line and 'b1' in line


def test_inner_parts_are_checked(experiment, capsys):
    given = f'--config={experiment}:lookahead'
    (line,) = problems(capsys, given, '--config.optimizer.inner.name=momntum')
    assert 'optimizer.inner.name' in line and "Did you mean 'momentum'?" in line


def test_what_an_optimizer_refuses_is_one_line(experiment, capsys, tmp_path):
    given = [f'--config={experiment}:lookahead', f'--workdir={tmp_path / "run"}']
    (line,) = problems(capsys, *given, '--config.optimizer.k=0')
    assert 'lookahead' in line and '0' in line


def test_an_absent_or_missing_or_broken_file(tmp_path, experiment, capsys):
    (line,) = problems(capsys)
    assert '--config: not given' in line
    (line,) = problems(capsys, f'--config={experiment.with_name("experimnt.py")}')
    assert 'no file' in line and 'Did you mean' in line
    (line,) = problems(capsys, f'--config={experiment}:lookahed')
    assert "allowed: 'plain', 'lookahead'" in line
    broken = tmp_path / 'broken.py'
    broken.write_text('get_config = 1 / 0')
    (line,) = problems(capsys, f'--config={broken}')
    assert 'ZeroDivisionError' in line
    broken.write_text('x = 1')
    (line,) = problems(capsys, f'--config={broken}')
    assert 'no get_config()' in line


def test_the_command_itself_exits_2_without_a_traceback(experiment):
    command = [sys.executable, '-m', 'lbexp.main', f'--config={experiment}', '--config.batch_size=-3']
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.splitlines() == ['lbexp: config.batch_size: found -3; allowed: a number > 0']


def test_sweeps_are_checked(experiment, capsys):
    text = experiment.read_text()
    for sweep, told in [
        ("(('optimizer.learning_rat', (1, 2)),)", "Did you mean 'learning_rate'?"),
        ("(('seed', ()),)", 'no trials'),
        ("((('seed', 'batch_size'), (1, 2)),)", 'one value for each of'),
        ("(('batch_size', (32, 0)),)", 'batch_size: found 0'),
    ]:
        experiment.write_text(text.replace('    return c', f'    c.sweep = {sweep}\n    return c'))
        lines = problems(capsys, f'--config={experiment}')
        assert all(told in line for line in lines), lines


SEARCH = "dict(kind='halton', trials=4, space=(('optimizer.learning_rate', 'log', 1e-3, 1.0),))"


@pytest.mark.parametrize(
    'was, now, told',
    [
        ("'halton'", "'haltn'", "search: kind: found 'haltn'; allowed: 'halton', 'sobol'"),
        ('kind', 'knd', "search.knd: no such field. Did you mean 'kind'?"),
        ('trials=4, ', '', 'search.trials: not set'),
        ('trials=4', 'trials=0', 'search: count: found 0'),
        ('trials=4', 'trials=4.5', 'search.trials: found 4.5; allowed: a whole number'),
        ('learning_rate', 'learning_rat', "Did you mean 'learning_rate'?"),
        ("'log'", "'lg'", "search: optimizer.learning_rate: found ('lg', 0.001, 1.0); allowed: ('linear', 'log'"),
        ('1e-3', '0.0', 'low > 0'),
        ('1e-3', '2.0', 'low <= high'),
        (', 1e-3, 1.0', '', "search: optimizer.learning_rate: found ('log',)"),
        ('optimizer.learning_rate', 'seed', "search.space: found 'seed' twice"),
        ("'log', 1e-3, 1.0", "'log', -1e-3, 'x'", 'search: optimizer.learning_rate: found'),
    ],
)
def test_searches_are_checked(experiment, capsys, was, now, told):
    assert was in SEARCH
    given = f"    c.sweep = (('seed', (0, 1)),)\n    c.search = {SEARCH.replace(was, now)}\n    return c"
    experiment.write_text(experiment.read_text().replace('    return c', given))
    (line,) = problems(capsys, f'--config={experiment}')
    assert told in line


@pytest.mark.parametrize('kind', ['halton', 'sobol'])
def test_a_search_is_a_product_with_the_sweep_and_keeps_its_points(kind):
    config = configs.base()
    config.sweep = (('seed', (0, 1)),)
    space = (('optimizer.momentum', 'linear', 0.5, 1.0), ('optimizer.learning_rate', 'log', 1e-3, 10.0))
    config.search = dict(kind=kind, trials=64, seed=3, space=space)
    few = configs.trials(config)
    config.search.trials = 128
    many = configs.trials(config)
    assert (len(few), len(many)) == (128, 256) and many[:128] == few
    assert [t['seed'] for t in few[:4]] == [0, 1, 0, 1] and few[0]['optimizer.momentum'] == few[1]['optimizer.momentum']
    resolved = configs.resolve(config, few[5])
    assert resolved['optimizer']['learning_rate'] == few[5]['optimizer.learning_rate'] and 'search' not in resolved


def test_overrides_keep_types_and_reach_every_argument(experiment):
    config = configs.load(str(experiment))
    configs.override(config, 'optimizer.learning_rate', '1')
    assert config.optimizer.learning_rate == 1.0 and isinstance(config.optimizer.learning_rate, float)
    configs.override(config, 'optimizer.nesterov', 'true')  # the file does not write it; momentum takes it
    assert config.optimizer.nesterov is True
    configs.override(config, 'microbatch', '8')
    assert config.microbatch == 8
    configs.override(config, 'steps', 'None')
    assert config.steps is None


def test_trials_are_the_product_of_the_sweep():
    config = configs.base()
    config.sweep = (('seed', (0, 1)), (('batch_size', 'optimizer.learning_rate'), ((32, 0.1), (64, 0.2))))
    trials = configs.trials(config)
    assert [t['seed'] for t in trials] == [0, 0, 1, 1]
    assert [t['batch_size'] for t in trials] == [32, 64, 32, 64]
    resolved = configs.resolve(config, trials[3])
    assert (resolved['seed'], resolved['batch_size'], resolved['optimizer']['learning_rate']) == (1, 64, 0.2)


@pytest.mark.parametrize('path', sorted((ROOT / 'experiments').glob('*.py')), ids=lambda p: p.stem)
def test_every_experiment_is_sound(path):
    from lbexp import check

    config = configs.load(str(path))
    assert check.check(config) == []
    docstring = path.read_text().split('"""')[1]
    assert f'experiments/{path.name}' in docstring, 'the docstring gives the command'


def test_lookup_reaches_outside():
    import optax

    assert lookup.find('lbexp.optimizers', 'optax:adamw') is optax.adamw
    assert lookup.find('lbexp.optimizers', 'os.path:join').__name__ == 'join'
