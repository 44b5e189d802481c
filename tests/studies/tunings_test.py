"""Arms tuned several times: what is asked for, what is counted, and that intervals cover the
difference of what tuning gives."""

import collections
import json

import numpy as np
import pytest

from lbexp.analysis import claim_interval
from lbexp.engine import record
from lbexp.errors import Refusal
from lbexp.studies._comparison import arms, compare

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


def tuned_errors(random, shape, budget, seeds, optimum, lowest):
    """Test errors [shape, seeds] of arms tuned on a noisy response surface with a cliff.

    The surface in x, the logarithm of the rate from -1 to 1: lowest + 0.3 (x - optimum)^2, and
    0.4 more for each unit beyond optimum + 0.5. A trial's error, on validation and on test
    examples, is that with noise of 0.01.
    """

    def surface(x):
        return lowest + 0.3 * (x - optimum) ** 2 + 0.4 * np.maximum(x - optimum - 0.5, 0)

    # stratified, as the quasi-random search is
    places = (np.arange(budget) + random.uniform(size=(*shape, 1))) / budget
    x = 2 * places - 1
    validation = surface(x) + random.normal(0, 0.01, size=x.shape)
    best = np.take_along_axis(x, validation.argmin(axis=-1)[..., None], axis=-1)
    return surface(best) + random.normal(0, 0.01, size=(*shape, seeds))


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
