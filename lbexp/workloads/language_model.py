"""The next token at each position of a text: any data set of tokens, a model of sequences."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from lbexp.datasets import Dataset
from lbexp.datasets._ids import check_ids, id_counts
from lbexp.datasets._texts import byte_count
from lbexp.metrics import bits_per_byte, perplexity
from lbexp.models import Model, Network
from lbexp.models._precision import in_precision
from lbexp.ranges import Positive, checked
from lbexp.workloads import Ratio, SetMetrics, Workload
from lbexp.workloads._most_probable import most_probable
from lbexp.workloads._task import check_target


@checked
def language_model(data: Dataset, model: Model, target: Positive | None = None) -> Workload:
    """loss_n = sum_t m_nt l_nt / c [nats], l_nt = -log p(token after t | tokens up to t).

    m is 0 on padding; c is the mean number of tokens in a row of the training set: every token
    weighs the same, and the mean over the training rows is the mean over tokens.

    Metrics: loss; token_loss, the mean over tokens [nats]; accuracy, the share of tokens that are
    the most probable; over the whole set perplexity = exp(token_loss) and, where tokens are bytes
    of a text, bits_per_byte = sum l / (log 2 number of bytes), which other vocabularies can be
    compared by.

    Args:
        data: of tokens: a file of lbexp/datasets, or your own.
        model: of sequences: gives logits [n, positions, tokens].
        target: test perplexity that counts as reached; None: none.

    Raises:
        ValueError: data without tokens, or a model whose outputs have another shape.
    """
    check_target('language_model', data, 'tokens')
    check_ids(data)
    names = data.target.classes
    network = model.network(data.inputs, len(names))
    per_row = _tokens_per_row(data)
    sizes = None
    if data.schema.get('unit') == 'bytes':
        sizes = np.array([byte_count(name) for name in names])
    task = _LanguageModel(network, tuple(data.inputs), len(names), per_row, sizes)
    reached: Any = None if target is None else ('perplexity', target)
    return Workload(
        init=network.init,
        loss=task.loss,
        metrics=task.metrics,
        train=data.train,
        test=data.test,
        validation=data.validation,
        together=network.together,
        target=reached,
        predict=task.predict,
        inputs=tuple(data.inputs),
        set_metrics=SetMetrics(task.sums, _summary),
        output_names=names,
        in_precision=lambda precision: language_model(data, in_precision(model, precision), target),
        schema=data.schema,
        id_counts=id_counts(data),
    )


class _LanguageModel(NamedTuple):
    """The functions of the workload."""

    network: Network
    inputs: tuple[str, ...]  # names
    tokens: int  # different ones
    per_row: float  # tokens, on average over the training set
    sizes: np.ndarray | None  # of each token [bytes]; None: it is not text of bytes

    def loss(self, params, model_state, examples, key) -> Any:
        logits, new_state = self.logits(params, model_state, examples, True, key)
        return _values(logits, examples, self.per_row), new_state

    def metrics(self, params, model_state, examples) -> Any:
        return _values(self.predict(params, model_state, examples), examples, self.per_row)

    def predict(self, params, model_state, examples):
        return self.logits(params, model_state, examples, False, None)[0]

    def sums(self, params, model_state, examples):
        losses, is_token = _losses(self.predict(params, model_state, examples), examples)
        gathered = {'loss': losses.sum(1), 'tokens': is_token.sum(1)}
        if self.sizes is not None:
            of_targets = jnp.asarray(self.sizes)[examples['targets']]
            gathered['bytes'] = (is_token * of_targets).sum(1)
        return gathered

    def logits(self, params, model_state, examples, train, key):
        inputs = {name: examples[name] for name in self.inputs}
        logits, new_state = self.network.apply(params, model_state, inputs, train, key)
        _check_shape(logits, examples['tokens'], self.tokens)
        return logits, new_state


def _tokens_per_row(data):
    """On average over the training set; a stream, which is not there as a whole, says in its schema
    how many tokens it has."""
    if data.train.feed is None:
        count = (np.asarray(data.train.arrays['segments']) > 0).sum()
    elif 'train' in data.schema.get('tokens', {}):
        count = data.schema['tokens']['train']
    else:
        raise ValueError(
            "data: found a stream whose schema has no number of tokens; allowed: {'tokens': "
            "{'train': ...}} in it"
        )
    return float(count / data.train.size)


def _losses(logits, examples):
    """[n, l] losses, 0 on padding [nats]; and where there is a token, 0 or 1."""
    is_token = (examples['segments'] > 0).astype(logits.dtype)
    of_target = jnp.take_along_axis(logits, examples['targets'][..., None], axis=-1)[..., 0]
    # log sum exp - logit: no second array of the logits' size
    return (jax.nn.logsumexp(logits, axis=-1) - of_target) * is_token, is_token


def _values(logits, examples, per_row):
    losses, is_token = _losses(logits, examples)
    tokens, of_row = is_token.sum(1), losses.sum(1)
    is_right = (most_probable(logits) == examples['targets']) * is_token
    return {
        'loss': of_row * (1 / per_row),
        'token_loss': Ratio(of_row, tokens),
        'accuracy': Ratio(is_right.sum(1), tokens),
    }


def _summary(gathered):
    losses = gathered['loss']
    metrics = {'perplexity': perplexity(losses, gathered['tokens'])}
    if 'bytes' in gathered:
        metrics['bits_per_byte'] = bits_per_byte(losses, gathered['bytes'])
    return metrics


def _check_shape(logits, tokens, count):
    expected = (*tokens.shape, count)
    if getattr(logits, 'shape', None) != expected:
        shown = getattr(logits, 'shape', type(logits).__name__)
        raise ValueError(
            f'language_model: the model gives {shown} for rows of {tokens.shape}; allowed: '
            f'{expected}, a logit of each token'
        )
