"""What networks on tables are judged by."""

import numpy as np
import pytest
from scipy import stats

from lbexp import baselines, resampling
from lbexp.baselines import boosted_trees, compared, logistic_regression, scores
from lbexp.errors import Refusal
from lbexp.metrics import average_precision


@pytest.fixture(autouse=True)
def rows(tmp_path, monkeypatch):
    """1,000 rows: the label depends on a number beyond a threshold, and on a category."""
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
    monkeypatch.chdir(tmp_path)
    generator = np.random.default_rng(0)
    x, colours = generator.normal(size=1000), generator.choice(['red', 'green', 'blue'], 1000)
    logits = 4 * (abs(x) > 1) - 2 + 3 * (colours == 'red')
    labels = generator.random(1000) < 1 / (1 + np.exp(-logits))
    lines = [f'{a},{b},{c:d}' for a, b, c in zip(x.tolist(), colours, labels)]
    (tmp_path / 't.csv').write_text('\n'.join(['x,colour,label', *lines]))


def workload(**data):
    return dict(name='binary', data=dict(name='file', path='t.csv', validation=100, **data))


def data(**given):
    return baselines._data(workload(**given))


def test_scores_are_those_of_the_whole_set_with_intervals():
    generator = np.random.default_rng(1)
    labels = generator.integers(0, 2, 400)
    logits = np.round(generator.normal(labels, 1), 1)  # with ties
    measured = scores(logits, labels, draws=400)
    u = stats.mannwhitneyu(logits[labels == 1], logits[labels == 0]).statistic
    area = u / ((labels == 1).sum() * (labels == 0).sum())
    assert np.isclose(measured.auc.value, area)
    p = 1 / (1 + np.exp(-logits))
    losses = -np.where(labels, np.log(p), np.log(1 - p))
    assert np.isclose(measured.loss.value, losses.mean())
    # as wide as a normal interval of the mean
    width = measured.loss.high - measured.loss.low
    assert np.isclose(width, 2 * 1.96 * losses.std() / 20, rtol=0.15)
    # Hanley and McNeil (1982): the standard error of an AUC
    a, n = area, 200
    spread = (a / (2 - a) - a**2) + (2 * a**2 / (1 + a) - a**2)
    error = ((a * (1 - a) + (n - 1) * spread) / n**2) ** 0.5
    assert np.isclose(measured.auc.high - measured.auc.low, 2 * 1.96 * error, rtol=0.2)


def test_average_precision_of_a_resample_is_that_of_its_examples():
    """Rare positives and ties, beside the metric of workloads on the examples themselves."""
    generator = np.random.default_rng(2)
    labels = (generator.random(300) < 0.1).astype(int)
    logits = np.round(generator.normal(2 * labels, 1), 1)
    value = scores(logits, labels, draws=50).average_precision.value
    assert np.isclose(value, average_precision(logits, labels), rtol=1e-6)
    places = generator.integers(0, 300, 300)
    counts = np.bincount(places, minlength=300).astype(float)
    ranks = np.unique(logits, return_inverse=True)[1]
    again = resampling._average_precision(ranks, labels, counts)
    assert np.isclose(again, average_precision(logits[places], labels[places]), rtol=1e-6)


def test_logistic_regression_on_intervals_finds_what_a_line_cannot():
    labels = baselines._labels(data(), data().test)
    line = scores(logistic_regression(data()), labels, 10)
    cut = scores(logistic_regression(data(bins=8)), labels, 10)
    assert line.auc.value > 0.6
    assert cut.auc.value > line.auc.value + 0.1
    assert cut.loss.value < line.loss.value


@pytest.mark.long
def test_trees_are_given_the_numbers():
    pytest.importorskip('xgboost')
    labels = baselines._labels(data(), data().test)
    measured = scores(boosted_trees(data()), labels, 10)
    assert measured.auc.value > 0.85
    table = compared(workload(bins=3))
    assert [row[0] for row in table.rows] == ['logistic regression', 'boosted trees']


@pytest.mark.parametrize(
    ('part', 'problem'),
    [
        (dict(name='classification', data='digits'), "workload: found 'classification'; allowed"),
        (dict(name='binary', data=dict(name='file', path='t.csv')), 'found no test or no validat'),
        (dict(name='binary', data=dict(name='digits', validation=9)), 'data: found image; allowed'),
    ],
)
def test_what_has_no_baseline(part, problem):
    with pytest.raises(Refusal, match=problem):
        compared(part)
