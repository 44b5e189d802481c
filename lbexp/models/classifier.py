"""A Linen module as the three functions of a classification workload."""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from lbexp.shapes import Init, Loss, Metrics, Predict


def classifier(
    module: nn.Module, shape: tuple[int, ...], scale: float, label_smoothing: ArrayLike = 0.0
) -> tuple[Init, Loss, Metrics]:
    """(init, loss, metrics) of `module` trained with softmax cross-entropy.

    loss_n = -sum_c q_nc log p_nc [nats], q = (1 - s) onehot(label) + s / C (Szegedy et al. 2016,
    arXiv:1512.00567, section 7); metrics use s = 0.

    Args:
        module: called as module(images, train) -> logits [n, C].
        shape: of one image, without the batch axis.
        scale: images are multiplied by it, e.g. 1 / 255 for bytes.
        label_smoothing: s, in [0, 1).

    Raises:
        ValueError: a width that is no integer >= 1, dropout or label smoothing outside [0, 1).
    """
    _check(module, label_smoothing)

    def init(key):
        images = jnp.zeros((1, *shape))
        variables = dict(module.init(key, images, train=False))
        params = variables.pop('params')
        return params, variables

    def scaled(examples):
        return examples['image'].astype(jnp.float32) * scale

    def loss(params, model_state, examples, key):
        images = scaled(examples)
        logits, new_state = module.apply(
            {'params': params, **model_state},
            images,
            train=True,
            rngs={'dropout': key},
            mutable=list(model_state),
        )
        values = _values(logits, examples['label'], label_smoothing)
        return values, new_state

    predict = logits(module, scale)

    def metrics(params, model_state, examples):
        return _values(predict(params, model_state, examples), examples['label'], 0.0)

    return init, loss, metrics


def logits(module: nn.Module, scale: float) -> Predict:
    """(params, model_state, examples) -> logits [n, C] of examples['image'], in evaluation mode."""

    def predict(params, model_state, examples) -> Any:
        images = examples['image'].astype(jnp.float32) * scale
        return module.apply({'params': params, **model_state}, images, train=False)

    return predict


def _check(module, label_smoothing):
    for name in ('hidden', 'channels'):
        widths = getattr(module, name, ())
        if not isinstance(widths, Sequence):
            widths = (widths,)
        for width in widths:
            # True is an int to Python.
            if not isinstance(width, int) or isinstance(width, bool) or width < 1:
                raise ValueError(f'{name}: found {width!r}; allowed: integers >= 1')
    _check_fraction('dropout', module.dropout)
    _check_fraction('label_smoothing', label_smoothing)


def _check_fraction(name, value):
    # A traced number cannot be looked at.
    if isinstance(value, (int, float)) and not 0 <= value < 1:
        raise ValueError(f'{name}: found {value}; allowed: a number in [0, 1)')


def _values(logits, labels, smoothing):
    log_p = jax.nn.log_softmax(logits)
    log_p_of_label = jnp.take_along_axis(log_p, labels[:, None], axis=1)[:, 0]
    # sum_c q_c log p_c, in which s / C sum_c log p_c is s times the mean
    loss = -(1 - smoothing) * log_p_of_label - smoothing * log_p.mean(axis=1)
    is_right = logits.argmax(axis=1) == labels
    return {'loss': loss, 'accuracy': is_right.astype(jnp.float32)}
