"""Draws until a comparison is decided: when more are asked for, and how often that is wrong."""

import json
import pathlib

import numpy as np
import pytest
from rounds import rounds

from lbexp import config as configs
from lbexp import inference
from lbexp.analysis import UNDECIDED, above, judged
from lbexp.errors import Refusal
from lbexp.studies._comparison import arms, stopping

ROOT = pathlib.Path(__file__).parents[2]


def study(**arguments):
    config = configs.load(str(ROOT / 'experiments' / 'beta2_half_life.py'))
    config.study.update(dict(batch_sizes=(4,), budget=2, seeds=1, tunings=1) | arguments)
    return config


def answers(effect, spread):
    """Rows of trials; keeping the half-life lowers the test error by `effect` on average."""

    def answer(trial):
        optimizer = trial['optimizer']
        noise = np.random.default_rng([trial['seed'], round(1e6 * optimizer['b2'])])
        error = 0.3 + spread * noise.normal()
        if trial['batch_size'] == 4 and optimizer['b2'] == 0.95:
            error += effect
        row = dict(validation_accuracy=0.7, test_accuracy=1 - error, train_accuracy=1.0)
        return [dict(step=9, epoch=1.0, examples=9, learning_rate=0.1, **row)], 'done'

    return answer


def draws_of(entries, field):
    """How many tunings, or reported seeds of an arm, there are."""
    tagged = [dict(tags) for entry in entries for tags in entry['tags']]
    if field == 'tunings':
        return 1 + max(tags.get('tuning', 0) for tags in tagged)
    return sum(tags['phase'] == 'reporting' for tags in tagged) // 3


@pytest.mark.parametrize('field', ['tunings', 'seeds'])
def test_a_clear_effect_stops_at_the_first_look(tmp_path, field):
    # lower by 0.1 than the fixed b2; and 0.05 above the reference, far beyond the margin
    def clear(trial):
        rows, status = answers(0.1, 0.001)(trial)
        if trial['batch_size'] == 256:
            rows[0]['test_accuracy'] += 0.05
        return rows, status

    assert draws_of(rounds(study(**{field: 'auto'}), tmp_path, clear), field) == stopping.LOOKS[0]


@pytest.mark.parametrize('field', [pytest.param('tunings', marks=pytest.mark.long), 'seeds'])
def test_no_effect_is_looked_at_until_the_cap(tmp_path, field):
    config = study(**{field: 'auto'})
    entries = rounds(config, tmp_path, answers(0.0, 0.01))
    assert draws_of(entries, field) == stopping.LOOKS[-1]
    # whoever comes again asks for the same
    again = rounds(config, tmp_path, answers(0.0, 0.01))
    assert len(again) == len(entries)


def test_a_weak_effect_stops_in_between(tmp_path):
    def weak(trial):
        rows, status = answers(0.016, 0.01)(trial)
        if trial['batch_size'] == 256:
            rows[0]['test_accuracy'] += 0.1
        return rows, status

    config = study(seeds='auto')
    assert draws_of(rounds(config, tmp_path, weak), 'seeds') in stopping.LOOKS[1:-1]
    kept = json.loads((tmp_path / 'config.json').read_text())['config']['study']
    assert kept['seeds'] == 'auto'


@pytest.mark.long
def test_more_tunings_keep_those_that_there_are(tmp_path):
    entries = rounds(study(tunings='auto'), tmp_path, answers(0.0, 0.01))
    first = rounds(study(tunings=8), tmp_path / 'fixed', answers(0.0, 0.01))
    overrides = [entry['overrides'] for entry in entries]
    assert all(entry['overrides'] in overrides for entry in first)
    assert overrides[: len(first)] == [entry['overrides'] for entry in first]


def test_what_is_decided_at_95_percent_alone_is_undecided():
    # 8 of 9 above 0: the 95 % interval leaves out one at each end, that of a look none
    effects = [-1.0, 1, 2, 3, 4, 5, 6, 7, 8]
    claim = judged('c', 'm', above, effects)
    assert claim.outcome != UNDECIDED
    assert stopping.at_level_of_looks(claim).outcome == UNDECIDED
    clear = judged('c', 'm', above, np.add(effects, 2))
    assert stopping.at_level_of_looks(clear).outcome == clear.outcome


def test_refused(tmp_path):
    for arguments in (dict(seeds='auto', tunings='auto'), dict(seeds='auto', tunings=3)):
        with pytest.raises(Refusal, match="'auto'"):
            stopping.tuning_of(4, score=arms.validation_error, **arguments)


@pytest.mark.parametrize('sample', ['normal', 'lognormal', 'cauchy'])
def test_looking_four_times_is_wrong_in_5_percent_at_most(sample):
    """Draws go on until the interval leaves out a boundary that is the true median; the share of
    5,000 comparisons that ever decide."""
    generator = np.random.default_rng(0)
    draws = dict(
        normal=generator.normal(size=(5000, 32)),
        lognormal=generator.lognormal(size=(5000, 32)) - 1,
        cauchy=generator.standard_cauchy((5000, 32)),
    )[sample]

    def share(confidence):
        wrong = np.zeros(5000, bool)
        for count in stopping.LOOKS:
            k = inference.order_statistic(count, confidence)
            ordered = np.sort(draws[:, :count], axis=1)
            wrong |= (ordered[:, k - 1] > 0) | (ordered[:, count - k] < 0)
        return wrong.mean()

    # three standard errors of 5,000 repeats are 0.009
    assert share(stopping.CONFIDENCE) < 0.05
    # a fixed level does not stand it
    assert share(0.95) > 0.055
