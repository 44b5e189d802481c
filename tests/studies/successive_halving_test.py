"""Successive halving with rows that are made up: who goes on, for how long, at which cost."""

import math
import pathlib

import pytest
from rounds import analysis, rounds

from lbexp import config as configs
from lbexp import results
from lbexp.config import lookup
from lbexp.config.search import search
from lbexp.studies.successive_halving import _rungs, _searched

ROOT = pathlib.Path(__file__).parents[2]
SPACE = (('optimizer.learning_rate', 'log', 1e-3, 10.0),)


@pytest.fixture
def config():
    c = configs.load(str(ROOT / 'experiments' / 'successive_halving.py'))
    c.study = dict(name='successive_halving', space=SPACE, configurations=9, factor=3)
    c.epochs, c.steps = None, 90
    return c


def answer(trial):
    """The best rate is 0.5, and longer is better; rates above 5 diverge."""
    rate, steps = trial['optimizer']['learning_rate'], trial['steps']
    if rate > 5:
        return [{'step': 1, 'loss': math.nan}], 'diverged'
    accuracy = 1 - 0.02 * abs(math.log(rate / 0.5)) - 1 / (steps + 10)
    row = {'step': steps, 'loss': 1.0, 'validation_accuracy': accuracy, 'test_accuracy': 0.5}
    return [row], 'done'


def test_rungs_cost_as_many_updates_each():
    assert [(rung.count, round(27 * rung.share)) for rung in _rungs(27, 3)] == [
        (27, 1),
        (9, 3),
        (3, 9),
        (1, 27),
    ]
    assert _searched(_rungs(27, 3)) == 4
    assert [(rung.count, rung.share) for rung in _rungs(5, 2)] == [(5, 0.25), (2, 0.5), (1, 1)]
    for factor in (2, 3, 4):
        for count in range(factor, 300):
            rungs = _rungs(count, factor)
            assert factor ** (len(rungs) - 1) <= count < factor ** len(rungs)
            assert rungs[-1].share == 1 and 1 <= _searched(rungs) <= count


def test_the_best_go_on_and_longer(config, tmp_path):
    entries = rounds(config, tmp_path, answer)
    points = search({SPACE[0][0]: SPACE[0][1:]}, 9)
    rates = [point['optimizer.learning_rate'] for point in points]
    assert any(rate > 5 for rate in rates)
    order = sorted(range(9), key=lambda k: abs(math.log(rates[k] / 0.5)))
    by_rung = {}
    for trial, tags in results.roles(tmp_path):
        overrides = entries[trial]['overrides']
        assert overrides['optimizer.learning_rate'] == rates[tags['configuration']]
        place = tags.get('rung', 'search')
        by_rung.setdefault(place, {})[tags['configuration']] = overrides.get('steps', 90)
    assert by_rung[0] == dict.fromkeys(range(9), 10)
    assert by_rung[1] == dict.fromkeys(sorted(order[:3]), 30)
    assert by_rung[2] == {order[0]: 90}
    assert by_rung['search'] == dict.fromkeys(range(3), 90)


def test_the_table_says_what_was_spent(config, tmp_path):
    rounds(config, tmp_path, answer)
    of = analysis(config, tmp_path)
    rows = {row[0]: row[1:] for row in of.tables[0].rows}
    diverged = sum(
        point['optimizer.learning_rate'] > 5 for point in search({SPACE[0][0]: SPACE[0][1:]}, 9)
    )
    spent = [
        rows[f'rung {k}, {share} of the length'][1] for k, share in enumerate(['0.111', '0.333', 1])
    ]
    assert spent == [10 * (9 - diverged) + diverged, 90, 90]
    assert rows['all rungs'][:2] == [9, sum(spent)]
    assert of.verdict.startswith('Successive halving ends with a validation accuracy of 0.9')
    assert f'after {sum(spent)} updates, the search with' in of.verdict
    (figure,) = of.figures
    assert {series.group for series in figure.series} == {'stopped', 'at full length'}


def test_a_winner_that_the_search_has_too_trains_once(config, tmp_path):
    """Where the best configuration is among the first, its full run is that of both."""
    rates = [point['optimizer.learning_rate'] for point in search({SPACE[0][0]: SPACE[0][1:]}, 9)]

    def favours_the_first(trial):
        rows, status = answer({**trial, 'optimizer': {'learning_rate': 0.4}})
        if trial['optimizer']['learning_rate'] == rates[1]:
            rows[0]['validation_accuracy'] = 1.0
        return rows, status

    entries = rounds(config, tmp_path, favours_the_first)
    assert len(entries) == 9 + 3 + 3
    assert {'arm': 'successive halving', 'rung': 2, 'configuration': 1} in entries[10]['tags']
    assert 'after 270 updates, the search with 1 ' in analysis(config, tmp_path).verdict


@pytest.mark.parametrize(
    'arguments, found',
    [
        (dict(configurations=9, factor=1), 'found 1, 9'),
        (dict(configurations=2, factor=3), 'found 3, 2'),
        (dict(space=(('optimizer.learning_rate', 'logg', 1, 2),)), "'logg'"),
    ],
)
def test_what_is_no_halving_is_refused(arguments, found):
    with pytest.raises(ValueError, match=found):
        lookup.build('study', dict(name='successive_halving', **{'space': SPACE, **arguments}))
