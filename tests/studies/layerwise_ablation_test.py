"""The ablation of LARS and LAMB: which arms there are, and what is claimed of planted errors."""

import pathlib

import pytest
from planted import outcomes, planted
from rounds import analysis, rounds

from lbexp import config as configs
from lbexp.analysis import NOT_REPRODUCED, REPRODUCED, UNDECIDED
from lbexp.config import check

ROOT = pathlib.Path(__file__).parents[2]


def experiment(**study):
    config = configs.load(str(ROOT / 'experiments' / 'layerwise_ablation.py'))
    config.study.update({'budget': 2, 'seeds': 6, 'tunings': 1, **study})
    return config


def part_of(optimizer):
    """(optimizer, what is changed of it), from what the optimizer is told alone."""
    if optimizer['name'] == 'larc':
        return 'lars', 'clipped'
    if optimizer.get('ratio_bounds'):
        assert list(optimizer['ratio_bounds']) == [0.0, 1.0]
        return optimizer['name'], 'clipped'
    if not optimizer.get('bias_correction', True):
        return optimizer['name'], 'uncorrected'
    adapt = optimizer.get('adapt', 'matrices')
    return optimizer['name'], adapt if isinstance(adapt, str) else 'headless'


def of_parts(lars=0.0, lamb=0.0, **more):
    """Test error 0.1, and more of it with a part changed."""

    def error(config):
        assert config['batch_size'] == 512
        name, part = part_of(config['optimizer'])
        return 0.1 + dict(lars=lars, lamb=lamb)[name] + more.get(f'{name}_{part}', 0.0)

    return planted(error)


def test_the_papers_claims_hold_where_each_part_helps(tmp_path):
    """A thousandth is within the margin."""
    helps = dict(lars_none=0.02, lamb_none=0.02, lamb_clipped=-0.02)
    rounds(experiment(), tmp_path, of_parts(lars_all=0.001, lars_clipped=-0.001, **helps))
    found = analysis(experiment(), tmp_path)
    assert outcomes(found) == [REPRODUCED] * 9 and found.passed
    assert found.claims[0].measured.startswith(
        'test error, "LARS, no trust ratio" minus "LARS": 0.02 [0.0'
    )
    rounds(experiment(), tmp_path / 'same', of_parts())
    same = analysis(experiment(), tmp_path / 'same')
    assert [outcomes(same)[place] for place in (0, 3, 7)] == [UNDECIDED] * 3
    assert same.passed is None


@pytest.mark.parametrize(
    'part, place, changed',
    [
        ('lars_none', 0, NOT_REPRODUCED),
        ('lars_all', 1, NOT_REPRODUCED),
        ('lars_headless', 2, NOT_REPRODUCED),
        ('lamb_none', 3, NOT_REPRODUCED),
        ('lamb_all', 4, NOT_REPRODUCED),
        ('lamb_headless', 5, NOT_REPRODUCED),
        ('lars_clipped', 6, NOT_REPRODUCED),
        ('lamb_clipped', 7, REPRODUCED),
        ('lamb_uncorrected', 8, NOT_REPRODUCED),
    ],
)
def test_a_part_that_lowers_the_error_changes_its_claim_alone(tmp_path, part, place, changed):
    """By 0.05 of the 0.1: the other claims are as without it."""
    others = dict(lars_none=0.02, lamb_none=0.02, lamb_clipped=0.02)
    usual = [REPRODUCED] * 9
    usual[7] = NOT_REPRODUCED
    rounds(experiment(), tmp_path, of_parts(**{**others, part: -0.05}))
    usual[place] = changed
    found = analysis(experiment(), tmp_path)
    assert outcomes(found) == usual
    assert found.passed is (NOT_REPRODUCED not in usual)


def test_arms_are_tuned_alike_and_where_they_belong(tmp_path):
    entries = rounds(experiment(), tmp_path, of_parts())
    rates, counts = {}, {}
    for entry in entries:
        ((arm, phase),) = {(tags['arm'], tags['phase']) for tags in entry['tags']}
        if phase == 'tuning':
            counts[arm] = counts.get(arm, 0) + 1
            rates.setdefault(arm, []).append(entry['overrides']['optimizer.learning_rate'])
    assert set(counts.values()) == {2} and len(counts) == 11
    # without a ratio LARS is momentum, whose rates are ten times larger, and LAMB AdamW, whose are
    # a tenth; the points of a search are the same shares of each space
    for arm, other, factor in (
        ('LARS, no trust ratio', 'LARS', 10.0),
        ('LARS, clipped', 'LARS', 10.0),
        ('LAMB, no trust ratio', 'LAMB', 0.1),
        ('LAMB, clipped', 'LAMB', 1.0),
    ):
        assert rates[arm] == pytest.approx([factor * rate for rate in rates[other]])


@pytest.mark.parametrize(
    'study, told',
    [
        (dict(last=''), "last: found ''"),
        (dict(last='Dense_9'), "last: found 'Dense_9', which matches no parameter. There are: "),
        (dict(margin=0.0), 'margin'),
        (dict(batch_size=0), 'batch_size: found 0'),
    ],
)
def test_bad_arguments_are_told_in_one_line(study, told):
    (problem,) = check.check(experiment(**study))
    assert told in problem and '\n' not in problem
