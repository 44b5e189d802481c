"""Sweeps that grow: a search with more points, a study that asks for more."""

import json

import pytest
from sweeps import attempts, command
from training import rows

pytestmark = [pytest.mark.processes, pytest.mark.long]
SEARCH = """
from lbexp import config
def get_config():
    c = config.base()
    c.workload = dict(name='linear_regression', size=100)
    c.optimizer = dict(name='momentum', learning_rate=0.05, momentum=0.9)
    c.steps, c.batch_size = 24, 16
    c.num_rows, c.num_evaluations, c.num_checkpoints = 4, 2, 1
    c.search = dict(kind='halton', trials=8, space=(('optimizer.learning_rate', 'log', 1e-3, 0.1),))
    return c
"""


@pytest.mark.long
def test_a_search_is_extended(tmp_path):
    """From 8 points to 16, in the workdir: the first keep their rows, and only the others are
    trained."""
    file = tmp_path / 'search.py'
    file.write_text(SEARCH)
    arguments = [
        'lbexp.sweep',
        f'--config={file}',
        f'--workdir={tmp_path}/run',
        'run',
    ]
    assert command(*arguments, folder=tmp_path).returncode == 0
    before, told = rows(tmp_path / 'run'), attempts(tmp_path / 'run')
    assert len(before) == 8 * 4
    done = command(*arguments, '--config.search.trials=16', folder=tmp_path)
    assert done.returncode == 0, done.stderr
    after = rows(tmp_path / 'run')
    assert after[: len(before)] == before and {row['trial'] for row in after} == set(range(16))
    assert attempts(tmp_path / 'run')[:1] == told and len(attempts(tmp_path / 'run')) == 2
    entries = json.loads((tmp_path / 'run' / 'cohorts' / '00001' / 'config.json').read_text())[
        'trials'
    ]
    assert [entry['trial'] for entry in entries] == list(range(8, 16))
    rates = {row['trial']: row['learning_rate'] for row in after}
    assert len(set(rates.values())) == 16
    # Another space is another workdir.
    moved = command(
        *arguments,
        "--config.search.space=(('optimizer.learning_rate', 'log', 1e-3, 1.0),)",
        folder=tmp_path,
    )
    assert (
        moved.returncode == 2
        and 'another configuration' in moved.stderr
        and 'Choose another' in moved.stderr
    )


@pytest.mark.long
def test_a_study_that_asks_for_more_gets_its_rounds(tmp_path):
    study = [
        '--config=experiments/generalization_gap.py:digits',
        '--config.study.batch_sizes=(64, 256)',
    ]
    study += ['--config.study.budget=2', '--config.study.extensions=0', '--config.study.seeds=1']
    study += [
        '--config.study.tunings=1',
        '--config.epochs=1.0',
        '--config.microbatch=64',
        '--config.num_rows=4',
        '--config.num_evaluations=2',
    ]
    alone = command('lbexp.main', *study, f'--workdir={tmp_path}/direct', folder=tmp_path)
    done = command('lbexp.sweep', *study, f'--workdir={tmp_path}/sweep', 'run', folder=tmp_path)
    assert (alone.returncode, done.returncode) == (0, 0), done.stderr
    entries = json.loads((tmp_path / 'sweep' / 'config.json').read_text())['trials']
    assert entries == json.loads((tmp_path / 'direct' / 'config.json').read_text())['trials']
    assert {entry['round'] for entry in entries} == {0, 1}
    assert rows(tmp_path / 'sweep') == rows(tmp_path / 'direct')
    assert (tmp_path / 'sweep' / 'claims.md').read_text() == (
        tmp_path / 'direct' / 'claims.md'
    ).read_text()
