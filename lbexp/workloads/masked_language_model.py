"""Hidden tokens from those on both sides: any data set of texts with marks, a model of places."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from lbexp.data.masking import hiding, masked
from lbexp.datasets import Dataset
from lbexp.datasets._ids import check_ids, id_counts
from lbexp.datasets._wordpiece import MARKS, MASK
from lbexp.inputs import Input
from lbexp.metrics import perplexity
from lbexp.models import Model, Network
from lbexp.models._precision import in_precision
from lbexp.ranges import Fraction, Positive, checked
from lbexp.workloads import Ratio, SetMetrics, Workload
from lbexp.workloads._most_probable import most_probable
from lbexp.workloads._task import check_target


@checked
def masked_language_model(
    data: Dataset, model: Model, rate: Fraction = 0.15, target: Positive | None = None
) -> Workload:
    """loss_n = sum_k l_nk / c [nats], l_nk = -log p(hidden token k | the row without it), as in
    Devlin et al. 2018 (arXiv:1810.04805, section 3.1).

    ceil(rate N) of the N tokens of a row that are no marks are hidden, by `lbexp.data.masking`,
    and there alone a token is predicted. c is the mean number of hidden tokens in a row of the
    training set: every hidden token weighs the same.

    Metrics: loss; token_loss, the mean over hidden tokens [nats], beside which stand those of
    simpler models in the data set's `schema`; accuracy, the share of them that are the most
    probable; and over the whole set perplexity = exp(token_loss). What is hidden in evaluation is
    always the same.

    Args:
        data: its target is 'masked_tokens', whose names begin with the marks [PAD], [UNK], [CLS],
            [SEP], [MASK]: `clothing_reviews` with label='tokens', or your own.
        model: gives logits [n, m, tokens] at the `places` [n, m] of a row: `encoder`, or your own.
        rate: share of the tokens that are hidden, in (0, 1).
        target: test perplexity that counts as reached; None: none.

    Raises:
        ValueError: data without such tokens, nothing to hide, or a model whose outputs have
            another shape.
    """
    check_target('masked_language_model', data, 'masked_tokens')
    check_ids(data)
    names = data.target.classes
    if names[: len(MARKS)] != MARKS:
        first = ', '.join(names[: len(MARKS)])
        raise ValueError(f'data: found tokens {first}, ...; allowed: {", ".join(MARKS)} first')
    (length,) = data.inputs['tokens'].shape
    how = hiding(rate, length, len(names), len(MARKS), MASK)
    if data.train.feed is not None:
        raise ValueError(
            'data: found a stream; allowed: a training set in memory, whose hidden tokens are '
            'counted'
        )
    per_row = _mean_count(data.train.arrays, how)
    if not per_row:
        raise ValueError(f'rate: found {rate}, which hides nothing; allowed: more')
    places = Input('tokens', (how.counts[length],), 'int32', vocabulary=(length,))
    inputs = {**data.inputs, 'places': places}
    network = model.network(inputs, len(names))
    task = _MaskedLanguageModel(network, tuple(inputs), len(names), per_row)
    reached: Any = None if target is None else ('perplexity', target)
    return Workload(
        init=network.init,
        loss=task.loss,
        metrics=task.metrics,
        train=masked(data.train, how),
        test=_masked_set(data.test, how),
        validation=_masked_set(data.validation, how),
        together=network.together,
        target=reached,
        predict=task.predict,
        inputs=tuple(inputs),
        set_metrics=SetMetrics(task.sums, _summary),
        output_names=names,
        in_precision=lambda precision: masked_language_model(
            data, in_precision(model, precision), rate, target
        ),
        schema=data.schema,
        id_counts=id_counts(data),
    )


class _MaskedLanguageModel(NamedTuple):
    """The functions of the workload."""

    network: Network
    inputs: tuple[str, ...]  # names
    tokens: int  # different ones
    per_row: float  # hidden tokens, on average over the training set

    def loss(self, params, model_state, examples, key) -> Any:
        logits, new_state = self.logits(params, model_state, examples, True, key)
        return _values(logits, examples, self.per_row), new_state

    def metrics(self, params, model_state, examples) -> Any:
        return _values(self.predict(params, model_state, examples), examples, self.per_row)

    def predict(self, params, model_state, examples):
        return self.logits(params, model_state, examples, False, None)[0]

    def sums(self, params, model_state, examples):
        losses = _losses(self.predict(params, model_state, examples), examples)
        return {'loss': losses.sum(1), 'tokens': examples['hidden'].sum(1)}

    def logits(self, params, model_state, examples, train, key):
        arrays = {name: examples[name] for name in self.inputs}
        logits, new_state = self.network.apply(params, model_state, arrays, train, key)
        _check_shape(logits, (*examples['places'].shape, self.tokens))
        return logits, new_state


def _summary(gathered):
    return {'perplexity': perplexity(gathered['loss'], gathered['tokens'])}


def _masked_set(source, how):
    return None if source is None else masked(source, how)


def _mean_count(arrays, how):
    """Hidden tokens of a row, over the training set."""
    tokens, segments = (np.asarray(arrays[name]) for name in ('tokens', 'segments'))
    can_be_hidden = ((segments > 0) & (tokens >= how.special)).sum(1)
    return float(np.array(how.counts)[can_be_hidden].mean())


def _losses(logits, examples):
    """[n, m] losses, 0 where no token is hidden [nats]."""
    of_target = jnp.take_along_axis(logits, examples['targets'][..., None], axis=-1)[..., 0]
    return (jax.nn.logsumexp(logits, axis=-1) - of_target) * examples['hidden']


def _values(logits, examples, per_row):
    hidden = examples['hidden']
    of_row, count = _losses(logits, examples).sum(1), hidden.sum(1).astype(logits.dtype)
    is_right = (most_probable(logits) == examples['targets']) * hidden
    return {
        'loss': of_row * (1 / per_row),
        'token_loss': Ratio(of_row, count),
        'accuracy': Ratio(is_right.sum(1).astype(logits.dtype), count),
    }


def _check_shape(logits, expected):
    shape = getattr(logits, 'shape', None)
    if shape != expected:
        shown = shape or type(logits).__name__
        raise ValueError(
            f'masked_language_model: the model gives {shown}; allowed: {expected}, a logit of each '
            'token at the hidden places of each row'
        )
