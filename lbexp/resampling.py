"""AUC, average precision and log loss on test examples, and on resamples of them: what else the
test set might have said."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from lbexp.inference import Interval

DRAWS, _SEED = 1000, 20500


class Scores(NamedTuple):
    """Of some logits: each measure on the test examples first, then on every resample of them.

    The resamples of as many examples are the same ones, so differences between two predictors are
    paired.
    """

    auc: np.ndarray  # [1 + draws]
    average_precision: np.ndarray  # [1 + draws]
    loss: np.ndarray  # mean log loss [nats], [1 + draws]


def resampled(logits: np.ndarray, labels: np.ndarray, draws: int = DRAWS) -> Scores:
    """Scores of one predictor under the bootstrap over examples (Efron 1979,
    doi:10.1214/aos/1176344552).

    Args:
        logits: [n], float.
        labels: [n], 0 or 1, both of them among them.
        draws: resamples.
    """
    generator = np.random.default_rng(_SEED)
    losses = log_losses(logits, labels)
    ranks = np.unique(logits, return_inverse=True)[1]
    once = np.ones(len(labels))
    aucs, precisions = [_auc(ranks, labels, once)], [_average_precision(ranks, labels, once)]
    means = [losses.mean()]
    for _ in range(draws):
        places = generator.integers(0, len(labels), len(labels))
        counts = np.bincount(places, minlength=len(labels)).astype(float)
        aucs.append(_auc(ranks, labels, counts))
        precisions.append(_average_precision(ranks, labels, counts))
        means.append((counts @ losses) / len(losses))
    return Scores(np.array(aucs), np.array(precisions), np.array(means))


def mean(of_models: Sequence[Scores]) -> Scores:
    """The mean score of some predictors, on the test examples and on each resample."""
    return Scores(*(np.mean(measured, axis=0) for measured in zip(*of_models, strict=True)))


def percentiles(values: np.ndarray) -> Interval:
    """The first of the values with the 95 % interval of the others.

    Args:
        values: [1 + draws], as in Scores; a resample of one class alone has no AUC, and
            without positives no average precision: NaN.
    """
    low, high = np.nanquantile(values[1:], (0.025, 0.975))
    return Interval(float(values[0]), float(low), float(high))


def log_losses(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Of each example [nats]."""
    return np.logaddexp(0, np.where(labels > 0, -logits, logits))


def _auc(ranks, labels, counts):
    """Of examples that are there so many times; ties count one half."""
    positives = np.bincount(ranks, counts * labels)
    negatives = np.bincount(ranks, counts * (1 - labels))
    beaten = np.cumsum(negatives) - negatives / 2
    return (positives @ beaten) / (positives.sum() * negatives.sum())


def _average_precision(ranks, labels, counts):
    """Of examples that are there so many times; those of one score count together."""
    positives = np.bincount(ranks, counts * labels)
    examples = np.bincount(ranks, counts)
    # of what scores at least as high; a rank without positives adds nothing, whatever stands there
    precision = np.cumsum(positives[::-1]) / np.maximum(np.cumsum(examples[::-1]), 1)
    return (positives[::-1] @ precision) / positives.sum()
