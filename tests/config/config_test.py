"""What is wrong with a configuration is told at once, one line each, with exit status 2 and no
traceback."""

import pathlib
import subprocess
import sys

import pytest

from lbexp import config as configs
from lbexp import main
from lbexp.config import lookup

ROOT = pathlib.Path(__file__).parents[2]

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
    c.num_rows, c.num_evaluations, c.num_checkpoints = 4, 2, 1
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
        (
            '--config.optmizer.learning_rate=1',
            ['optmizer: no such field', "Did you mean 'optimizer'?"],
        ),
        (
            '--config.optimizer.momentun=1',
            ['optimizer.momentun: no such field', "Did you mean 'momentum'?"],
        ),
        ('--config.log=7', ['log: no such field: it is called num_rows, as it is a count']),
        ('--config.batch_size=big', ['batch_size', "'big'", 'an integer in [1, 2^31 - 1]']),
        (
            '--config.optimizer.learning_rate=fast',
            ['optimizer.learning_rate', "'fast'", 'a number'],
        ),
        (
            '--config.workload.name=linear_regresion',
            ["'linear_regresion'", "Did you mean 'linear_regression'?"],
        ),
        (
            '--config.optimizer.name=momentm',
            ["'momentm'", "Did you mean 'momentum'?", 'There are:'],
        ),
        ('--config.optimizer.name=optax:adm', ["module 'optax' has no 'adm'"]),
        ('--config.optimizer.name=nowhere:adam', ["No module named 'nowhere'"]),
        ('--config.schedule.name=cosin', ["'cosin'", "Did you mean 'cosine'?"]),
        ('--config.study.name=trainin', ["'trainin'", "Did you mean 'training'?"]),
        ('--config.microbatch=5', ['microbatch: found 5 with batch_size 32', 'a divisor']),
        ('--config.steps=0', ['steps: found 0', 'an integer in [1, 2^31 - 1] or None']),
        ('--config.epochs=2', ['steps, epochs: found 20, 2', 'one set, the other None']),
        ('--config.seed=-1', ['seed: found -1', 'in [0, 2^32 - 1]']),
        ('--config.layout=zigzag', ["layout: found 'zigzag'", "'map', 'vmap'"]),
        ('--config.batch_scaling.rule=liner', ["found 'liner'", "Did you mean 'linear'?"]),
        ('--confg=3', ['--confg=3: not a flag', "Did you mean '--config'?"]),
        (
            '--config.optimizer=lamb',
            ["optimizer: found 'lamb'", 'one of its fields', 'optimizer.name'],
        ),
        ('--config.batch_size=None', ['batch_size: found None', 'an integer']),
        ('--config.steps=None', ['steps, epochs: found None, None', 'one set, the other None']),
        ('--config.epochs=inf', ['epochs: found inf', 'a number in (0, 2^31 - 1] or None']),
        (
            '--config.optimizer.learning_rate=None',
            ['optimizer.learning_rate: found None', 'a number'],
        ),
        ('--config.optimizer.learning_rate=nan', ['optimizer.learning_rate: found nan']),
        ('--config.optimizer.momentum=None', ['optimizer.momentum: found None', 'a number']),
        ('--config.optimizer.momentum=1.0', ['momentum: found 1.0', 'in [0, 1)']),
        ('--config.optimizer.learning_rate=-1', ['learning_rate: found -1', '>= 0']),
        ('--config.optimizer.form=upside', ["form: found 'upside'", "'outside', 'inside'"]),
        ('--config.search.trials=8', ['search.space: not set']),
        ('--config.search.trial=8', ['search.trial: no such field', "Did you mean 'trials'?"]),
        (
            "--config.workload.weights=('a',)",
            ["workload.weights: found ['a']", 'a list, each a number'],
        ),
        ('--config.workload.size=0', ['size: found 0', 'in [1,']),
        ('--config.workload.noise=-1', ['noise: found -1', '>= 0']),
        ('--config.schedule.warmup=2', ['warmup: found 2', '[0, 1]']),
        (
            '--config.batch_growth.factr=2',
            ['batch_growth.factr: no such field', "Did you mean 'factor'?"],
        ),
        (
            '--config.example_weights.nme=x',
            ['example_weights.nme: no such field', "Did you mean 'name'?"],
        ),
    ],
)
def test_one_problem_is_one_line(experiment, capsys, argument, told, tmp_path):
    lines = problems(capsys, f'--config={experiment}', argument, f'--workdir={tmp_path / "run"}')
    assert any(all(words in line for words in told) for line in lines), lines


