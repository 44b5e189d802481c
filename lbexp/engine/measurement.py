"""What an evaluation probe measures of a trial, beside the evaluation and off the path of
training."""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from lbexp.config import lookup
from lbexp.data.order import order
from lbexp.engine import frozen, totals
from lbexp.engine.components import TrialComponents
from lbexp.engine.shape_checks import Breach
from lbexp.engine.state import PROBE, stream_key
from lbexp.precision import upcast
from lbexp.probes import EvaluationProbe, Subject
from lbexp.workloads import Ratio


def measurement(
    trial: TrialComponents,
    place: int,
    chunk: int,
    constrain: Callable = lambda examples: examples,
) -> Callable[[Any], dict[str, Any]]:
    """state -> the columns of the trial's evaluation probe at this place.

    Args:
        chunk: examples that pass the model at once in the loss over a subset.
        constrain: places examples on devices.

    Raises, when it is traced:
        Breach: the workload or its data cannot be measured so; the message says what can.
    """
    name, probe = trial.evaluation_probes[place]
    who = f'probe {name}'

    def measure(state):
        params, model_state = _weights(trial, probe, who, state)
        params = jax.tree.map(upcast, params)
        _refuse_model_state(probe, who, model_state)
        examples = _subset(trial, probe, who)
        workload = frozen.bound(trial, state.frozen).workload
        losses = _losses(workload, who, model_state)
        # By step and place: a run that goes on measures with the same draws.
        key = jax.random.fold_in(stream_key(trial.seed, PROBE), state.step)
        subject = Subject(
            step=state.step,
            params=params,
            model_state=model_state,
            opt_state=state.opt_state,
            learning_rate=jnp.asarray(trial.learning_rate(jnp.maximum(state.step - 1, 0))),
            loss=_mean_loss(losses, examples, probe.examples, chunk, constrain),
            per_example=lambda params, examples: losses(params, examples).numerator,
            predict=_predict(workload.predict, model_state),
            examples=examples,
            population=getattr(trial.workload, probe.part).size,
            key=jax.random.fold_in(key, place),
        )
        return probe.measure(subject)

    return measure


def described(probes: list[dict]) -> dict[str, str]:
    """What each evaluation probe of a configuration measures on, in words, by its name.

    Args:
        probes: the parts of the configuration; those that look at every update are passed over.
    """
    words = {}
    for part in probes:
        probe = lookup.build('probe', part)
        if isinstance(probe, EvaluationProbe):
            words[part['name']] = (
                f'{probe.examples} examples of the {probe.part} set (draw {probe.subset}), loss in '
                f'evaluation mode, weights {probe.weights}, batch norm {probe.batch_norm}'
            )
    return words


def _weights(trial, probe, who, state):
    if probe.weights == 'evaluation':
        return trial.replicas.deployed(state)
    if 'params' in trial.replicas.by_worker:
        raise Breach(
            f"{who}: weights: found 'fast' with replicas, whose workers have weights of their own; "
            "allowed: 'evaluation'"
        )
    return state.params, state.model_state


def _refuse_model_state(probe, who, model_state):
    if jax.tree.leaves(model_state) and probe.batch_norm is None:
        raise Breach(
            f'{who}: found a workload with a model state, as batch norm has, whose loss over a '
            "batch is no mean over its examples; allowed: batch_norm='frozen' of the probe, which "
            'measures with the running averages held as they are'
        )


def _predict(predict, model_state):
    """(params, examples) -> outputs; None: the workload has none."""
    if predict is None:
        return None
    return lambda params, examples: predict(params, model_state, examples)


def _subset(trial, probe, who):
    """The examples that are measured."""
    source = getattr(trial.workload, probe.part)
    if source is None:
        raise Breach(
            f"{who}: part: found {probe.part!r}, which the workload does not have; allowed: 'train'"
        )
    if source.feed is not None:
        raise Breach(
            f'{who}: part: found {probe.part!r}, which is a stream, not in memory; '
            "allowed: 'test', or a training set in memory"
        )
    if probe.examples > source.size:
        raise Breach(
            f'{who}: examples: found {probe.examples} of a {probe.part} set of {source.size}; '
            'allowed: at most as many'
        )
    positions = jnp.arange(probe.examples, dtype=jnp.uint32)
    # Not by the trial's seed: all trials are measured on the same examples.
    places = order(jnp.uint32(probe.subset), positions, source.size)
    return source.read(source.arrays, places)


def _losses(workload, who, model_state):
    """(params, examples) -> Ratio of the loss of each example; of a plain loss over ones."""

    def losses(params, examples):
        values = workload.metrics(params, model_state, examples)
        if 'loss' not in values:
            raise Breach(f"{who}: found metrics {sorted(values)}; allowed: 'loss' among them")
        loss = values['loss']
        if isinstance(loss, Ratio):
            return jax.tree.map(upcast, loss)
        return Ratio(upcast(loss), jnp.ones(loss.shape, jnp.float32))

    return losses


def _mean_loss(losses, examples, count, chunk, constrain):
    """params -> the loss over the subset; chunks of a large one are recomputed for gradients, which
    so need the memory of one."""
    if count <= chunk:
        examples = constrain(examples)
        return lambda params: _quotient(jax.tree.map(totals.total, losses(params, examples)))
    chunks = math.ceil(count / chunk)
    places = np.arange(chunks * chunk).reshape(chunks, chunk)
    # The last chunk reads the last example for its padding, with weight 0.
    weights = jnp.asarray(places < count, jnp.float32)
    places = jnp.asarray(np.minimum(places, count - 1))
    sums = jax.checkpoint(partial(_sums, losses, examples, constrain))

    def loss(params):
        def add(carry, chunk):
            return jax.tree.map(jnp.add, carry, sums(params, *chunk)), None

        like = jax.eval_shape(sums, params, places[0], weights[0])
        start = jax.tree.map(jnp.zeros_like, like)
        return _quotient(jax.lax.scan(add, start, (places, weights))[0])

    return loss


def _sums(losses, examples, constrain, params, places, weights):
    """Weighted sums of the losses of the examples at these places."""
    part = jax.tree.map(lambda array: array[places], examples)
    values = losses(params, constrain(part))
    return jax.tree.map(lambda v: totals.total(v, weights), values)


def _quotient(ratio):
    return ratio.numerator / ratio.denominator
