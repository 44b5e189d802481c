"""Parts that break their contract, each in one way; tests name them 'breaches:NAME'."""

import jax
import jax.numpy as jnp
import optax

from lbexp.config import lookup
from lbexp.parallel.replicas import synchronous
from lbexp.probes import Probe


def sound(**arguments):
    return lookup.build('lbexp.workloads', {'name': 'linear_regression', 'size': 100, **arguments})


def workload(breach=''):
    part = sound()
    values_of = {
        'mean': lambda values: {'loss': values['loss'].mean()},
        'keepdims': lambda values: {'loss': values['loss'].mean(keepdims=True)},
        'no loss': lambda values: {'cost': values['loss']},
        'none': lambda values: None,
        'text': lambda values: {**values, 'note': 'fine'},
        'whole': lambda values: {'loss': jnp.ones_like(values['loss'], jnp.int32)},
        'other shape': lambda values: {**values, 'accuracy': values['loss'].mean()},
        'taken name': lambda values: {**values, 'step': values['loss']},
    }.get(breach, lambda values: values)

    def loss(params, model_state, examples, key):
        values, model_state = part.loss(params, model_state, examples, key)
        if breach == 'no pair':
            return values['loss']
        return values_of(values), {'count': 0} if breach == 'state' else model_state

    return part._replace(loss=loss)


def initial(breach=''):
    part = sound()

    def init(key):
        params, model_state = part.init(key)
        return {
            'no pair': params,
            'none': None,
            'whole': (jax.tree.map(lambda w: w.astype(jnp.int32), params), model_state),
            'empty': ({}, model_state),
            'numbers': ({'w': 1.0}, model_state),
        }[breach]

    return part._replace(init=init)


def statistics(breach=''):
    """The model state counts the batches."""
    part = sound()
    start = jnp.zeros((), jnp.int32)
    after = {'dtype': jnp.float32, 'shape': None, 'sound': jnp.int32}[breach]

    def loss(params, model_state, examples, key):
        values, _ = part.loss(params, {}, examples, key)
        count = model_state['count'] + 1
        return values, {'count': count[None] if after is None else count.astype(after)}

    def metrics(params, model_state, examples):
        return part.metrics(params, {}, examples)

    return part._replace(
        init=lambda key: (part.init(key)[0], {'count': start}), loss=loss, metrics=metrics
    )


def assessed(breach=''):
    part = sound()

    def metrics(params, model_state, examples):
        values = part.metrics(params, model_state, examples)
        return {'mean': {'loss': values['loss'].mean()}, 'none': None}[breach]

    return part._replace(metrics=metrics)


def drawn(breach=''):
    part = sound()
    draw = {
        'short': lambda *arguments: jax.tree.map(lambda x: x[:-1], part.train.draw(*arguments)),
        'none': lambda *arguments: None,
    }[breach]
    return part._replace(train=part.train._replace(draw=draw))


def optimizer(learning_rate, breach=''):
    def init(params):
        return jnp.zeros((), jnp.int32)

    def update(updates, state, params=None):
        updates = jax.tree.map(lambda g: -learning_rate(state) * g, updates)
        return {
            'scalars': (jax.tree.map(jnp.mean, updates), state),
            'fewer': ({'kernel': updates['kernel']}, state),
            'whole': (jax.tree.map(lambda u: u.astype(jnp.int32), updates), state),
            'none': None,
            'updates alone': updates,
            'state dtype': (updates, state.astype(jnp.float32)),
            'state shape': (updates, state[None]),
            'state structure': (updates, (state, state)),
            'sound': (updates, state + 1),
        }[breach]

    return optax.GradientTransformation(init, update)


def nothing(**arguments):
    return None


def a_class(**arguments):
    return optax.GradientTransformation


def a_tuple(**arguments):
    return (1, 2, 3)


def number_as_schedule(peak, steps):
    return peak


def schedule(peak, steps, breach=''):
    return {'vector': lambda count: peak * jnp.ones(2), 'none': lambda count: None}[breach]


def weights(breach='', **sizes):
    return {'mean': lambda key, positions: jnp.ones(()), 'none': lambda key, positions: None}[
        breach
    ]


def probe(breach=''):
    def init(facts):
        return jnp.zeros(())

    update = {
        'dtype': lambda state, facts: facts.step,
        'none': lambda state, facts: None,
    }.get(breach, lambda state, facts: state)
    summary = {
        'number': lambda state: state,
        'text': lambda state: {'mine': 'text'},
        'large': lambda state: {'mine': jnp.zeros((2**17,))},
        'taken': lambda state: {'step': state},
        'twice': lambda state: {'loss': state},
    }.get(breach, lambda state: {'mine': state})
    return Probe(init, update, summary)


def workers(breach='', workers=2):
    part = synchronous.synchronous(workers)
    replaced = {
        'start': {'start': lambda params, model_state, opt_state: (params, model_state, opt_state)},
        'step': {
            'step': lambda tools: (
                lambda state, row_step: state._replace(tick=state.tick.astype(jnp.float32))
            )
        },
        'deployed': {'deployed': lambda state: state.params},
        'columns': {'columns': lambda state, optimizer: {'tick': state.tick}},
    }[breach]
    return part._replace(**replaced)


def naive(learning_rate):
    def update(updates, state, params=None):
        return jax.tree.map(lambda g: -learning_rate * g, updates), state

    return optax.GradientTransformation(lambda params: (), update)


def from_the_left(learning_rate):
    def update(updates, state, params=None):
        return jax.tree.map(lambda g: g * learning_rate, updates), state

    return optax.GradientTransformation(lambda params: (), update)


def with_a_number(learning_rate: float):
    return naive(learning_rate)


def branchy(learning_rate, clip=1.0, momentum=0.9):
    sgd = optax.sgd(learning_rate, momentum)
    return optax.chain(optax.clip(clip), sgd) if clip > 0 else sgd


def branchy_inside(learning_rate, clip=1.0):
    """The branch stands in a nested trace, where JAX does not name the number."""

    def update(updates, state, params=None):
        def clipped(updates):
            return jax.tree.map(lambda g: jnp.clip(g, -clip, clip) if clip > 0 else g, updates)

        updates = jax.lax.cond(state > 3, clipped, lambda updates: updates, updates)
        return jax.tree.map(lambda g: -learning_rate(state) * g, updates), state + 1

    return optax.GradientTransformation(lambda params: jnp.zeros((), jnp.int32), update)
