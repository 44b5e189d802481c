"""Logistic regression and boosted trees on a table: what networks are judged beside."""

import importlib
from typing import Any

import numpy as np

from lbexp.data.source import Source
from lbexp.datasets import Dataset
from lbexp.inputs import normalised
from lbexp.resampling import log_losses

_PENALTIES = (1e-6, 1e-5, 1e-4, 1e-3)  # of the squared weights
_ROUNDS, _PATIENCE = 300, 30


def logistic_regression(data: Dataset) -> np.ndarray:
    """Logits [n] of the test examples: of the penalties c in

        mean_n log(1 + exp(-y_n (x_n . w + b))) + c |w|^2,  y_n = -1 or 1

    the one with the least log loss on the validation examples. x_n has a 0 or 1 for each category.
    """
    train, validation, test = (_design(data, part) for part in _parts(data))
    labels, tuned_on = labels_of(data, data.train), labels_of(data, data.validation)
    best, chosen = np.inf, None
    for penalty in _PENALTIES:
        weights = _fitted(train, labels, penalty)
        loss = log_losses(validation @ weights, tuned_on).mean()
        if loss < best:
            best, chosen = loss, weights
    return test @ chosen


def _parts(data):
    return data.train, data.validation, data.test


def labels_of(data: Dataset, source: Source | None) -> np.ndarray:
    """Of one of its sets, [n], 0 or 1."""
    assert source is not None
    return np.asarray(source.arrays[data.target.name])


def _design(data, source):
    """A row for each example, sparse: numbers, 0 or 1 for each category, and 1."""
    from scipy import sparse

    arrays = normalised(data.inputs, source.arrays)
    blocks: list[Any] = [np.ones((source.size, 1))]
    if 'numeric' in arrays:
        blocks.append(np.asarray(arrays['numeric']))
    if 'categorical' in arrays:
        sizes = data.inputs['categorical'].vocabulary
        for ids, size in zip(np.asarray(arrays['categorical']).T, sizes, strict=True):
            rows = np.arange(len(ids))
            ones = (np.ones(len(ids)), (rows, ids))
            blocks.append(sparse.csr_array(ones, shape=(len(ids), size)))
    return sparse.hstack(blocks, format='csr')


def _fitted(design, labels, penalty):
    from scipy import optimize, special

    signs = 2.0 * labels - 1
    penalties = np.full(design.shape[1], penalty)
    penalties[0] = 0  # of the bias

    def objective(weights):
        margins = signs * (design @ weights)
        slopes = -signs * special.expit(-margins) / len(signs)
        value = np.logaddexp(0, -margins).mean() + (penalties * weights**2).sum()
        return value, design.T @ slopes + 2 * penalties * weights

    start = np.zeros(design.shape[1])
    return optimize.minimize(objective, start, jac=True, method='L-BFGS-B').x


def boosted_trees(data: Dataset) -> np.ndarray:
    """Logits [n] of the test examples: 300 trees of depth 6 at rate 0.1, fewer where the validation
    loss has not fallen for 30 (Chen and Guestrin 2016, arXiv:1603.02754).

    Numbers are given as they are, missing ones too; categories as such.
    """
    xgboost = importlib.import_module('xgboost')
    matrices = []
    for source in _parts(data):
        columns, kinds = [], []
        for name in data.inputs:
            values = np.asarray(source.arrays[name], np.float32)
            columns.append(values)
            kinds += ['c' if name == 'categorical' else 'q'] * values.shape[1]
        matrix = xgboost.DMatrix(
            np.concatenate(columns, axis=1),
            label=labels_of(data, source),
            feature_types=kinds,
            enable_categorical=True,
        )
        matrices.append(matrix)
    train, validation, test = matrices
    booster = xgboost.train(
        dict(objective='binary:logistic', tree_method='hist', max_depth=6, eta=0.1, seed=0),
        train,
        num_boost_round=_ROUNDS,
        evals=[(validation, 'validation')],
        early_stopping_rounds=_PATIENCE,
        verbose_eval=False,
    )
    trees = (0, booster.best_iteration + 1)
    return booster.predict(test, output_margin=True, iteration_range=trees)
