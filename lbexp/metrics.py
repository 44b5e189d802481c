"""Metrics of predictions, for workloads.

`log_loss` is a value of each example, whose mean the engine takes; the others are of a whole set
and stand in the `summary` of `SetMetrics`, which is given all N examples.
"""

import math

import jax
import jax.numpy as jnp

from lbexp.shapes import IntegerLabels, Scalar, Vector


def log_loss(logits: Vector, labels: IntegerLabels) -> Vector:
    """-y log p - (1 - y) log(1 - p) [nats] of each example, p = 1 / (1 + exp(-logit)).

    Computed as softplus(z) for y = 0 and softplus(-z) for y = 1, which does not overflow and keeps
    its digits where the loss is small.

    Args:
        logits: z, log p / (1 - p).
        labels: y, 0 or 1.
    """
    return jax.nn.softplus(jnp.where(labels > 0, -logits, logits))


def roc_auc(scores: Vector, labels: IntegerLabels) -> Scalar:
    """The area under the receiver operating characteristic, in [0, 1]: the probability that a
    positive example has a higher score than a negative one, ties counting one half. 0.5 is chance.

    U / (n_pos n_neg) of Mann and Whitney (1947, doi:10.1214/aoms/1177730491). NaN without positives
    or without negatives, or where a score is NaN. Counts are integers, exact up to 2^30 examples;
    the rounding error is about 1e-7.

    Args:
        scores: higher: more likely positive.
        labels: 0 or 1.
    """
    positive, below, up_to = _negatives_around(scores, labels)
    negatives = jnp.sum(~positive)
    # Of each positive: the share of negatives that it beats.
    beaten = 0.5 * (below + up_to) * (1 / negatives)
    share = _pairwise_sum(jnp.where(positive, beaten, 0)) / jnp.sum(positive)
    return jnp.where(jnp.isnan(scores).any(), jnp.nan, share)


def average_precision(scores: Vector, labels: IntegerLabels) -> Scalar:
    """sum_k (R_k - R_(k-1)) P_k over the distinct scores from the highest down, in [0, 1]: the area
    under the steps of precision P against recall R. The share of positives is chance.

    P_k is the share of positives among the examples with a score of at least the k-th, R_k their
    share of all positives. Examples with one score count together. NaN without positives, or where
    a score is NaN. Not interpolated (Davis and Goadrich 2006, doi:10.1145/1143844.1143874, section
    4, say why).

    Args:
        scores: higher: more likely positive.
        labels: 0 or 1.
    """
    positive, below, _ = _negatives_around(scores, labels)
    count = scores.shape[0]
    lower = jnp.searchsorted(jnp.sort(scores), scores, side='left')  # examples with a lower score
    at_least = count - lower
    negatives_at_least = jnp.sum(~positive) - below
    precision = (at_least - negatives_at_least) / at_least
    mean = _pairwise_sum(jnp.where(positive, precision, 0)) / jnp.sum(positive)
    return jnp.where(jnp.isnan(scores).any(), jnp.nan, mean)


def macro_f1(predictions: IntegerLabels, labels: IntegerLabels, classes: int) -> Scalar:
    """The mean over classes of 2 TP / (2 TP + FP + FN), in [0, 1]; 0 of a class that is neither
    predicted nor there.

    Args:
        predictions, labels: 0 .. classes - 1.
    """
    numbers = jnp.arange(classes)[None]
    predicted = predictions[:, None] == numbers
    actual = labels[:, None] == numbers
    hits = jnp.sum(predicted & actual, axis=0)
    occurrences = jnp.sum(predicted, axis=0) + jnp.sum(actual, axis=0)  # 2 TP + FP + FN
    return jnp.mean(2 * hits / jnp.maximum(occurrences, 1))


def perplexity(losses: Vector, tokens: Vector) -> Scalar:
    """exp(sum_n loss_n / sum_n tokens_n), >= 1.

    Args:
        losses: sum of the tokens' negative log likelihoods of each example [nats].
        tokens: that each example has, padding left out.
    """
    return jnp.exp(_pairwise_sum(losses) / _pairwise_sum(tokens))


def bits_per_byte(losses: Vector, sizes: Vector) -> Scalar:
    """sum_n loss_n / (log 2 sum_n bytes_n): comparable between tokenizers.

    Args:
        losses: sum of the tokens' negative log likelihoods of each example [nats].
        sizes: of each example's text in UTF-8 [bytes].
    """
    return _pairwise_sum(losses) / (math.log(2) * _pairwise_sum(sizes))


def _negatives_around(scores, labels):
    """(which are positive, negatives with a lower score, negatives with a lower or equal score)."""
    positive = labels > 0
    order = jnp.argsort(scores)
    ranked = scores[order]
    zero = jnp.zeros(1, jnp.int32)
    before = jnp.concatenate([zero, jnp.cumsum(~positive[order], dtype=jnp.int32)])
    below = before[jnp.searchsorted(ranked, scores, side='left')]
    up_to = before[jnp.searchsorted(ranked, scores, side='right')]
    return positive, below, up_to


def _pairwise_sum(values):
    """Whose rounding error grows with log n, not with n."""
    values = values.astype(jnp.promote_types(values.dtype, jnp.float32))
    while values.shape[0] > 1:
        if values.shape[0] % 2:
            values = jnp.append(values, 0)
        values = values[::2] + values[1::2]
    return values[0]
