"""A number for each example: squared error, any data set with numbers as targets, any model."""

import jax.numpy as jnp

from lbexp.datasets import Dataset
from lbexp.models import Model
from lbexp.models._precision import in_precision
from lbexp.ranges import Number
from lbexp.workloads import SetMetrics, Workload
from lbexp.workloads._task import Task, check_target


def regression(data: Dataset, model: Model, target: Number | None = None) -> Workload:
    """loss_n = ((y_n - f_n) / s)^2, with f_n = m + s model(x_n), m and s the mean and the standard
    deviation of the targets of the training split: 1 is what the mean alone gives.

    Metrics: loss; absolute_error [units of y]; and over the whole set R^2 = 1 - sum_n (y_n - f_n)^2
    / sum_n (y_n - mean y)^2.

    Args:
        data: a file of lbexp/datasets, or your own: its target is a number.
        model: a file of lbexp/models, or your own: gives [n, 1].
        target: test R^2 that counts as reached; None: none.

    Raises:
        ValueError: a target that is no number, or a model whose outputs are not [n, 1].
    """
    check_target('regression', data, 'number')
    task = Task('regression', data, model, 1)
    name, mean, deviation = data.target.name, data.target.mean, data.target.deviation
    precision = 1 / deviation

    def values(outputs, examples):
        error = outputs[:, 0] - (examples[name] - mean) * precision
        return {'loss': jnp.square(error), 'absolute_error': jnp.abs(error) * deviation}

    def loss(params, model_state, examples, key):
        outputs, new_state = task.outputs(params, model_state, examples, True, key)
        return values(outputs, examples), new_state

    def metrics(params, model_state, examples):
        return values(task.predict(params, model_state, examples), examples)

    def predict(params, model_state, examples):
        return task.predict(params, model_state, examples)[:, 0] * deviation + mean

    def pairs(params, model_state, examples):
        return {'f': predict(params, model_state, examples), 'y': examples[name]}

    def summary(gathered):
        f, y = gathered['f'], gathered['y']
        unexplained = jnp.sum(jnp.square(y - f)) / jnp.sum(jnp.square(y - jnp.mean(y)))
        return {'r2': 1 - unexplained}

    reached = None if target is None else ('r2', target)
    workload = task.workload(loss, metrics, reached, (name,))
    return workload._replace(
        predict=predict,
        set_metrics=SetMetrics(pairs, summary),
        in_precision=lambda precision: regression(data, in_precision(model, precision), target),
    )
