"""One class of several for each example: softmax cross-entropy, any data set with classes, any
model."""

import jax
import jax.numpy as jnp

from lbexp.datasets import Dataset
from lbexp.models import Model
from lbexp.models._precision import in_precision
from lbexp.ranges import ClosedFraction, Fraction, checked
from lbexp.workloads import Workload
from lbexp.workloads._task import Task, check_target


@checked
def classification(
    data: Dataset,
    model: Model,
    label_smoothing: Fraction = 0.0,
    target: ClosedFraction | None = None,
) -> Workload:
    """loss_n = -sum_c q_nc log p_nc [nats], q = (1 - s) onehot(label) + s / C (Szegedy et al. 2016,
    arXiv:1512.00567, section 7); metrics: loss with s = 0, and accuracy.

    Args:
        data: a file of lbexp/datasets, or your own: its target is a class.
        model: a file of lbexp/models, or your own: gives logits [n, C].
        label_smoothing: s, in [0, 1).
        target: test accuracy that counts as reached; None: none.

    Raises:
        ValueError: a target that is no class, or a model whose outputs are not [n, C].
    """
    check_target('classification', data, 'class')
    task = Task('classification', data, model, len(data.target.classes))
    name = data.target.name

    def loss(params, model_state, examples, key):
        logits, new_state = task.outputs(params, model_state, examples, True, key)
        return _values(logits, examples[name], label_smoothing), new_state

    def metrics(params, model_state, examples):
        logits = task.predict(params, model_state, examples)
        return _values(logits, examples[name], 0.0)

    reached = None if target is None else ('accuracy', target)
    workload = task.workload(loss, metrics, reached, data.target.classes)
    return workload._replace(
        in_precision=lambda precision: classification(
            data, in_precision(model, precision), label_smoothing, target
        )
    )


def _values(logits, labels, smoothing):
    log_p = jax.nn.log_softmax(logits)
    log_p_of_label = jnp.take_along_axis(log_p, labels[:, None], axis=1)[:, 0]
    # sum_c q_c log p_c, in which s / C sum_c log p_c is s times the mean
    loss = -(1 - smoothing) * log_p_of_label - smoothing * log_p.mean(axis=1)
    is_right = logits.argmax(axis=1) == labels
    return {'loss': loss, 'accuracy': is_right.astype(jnp.float32)}
