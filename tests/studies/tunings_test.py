"""Arms tuned several times: what is asked for, what is counted, and that intervals cover the
difference of what tuning gives."""

import collections
import json

import numpy as np
import pytest

from lbexp.analysis import claim_interval
from lbexp.engine import record
from lbexp.errors import Refusal
from lbexp.studies._comparison import arms, compare, optima, searches

RATE = 'optimizer.learning_rate'
PLAIN = arms.Arm('plain', {'batch_size': 8}, {RATE: ('log', 0.01, 1.0)})
OTHER = arms.Arm('other', {'batch_size': 16}, {RATE: ('log', 0.01, 1.0)})
AS_PLAIN = arms.Arm('as plain', {'batch_size': 32}, {}, tuned_as='plain')
ARMS = [PLAIN, OTHER, AS_PLAIN]


def rounds(workdir, tuning):
    """Rounds until nothing is asked for, without training; entries of all trials."""
    workdir.mkdir(exist_ok=True)
    entries = []
    asked = arms.first_trials(ARMS, tuning)
    while True:
        count = len(entries)
        entries = record.record(workdir, {'study': {'name': 'x'}}, asked, grows=True)
        if len(entries) == count:
            return entries
        asked = arms.next_trials(workdir, ARMS, tuning)


def tags(entry):
    (only,) = entry['tags']
    return only


def distance(workdir):
    """A trial's score: how far its rate is from 0.1, in decades, and from even seeds."""
    entries = json.loads((workdir / 'config.json').read_text())['trials']
    scores = {}
    for entry in entries:
        rate, seed = entry['overrides'][RATE], entry['overrides']['seed']
        scores[entry['trial']] = abs(np.log10(rate) + 1) + 0.01 * (seed % 2)
    return scores


def tuning(tunings, seeds=2):
    return arms.Tuning(4, seeds, distance, extensions=0, tunings=tunings)


def test_each_tuning_has_points_and_seeds_of_its_own(tmp_path):
    entries = rounds(tmp_path, tuning(3))
    # 3 tunings of 2 arms of 4 points, and 3 of 3 arms of 2 seeds
    assert collections.Counter(entry['round'] for entry in entries) == {0: 24, 1: 18}
    seeds, points = collections.defaultdict(set), collections.defaultdict(set)
    for entry in entries:
        number = tags(entry).get('tuning', 0)
        seeds[number].add(entry['overrides']['seed'])
        points[number].add(entry['overrides'][RATE])
    assert len(seeds) == 3
    assert not set.intersection(*seeds.values()) and len(set.union(*seeds.values())) == 9
    assert len(set.union(*points.values())) == 12  # the arms share a space, so their points too


def test_arms_of_one_tuning_are_paired_by_seed(tmp_path):
    reported = collections.defaultdict(set)
    for entry in rounds(tmp_path, tuning(3)):
        if tags(entry)['phase'] == arms.REPORTING:
            reported[tags(entry)['arm']].add(entry['overrides']['seed'])
    assert reported['plain'] == reported['other'] == reported['as plain']


def test_more_tunings_are_asked_for_beside_those_that_are_there(tmp_path):
    before = rounds(tmp_path, tuning(1))
    after = rounds(tmp_path, tuning(3))
    assert after[: len(before)] == before and len(after) == 3 * len(before)
    assert len(rounds(tmp_path, tuning(2))) == len(after)


def test_the_first_tuning_is_that_of_a_study_with_one(tmp_path):
    alone = [entry['overrides'] for entry in rounds(tmp_path / 'alone', tuning(1))]
    every = rounds(tmp_path / 'several', tuning(3))
    first = [entry['overrides'] for entry in every if 'tuning' not in tags(entry)]
    assert first == alone


def test_the_score_of_a_point_is_the_median_of_its_seeds(tmp_path):
    """A lucky seed makes the highest rate the lowest once, in one of three."""

    def scores(workdir):
        entries = json.loads((workdir / 'config.json').read_text())['trials']
        highest = max(entry['overrides'][RATE] for entry in entries)
        numbers = {}
        for entry in entries:
            is_lucky = entry['overrides'][RATE] == highest and entry['overrides']['seed'] == 0
            numbers[entry['trial']] = 0.0 if is_lucky else entry['overrides'][RATE]
        return numbers

    thrice = tuning(1)._replace(seeds_per_point=3, score=scores)
    rounds(tmp_path, thrice)
    found = arms.tuning_results(tmp_path, ARMS, thrice)['plain']
    rates = [point[RATE] for point in found.points]
    assert found.scores.tolist() == rates and found.best == {RATE: min(rates)}


def test_values_are_means_of_tunings(tmp_path, monkeypatch):
    """Three tunings of two seeds; a seed that diverged takes its tuning along."""
    entries = rounds(tmp_path, tuning(3))
    error = {entry['trial']: entry['trial'] / 1000 for entry in entries}
    tunings = [arms.tuning_results(tmp_path, ARMS, each) for each in arms.each_tuning(tuning(3))]
    lost = tunings[1]['other'].trials[0]
    trials = np.array(list(error))
    finals = {
        'trial': trials,
        'status': np.where(trials == lost, 'diverged', 'done'),
        'test_accuracy': 1 - np.array(list(error.values())),
    }
    monkeypatch.setattr(compare.results, 'final', lambda workdir: finals)
    measured = compare.measure(tmp_path, *tunings)
    expected = [np.mean([error[trial] for trial in each['plain'].trials]) for each in tunings]
    np.testing.assert_allclose(measured['plain']['test_error'], expected)
    difference = compare.differences(measured, 'other', 'plain')
    assert np.isnan(difference).tolist() == [False, True, False]
    # one tuning: its seeds
    by_seed = compare.measure(tmp_path, tunings[0])['plain']['test_error']
    np.testing.assert_allclose(by_seed, [error[trial] for trial in tunings[0]['plain'].trials])


