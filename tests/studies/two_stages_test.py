"""Two stages as one experiment: what is asked for, what is claimed of planted rows, and a run that
is killed between and within stages."""

import json
import pathlib

import numpy as np
import pytest
from planted import outcomes
from rounds import analysis, rounds
from training import rows

import lbexp
from lbexp import config as configs
from lbexp import main
from lbexp.analysis import NOT_REPRODUCED, REPRODUCED, UNDECIDED
from lbexp.config import check

ROOT = pathlib.Path(__file__).parents[2]


def experiment(**study):
    config = configs.load(str(ROOT / 'experiments' / 'noisy_then_clean.py'))
    config.study.update(study)
    return config


def answers(values, metric='test_accuracy'):
    """answer(configuration) of planted values of a metric, by (first, second) stage."""

    def answer(config):
        is_noisy = bool(config['workload']['data'].get('label_noise'))
        second = 'noisy' if is_noisy else 'clean'
        begins = config['init_from']['trial'] if config['init_from']['weights'] else None
        # of the first round: noisy trials come first
        first = None if begins is None else ('noisy' if begins < SEEDS else 'clean')
        value = values[first, second] - 0.001 * np.random.default_rng(config['seed']).random()
        row = {'step': 1000, metric: value, 'loss': 1.0}
        return [dict(row, step=500), row], 'done'

    return answer


SEEDS = 8


def right(errors):
    return {stages: 1 - error for stages, error in errors.items()}


BEFORE = {(None, 'noisy'): 0.7, (None, 'clean'): 0.6}
WINS = {('noisy', 'clean'): 0.4, ('clean', 'clean'): 0.5, ('clean', 'noisy'): 0.55}
LOSES = {('noisy', 'clean'): 0.6, ('clean', 'clean'): 0.5, ('clean', 'noisy'): 0.55}
SAME = {('noisy', 'clean'): 0.5, ('clean', 'clean'): 0.5, ('clean', 'noisy'): 0.55}


@pytest.mark.parametrize(
    'errors, expected, passed',
    [
        (WINS, [REPRODUCED, REPRODUCED], True),
        (LOSES, [NOT_REPRODUCED, NOT_REPRODUCED], False),
        (SAME, [UNDECIDED, REPRODUCED], None),
    ],
)
def test_claims_follow_the_errors(tmp_path, errors, expected, passed):
    entries = rounds(experiment(seeds=SEEDS), tmp_path, answers(right(BEFORE | errors)))
    assert [entry['round'] for entry in entries] == [0] * 16 + [1] * 24
    told = analysis(experiment(seeds=SEEDS), tmp_path)
    assert outcomes(told) == expected and told.passed is passed
    table = {row[0]: row for row in told.tables[0].rows}
    assert table['noisy, then clean'][1].startswith('0.7')  # after the first stage
    assert table['noisy, then clean'][2].startswith(str(errors['noisy', 'clean']))
    (figure,) = told.figures
    assert max(figure.series[1].x) == 2000 and max(figure.series[0].x) == 1000


@pytest.mark.parametrize(
    'metric, planted, expected',
    [
        # more accuracy is better, less loss is: the same numbers say the opposite
        ('accuracy', WINS, NOT_REPRODUCED),
        ('accuracy', right(WINS), REPRODUCED),
        ('loss', WINS, REPRODUCED),
        ('loss', right(WINS), NOT_REPRODUCED),
    ],
)
def test_another_metric_has_its_own_direction(tmp_path, metric, planted, expected):
    config = experiment(seeds=SEEDS, metric=metric)
    rounds(config, tmp_path, answers(BEFORE | planted, f'test_{metric}'))
    told = analysis(config, tmp_path)
    assert outcomes(told) == [expected] * 2
    better = 'lower' if metric == 'loss' else 'higher'
    assert told.claims[0].claim.startswith(f'"noisy, then clean" has a {better} test {metric} than')
    # the better arm's advantage is above 0, whatever the direction
    is_above = told.claims[0].measured.partition(': ')[2].startswith('0.1')
    assert is_above == (expected == REPRODUCED)
    assert told.verdict.startswith(f'Test {metric}: ')
    assert told.figures[0].y_label == f'test {metric}'


def test_a_stage_begins_from_its_own_seed(tmp_path):
    """The second stage of pair s begins from the first stage of pair s; a first stage that diverged
    has none."""
    answer = answers(right(BEFORE | WINS))

    def diverging(config):
        is_third = config['seed'] == 2 and config['init_from']['weights'] is None
        return ([dict(step=1, loss=None)], 'diverged') if is_third else answer(config)

    entries = rounds(experiment(seeds=SEEDS), tmp_path, diverging)
    by_trial = {entry['trial']: entry for entry in entries}
    seconds = [entry for entry in entries if entry['round'] == 1]
    assert len(seconds) == 3 * (SEEDS - 1)
    for entry in seconds:
        source = by_trial[entry['overrides']['init_from']['trial']]
        (tags,) = entry['tags']
        assert source['tags'][0]['pair'] == tags['pair'] != 2
        assert tags['arm'].startswith(source['tags'][0]['arm'])
    told = analysis(experiment(seeds=SEEDS), tmp_path)
    assert all('1 of 8 diverged' in claim.measured for claim in told.claims)


@pytest.mark.parametrize(
    'study, problem',
    [
        (dict(names=('a', 'a')), "names: found ('a', 'a'); allowed: two different ones"),
        (dict(first=dict(optimiser={})), 'noisy: found optimiser; allowed: fields'),
        (dict(second=dict(seed=3)), 'clean: found seed; allowed: fields'),
        (
            dict(metric='auc'),
            "metric: found 'auc'; allowed: error, accuracy, loss, which classification has of a",
        ),
    ],
)
def test_bad_arguments_are_told_in_one_line(study, problem):
    told = check.check(experiment(**study))
    assert len(told) == 1 and problem in told[0]


TINY = """
from lbexp import config
def data(**options):
    data = dict(name='digits', **options)
    return dict(name='classification', data=data, model=dict(name='mlp', hidden=(8,)))
def get_config():
    c = config.base()
    c.workload = data()
    c.study = dict(name='two_stages', names=('noisy', 'clean'), seeds=2,
        first=dict(workload=data(label_noise=0.5)), second=dict(workload=data(examples=100)))
    c.batch_size, c.steps = 32, 12
    c.num_rows, c.num_evaluations, c.num_checkpoints = 4, 2, 4
    return c
"""


@pytest.mark.long
def test_stopped_within_and_between_stages_it_ends_the_same(tmp_path, monkeypatch, capsys):
    (tmp_path / 'tiny.py').write_text(TINY)

    def run(workdir):
        flags = [f'--config={tmp_path / "tiny.py"}', f'--workdir={workdir}', '--figures=']
        return main.main(['main', *flags])

    assert run(tmp_path / 'whole') == 0
    whole = rows(tmp_path / 'whole')
    assert len(whole) == 4 * (4 + 6)
    # The second stage begins where the first one ended: other weights, the same seeds of data.
    trained = lbexp.open(tmp_path / 'whole')
    document = json.loads((tmp_path / 'whole' / 'config.json').read_text())
    assert document['trials'][4]['overrides']['init_from']['weights'] == 'this run'
    assert trained.trial(4).step == 12
    from lbexp import command

    stops = 0
    for _ in range(40):
        left = iter([False] * 3)
        monkeypatch.setattr(command.Stop, '__call__', lambda self, left=left: next(left, True))
        status = run(tmp_path / 'cut')
        stops += status == 75
        if status == 0:
            break
    assert stops >= 3 and rows(tmp_path / 'cut') == whole
