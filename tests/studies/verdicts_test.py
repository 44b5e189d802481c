"""Claims of a comparison against the grid of points and the test set; margins that the test set
does not resolve, or that were changed after there were results."""

import json
import math
import pathlib

import numpy as np
import pytest
from rounds import analysis, rounds

from lbexp import config as configs
from lbexp import crossed, results
from lbexp.analysis import (
    NOT_REPRODUCED,
    REPRODUCED,
    UNDECIDED,
    UNDER_TRAINED,
    Analysis,
    above,
    below,
    claim_interval,
    judged,
    within,
)
from lbexp.config import lookup
from lbexp.engine import record
from lbexp.errors import Refusal
from lbexp.studies._comparison import arms, verdicts
from lbexp.studies._comparison.compared import Compared
from lbexp.studies._comparison.sensitivity import sensitivity_figures

ROOT = pathlib.Path(__file__).parents[2]
RATE = {'optimizer.learning_rate': ('log', 0.01, 1.0)}
SPREAD = np.array([-0.002, -0.001, 0.0, 0.001, 0.002, 0.0015])


def result(missed, trials=()):
    return arms.TuningResult([], np.zeros(0), {}, None, [], [], list(trials), missed)


def compared(errors, trials=None, tunings=1, follows=None):
    """Arms with these errors of the grid, by name, in each of the tunings."""
    trials = trials or {}
    members = [arms.Arm(name, {}, RATE, tuned_as=follows if name == 'b' else None) for name in 'ab']
    of_tunings = []
    for number in range(tunings):
        of_tuning = {}
        for name, missed in errors.items():
            of_arm = trials[name][number] if name in trials else ()
            of_tuning[name] = result(missed[number] if np.ndim(missed) else missed, of_arm)
        of_tunings.append(of_tuning)
    tuning = arms.Tuning(4, 6, lambda workdir: {}, tunings=tunings)
    return Compared(pathlib.Path('nowhere'), {}, members, tuning, of_tunings)


def claim(effects, test=above, margin=0.0):
    return judged('c', 'm', test, effects, margin, contrast=('test_error', 'a', 'b'))


@pytest.mark.parametrize(
    'test, effect, margin, missed, outcome',
    [
        (above, 0.03, 0.0, 0.02, REPRODUCED),
        (above, 0.03, 0.0, 0.04, UNDECIDED),
        (above, -0.03, 0.0, 0.02, NOT_REPRODUCED),
        (above, -0.03, 0.0, 0.04, UNDECIDED),
        (above, 0.03, 0.02, 0.015, UNDECIDED),  # 0.01 from the margin
        (below, -0.03, 0.0, 0.02, REPRODUCED),
        (within, 0.0, 0.01, 0.005, REPRODUCED),
        (within, 0.0, 0.01, 0.02, UNDECIDED),
        (within, -0.05, 0.01, 0.03, NOT_REPRODUCED),
        (within, -0.05, 0.01, 0.045, UNDECIDED),
        (above, 0.03, 0.0, math.nan, REPRODUCED),  # not known: several numbers are tuned
        (above, 0.03, 0.0, math.inf, UNDECIDED),
    ],
)
@pytest.mark.parametrize('arm', ['a', 'b'])
def test_an_effect_smaller_than_the_error_of_either_grid_is_undecided(
    test, effect, margin, missed, outcome, arm
):
    errors = {'a': 0.0, 'b': 0.0, arm: missed}
    # the median of the spread is 0.0005
    before = claim(effect - 0.0005 + SPREAD, test, margin)
    after = verdicts.beyond_grid(compared(errors), before)
    assert after.outcome == outcome
    says = "the grid's error" in after.measured
    assert says == (outcome == UNDECIDED)
    assert after.p_value == before.p_value


def test_the_words_name_the_error_and_what_it_exceeds():
    far = verdicts.beyond_grid(compared({'a': 0.02, 'b': 0.001}), claim(0.01 + SPREAD))
    assert far.measured == "m; the grid's error 0.02 exceeds the effect"
    near = verdicts.beyond_grid(compared({'a': 0.02, 'b': 0.001}), claim(SPREAD, within, 0.015))
    assert near.measured.endswith('exceeds the distance of the effect from 0.015')


def test_the_effect_is_the_median_of_the_draws():
    """One draw far out makes no effect large: the median is 0.011, the mean 0.026."""
    effects = np.array([0.01, 0.01, 0.011, 0.011, 0.012, 0.1])
    far = verdicts.beyond_grid(compared({'a': 0.02, 'b': 0.0}), claim(effects))
    assert far.outcome == UNDECIDED
    near = verdicts.beyond_grid(compared({'a': 0.0105, 'b': 0.0}), claim(effects))
    assert near.outcome == REPRODUCED


