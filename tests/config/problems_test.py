"""What is wrong with a configuration is told at once, one line each, with exit status 2 and no
traceback."""

import pathlib
import subprocess
import sys

import pytest
from experiment_files import BASE, problems

from lbexp import config as configs


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


OF_THE_TEST_SET = (
    *('async_lookahead', 'batch_growth', 'beta2_half_life', 'generalization_gap'),
    *('layerwise_ablation', 'local_sgd', 'noisy_then_clean', 'reality_check', 'remedies'),
    *('sharp_minima', 'single_worker_diloco', 'steady_state', 'weight_decay_with_batch'),
)


@pytest.mark.parametrize('study', OF_THE_TEST_SET)
def test_a_study_of_the_test_set_wants_it_evaluated(capsys, study):
    (line,) = problems(capsys, f'--config={study}', '--config.evaluate_test=0')
    assert "evaluate_test: found 0; allowed: 'all' or at least 1, as the study reports" in line


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


ROOT = pathlib.Path(__file__).parents[2]


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