@pytest.mark.parametrize('tunings, seeds, words', [(0, 2, '1 to 32'), (33, 2, '1 to 32')])
def test_what_cannot_be_is_refused(tunings, seeds, words):
    with pytest.raises(Refusal, match=words):
        arms.validate(ARMS, tuning(tunings, seeds))
    with pytest.raises(Refusal, match='less than 128'):
        arms.validate(ARMS, tuning(2, 128))
    arms.validate(ARMS, tuning(1, 128))


def surface(x, optimum, lowest):
    """lowest + 0.3 (x - optimum)^2, and 0.4 more for each unit beyond optimum + 0.5."""
    return lowest + 0.3 * (x - optimum) ** 2 + 0.4 * np.maximum(x - optimum - 0.5, 0)


def stratified(random, low, high, count):
    """[..., count] places between the ends [...], as a quasi-random search has them."""
    places = (np.arange(count) + random.uniform(size=(*low.shape, count))) / count
    return low[..., None] + (high - low)[..., None] * places


def at(values, places):
    return np.take_along_axis(values, places[..., None], axis=-1)[..., 0]


def onward(x, scores, low, high):
    """As `searches.onward` of one number: from the outermost point outward, or around the best."""
    order = x.argsort(axis=-1)
    ordered = np.take_along_axis(x, order, axis=-1)
    best = np.take_along_axis(scores, order, axis=-1).argmin(axis=-1)
    last, half = x.shape[-1] - 1, (high - low) / 2
    middle = at(ordered, best)
    below = at(ordered, np.maximum(best - 1, 0))
    above = at(ordered, np.minimum(best + 1, last))
    below = np.where(best == 0, middle - half, np.where(best == last, middle, below))
    above = np.where(best == last, middle + half, np.where(best == 0, middle, above))
    return below, above


def tuned_rates(random, shape, budget, optimum, lowest, fitted=True):
    """Optima [shape] of tunings of `budget` points in three rounds: x, the logarithm of the rate,
    is searched from -1 to 1, and scores have noise of 0.01."""

    def scored(x):
        return surface(x, optimum, lowest) + random.normal(0, 0.01, size=x.shape)

    low, high = np.full(shape, -1.0), np.full(shape, 1.0)
    first, *counts = searches.shares(budget, 2)
    x = stratified(random, low, high, first)
    scores = scored(x)
    for count in counts:
        below, above = onward(x, scores, low, high)
        fresh = stratified(random, below, above, count)
        x = np.concatenate([x, fresh], axis=-1)
        scores = np.concatenate([scores, scored(fresh)], axis=-1)
        low, high = np.minimum(low, below), np.maximum(high, above)
    best = at(x, scores.argmin(axis=-1))
    vertex = optima.parabola(x, scores).vertex
    return np.where(np.isfinite(vertex) & fitted, vertex, best)


def tuned_errors(random, shape, budget, seeds, optimum, lowest):
    """Test errors [shape, seeds] of arms tuned on a noisy response surface, with noise of 0.01."""
    rates = tuned_rates(random, shape, budget, optimum, lowest)
    errors = surface(rates, optimum, lowest)[..., None]
    return errors + random.normal(0, 0.01, size=(*shape, seeds))


def differences(random, shape, budget, seeds):
    """[shape, seeds] of two arms whose best rates and errors differ."""
    one = tuned_errors(random, shape, budget, seeds, optimum=0.2, lowest=0.05)
    other = tuned_errors(random, shape, budget, seeds, optimum=-0.35, lowest=0.053)
    return one - other


def coverage(studies, truth):
    ends = np.array([claim_interval(effects) for effects in studies])
    return np.mean((ends[:, 0] <= truth) & (truth <= ends[:, 1]))


@pytest.mark.parametrize('budget', [4, 8, 16])
@pytest.mark.parametrize('seeds', [5, 20])
def test_intervals_over_tunings_cover_the_difference_of_tuned_arms(budget, seeds):
    """1,000 studies of six tunings: the exact interval holds the median difference in 1 - 2 / 2^6 =
    96.9 % of them. Four standard deviations of such a share are 2.2 %."""
    random = np.random.default_rng(budget + seeds)
    truth = np.median(differences(random, (50_000,), budget, seeds).mean(axis=-1))
    studies = differences(random, (1000, 6), budget, seeds).mean(axis=-1)
    assert abs(coverage(studies, truth) - (1 - 2 / 2**6)) < 0.022


def test_intervals_over_the_seeds_of_one_tuning_do_not():
    """Why there are tunings: many seeds of one tuning tell its own difference well, which another
    tuning overturns."""
    random = np.random.default_rng(1)
    truth = np.median(differences(random, (50_000,), 4, 20))
    assert coverage(differences(random, (1000,), 4, 20), truth) < 0.75


@pytest.mark.parametrize('optimum', [0.2, 0.9, 1.3])
@pytest.mark.parametrize('budget', [8, 16])
def test_the_vertex_is_nearer_to_the_optimum_than_the_best_point(budget, optimum):
    """Why trials are reported at the vertex: the regret is less than half of that of the best
    point, wherever the optimum lies; 1.3 is beyond the space."""
    regret = {}
    for fitted in (True, False):
        rates = tuned_rates(np.random.default_rng(3), (2000,), budget, optimum, 0.0, fitted)
        regret[fitted] = surface(rates, optimum, 0.0).mean()
    assert regret[True] < 0.5 * regret[False] < 0.01