def test_all_problems_are_told_at_once(experiment, capsys):
    wrong = [
        'batch_size=big',
        'optimizer.momentun=1',
        'workload.name=cifar',
        'seed=-1',
        'microbatch=5',
    ]
    lines = problems(capsys, f'--config={experiment}', *(f'--config.{w}' for w in wrong))
    assert len(lines) == len(wrong)
    for field in ('batch_size', 'optimizer.momentun', 'workload.name', 'seed', 'microbatch'):
        assert any(f'config.{field}' in line for line in lines)


@pytest.mark.parametrize(
    'field, told',
    [
        (
            "optimzer = dict(name='optax:sgd', learning_rate=0.1)",
            ["optimzer: no such field. Did you mean 'optimizer'?"],
        ),
        ('evaluate = 7', ['evaluate: no such field: it is called num_evaluations']),
        (
            "batch_scaling.rul = 'linear'",
            ["batch_scaling.rul: no such field. Did you mean 'rule'?"],
        ),
        ("batch_scaling = dict(rule='linear')", ['batch_scaling.reference: not there']),
        ("optimizer.momentum = 'big'", ["optimizer.momentum: found 'big'", 'a number']),
        (
            "optimizer = dict(name='momentum', learning_rate='fast')",
            [("optimizer.learning_rate: found 'fast'")],
        ),
        (
            "schedule = dict(name='cosine', warmup='long')",
            ["schedule.warmup: found 'long'", 'a number'],
        ),
        ('sweep = ("seed", (0, 1))', ['sweep[0]: found', '(path, values)']),
        ('sweep = (("seed", 3),)', ["sweep[0]: found ['seed', 3]", '(path, values)']),
        ('sweep = (("seed", (0,)), ("seed", (1,)))', ["sweep[1]: found 'seed' again"]),
    ],
)
def test_typos_in_the_experiment_file_itself(experiment, capsys, field, told):
    """A field that get_config makes up is a typo of one that there is: silently, it would do
    nothing."""
    experiment.write_text(BASE.replace('    return c', f'    c.{field}\n    return c'))
    lines = problems(capsys, f'--config={experiment}', '--config.layout=zigzag')
    assert any(all(words in line for words in told) for line in lines), lines


def test_what_get_config_returns_and_removes(experiment, capsys):
    for returned in ('None', "{'seed': 0}"):
        experiment.write_text(BASE.replace('    return c', f'    return {returned}'))
        (line,) = problems(capsys, f'--config={experiment}')
        assert f'get_config() returned {returned}' in line and 'lbexp.config.base()' in line
    experiment.write_text(BASE.replace('    return c', '    del c.seed\n    return c'))
    (line,) = problems(capsys, f'--config={experiment}')
    assert 'config.seed: not there' in line


@pytest.mark.parametrize(
    'argument, told',
    [
        (
            'hidden=(64,-3)',
            ('workload.hidden: found [64, -3]; allowed: a list, each an integer >= 1'),
        ),
        ('hidden=(64,2.5)', 'workload.hidden: found [64, 2.5]; allowed: a list, each an integer'),
        ('dropout=1.0', 'dropout: found 1.0'),
        ('label_smoothing=-0.1', 'label_smoothing: found -0.1'),
    ],
)
def test_what_a_model_refuses_is_one_line(experiment, capsys, argument, told):
    experiment.write_text(BASE.replace('linear_regression', 'digits_mlp'))
    (line,) = problems(capsys, f'--config={experiment}', f'--config.workload.{argument}')
    assert told in line


