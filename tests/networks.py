"""Trained networks that several files of tests open."""

import json
import shutil
import sys

import pytest
from training import tiny

import lbexp
from lbexp import config as configs
from lbexp.engine import record, run
from lbexp.engine.fingerprint import fingerprint
from lbexp.trained.initial_weights import gather

# Trials of one program, whose lanes are dealt out by their lengths; the last one diverges.
NETWORKS = tiny(
    workload=dict(name='digits_mlp', hidden=(16,), batch_norm=True),
    optimizer=dict(
        name='lookahead', k=3, inner=dict(name='momentum', learning_rate=0.1, momentum=0.9)
    ),
    sweep=(
        (
            ('optimizer.inner.learning_rate', 'steps', 'seed'),
            ((0.1, 8, 0), (0.2, 31, 1), (0.05, 17, 2), (1e38, 31, 3)),
        ),
    ),
)
DIVERGED = 3
BACKEND = dict(name='linear_regression', size=100)

MINE = """
import os, pathlib
from lbexp.config import lookup
from lbexp.workloads import Workload
pathlib.Path(__file__).with_name('executed').touch()
def net(size=64) -> Workload:
    return lookup.build('workload', {'name': 'linear_regression', 'size': size})
def silent(size=64) -> Workload:
    return net(size)._replace(predict=None)
def wrong(size=64) -> Workload:
    return net(size)._replace(predict=lambda params, state, examples: examples['x'].sum())
"""


def prepared(config):
    """The trials of a configuration, once what they begin from is there and each can be built."""
    trials = [configs.resolve(config, overrides) for overrides in configs.trials(config)]
    gather(trials, None)
    run.build_once(trials)
    return trials


def trained(config, workdir, **how):
    """A workdir as the command leaves it, without the report."""
    overrides = configs.trials(config)
    trials = [configs.resolve(config, each) for each in overrides]
    code = fingerprint(trials)
    record.record(workdir, configs.plain(config), overrides, code=code)
    run.run(trials, workdir, **how)
    return workdir


@pytest.fixture(scope='session')
def workdir(tmp_path_factory):
    return trained(NETWORKS, tmp_path_factory.mktemp('networks') / 'run')


@pytest.fixture(scope='session')
def network(workdir):
    return lbexp.open(workdir).trial(2)


@pytest.fixture(scope='session')
def small(tmp_path_factory):
    """Two quick trials, to be copied and damaged."""
    config = tiny(sweep=(('seed', (0, 1)),), workload=BACKEND)
    return trained(config, tmp_path_factory.mktemp('small') / 'run')


@pytest.fixture
def copied(small, tmp_path):
    return shutil.copytree(small, tmp_path / 'copy')


@pytest.fixture
def mine(tmp_path, monkeypatch):
    """A module of the user's; the file `executed` says that it was imported."""
    (tmp_path / 'mine.py').write_text(MINE)
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    sys.modules.pop('mine', None)


def set_config(workdir, change):
    path = workdir / 'config.json'
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))


def one_line(capsys):
    (line,) = capsys.readouterr().err.splitlines()
    return line


def files_of(folder):
    return {path: path.read_bytes() for path in sorted(folder.rglob('*')) if path.is_file()}
