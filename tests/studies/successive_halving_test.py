"""Successive halving: who goes on, for how long, at which cost, with rows that are made up; and
that who goes on is the run straight through."""

import math
import pathlib

import jax
import numpy as np
import pytest
from rounds import analysis, rounds
from training import of_trial, rows, tiny

import lbexp
from lbexp import config as configs
from lbexp import results
from lbexp.config import lookup
from lbexp.config.search import search
from lbexp.engine.trial_plan import run_length
from lbexp.errors import Refusal
from lbexp.studies._rungs import full_runs, rungs_of

ROOT = pathlib.Path(__file__).parents[2]
SPACE = (('optimizer.learning_rate', 'log', 1e-3, 10.0),)


@pytest.fixture
def config():
    return halving('restart')


def halving(weights):
    c = configs.load(str(ROOT / 'experiments' / 'successive_halving.py'))
    c.study = dict(
        name='successive_halving', space=SPACE, configurations=9, factor=3, weights=weights
    )
    c.epochs, c.steps = None, 90
    return c


def answer(trial):
    """The best rate is 0.5, and longer is better; rates above 5 diverge."""
    rate, steps = trial['optimizer']['learning_rate'], run_length(trial)
    if rate > 5:
        return [{'step': 1, 'loss': math.nan}], 'diverged'
    accuracy = 1 - 0.02 * abs(math.log(rate / 0.5)) - 1 / (steps + 10)
    row = {'step': steps, 'loss': 1.0, 'validation_accuracy': accuracy, 'test_accuracy': 0.5}
    return [row], 'done'


def test_rungs_cost_as_many_updates_each():
    assert [(rung.count, round(27 * rung.share)) for rung in rungs_of(27, 3)] == [
        (27, 1),
        (9, 3),
        (3, 9),
        (1, 27),
    ]
    assert full_runs(rungs_of(27, 3), continues=False) == 4
    assert full_runs(rungs_of(27, 3), continues=True) == 3
    assert [(rung.count, rung.share) for rung in rungs_of(5, 2)] == [(5, 0.25), (2, 0.5), (1, 1)]
    for factor in (2, 3, 4):
        for count in range(factor, 300):
            rungs = rungs_of(count, factor)
            assert factor ** (len(rungs) - 1) <= count < factor ** len(rungs)
            assert rungs[-1].share == 1
            for continues in (False, True):
                assert 1 <= full_runs(rungs, continues) <= count


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


def test_survivors_go_on_and_what_they_trained_before_is_not_paid_twice(tmp_path):
    config = halving('continue')
    entries = rounds(config, tmp_path, answer)
    trial_of, by_rung = {}, {}
    for trial, tags in results.roles(tmp_path):
        place = tags.get('rung', 'search')
        trial_of[place, tags['configuration']] = trial
        fields = configs.resolve(config, entries[trial]['overrides'])
        assert fields['steps'] == 90 and fields['schedule'] == configs.plain(config.schedule)
        by_rung.setdefault(place, []).append(run_length(fields))
        if place in (1, 2):
            source = trial_of[place - 1, tags['configuration']]
            start = fields['init_from']
            assert (start['weights'], start['trial'], start['position']) == (
                'this run',
                source,
                True,
            )
            assert fields['seed'] == entries[source]['overrides']['seed']
        else:
            assert fields['init_from']['weights'] is None
    assert by_rung == {0: [10] * 9, 'search': [90, 90], 1: [30] * 3, 2: [90]}
    of = analysis(config, tmp_path)
    rows = {row[0]: row[1:] for row in of.tables[0].rows}
    spent = [row[1] for name, row in rows.items() if name.startswith('rung ')]
    diverged = sum(trial[0] == 'diverged' for trial in statuses(tmp_path))
    assert spent == [10 * (9 - diverged) + diverged, 3 * 20, 60]
    assert rows['all rungs'][:2] == [9, sum(spent)] and rows['search'][:2] == [2, 180]
    assert f'after {sum(spent)} updates, the search with' in of.verdict


def statuses(workdir):
    """(status, rung) of the trials of rungs."""
    finals = results.final(workdir)
    by_trial = dict(zip(finals['trial'].tolist(), finals['status'].tolist()))
    roles = results.roles(workdir)
    return [(by_trial[trial], tags['rung']) for trial, tags in roles if 'rung' in tags]


