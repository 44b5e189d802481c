"""The study of the edge of stability: what it asks for, and what it says of rows that are known."""

import pathlib

import pytest
from rounds import analysis, rounds

from lbexp import config as configs
from lbexp.config import lookup

ROOT = pathlib.Path(__file__).parents[2]


@pytest.fixture
def config():
    return configs.load(str(ROOT / 'experiments' / 'edge_of_stability.py'))


def levels(config, workdir, level):
    """The analysis where every optimizer settles at `level` times its limit."""
    limits = {'sgd': 2 / 0.2, 'lookahead': (1 + 3**0.2) / 0.2, 'adamw': 2 * 1.9 / (0.1 * 0.01)}

    def answer(trial):
        optimizer = trial['optimizer']
        if optimizer['name'] == 'momentum':
            limit = 2 * 1.9 / 0.15
            if optimizer.get('nesterov'):
                limit = 2 * 1.9 / (2.8 * 0.07)
        else:
            limit = limits[optimizer['name']]
        name = 'hessian_top'
        if optimizer['name'] == 'adamw':
            name = 'preconditioned_hessian_top'
        rows = [{'step': 1, 'loss': 1.0}]  # without a measurement
        for step in range(100, 1000, 100):
            # sharpens first; the seeds differ
            share = min(step / 500, 1) * level * (1 + 0.002 * trial['seed'])
            if trial['batch_size'] < 512:
                share = share * trial['batch_size'] / 512
            rows.append({'step': step, 'loss': 1.0, name: [share * limit]})
        if level > 1.5:
            return rows[:2], 'diverged'
        return rows, 'done'

    rounds(config, workdir, answer)
    return analysis(config, workdir)


def test_levels_are_shares_of_each_limit(config, tmp_path):
    measured = levels(config, tmp_path / 'at', 1.0)
    assert measured.passed and len(measured.claims) == 5
    assert {claim.outcome for claim in measured.claims} == {'reproduced'}
    by_name = {row[0]: row[1] for row in measured.tables[0].rows}
    assert by_name['Lookahead'].startswith('1') and by_name['Adam'].startswith('1')
    assert by_name['SGD, batch 128'].startswith('0.251')
    (figure,) = measured.figures
    assert len(figure.series) == 6 * 8
    assert figure.series[0].x[0] == 100


def test_below_the_limit_nothing_is_reproduced(config, tmp_path):
    measured = levels(config, tmp_path / 'below', 0.8)
    assert not measured.passed
    assert {claim.outcome for claim in measured.claims} == {'not reproduced'}


def test_what_diverged_has_no_level(config, tmp_path):
    measured = levels(config, tmp_path / 'lost', 2.0)
    assert not measured.passed
    assert {row[1] for row in measured.tables[0].rows} == {'none'}


def test_another_seed_shares_no_trial(config):
    study = lookup.build('study', configs.plain(config.study))
    first = {trial.overrides['seed'] for trial in study.trials(config)}
    config.seed = 1
    assert first.isdisjoint(trial.overrides['seed'] for trial in study.trials(config))
