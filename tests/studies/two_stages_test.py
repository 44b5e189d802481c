"""Two stages as one experiment, with and without pretraining: what is asked for, and what is
claimed of planted rows."""

import pathlib

import numpy as np
import pytest
from planted import outcomes
from rounds import analysis, rounds

from lbexp import config as configs
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


def pretrained(**study):
    """The experiment after a stage that is half as long."""
    return experiment(seeds=SEEDS, pretraining=dict(steps=500), **study)


class Chains:
    """answer(configuration) of planted test accuracies, by the stages that led there."""

    def __init__(self, errors):
        self.errors = errors
        self.of_trial = []  # trials are answered in their order

    def __call__(self, config):
        is_noisy = bool(config['workload']['data'].get('label_noise'))
        name = 'noisy' if is_noisy else 'clean'
        before, start = (), config['init_from']
        if start['weights'] is None and config['steps'] == 500:
            name = 'pretraining'
        if start['weights'] is not None:
            before = self.of_trial[start['trial']]
        self.of_trial.append((*before, name))
        error = self.errors.get((*before, name), 0.8)
        error -= 0.001 * np.random.default_rng(config['seed']).random()
        row = {'step': config['steps'], 'test_accuracy': 1 - error, 'loss': 1.0}
        return [row], 'done'


ALL = ('pretraining', 'noisy', 'clean')
ALONE, REVERSE = ('pretraining', 'clean', 'clean'), ('pretraining', 'clean', 'noisy')
CONTROL = ('noisy', 'clean')


@pytest.mark.parametrize(
    'errors, expected',
    [
        ({ALL: 0.3, ALONE: 0.4, REVERSE: 0.45, CONTROL: 0.35}, [REPRODUCED] * 3),
        (
            {ALL: 0.3, ALONE: 0.4, REVERSE: 0.45, CONTROL: 0.25},
            [REPRODUCED, REPRODUCED, NOT_REPRODUCED],
        ),
    ],
)
def test_pretraining_is_shared_and_its_control_has_none(tmp_path, errors, expected):
    answer = Chains(errors)
    config = pretrained(take=('Dense',), take_pretrained=('Dense_0',))
    entries = rounds(config, tmp_path, answer)
    assert [entry['round'] for entry in entries] == [0] * 16 + [1] * 24 + [2] * 24
    assert len(set(answer.of_trial)) == 8  # each beginning is trained once, for all that share it
    report = analysis(config, tmp_path)
    assert outcomes(report) == expected
    name = 'pretraining, then noisy, then clean'
    assert report.claims[0].claim.endswith(
        '"pretraining, then clean alone", at equally many updates'
    )
    assert report.claims[2].claim == (
        f'"{name}" has a lower test error than "noisy, then clean", which has no pretraining'
    )
    assert [row[0] for row in report.tables[0].rows][::3] == [name, 'noisy, then clean']
    assert report.tables[0].rows[0][2].startswith('0.299')
    for entry in entries:
        (tags,) = entry['tags']
        stages = answer.of_trial[entry['trial']]
        assert tags['stage'] == len(stages) - ('pretraining' in stages)
        start = entry['overrides'].get('init_from')
        if start is None:
            assert len(stages) == 1
            continue
        (source,) = entries[start['trial']]['tags']
        assert source['pair'] == tags['pair'] and source['stage'] == tags['stage'] - 1
        assert start['take'] == (['Dense'] if tags['stage'] == 2 else ['Dense_0'])


def test_a_pretraining_that_diverged_has_no_stage_after_it(tmp_path):
    answer = Chains({ALL: 0.3, ALONE: 0.4, REVERSE: 0.45, CONTROL: 0.35})

    def diverging(config):
        planted = answer(config)
        is_third = len(answer.of_trial) == 3
        return ([dict(step=1, loss=None)], 'diverged') if is_third else planted

    entries = rounds(pretrained(), tmp_path, diverging)
    assert len(entries) == 64 - 5
    report = analysis(pretrained(), tmp_path)
    # of the arms of the first two claims both lack it, of the last one does
    assert all('1 of 8 diverged' in claim.measured for claim in report.claims)


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
        (dict(names=('pretraining', 'a')), "none is 'pretraining'"),
        (dict(pretraining=dict(init_from={})), 'pretraining: found init_from; allowed: fields'),
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
