"""Workloads and probes that tests of evaluations name 'evaluated:NAME'."""

import jax
import jax.numpy as jnp
import numpy as np
import optax

from lbexp import metrics as measures
from lbexp.config import lookup
from lbexp.data.source import memory
from lbexp.probes import EvaluationProbe
from lbexp.workloads import Ratio, SetMetrics, Workload


def arrays(size, seed):
    """A click model in three features; of each example 0 to 4 tokens."""
    draw = np.random.default_rng(seed)
    x = draw.standard_normal((size, 3)).astype(np.float32)
    y = (x @ [1.0, -2.0, 0.5] + draw.logistic(size=size) > 0).astype(np.int32)
    tokens = draw.integers(0, 5, size).astype(np.float32)
    return {'x': x, 'y': y, 'tokens': tokens}


def clicks(held: int = 1500, breach: str = '') -> Workload:
    """Logistic regression with every kind of metric; 1,500 held-out examples are two chunks."""

    def predict(params, model_state, examples):
        return examples['x'] @ params['w'] + params['b']

    def metrics(params, model_state, examples):
        loss = measures.log_loss(predict(params, model_state, examples), examples['y'])
        by_token = Ratio(loss * examples['tokens'], examples['tokens'])
        return {'loss': loss, 'token_loss': by_token}

    def loss(params, model_state, examples, key):
        values = metrics(params, model_state, examples)
        if breach == 'trained on a ratio':
            values['loss'] = values['token_loss']
        if breach == 'half a ratio':
            values['token_loss'] = values['token_loss']._replace(denominator=jnp.ones(()))
        return values, model_state

    def outputs(params, model_state, examples):
        score = predict(params, model_state, examples)
        return {
            'outputs shape': {'score': score.mean()},
            'outputs none': None,
        }.get(breach, {'score': score, 'label': examples['y']})

    def summary(gathered):
        auc = measures.roc_auc(gathered['score'], gathered['label'])
        return {
            'summary vector': {'auc': gathered['score']},
            'summary none': auc,
            'summary twice': {'loss': auc},
        }.get(breach, {'auc': auc})

    def init(key):
        return {'w': 0.1 * jax.random.normal(key, (3,)), 'b': jnp.zeros(())}, {}

    return Workload(
        init,
        loss,
        metrics,
        train=memory(arrays(100, 0)),
        test=memory(arrays(held, 1)),
        validation=memory(arrays(30, 2)),
        predict=predict,
        inputs=('x',),
        set_metrics=SetMetrics(outputs, summary),
    )


def without_set_metrics(size: int = 100) -> Workload:
    return clicks(size)._replace(set_metrics=None)


def seen(examples: int = 20, **fields: str) -> EvaluationProbe:
    """What a subject is, as numbers and vectors."""

    def measure(subject):
        losses = subject.per_example(subject.params, subject.examples)
        return {
            'seen_step': subject.step,
            'seen_rate': subject.learning_rate,
            'seen_loss': subject.loss(subject.params),
            'seen_mean': losses.mean(),
            'seen_predicted': subject.predict(subject.params, subject.examples).sum(),
            'seen_losses': losses,
            'seen_key': jax.random.uniform(subject.key),
            'seen_examples': jax.tree.leaves(subject.examples)[0].astype(jnp.float32).sum(),
            'seen_gradient': optax.tree.norm(jax.grad(subject.loss)(subject.params)),
            'seen_parameters': optax.tree.norm(subject.params),
        }

    return EvaluationProbe(measure, examples, **fields)


def broken(breach: str = '') -> EvaluationProbe:
    def measure(subject):
        return {
            'text': {'mine': 'text'},
            'number': subject.step,
            'taken': {'step': subject.step},
            'twice': {'test_loss': subject.loss(subject.params)},
        }.get(breach, {})

    fields = {
        'no examples': {'examples': 0},
        'no such set': {'part': 'validation'},
        'no such row': {'measure_at': 'always'},
    }.get(breach, {})
    return EvaluationProbe(measure, **{'examples': 2, **fields})


def no_loss() -> Workload:
    """Whose metrics have none."""
    part = lookup.build('workload', {'name': 'linear_regression', 'size': 100})
    return part._replace(
        metrics=lambda params, model_state, examples: {
            'error': part.metrics(params, model_state, examples)['loss']
        }
    )
