"""Metrics against their definitions in float64 NumPy, pair by pair."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lbexp import metrics

pytestmark = pytest.mark.quick


def pairs(scores, labels):
    """P(score of a positive > score of a negative), ties one half, over all pairs."""
    positive, negative = scores[labels == 1], scores[labels == 0]
    above = positive[:, None] > negative[None]
    tied = positive[:, None] == negative[None]
    return (above + tied / 2).mean()


def steps(scores, labels):
    """sum over the distinct scores of the step in recall times the precision there."""
    total, recall = 0.0, 0.0
    for threshold in np.unique(scores)[::-1]:
        chosen = scores >= threshold
        new_recall = labels[chosen].sum() / labels.sum()
        total += (new_recall - recall) * labels[chosen].mean()
        recall = new_recall
    return total


def sample(count, distinct, seed):
    draw = np.random.default_rng(seed)
    labels = draw.integers(0, 2, count)
    scores = np.round((draw.standard_normal(count) + labels) * distinct) / distinct
    return scores.astype(np.float32), labels.astype(np.int32)


@pytest.mark.long
@pytest.mark.parametrize('count, distinct', [(2, 100), (7, 1), (300, 1), (301, 4), (2000, 1e6)])
@pytest.mark.parametrize('metric, definition', [('roc_auc', pairs), ('average_precision', steps)])
def test_of_ranks_against_all_pairs(metric, definition, count, distinct):
    """With many ties and without."""
    scores, labels = sample(count, distinct, seed=count)
    labels[:2] = 0, 1
    value = getattr(metrics, metric)(scores, labels)
    np.testing.assert_allclose(value, definition(scores, labels), rtol=1e-6)


@pytest.mark.parametrize(
    'scores, labels, auc, precision',
    [
        ([3, 2, 1, 0], [1, 1, 0, 0], 1, 1),
        ([3, 2, 1, 0], [0, 0, 1, 1], 0, (1 / 3 + 2 / 4) / 2),
        ([1, 1, 1, 1], [1, 0, 0, 0], 1 / 2, 1 / 4),
        ([2, 2, 1, 0], [1, 0, 1, 0], (1.5 + 1) / 4, (1 / 2 + 2 / 3) / 2),
    ],
)
def test_closed_forms(scores, labels, auc, precision):
    scores, labels = jnp.asarray(scores, jnp.float32), jnp.asarray(labels)
    np.testing.assert_allclose(metrics.roc_auc(scores, labels), auc, rtol=1e-6)
    np.testing.assert_allclose(metrics.average_precision(scores, labels), precision, rtol=1e-6)


def test_ranks_alone_count():
    """AUC and average precision do not change where scores are mapped monotonically; AUC of the
    negated scores is its complement."""
    scores, labels = sample(500, 3, seed=4)
    for metric in (metrics.roc_auc, metrics.average_precision):
        np.testing.assert_array_equal(metric(scores, labels), metric(np.exp(scores), labels))
    both = metrics.roc_auc(scores, labels) + metrics.roc_auc(-scores, labels)
    np.testing.assert_allclose(both, 1, rtol=1e-6)


@pytest.mark.long
def test_a_million_examples_are_counted_exactly():
    """All positives below all negatives but one: float32 sums of ranks would be off by 1e-3."""
    count = 10**6
    labels = jnp.arange(count) >= count // 2
    scores = jnp.arange(count, dtype=jnp.float32).at[0].set(count)
    auc = jax.jit(metrics.roc_auc)(scores, labels)
    np.testing.assert_allclose(1 - auc, 1 / (count // 2), atol=2e-7)
    all_tied = metrics.roc_auc(jnp.zeros(count), labels)
    np.testing.assert_allclose(all_tied, 0.5, rtol=1e-7)


@pytest.mark.parametrize('labels', [[0, 0], [1, 1]])
def test_without_both_classes_there_is_no_auc(labels):
    assert np.isnan(metrics.roc_auc(jnp.ones(2), jnp.asarray(labels)))


def test_a_score_that_is_no_number_is_told():
    for metric in (metrics.roc_auc, metrics.average_precision):
        assert np.isnan(metric(jnp.asarray([1.0, jnp.nan, 0.0]), jnp.asarray([1, 0, 1])))


def test_log_loss_is_that_of_the_probability():
    logits, labels = np.linspace(-9, 9, 40), np.arange(40) % 2
    p = 1 / (1 + np.exp(-logits))
    expected = -np.where(labels == 1, np.log(p), np.log(1 - p))
    value = metrics.log_loss(jnp.asarray(logits, jnp.float32), jnp.asarray(labels))
    np.testing.assert_allclose(value, expected, rtol=1e-5)
    far = metrics.log_loss(jnp.asarray([200.0, -200.0]), jnp.asarray([0, 1]))
    np.testing.assert_allclose(far, 200)


def test_macro_f1_is_the_mean_over_classes():
    predictions, labels = np.array([0, 0, 1, 1, 2, 2]), np.array([0, 1, 1, 1, 0, 2])
    # precision and recall of each class: (1/2, 1/2), (1, 2/3), (1/2, 1); class 3 is not there
    f1 = [1 / 2, 2 * (1 * 2 / 3) / (1 + 2 / 3), 2 * (1 / 2) / (3 / 2), 0]
    value = metrics.macro_f1(jnp.asarray(predictions), jnp.asarray(labels), 4)
    np.testing.assert_allclose(value, np.mean(f1), rtol=1e-6)


def test_of_tokens_and_bytes():
    """A uniform model over V words has perplexity V; a word of b bytes then takes log2(V) / b
    bits a byte."""
    tokens = jnp.asarray([3.0, 0.0, 5.0])
    losses = tokens * jnp.log(64.0)
    np.testing.assert_allclose(metrics.perplexity(losses, tokens), 64, rtol=1e-5)
    np.testing.assert_allclose(metrics.bits_per_byte(losses, 4 * tokens), 6 / 4, rtol=1e-6)