def test_patterns_of_parameters_are_lists_of_text(experiment):
    """Where the default is one text that is not all it may be, such as the mask of what decays."""
    from lbexp.config import check

    text = "c.optimizer = dict(name='lamb', learning_rate=0.1, decay={})\n    return c"
    for decay, count in [("('kernel', '!Dense_0')", 0), ("'!bias'", 0), ('(1, 2)', 1)]:
        experiment.write_text(BASE.replace('return c', text.format(decay)))
        assert len(check.check(configs.load(str(experiment)))) == count


def test_an_argument_that_the_optimizer_does_not_take(experiment, capsys):
    (line,) = problems(capsys, f'--config={experiment}', '--config.optimizer.name=optax:adam')
    assert (
        'optimizer.momentum' in line and 'optax:adam has no such argument' in line and 'b1' in line
    )


def test_inner_parts_are_checked(experiment, capsys):
    given = f'--config={experiment}:lookahead'
    (line,) = problems(capsys, given, '--config.optimizer.inner.name=momntum')
    assert 'optimizer.inner.name' in line and "Did you mean 'momentum'?" in line


def test_an_absent_or_missing_or_broken_file(tmp_path, experiment, capsys):
    (line,) = problems(capsys)
    assert '--config: not given' in line
    (line,) = problems(capsys, f'--config={experiment.with_name("experimnt.py")}')
    assert 'no file' in line and 'Did you mean' in line
    broken = tmp_path / 'broken.py'
    broken.write_text('x = 1')
    (line,) = problems(capsys, f'--config={broken}')
    assert 'no get_config()' in line


@pytest.mark.processes
def test_the_command_itself_exits_2_without_a_traceback(experiment):
    command = [
        sys.executable,
        '-m',
        'lbexp.main',
        f'--config={experiment}',
        '--config.batch_size=-3',
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        ('lbexp: config.batch_size: found -3; allowed: an integer in [1, 2^31 - 1]')
    ]


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
        ("'halton'", "'haltn'", "search.kind: found 'haltn'; allowed: 'halton', 'sobol'"),
        ('kind', 'knd', "search.knd: no such field. Did you mean 'kind'?"),
        ('trials=4, ', '', 'search.trials: not set'),
        ('trials=4', 'trials=0', 'search.trials: found 0'),
        ('trials=4', 'trials=4.5', 'search.trials: found 4.5; allowed: an integer'),
        ('learning_rate', 'learning_rat', "Did you mean 'learning_rate'?"),
        (
            "'log'",
            "'lg'",
            (
                "search: optimizer.learning_rate: found ('lg', 0.001, 1.0); allowed: "
                "('linear', 'log'"
            ),
        ),
        ('1e-3', '0.0', 'low > 0'),
        ('1e-3', '2.0', 'low <= high'),
        (', 1e-3, 1.0', '', "search: optimizer.learning_rate: found ('log',)"),
        ('optimizer.learning_rate', 'seed', "search.space: found 'seed' twice"),
        ("'log', 1e-3, 1.0", "'log', -1e-3, 'x'", 'search: optimizer.learning_rate: found'),
    ],
)
def test_searches_are_checked(experiment, capsys, was, now, told):
    assert was in SEARCH
    given = (
        f"    c.sweep = (('seed', (0, 1)),)\n    c.search = {SEARCH.replace(was, now)}\n    "
        'return c'
    )
    experiment.write_text(experiment.read_text().replace('    return c', given))
    (line,) = problems(capsys, f'--config={experiment}')
    assert told in line


