"""Trees and logistic regression on the data of an experiment, beside which a network is judged.

    python -m lbexp.baselines --config=experiments/ctr.py:adult

Prints AUC, average precision and log loss on the test examples, with bootstrap intervals over them,
of logistic regression (L-BFGS, the penalty chosen on the validation examples), and of boosted trees
where the library is there (pip install lbexp[tabular]; they stop early on the validation examples).
The workload is `binary`, with a table as data and validation examples. Logistic regression is given
what the networks are; trees are given the numbers as they are, as intervals only cost them.
Exit status: 0 done, 1 a part failed, 2 something given is wrong.
"""

import importlib
import importlib.util
import signal
import sys
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from lbexp import command, flag_command
from lbexp.analysis import Table
from lbexp.config import lookup
from lbexp.datasets import Dataset
from lbexp.errors import Refusal
from lbexp.exit_status import DONE
from lbexp.inference import Interval
from lbexp.inputs import normalised
from lbexp.output import outlive_readers
from lbexp.report import table
from lbexp.resampling import DRAWS, log_losses, percentiles, resampled

_PENALTIES = (1e-6, 1e-5, 1e-4, 1e-3)  # of the squared weights
_ROUNDS, _PATIENCE = 300, 30


class Scores(NamedTuple):
    """What is said of test examples: AUC, average precision and mean log loss [nats]."""

    auc: Interval
    average_precision: Interval
    loss: Interval


def main(argv: list[str]) -> int:
    """Parses, fits, prints. Returns the exit status."""
    flag_values = command.own_flags()

    def act(overrides, words):
        config, problems = command.read(flag_values, overrides)
        if problems:
            return command.refuse(problems)
        table.show(compared(config.workload.to_dict()))
        return DONE

    return flag_command.run(argv, __doc__, flag_values, act)


def compared(workload: dict[str, Any]) -> Table:
    """The table of both on the data of a workload.

    Raises:
        Refusal: another workload than binary, or data that is no table with validation examples.
    """
    data = _data(workload)
    rows = [_row('logistic regression', logistic_regression(data), data)]
    caption = (
        f'On {len(_labels(data, data.test))} test examples; 95 % intervals: bootstrap over them.'
    )
    if importlib.util.find_spec('xgboost') is None:
        caption += ' Boosted trees need xgboost: pip install lbexp[tabular].'
    else:
        part = dict(workload['data'])
        if 'bins' in lookup.parameters(lookup.find('data', part['name'])):
            part['bins'] = None
        of_numbers = lookup.build('data', part)
        rows.append(_row('boosted trees', boosted_trees(of_numbers), of_numbers))
    columns = ['model', 'test auc', 'test average precision', 'test loss']
    return Table(f'Baselines on {workload["data"]["name"]}', columns, rows, caption)


def _data(workload) -> Dataset:
    if workload['name'] != 'binary':
        raise Refusal(f"workload: found {workload['name']!r}; allowed: 'binary'")
    data = lookup.build('data', workload['data'])
    if data.test is None or data.validation is None:
        raise Refusal('data: found no test or no validation examples; allowed: validation=1 ..')
    if not set(data.inputs) <= {'numeric', 'categorical'}:
        raise Refusal(f'data: found {", ".join(data.inputs)}; allowed: the columns of a table')
    if len(data.target.classes) != 2:
        raise Refusal(f'data: found {len(data.target.classes)} classes; allowed: 2')
    return data


def logistic_regression(data: Dataset) -> np.ndarray:
    """Logits [n] of the test examples: of the penalties c in

        mean_n log(1 + exp(-y_n (x_n . w + b))) + c |w|^2,  y_n = -1 or 1

    the one with the least log loss on the validation examples. x_n has a 0 or 1 for each category.
    """
    train, validation, test = (_design(data, part) for part in _parts(data))
    labels, tuned_on = _labels(data, data.train), _labels(data, data.validation)
    best, chosen = np.inf, None
    for penalty in _PENALTIES:
        weights = _fitted(train, labels, penalty)
        loss = log_losses(validation @ weights, tuned_on).mean()
        if loss < best:
            best, chosen = loss, weights
    return test @ chosen


def _parts(data):
    return data.train, data.validation, data.test


def _labels(data, source):
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
            label=_labels(data, source),
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


def scores(logits: np.ndarray, labels: np.ndarray, draws: int = DRAWS) -> Scores:
    """AUC, average precision and log loss with 95 % intervals: percentiles of the bootstrap over
    examples.

    Args:
        logits, labels, draws: as in resampling.resampled.
    """
    measured = resampled(logits, labels, draws)
    return Scores(*map(percentiles, measured))


def _row(name, logits, data) -> Sequence[str]:
    measured = scores(np.asarray(logits, np.float64), _labels(data, data.test))
    cells = [f'{value:.4f} [{low:.4f}, {high:.4f}]' for value, low, high in measured]
    return [name, *cells]


if __name__ == '__main__':
    outlive_readers()
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # there is nothing to save
    sys.exit(main(sys.argv))