def test_the_error_of_several_tunings_is_their_median():
    errors = {'a': [0.001, 0.002, 0.9], 'b': 0.0}
    kept = verdicts.beyond_grid(compared(errors, tunings=3), claim(0.03 + SPREAD))
    assert kept.outcome == REPRODUCED


def test_arms_of_one_tuning_share_what_the_grid_missed():
    shared = compared({'a': 0.5, 'b': 0.0}, follows='a')
    assert verdicts.beyond_grid(shared, claim(0.03 + SPREAD)).outcome == REPRODUCED


def kept(monkeypatch, accuracies):
    trials = np.arange(len(accuracies))
    monkeypatch.setattr(results, 'per_example', lambda workdir, metric: (trials, accuracies))


def crossed_effects(random, draws, examples, mean, of_example, of_rest):
    effects = mean + of_example * random.standard_normal(examples)
    return effects + of_rest * random.standard_normal((draws, examples))


def test_the_wider_interval_decides(monkeypatch):
    """Six seeds agree, and the examples do not: over both there is no decision."""
    random = np.random.default_rng(0)
    effects = crossed_effects(random, 6, 100, 0.03, 0.3, 0.05)
    # arm a is wrong by as much more than arm b; values need not be 0 or 1 here
    kept(monkeypatch, np.concatenate([1 - effects, np.ones((6, 100))]))
    pair = compared({'a': 0.0, 'b': 0.0}, {'a': [range(6)], 'b': [range(6, 12)]})
    before = claim(effects.mean(axis=1))
    assert before.outcome == REPRODUCED
    after = verdicts.over_examples(pair, before, verdicts.read_mistakes(pair.workdir))
    mean, low, high = crossed.two_way_interval(effects)
    assert low < 0 < high and after.outcome == UNDECIDED
    seeds = 'over seeds alone [{:.3g}, {:.3g}]'.format(*claim_interval(before.effects))
    both = f'over seeds and 100 test examples {mean:.3g} [{low:.3g}, {high:.3g}]'
    assert after.measured == f'm; {seeds}, {both}'


def test_examples_that_agree_leave_the_verdict(monkeypatch):
    random = np.random.default_rng(1)
    effects = crossed_effects(random, 6, 400, 0.03, 0.05, 0.05)
    kept(monkeypatch, np.concatenate([1 - effects, np.ones((6, 400))]))
    pair = compared({'a': 0.0, 'b': 0.0}, {'a': [range(6)], 'b': [range(6, 12)]})
    for test, outcome in ((above, REPRODUCED), (below, NOT_REPRODUCED)):
        before = claim(effects.mean(axis=1), test)
        after = verdicts.over_examples(pair, before, verdicts.read_mistakes(pair.workdir))
        assert after.outcome == before.outcome == outcome


def test_a_narrow_interval_over_both_does_not_decide_what_seeds_do_not(monkeypatch):
    random = np.random.default_rng(2)
    seeds = np.array([0.5, -0.4, 0.3, 0.2, -0.1, 0.4])
    effects = seeds[:, None] + 0.01 * random.standard_normal((6, 50))
    kept(monkeypatch, np.concatenate([1 - effects, np.ones((6, 50))]))
    pair = compared({'a': 0.0, 'b': 0.0}, {'a': [range(6)], 'b': [range(6, 12)]})
    before = claim(effects.mean(axis=1))
    assert before.outcome == UNDECIDED
    after = verdicts.over_examples(pair, before, verdicts.read_mistakes(pair.workdir))
    assert after.outcome == UNDECIDED


def test_mistakes_of_several_tunings_are_means_over_their_seeds(monkeypatch):
    accuracies = np.random.default_rng(3).integers(2, size=(8, 30)).astype(float)
    kept(monkeypatch, accuracies)
    trials = {'a': [[0, 1], [2, 3]], 'b': [[4, 5], [6, 99]]}  # 99 diverged
    pair = compared({'a': 0.0, 'b': 0.0}, trials, tunings=2)
    mistakes = verdicts.read_mistakes(pair.workdir)
    of_arm = verdicts.paired_mistakes(pair, 'a', mistakes)
    np.testing.assert_array_equal(of_arm[1], 1 - accuracies[2:4].mean(axis=0))
    other = verdicts.paired_mistakes(pair, 'b', mistakes)
    assert np.isnan(other).all(axis=1).tolist() == [False, True]


def test_without_values_of_each_example_nothing_is_said(monkeypatch):
    def refuse(workdir, metric):
        raise Refusal('found no values')

    monkeypatch.setattr(results, 'per_example', refuse)
    pair = compared({'a': 0.0, 'b': 0.0}, {'a': [range(6)], 'b': [range(6, 12)]})
    assert verdicts.read_mistakes(pair.workdir) is None
    before = claim(0.03 + SPREAD)
    analysis = verdicts.stand(pair, Analysis('t', 'v', [], [], True, [before]))
    assert analysis == Analysis('t', 'v', [], [], True, [before])


