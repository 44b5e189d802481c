"""What the tests of the engine share: a tiny configuration, and a run of it that returns its
rows."""

import json
import pathlib

import pytest

from lbexp import config as configs
from lbexp.engine import run

TIMES = ('wall_time', 'flop_per_second')  # what may differ between two runs that are equal


def tiny(**fields):
    """Momentum on linear regression, 24 updates, 6 rows, 3 evaluations."""
    c = configs.base()
    c.workload = dict(name='linear_regression', size=100)
    c.optimizer = dict(name='momentum', learning_rate=0.05, momentum=0.9)
    c.steps, c.batch_size = 24, 16
    c.num_rows, c.num_evaluations, c.num_checkpoints = 6, 3, 2
    for name, value in fields.items():
        setattr(c, name, value)
    return c


def train(config, workdir: pathlib.Path, **how) -> list[dict]:
    """Runs the trials of the configuration and returns the rows, without their times."""
    workdir.mkdir(parents=True, exist_ok=True)
    trials = [configs.resolve(config, overrides) for overrides in configs.trials(config)]
    run.run(trials, workdir, **how)
    return rows(workdir)


def rows(workdir: pathlib.Path) -> list[dict]:
    """The rows in order of trial and step, without what may differ between equal runs."""
    lines = (workdir / 'metrics.jsonl').read_text().splitlines()
    kept = [{k: v for k, v in json.loads(line).items() if k not in TIMES} for line in lines]
    return sorted(kept, key=lambda row: (row['trial'], row['step']))


def of_trial(rows: list[dict], trial: int) -> list[dict]:
    """The rows of one trial, without its number."""
    return [{k: v for k, v in row.items() if k != 'trial'} for row in rows if row['trial'] == trial]


SMALL = dict(name='digits_mlp', hidden=(16,))


def assert_close(left, right, tolerance):
    assert len(left) == len(right)
    for a, b in zip(left, right, strict=True):
        assert set(a) == set(b)
        for name in a:
            assert a[name] == pytest.approx(b[name], rel=tolerance, abs=tolerance), name