@pytest.mark.parametrize('weights', ['continue', 'restart'])
def test_what_diverged_goes_no_further(tmp_path, weights):
    """Where fewer than a rung has places for are sound, fewer go on."""

    def mostly_diverges(trial):
        if trial['optimizer']['learning_rate'] != pytest.approx(sound):
            return [{'step': 1, 'loss': math.nan}], 'diverged'
        return answer(trial)

    points = [point['optimizer.learning_rate'] for point in search({SPACE[0][0]: SPACE[0][1:]}, 9)]
    sound = points[5]
    config = halving(weights)
    rounds(config, tmp_path, mostly_diverges)
    ends = statuses(tmp_path)
    assert ends.count(('done', 1)) == ends.count(('done', 2)) == 1
    assert ends.count(('diverged', 0)) == 8 and len(ends) == 11
    assert 'ends with a validation accuracy' in analysis(config, tmp_path).verdict
    nobody = tmp_path / 'nobody'
    nobody.mkdir()
    rounds(config, nobody, lambda trial: ([{'step': 1, 'loss': math.nan}], 'diverged'))
    assert len(statuses(nobody)) == 9
    assert analysis(config, nobody).verdict == 'Not all rungs are through.'


def test_what_trials_took_of_elsewhere_is_not_taken_again(tmp_path):
    config = halving('continue')
    config.init_from = dict(weights='runs/a', take=('!Dense_1',), rename=(('a', 'b'),))
    configs.fill_in(config)
    entries = rounds(config, tmp_path, answer)
    for entry in entries:
        start = configs.resolve(config, entry['overrides'])['init_from']
        began = start['weights'] == 'this run'
        assert began == bool(start.get('position')) == (start['take'] == start['rename'] == [])


@pytest.mark.parametrize(
    'steps, epochs, found',
    [
        (8, None, 'steps: found 8, which is 8 updates; allowed: at least 9, so that each rung'),
        (None, 0.5, r'epochs: found 0\.5, which is \d updates; allowed: at least 9'),
        (None, None, 'steps, epochs: found None, None; allowed: one set'),
        (9, 1.0, 'steps, epochs: found 9, 1.0; allowed: one set'),
    ],
)
def test_a_run_is_long_enough_for_its_rungs(steps, epochs, found):
    config = halving('continue')
    config.steps, config.epochs = steps, epochs
    study = lookup.build('study', configs.plain(config.study))
    with pytest.raises(Refusal, match=found):
        study.trials(config)


@pytest.mark.long
@pytest.mark.parametrize('optimizer', ['momentum', 'adamw'])
def test_who_goes_on_is_the_run_straight_through(tmp_path, optimizer):
    """To the bit: weights, optimizer state and the rows of the last rung, under a schedule with
    warm-up, with dropout, though others train beside it."""
    config = tiny(
        workload=dict(name='digits_mlp', hidden=(8,), dropout=0.2, validation=200),
        optimizer=dict(name=optimizer, learning_rate=0.1),
        schedule=dict(name='cosine', warmup=0.2),
        steps=16,
        num_rows=4,
        num_evaluations=1,
    )
    axis = ('optimizer.learning_rate', 'log', 1e-3, 0.1)
    halving = dict(name='successive_halving', space=(axis,), configurations=4, factor=2)
    options = dict(figures=(), show=False)
    run = lbexp.run(config, {'study': halving}, tmp_path / 'rungs', **options)
    *_, (last, tags) = results.roles(run.workdir)
    assert tags['rung'] == 2 and run.trial(last).step == 16
    rate = run.trial(last).config['optimizer']['learning_rate']
    seed = run.trial(last).config['seed']
    fields = {'optimizer.learning_rate': rate, 'seed': seed, 'num_rows': 8}
    straight = lbexp.run(config, fields, tmp_path / 'straight', **options)
    for name in ('tick', 'step', 'params', 'opt_state', 'model_state'):
        pair = [getattr(trial.state, name) for trial in (run.trial(last), straight.trial())]
        jax.tree.map(np.testing.assert_array_equal, *pair)
    # of 8 updates, two a row
    ours = of_trial(rows(run.workdir), last)
    assert ours == of_trial(rows(straight.workdir), 0)[-4:]
    assert f'after {4 * 4 + 2 * 4 + 8} updates, the search with' in run.verdict


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