def test_what_is_taken_back_is_said_in_the_verdict(monkeypatch):
    kept(monkeypatch, np.zeros((0, 0)))
    pair = compared({'a': 0.5, 'b': 0.0})
    bare = judged('other', 'm', above, 0.03 + SPREAD)  # of no two arms
    worse = claim(0.03 + SPREAD)._replace(outcome=UNDER_TRAINED)
    claims = [claim(0.03 + SPREAD), bare, worse]
    after = verdicts.stand(pair, Analysis('t', 'V.', [], [], True, claims))
    assert [each.outcome for each in after.claims] == [UNDECIDED, REPRODUCED, UNDER_TRAINED]
    assert after.passed is None
    assert after.verdict.startswith('V. Of these claims 1 are undecided for the grid')


def study_config():
    config = configs.load(str(ROOT / 'experiments' / 'generalization_gap.py') + ':digits')
    config.study.update(batch_sizes=(64, 256), budget=6, seeds=6, extensions=1)
    return config


def answer(trial):
    """A parabola in the rate, and a large batch that is 0.02 worse."""
    x = math.log10(trial['optimizer']['learning_rate'] / 0.1)
    error = 0.1 + 0.05 * x**2 + (trial['batch_size'] > 100) * 0.02 + trial['seed'] % 7 / 1e4
    row = {f'{part}_accuracy': 1 - error for part in ('test', 'validation')}
    return [
        {'step': step, 'epoch': step / 10, 'train_accuracy': 1.0, **row} for step in (1, 2)
    ], 'done'


def test_a_comparison_shows_sensitivity_and_tells_changed_margins(tmp_path):
    """Through the study: figures with parabolas; a margin changed later is in config.json and in
    the claims."""
    config = study_config()
    rounds(config, tmp_path, answer)
    first = analysis(config, tmp_path)
    (drawn,) = [figure for figure in first.figures if figure.name == 'sensitivity']
    names = [series.name for series in drawn.series]
    assert 'equal epochs, B 64' in names and 'equal epochs, B 64, parabola' in names
    assert results.changes(tmp_path) == []
    document = json.loads((tmp_path / 'config.json').read_text())
    trials = [configs.Trial(entry['overrides'], {}) for entry in document['trials']]
    config.study.seeds = 7
    plain = configs.plain(config)
    plain['study']['margin'] = 0.02
    said = []
    record.record(tmp_path, plain, trials, grows=True, log=said.append)
    (change,) = results.changes(tmp_path)
    assert change == {'study.margin': [None, 0.02], 'study.seeds': [6, 7]}
    assert any('study.margin: None there, 0.02 now' in line for line in said)
    # the same again is no change
    record.record(tmp_path, plain, trials, grows=True, log=said.append)
    assert results.changes(tmp_path) == [change]
    told = verdicts.told_changes(first, results.changes(tmp_path))
    for before, after in zip(first.claims, told.claims, strict=True):
        words = 'margin was changed from None to 0.02 after results'
        assert after == before._replace(measured=f'{before.measured}; {words}')
    assert 'after results' in told.verdict
    # a number of seeds says nothing of where a boundary lies
    assert verdicts.told_changes(first, [{'study.seeds': [6, 7]}]) == first


def test_arguments_of_a_workdir_without_results_may_change_unsaid(tmp_path):
    config = study_config()
    study = lookup.build('study', configs.plain(config.study))
    record.record(tmp_path, configs.plain(config), study.trials(config), grows=True)
    plain = configs.plain(config)
    plain['study']['margin'] = 0.02
    record.record(tmp_path, plain, study.trials(config), grows=True)
    assert results.changes(tmp_path) == []


def test_figures_of_many_arms_have_six_each():
    many = [arms.Arm(f'arm {number}', {}, RATE) for number in range(8)]
    follower = arms.Arm('follower', {}, {}, tuned_as='arm 0')
    points = [{'optimizer.learning_rate': rate} for rate in (0.1, 0.01, 1.0)]
    tuned = {}
    for arm in [*many, follower]:
        scores = np.array([0.1, 0.3, math.inf])
        tuned[arm.name] = result(0.0)._replace(points=points, scores=scores)
    tuned['arm 7'] = tuned['arm 7']._replace(scores=np.full(3, math.inf))
    figures = sensitivity_figures([*many, follower], tuned)
    assert [figure.name for figure in figures] == ['sensitivity', 'sensitivity_2']
    assert [len(figure.series) for figure in figures] == [6, 1]
    points = figures[0].series[0]
    assert list(points.x) == [0.01, 0.1, 1.0] and list(points.y)[:2] == [0.3, 0.1]
    assert math.isnan(points.y[2]) and points.style == 'points'


def test_the_interval_over_draws_is_the_one_that_claims_are_judged_by():
    assert claim(0.03 + SPREAD).effects == tuple(0.03 + SPREAD)
    assert claim_interval(claim(0.03 + SPREAD).effects) == pytest.approx((0.028, 0.032))
