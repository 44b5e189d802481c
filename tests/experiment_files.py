"""What the tests of configurations share: experiment files, and what is refused of them."""

import pytest

from lbexp import command, main

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


TEXT = """
import pathlib

import numpy as np
import jax.numpy as jnp
from ml_collections import FrozenConfigDict, config_dict

from lbexp import config


def get_config():
    c = config.base()
    c.workload = dict(name='digits_mlp', hidden=(8,))
    c.optimizer = dict(name='lars', learning_rate=1.0)
    c.steps, c.batch_size, c.num_rows, c.num_evaluations, c.num_checkpoints = 4, 32, 2, 1, 1
    CHANGE
    return c
"""


@pytest.fixture
def written(tmp_path):
    def write(change):
        path = tmp_path / 'experiment.py'
        path.write_text(TEXT.replace('CHANGE', change))
        return path

    return write


def refusals(path, *overrides):
    """What the command line prints of this configuration, without training."""
    flags = command.own_flags()
    changes, _, problems = command.parse(flags, ['main', f'--config={path}', *overrides])
    config, wrong = command.read(flags, changes)
    return [*problems, *wrong] or command.checked(config)
