"""Yes or no for each example: log loss, AUC and average precision, any data set of two classes, any
model."""

import jax.numpy as jnp

from lbexp import metrics as of_predictions
from lbexp.datasets import Dataset
from lbexp.models import Model
from lbexp.models._precision import in_precision
from lbexp.ranges import ClosedFraction
from lbexp.workloads import SetMetrics, Workload
from lbexp.workloads._task import Task, check_target


def binary(data: Dataset, model: Model, target: ClosedFraction | None = None) -> Workload:
    """loss_n = -y log p - (1 - y) log(1 - p) [nats], p = 1 / (1 + exp(-model(x_n))).

    Metrics: loss, accuracy, and over the whole set auc, the area under the receiver operating
    characteristic, and average_precision, that under the steps of precision against recall, which
    says more where y = 1 is rare. y is 1 of the second class, by name.

    Args:
        data: a file of lbexp/datasets, or your own: its target is one of two classes.
        model: a file of lbexp/models, or your own: gives logits [n, 1].
        target: test AUC that counts as reached; None: none.

    Raises:
        ValueError: a target that is not one of two classes, or a model whose outputs are not
            [n, 1].
    """
    check_target('binary', data, 'class')
    if len(data.target.classes) != 2:
        classes = f'{len(data.target.classes)} classes'
        raise ValueError(f'data: found {data.target.name!r} of {classes} with binary; allowed: 2')
    task, name = Task('binary', data, model, 1), data.target.name

    def values(logits, examples):
        is_right = (logits[:, 0] > 0) == (examples[name] > 0)
        loss = of_predictions.log_loss(logits[:, 0], examples[name])
        return {'loss': loss, 'accuracy': is_right.astype(jnp.float32)}

    def loss(params, model_state, examples, key):
        logits, new_state = task.outputs(params, model_state, examples, True, key)
        return values(logits, examples), new_state

    def metrics(params, model_state, examples):
        return values(task.predict(params, model_state, examples), examples)

    def predict(params, model_state, examples):
        return task.predict(params, model_state, examples)[:, 0]

    def outputs(params, model_state, examples):
        return {'score': predict(params, model_state, examples), 'label': examples[name]}

    def summary(gathered):
        scores, labels = gathered['score'], gathered['label']
        return {
            'auc': of_predictions.roc_auc(scores, labels),
            'average_precision': of_predictions.average_precision(scores, labels),
        }

    reached = None if target is None else ('auc', target)
    workload = task.workload(loss, metrics, reached, (data.target.classes[1],))
    return workload._replace(
        predict=predict,
        set_metrics=SetMetrics(outputs, summary),
        in_precision=lambda precision: binary(data, in_precision(model, precision), target),
    )
