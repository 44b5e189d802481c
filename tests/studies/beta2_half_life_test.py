"""The half-life of Adam's second moment: its equation, and what is claimed of planted errors."""

import math
import pathlib

import pytest
from planted import BEST_RATE, outcomes, planted
from rounds import analysis, rounds

from lbexp import config as configs
from lbexp.analysis import NOT_REPRODUCED, REPRODUCED, UNDECIDED
from lbexp.config import check
from lbexp.studies.beta2_half_life import kept_half_life

ROOT = pathlib.Path(__file__).parents[2]


def experiment(**study):
    config = configs.load(str(ROOT / 'experiments' / 'beta2_half_life.py'))
    config.study.update({'budget': 2, 'seeds': 6, 'tunings': 1, **study})
    return config


@pytest.mark.parametrize('batch_size', [1, 4, 32, 256])
def test_as_many_examples_halve_a_gradients_share(batch_size):
    b2 = kept_half_life(0.95, 256, batch_size)
    updates = 256 * math.log(0.5) / math.log(0.95) / batch_size
    assert b2**updates == pytest.approx(0.5, rel=1e-9)
    assert b2 >= 0.95


def of_settings(fixed, kept, reference=0.1, metric=None, largest=256):
    """Batch size -> test error, with b2 as it is and with the half-life of the largest batch."""

    def error(config):
        optimizer, size = config['optimizer'], config['batch_size']
        assert optimizer['weight_decay'] == 0 and optimizer['b1'] == 0.9
        if size == largest:
            assert optimizer['b2'] == 0.95
            return reference
        if optimizer['b2'] == 0.95:
            return fixed[size]
        assert optimizer['b2'] == pytest.approx(0.95 ** (size / largest), rel=1e-12)
        return kept[size]

    return planted(error, metric=metric)


@pytest.mark.parametrize(
    'fixed, kept, expected',
    [
        # as the paper has it
        (
            {4: 0.14, 32: 0.12},
            {4: 0.1, 32: 0.09},
            [REPRODUCED, REPRODUCED, REPRODUCED, REPRODUCED],
        ),
        # the half-life hurts batch 4 and helps batch 32 by more than the grid's error
        (
            {4: 0.1, 32: 0.15},
            {4: 0.105, 32: 0.147},
            [NOT_REPRODUCED, REPRODUCED, REPRODUCED, NOT_REPRODUCED],
        ),
        (
            {4: 0.2, 32: 0.15},
            {4: 0.18, 32: 0.15},
            [REPRODUCED, NOT_REPRODUCED, UNDECIDED, NOT_REPRODUCED],
        ),
    ],
)
def test_claims_follow_the_errors(tmp_path, fixed, kept, expected):
    rounds(experiment(), tmp_path, of_settings(fixed, kept))
    found = analysis(experiment(), tmp_path)
    assert outcomes(found) == expected
    gain = fixed[4] - kept[4]
    assert f'"B 4, b2 0.95" minus "B 4, half-life kept": {gain:.3g} [' in (found.claims[0].measured)


def language_model(**study):
    config = configs.load(str(ROOT / 'experiments' / 'beta2_half_life.py') + ':sotu_lm')
    config.study.update({'budget': 2, 'seeds': 6, **study})
    # any workload that measures it
    data = dict(name='made_data:sentences', validation=16)
    config.workload = dict(name='language_model', data=data, model=dict(name='lstm', hidden=4))
    return config


@pytest.mark.parametrize(
    'fixed, kept, expected',
    [
        # as the paper has it
        ({4: 3.4, 16: 3.2}, {4: 3.0, 16: 3.05}, [REPRODUCED] * 4),
        # the half-life hurts batch 4, and leaves batch 16 behind the reference
        (
            {4: 3.0, 16: 3.4},
            {4: 3.1, 16: 3.3},
            [NOT_REPRODUCED, NOT_REPRODUCED, REPRODUCED, NOT_REPRODUCED],
        ),
    ],
)
def test_of_a_language_model_the_loss_of_a_token_decides(tmp_path, fixed, kept, expected):
    config = language_model()
    assert config.study.metric == 'token_loss' and config.study.reference == 64
    entries = rounds(config, tmp_path, of_settings(fixed, kept, 3.04, 'token_loss', 64))
    rates = {}
    for entry in entries:
        rate = math.log(entry['overrides']['optimizer.learning_rate'] / BEST_RATE)
        for tags in entry['tags']:
            rates.setdefault((tags['arm'], tags['phase']), set()).add(abs(rate))
    for name in ('B 4, b2 0.95', 'B 16, half-life kept', 'B 64, b2 0.95'):
        tried, reported = rates[name, 'tuning'], rates[name, 'reporting']
        assert len(tried) == 2 and reported == {min(tried)}  # the lower validation loss
    report = analysis(config, tmp_path)
    assert outcomes(report) == expected
    gain = fixed[4] - kept[4]
    measured = f'test token loss, "B 4, b2 0.95" minus "B 4, half-life kept": {gain:.3g} ['
    assert measured in report.claims[0].measured
    assert 'a lower test token loss than its b2' in report.claims[0].claim
    assert report.verdict.startswith(f'Test token loss: B 4, b2 0.95 {fixed[4]:.3g} [')
    assert 'test token loss' in report.tables[0].columns
    assert report.figures[0].y_label == 'token loss'
    # nothing is drawn of the training set, which was not evaluated
    assert [series.name for series in report.figures[0].series] == ['test']


def test_a_metric_that_is_not_there_or_better_when_larger_is_told_in_one_line():
    for metric in ('squared_error', 'accuracy'):
        (problem,) = check.check(language_model(metric=metric))
        allowed = 'error, loss, token_loss, perplexity, which language_model has'
        assert f'metric: found {metric!r}; allowed: {allowed}' in problem


@pytest.mark.parametrize(
    'study, told',
    [
        (dict(batch_sizes=(4, 256)), r'batch_sizes: found (4, 256)'),
        (dict(batch_sizes=()), 'batch_sizes'),
        (dict(b2=1.0), 'b2'),
    ],
)
def test_bad_arguments_are_told_in_one_line(study, told):
    (problem,) = check.check(experiment(**study))
    assert told in problem and '\n' not in problem
