"""Who is held out: shares, strata, groups, times, folds."""

import numpy as np
import pytest

from lbexp.data.division import fold_places, held_out_places

CLASSES = np.repeat(['a', 'b', 'c'], (10, 50, 140))


@pytest.mark.parametrize('share', [0.1, 0.2, 0.5])
def test_strata_have_the_same_share(share):
    places = held_out_places('stratified', share, 200, CLASSES)
    counts = [np.count_nonzero(CLASSES[places] == name) for name in 'abc']
    assert counts == [round(share * count) for count in (10, 50, 140)]
    assert np.array_equal(places, held_out_places('stratified', share, 200, CLASSES))


def test_at_random_is_no_stretch_and_of_the_right_size():
    places = held_out_places('random', 0.25, 400)
    assert len(places) == len(set(places)) == 100 and (np.diff(places) > 0).all()
    halves = np.count_nonzero(places < 200)
    assert 50 - 4 * 5 < halves < 50 + 4 * 5


def test_groups_are_whole_and_the_share_is_of_groups():
    groups = np.random.default_rng(0).integers(0, 40, 1000)
    places = held_out_places('group', 0.25, 1000, groups)
    inside = set(groups[places])
    assert len(inside) == 10
    assert np.array_equal(places, np.flatnonzero(np.isin(groups, list(inside))))


def test_time_holds_out_the_last_whatever_their_order():
    times = np.random.default_rng(0).permutation(100)
    places = held_out_places('time', 0.2, 100, times)
    assert sorted(times[places]) == list(range(80, 100))


@pytest.mark.parametrize('folds', [2, 7, 200])
@pytest.mark.parametrize('values', [None, CLASSES])
def test_folds_are_disjoint_and_everything(folds, values):
    every = [fold_places(fold, folds, 200, values) for fold in range(folds)]
    assert sorted(np.concatenate(every)) == list(range(200))
    assert {len(places) for places in every} <= {200 // folds, -(-200 // folds)}
    if values is not None and folds == 2:
        assert [np.count_nonzero(values[every[0]] == name) for name in 'abc'] == [5, 25, 70]


def test_a_side_without_examples():
    with pytest.raises(ValueError, match='test: found 0 of 4 examples by the random split'):
        held_out_places('random', 0.1, 4)
    with pytest.raises(ValueError, match='test: found 0 of 3 examples by the group split'):
        held_out_places('group', 0.2, 3, ['u', 'u', 'u'])
