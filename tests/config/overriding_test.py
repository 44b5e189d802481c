"""What the command line overrides: of which type, in which order."""

import pytest
from experiment_files import problems, refusals

from lbexp import config as configs


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


@pytest.mark.parametrize(
    'override, told',
    [
        ('workload.hidden=64', 'workload.hidden: found 64'),
        ('workload.dropout=abc', "workload.dropout: found 'abc'"),
        ('epochs=None', None),
        ('steps=1e9', 'steps: found 1000000000.0'),
        ('batch_growth.boundaries=0.5', 'batch_growth.boundaries: found 0.5'),
        ('optimizer.momentum=', 'optimizer.momentum: found'),
        ('optimizer.nesterov=maybe', "optimizer.nesterov: found 'maybe'; allowed: True or False"),
        ('seed=[', "seed: found '['"),
        ('study.k=0', 'study.k: no such field'),
        ('=5', 'not a flag'),
        ('a..b=5', "found 'a..b'; allowed: the path of a field"),
    ],
)
def test_a_mistake_on_the_command_line_is_one_line(written, override, told):
    lines = refusals(written('pass'), f'--config.{override}')
    assert lines == [] if told is None else told in lines[0] and len(lines) == 1


@pytest.mark.parametrize(
    'change, override, path, value',
    [
        (
            'c.optimizer = dict(name="lars", learning_rate=1)',
            'optimizer.learning_rate=0.5',
            'learning_rate',
            0.5,
        ),
        ('c.optimizer.learning_rate = 2.0', 'optimizer.learning_rate=1', 'learning_rate', 1.0),
        ("c.optimizer.decay = 'all'", 'optimizer.decay=none', 'decay', 'none'),
        ('pass', 'optimizer.nesterov=true', 'nesterov', True),
    ],
)
def test_overrides_are_read_as_the_field_says(written, change, override, path, value):
    config = configs.load(str(written(change)))
    configs.override(config, *override.split('=', 1))
    assert config.optimizer[path] == value and type(config.optimizer[path]) is type(value)


def test_a_number_where_the_file_has_text_is_a_number(written):
    config = configs.load(str(written("c.workload.ghost = 'sync'")))
    configs.override(config, 'workload.ghost', '16')
    assert config.workload.ghost == 16


def test_a_required_value_may_come_from_the_command_line(written):
    path = written('c.seed = config_dict.required_placeholder(int)')
    assert refusals(path, '--config.seed=3') == []
