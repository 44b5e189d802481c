"""Networks beside baselines: differences on the same resamples, against a bootstrap by hand."""

import numpy as np
import pytest

from lbexp import resampling
from lbexp.resampling import resampled
from lbexp.score_table import Network, comparison

COUNT = 60


def auc(logits, labels):
    """Over all pairs of a positive and a negative, ties one half."""
    apart = logits[labels == 1][:, None] - logits[labels == 0][None]
    return np.mean((apart > 0) + 0.5 * (apart == 0))


def log_loss(logits, labels):
    p = 1 / (1 + np.exp(-logits))
    return -np.mean(np.where(labels == 1, np.log(p), np.log(1 - p)))


def examples(seed, strength):
    """Logits of 60 examples with ties, and labels that are the same for every strength."""
    labels = np.random.default_rng(0).integers(0, 2, COUNT)
    noise = np.random.default_rng(seed).normal(size=COUNT)
    return np.round(strength * (labels - 0.5) + noise, 1), labels


def by_hand(measure, predictors, other):
    """(value, low, high) of the mean of `measure` over predictors less that of another, over the
    examples themselves and then over those that each resample draws."""
    labels = other[1]
    generator = np.random.default_rng(resampling._SEED)
    draws = [np.arange(COUNT)]
    draws += [generator.integers(0, COUNT, COUNT) for _ in range(resampling.DRAWS)]
    differences = []
    for places in draws:
        each = [measure(logits[places], labels[places]) for logits, _ in predictors]
        differences.append(np.mean(each) - measure(other[0][places], labels[places]))
    return differences[0], *np.quantile(differences[1:], (0.025, 0.975))


def compared(strengths, best=1.5):
    """The comparison of a network of each strength, in three seeds, with two baselines."""
    networks, predictors, trial = [], {}, 0
    for name, strength in strengths.items():
        predictors[name] = [examples(10 + trial + seed, strength) for seed in range(3)]
        for each in predictors[name]:
            networks.append(Network(name, trial, resampled(*each)))
            trial += 1
    baselines = {'weak': examples(1, 0.2), 'strong': examples(2, best)}
    scores = {name: resampled(*each) for name, each in baselines.items()}
    return comparison(networks, scores, 'Title', ''), predictors, baselines['strong']


def test_differences_to_the_better_baseline_are_paired():
    tables, predictors, strong = compared({'good': 2.5, 'bad': 0.3})
    columns = list(tables.configurations.columns)
    cells = {row[0]: row for row in tables.configurations.rows}
    assert list(cells) == ['good', 'bad', 'weak', 'strong']
    for measure, column in ((auc, 'auc'), (log_loss, 'loss')):
        place = columns.index(f'{column} less that of strong')
        for name, each in predictors.items():
            value, low, high = by_hand(measure, each, strong)
            assert cells[name][place] == f'{value:+.4f} [{low:+.4f}, {high:+.4f}]'
        assert cells['strong'][place] == '–'
        scored = columns.index(f'test {column}')
        mean = np.mean([measure(*each) for each in predictors['good']])
        assert cells['good'][scored].startswith(f'{mean:.4f} [')


def test_each_trial_has_a_row_of_numbers():
    tables, predictors, strong = compared({'good': 2.5, 'bad': 0.3})
    columns = list(tables.trials.columns)
    rows = tables.trials.rows
    assert [row[:2] for row in rows] == [
        *(['good', number] for number in range(3)),
        *(['bad', number] for number in range(3, 6)),
        ['weak', ''],
        ['strong', ''],
    ]
    first = columns.index('loss less that of strong')
    for row, each in zip(rows, [*predictors['good'], *predictors['bad']], strict=False):
        assert row[columns.index('test_auc')] == pytest.approx(auc(*each), rel=1e-12)
        expected = by_hand(log_loss, [each], strong)
        np.testing.assert_allclose(row[first : first + 3], expected, rtol=1e-9)


def test_the_verdict_says_where_the_interval_excludes_zero():
    tables, predictors, strong = compared({'better': 6.0, 'like': 1.5, 'worse': -1.0})
    for measure, line in zip((auc, log_loss), tables.verdict, strict=True):
        outcomes = {}
        for name, each in predictors.items():
            _, low, high = by_hand(measure, each, strong)
            sign = -1 if measure is log_loss else 1
            outcomes[name] = 'undecided'
            if low > 0 or high < 0:
                outcomes[name] = 'ahead' if sign * low > 0 else 'behind'
        assert outcomes == {'better': 'ahead', 'like': 'undecided', 'worse': 'behind'}
        for name, words in outcomes.items():
            assert f'1 {words} ({name})' in line
        assert line.startswith('By ') and ', beside strong: ' in line
