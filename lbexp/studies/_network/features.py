"""How much the features of an encoder tell of classes that it was not trained on: two classifiers
on frozen features."""

import numpy as np
import scipy.optimize

_LEAST = 1e-12  # a deviation or length below it is that of a feature that says nothing
_ROWS = 500  # pictures compared with all labelled ones at once


def linear_accuracy(
    features: np.ndarray,
    labels: np.ndarray,
    test_features: np.ndarray,
    test_labels: np.ndarray,
) -> float:
    """Share of test examples that a multinomial logistic regression tells right, in [0, 1].

    Features are shifted and scaled by mean and deviation of the labelled ones; W, b minimise

        sum_n -log softmax(W x_n + b)_(y_n) + |W|^2 / 2

    (scikit-learn's default, C = 1), by L-BFGS from zero. The linear evaluation of Chen et al. 2020
    (arXiv:2002.05709, section 2.2), whose optimum needs no rate to be tuned.

    Args:
        features, test_features: [n, width], [m, width].
        labels, test_labels: [n], [m], integers >= 0.
    """
    mean, deviation = features.mean(axis=0), features.std(axis=0)
    scale = 1 / np.maximum(deviation, _LEAST) * (deviation > _LEAST)
    x = _with_one((features - mean) * scale)
    classes = int(max(labels.max(), test_labels.max())) + 1
    targets = np.eye(classes)[labels]

    def objective(flat):
        weights = flat.reshape(-1, classes)
        logits = x @ weights
        logits -= logits.max(axis=1, keepdims=True)
        log_p = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
        penalised = weights.copy()
        penalised[-1] = 0  # not the intercepts
        gradient = x.T @ (np.exp(log_p) - targets) + penalised
        value = -(targets * log_p).sum() + (penalised**2).sum() / 2
        return value / len(x), gradient.ravel() / len(x)

    start = np.zeros(x.shape[1] * classes)
    options = {'maxiter': 1000, 'maxcor': 20}
    solution = scipy.optimize.minimize(
        objective, start, jac=True, method='L-BFGS-B', options=options
    )
    logits = _with_one((test_features - mean) * scale) @ solution.x.reshape(-1, classes)
    return float((logits.argmax(axis=1) == test_labels).mean())


def _with_one(x):
    return np.concatenate([x, np.ones((len(x), 1))], axis=1).astype(np.float64)


def neighbour_accuracy(
    features: np.ndarray,
    labels: np.ndarray,
    test_features: np.ndarray,
    test_labels: np.ndarray,
    neighbours: int = 20,
) -> float:
    """Share of test examples whose class most of their `neighbours` nearest labelled examples have,
    by the cosine of their features, in [0, 1]; of classes that tie, the first.

    Args:
        features, labels, test_features, test_labels: as in `linear_accuracy`.
        neighbours: 1 .. n.
    """
    known, asked = _unit(features), _unit(test_features)
    votes = np.eye(int(max(labels.max(), test_labels.max())) + 1)[labels]
    right = 0
    for first in range(0, len(asked), _ROWS):
        cosines = asked[first : first + _ROWS] @ known.T
        nearest = np.argpartition(-cosines, neighbours - 1, axis=1)[:, :neighbours]
        answers = votes[nearest].sum(axis=1).argmax(axis=1)
        right += int((answers == test_labels[first : first + _ROWS]).sum())
    return right / len(asked)


def _unit(x):
    lengths = np.linalg.norm(x, axis=1, keepdims=True)
    return x / np.maximum(lengths, _LEAST)