@pytest.mark.parametrize('kind', ['halton', 'sobol'])
def test_a_search_is_a_product_with_the_sweep_and_keeps_its_points(kind):
    config = configs.base()
    config.sweep = (('seed', (0, 1)),)
    space = (
        ('optimizer.momentum', 'linear', 0.5, 1.0),
        ('optimizer.learning_rate', 'log', 1e-3, 10.0),
    )
    config.search = dict(kind=kind, trials=64, seed=3, space=space)
    few = configs.trials(config)
    config.search.trials = 128
    many = configs.trials(config)
    assert (len(few), len(many)) == (128, 256) and many[:128] == few
    assert [t['seed'] for t in few[:4]] == [0, 1, 0, 1] and few[0]['optimizer.momentum'] == few[1][
        'optimizer.momentum'
    ]
    resolved = configs.resolve(config, few[5])
    assert (
        resolved['optimizer']['learning_rate'] == few[5]['optimizer.learning_rate']
        and 'search' not in resolved
    )


def test_overrides_keep_types_and_reach_every_argument(experiment):
    config = configs.load(str(experiment))
    configs.override(config, 'optimizer.learning_rate', '1')
    assert config.optimizer.learning_rate == 1.0 and isinstance(
        config.optimizer.learning_rate, float
    )
    # the file does not write it; momentum takes it
    configs.override(config, 'optimizer.nesterov', 'true')
    assert config.optimizer.nesterov is True
    configs.override(config, 'microbatch', '8')
    assert config.microbatch == 8
    configs.override(config, 'steps', 'None')
    assert config.steps is None
    for path, text in [('batch_growth.factor', '2.0'), ('example_weights.name', 'example_weights')]:
        configs.override(config, path, text)  # parts that the experiment file does not set
    assert config.batch_growth.factor == 2.0 and config.example_weights.name == 'example_weights'


def test_names_are_overridden_before_arguments(experiment, capsys):
    """In whatever order they are given: which arguments a part takes depends on its name."""
    given = ['--config.optimizer.b1=0.5', '--config.optimizer.name=optax:adam', '--config.seed=-1']
    lines = problems(capsys, f'--config={experiment}', *given)
    assert len(lines) == 2 and not any('b1: ' in line for line in lines)


def test_trials_are_the_product_of_the_sweep():
    config = configs.base()
    config.sweep = (
        ('seed', (0, 1)),
        (('batch_size', 'optimizer.learning_rate'), ((32, 0.1), (64, 0.2))),
    )
    trials = configs.trials(config)
    assert [t['seed'] for t in trials] == [0, 0, 1, 1]
    assert [t['batch_size'] for t in trials] == [32, 64, 32, 64]
    resolved = configs.resolve(config, trials[3])
    assert (resolved['seed'], resolved['batch_size'], resolved['optimizer']['learning_rate']) == (
        1,
        64,
        0.2,
    )


def test_trials_do_not_share_what_a_later_path_leads_into():
    config = configs.base()
    optimizers = (dict(name='momentum', learning_rate=0.1), dict(name='lamb', learning_rate=0.2))
    config.sweep = (('optimizer', optimizers), ('optimizer.learning_rate', (1.0, 2.0)))
    resolved = [configs.resolve(config, overrides) for overrides in configs.trials(config)]
    assert [trial['optimizer']['learning_rate'] for trial in resolved] == [1.0, 2.0, 1.0, 2.0]
    assert [trial['optimizer']['name'] for trial in resolved] == [
        'momentum',
        'momentum',
        'lamb',
        'lamb',
    ]


@pytest.mark.parametrize('path', sorted((ROOT / 'experiments').glob('*.py')), ids=lambda p: p.stem)
def test_every_experiment_is_sound(path):
    from lbexp.config import check

    config = configs.load(str(path))
    assert check.check(config) == []
    docstring = path.read_text().split('"""')[1]
    assert f'experiments/{path.name}' in docstring, 'the docstring gives the command'


def test_lookup_reaches_outside():
    import optax

    assert lookup.find('optimizer', 'optax:adamw') is optax.adamw
    assert lookup.find('optimizer', 'os.path:join').__name__ == 'join'
