"""Experiment files: typos in them, what is none, and those of this repository."""

import os
import pathlib
import re
import subprocess
import sys

import pytest
from experiment_files import BASE, problems, refusals

from lbexp import config as configs
from lbexp.config import check
from lbexp.data.packages import is_prepared


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
        ("batch_scaling = dict(rul='linear')", ['batch_scaling.rul: no such field. Did you mean']),
        (
            "batch_scaling = dict(rule='linear')",
            ['batch_scaling.reference: found None; allowed: a batch size > 0'],
        ),
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


def test_an_absent_or_missing_or_broken_file(tmp_path, experiment, capsys):
    (line,) = problems(capsys)
    assert '--config: not given' in line
    (line,) = problems(capsys, f'--config={experiment.with_name("experimnt.py")}')
    assert 'no file' in line and 'Did you mean' in line
    broken = tmp_path / 'broken.py'
    broken.write_text('x = 1')
    (line,) = problems(capsys, f'--config={broken}')
    assert 'no get_config()' in line


ROOT = pathlib.Path(__file__).parents[2]


# Their trials' lengths are those of the theory, whose programs take ten seconds to compile.
THEORETICAL = ('steady_state', 'quadratic_convergence')


def experiments():
    for path in sorted((ROOT / 'experiments').glob('*.py')):
        marks = [pytest.mark.long] if path.stem in THEORETICAL else []
        yield pytest.param(path, id=path.stem, marks=marks)


def faults(config):
    """What the check says, but that data are not prepared here, or a folder of files not there."""
    absent = 'is not prepared', 'path: found no folder'
    return [line for line in check.check(config) if not any(words in line for words in absent)]


@pytest.mark.parametrize('path', list(experiments()))
def test_every_experiment_is_sound(path):
    if path.stem == 'photos_transfer' and not is_prepared('efficientnet_lite0'):
        pytest.skip('its weights are not prepared')
    config = configs.load(str(path))
    assert faults(config) == []
    docstring = path.read_text().split('"""')[1]
    assert f'experiments/{path.name}' in docstring, 'the docstring gives the command'


ARGUED = ('ctr', 'generalization_gap', 'reality_check', 'remedies', 'steps_to_target')


@pytest.mark.parametrize('name', ARGUED)
def test_every_variant_that_an_experiment_offers_is_sound(name, capsys):
    """Those that the refusal of another names; each once, the default among them."""
    path = ROOT / 'experiments' / f'{name}.py'
    (line,) = problems(capsys, f'--config={path}:nothing')
    offered = re.findall(r'\w+', line.split('allowed: ')[1])
    assert "found 'nothing'" in line and len(offered) == len(set(offered)) >= 3
    for variant in offered:
        config = configs.load(f'{path}:{variant}')
        assert faults(config) == [], variant
    workloads = {str(configs.load(f'{path}:{variant}').workload) for variant in offered}
    assert len(workloads) == len(offered), 'each asks of another workload'


def test_a_field_that_refers_to_another_follows_a_sweep(written):
    """As it follows the command line: equal examples, whatever the batch."""
    reference = "c.steps = 640 // c.get_ref('batch_size')"
    config = configs.load(str(written(f"{reference}; c.sweep = (('batch_size', (32, 64, 128)),)")))
    swept = [configs.resolve(config, overrides) for overrides in configs.trials(config)]
    assert [(trial['batch_size'], trial['steps']) for trial in swept] == [
        (32, 20),
        (64, 10),
        (128, 5),
    ]
    config = configs.load(str(written(reference)))
    configs.override(config, 'batch_size', '64')
    assert configs.resolve(config, {})['steps'] == 10
    assert configs.resolve(config, {'optimizer.momentum': 0.5})['steps'] == 10


@pytest.mark.parametrize(
    'argument, told',
    [
        ('.', 'a folder'),
        ('experiment.py:', None),
        ('nowhere.py', 'no file'),
        ('experiment.py:xl', 'get_config'),
    ],
)
def test_what_is_no_experiment_file(written, monkeypatch, argument, told):
    monkeypatch.chdir(written('pass').parent)
    if told is None:
        assert refusals(argument) == []
    else:
        (line,) = refusals(argument)
        assert line.startswith('--config: ') and told in line


@pytest.mark.processes
def test_no_home_folder_and_an_experiment_file_that_starts_jax(written):
    path = written('import jax; c.batch_size = 32 * jax.device_count()')
    environment = {
        name: value for name, value in os.environ.items() if name not in ('HOME', 'XDG_CACHE_HOME')
    }
    code = (
        'import os, pwd\n'
        'def nobody(number): raise KeyError(number)\n'
        'pwd.getpwuid = nobody\n'
        'from lbexp import command\n'
        'from lbexp.config import load\n'
        f'config = load({str(path)!r})\n'
        'command.prepare(config)\n'
        'print(command.checked(config))\n'
    )
    command_line = [sys.executable, '-c', code]
    done = subprocess.run(command_line, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.stdout.strip() == '[]', done.stderr[-500:]
