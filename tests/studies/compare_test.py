"""The table of arms: counts, errors of the grid, differences and what they detect."""

import pathlib

import numpy as np
import pytest

from lbexp.power_analysis import detectable
from lbexp.studies._comparison import arms, compare
from lbexp.studies._comparison.compared import Compared
from lbexp.studies._comparison.searches import Point

pytestmark = pytest.mark.quick

SPACE = {'optimizer.learning_rate': ('log', 0.01, 1.0)}
ERRORS = np.array([0.10, 0.12, 0.11, 0.13, 0.15, 0.14])
HIGHER = ERRORS + np.array([0.03, 0.01, 0.02, 0.02, 0.05, 0.03])


def table(count=6, missed=(0.002, 0.004), fitted=None):
    best = Point({'optimizer.learning_rate': 0.1234}, 0, 0, fitted)
    points = [{'optimizer.learning_rate': rate} for rate in np.geomspace(0.01, 1, 7)]
    members = [arms.Arm(name, {}, SPACE) for name in ('small', 'large')]
    tunings = []
    for number in range(3):
        of_tuning = {}
        for arm, error in zip(members, missed, strict=True):
            of_tuning[arm.name] = arms.TuningResult(
                points, np.zeros(7), {}, best, [], [], [], error * (1 + number)
            )
        tunings.append(of_tuning)
    tuning = arms.Tuning(7, 2, lambda workdir: {}, tunings=3)
    compared = Compared(pathlib.Path('nowhere'), {}, members, tuning, tunings)
    measured = {}
    for name, errors in (('small', ERRORS[:count]), ('large', HIGHER[:count])):
        metrics = ('test_error', 'train_error', 'gap')
        measured[name] = dict.fromkeys(metrics, errors)
    made = compare.table(compared, measured, 'small')
    cells = [dict(zip(made.columns, row, strict=True)) for row in made.rows]
    return cells, made.caption


def test_every_arm_is_told_with_its_points_and_its_grid():
    (small, large), caption = table()
    assert small['tried'] == large['tried'] == 21
    assert 'at 7 points in each tuning' in caption
    # the median of three tunings
    assert (small['grid error'], large['grid error']) == ('0.004', '0.008')
    assert small['optimum'] == ' | '.join(['learning_rate 0.123'] * 3)
    (small, _), _ = table(fitted=0.1234)
    assert small['optimum'] == ' | '.join(['learning_rate 0.123 (fitted)'] * 3)
    (small, _), _ = table(missed=(float('nan'), 0.0))
    assert small['grid error'] == 'unknown'


def test_a_difference_stands_beside_what_it_detects():
    (small, large), _ = table()
    assert small['detects'] == small['difference to small'] == ''
    differences = HIGHER - ERRORS
    effect = detectable(float(np.std(differences, ddof=1)), 6)
    assert large['detects'] == f'{effect:.2g}'
    assert large['difference to small'] == '0.025 [0.01, 0.05]'
    (_, large), _ = table(count=5)
    assert large['detects'] == 'nothing: 5 of 6 pairs'
