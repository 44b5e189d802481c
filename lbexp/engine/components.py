"""From a trial's configuration to the functions that train it. The numbers in it may be traced."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from lbexp.batch_size import adam_scaling, batch_scaling
from lbexp.config import lookup
from lbexp.data.order import order
from lbexp.data.partition import partition
from lbexp.engine import contracts
from lbexp.engine.accumulation import AccumulationSchedule, accumulation_schedule
from lbexp.engine.rates import ScheduledRate, constant_rate, takes_number
from lbexp.engine.state import WEIGHTS, stream_key
from lbexp.errors import Refusal
from lbexp.parallel import hosts
from lbexp.parallel.replicas import Replicas, lone_worker
from lbexp.probes import norms
from lbexp.workloads import Workload


class TrialComponents(NamedTuple):
    """The functions that a trial is made of, and its seed."""

    workload: Workload
    optimizer: optax.GradientTransformationExtraArgs
    learning_rate: Callable  # updates done -> the scheduled rate
    weighting: Callable  # positions -> (losses -> losses times the example weights)
    microbatch: int  # examples per forward/backward pass
    accumulation: AccumulationSchedule  # microbatches per update
    probes: tuple
    replicas: Replicas  # the workers; `lone_worker`: one model, wherever its batch lies
    eval_sets: dict  # prefix of the metric -> (source, examples evaluated)
    seed: Any  # uint32


def components(config: dict, steps: Any, arrays: dict | None = None) -> TrialComponents:
    """Builds the parts of one trial.

    Each 'learning_rate' in the optimizer's configuration, inner optimizers included, is a peak:
    what reaches the optimizer is the function schedule(peak * batch scaling, steps). A part that
    takes a `seed` and is given none gets the trial's, so that the noise of two trials is
    independent.

    Args:
        config: plain data, as config.resolve returns it; numbers may be traced.
        steps: length of the run [updates]; may be traced.
        arrays: what `data` returned, as arguments of the program: data should not be constants in
            it.

    Raises:
        Refusal: a part refuses its arguments, or batch_scaling needs betas that the optimizer does
            not have.
    """
    seed = config['seed']
    scaling = config['batch_scaling']
    factor = batch_scaling(scaling['rule'], config['batch_size'], scaling['reference'])
    accumulation = accumulation_schedule(config)
    rates = []

    def schedule(peak):
        rate = lookup.build('schedule', config['schedule'], peak=peak * factor, steps=steps)
        rate = contracts.schedule(config['schedule']['name'], rate)
        rates.append(accumulation.scale_rate(rate))
        return rates[-1]

    def rate_of(part, peak):
        rate = schedule(peak)
        if takes_number(lookup.find('optimizer', part['name'])):
            return constant_rate(part['name'], peak * factor, config)
        return ScheduledRate(rate)

    workload = lookup.build('workload', config['workload'])
    workload = contracts.workload(config['workload']['name'], workload)
    if arrays is not None:
        workload = _with_arrays(workload, arrays)
    shared, microbatch = config['data'], config['microbatch'] or config['batch_size']
    divided = partition(
        workload.train, shared['partition'], shared['hosts'] or hosts.count(), microbatch
    )
    workload = workload._replace(train=divided)
    parts = [config['optimizer'], *config['transforms']]
    if scaling['rule'] == 'square_root_adam':
        parts[0] = _adam_scaled(parts[0], config['batch_size'], scaling['reference'])
    optimizer, *transforms = (_transformation(part, rate_of, seed) for part in parts)
    return TrialComponents(
        workload,
        optax.with_extra_args_support(
            optax.chain(*transforms, optimizer) if transforms else optimizer
        ),
        rates[0] if rates else lambda count: jnp.full((), jnp.nan),
        _weighting(config, workload.train, seed),
        microbatch,
        accumulation,
        (norms.norms(), *map(_probe, config['probes'])),
        replicas(config),
        _eval_sets(workload, config['evaluate_train']),
        seed,
    )


def _weighting(config, source, seed):
    if not config['example_weights']:
        return lambda positions: lambda losses: losses
    weights = _example_weights(config, source, seed)

    def weighting(positions):
        z = weights(stream_key(seed, WEIGHTS), positions)
        return lambda losses: losses * z.astype(losses.dtype)

    return weighting


def _example_weights(config, source, seed):
    part = config['example_weights']

    def indices(positions):
        stream = jnp.asarray(seed, jnp.uint32)
        if source.feed is not None:  # whose arrays are the examples of a few positions
            return order(stream, positions, source.size)
        return source.draw({'place': jnp.arange(source.size, dtype=jnp.int32)}, stream, positions)[
            'place'
        ]

    known = lookup.parameters(lookup.find('example_weights', part['name']))
    sizes = {'batch_size': config['batch_size'], 'dataset_size': source.size, 'indices': indices}
    weights = lookup.build(
        'example_weights', {**{k: v for k, v in sizes.items() if k in known}, **part}
    )
    return contracts.weights(part['name'], weights)


def data(config: dict) -> dict:
    """The arrays of the workload's training, validation and test sets."""
    return _arrays(lookup.build('workload', config['workload']))


def stream(config: dict) -> Callable | None:
    """The feed of a training set that is not in memory; None: it is."""
    return lookup.build('workload', config['workload']).train.feed


def replicas(config: dict) -> Replicas:
    """The workers of a trial.

    Raises:
        Refusal: a batch that they cannot divide.
    """
    part, package = config['replicas'], 'replicas'
    if not part:
        return lone_worker()
    takes_seed = 'seed' in lookup.parameters(lookup.find(package, part['name']))
    workers = lookup.build(package, part, **({'seed': config['seed']} if takes_seed else {}))
    if config['batch_size'] % workers.pieces:
        raise Refusal(
            f'batch_size: found {config["batch_size"]} with {part["name"]}, which cuts it into '
            f'{workers.pieces} equal '
            'pieces; allowed: a multiple'
        )
    return contracts.replicas(part['name'], workers)


def _arrays(workload):
    sources = {name: getattr(workload, name) for name in ('train', 'validation', 'test')}
    return {name: source.arrays for name, source in sources.items() if source is not None}


def _eval_sets(workload, train):
    held = {name: getattr(workload, name) for name in ('validation', 'test')}
    sources = {name: (source, source.size) for name, source in held.items() if source is not None}
    if train and workload.train.feed is None:
        sources['train'] = workload.train, min(train, workload.train.size)
    return sources


def _with_arrays(workload, arrays):
    """`workload` over the arrays given, except where its own depend on traced numbers."""

    def keep_traced(current, argument):
        return current if isinstance(current, jax.core.Tracer) else argument

    sources = {
        name: getattr(workload, name)._replace(
            arrays=jax.tree.map(keep_traced, current, arrays[name])
        )
        for name, current in _arrays(workload).items()
    }
    return workload._replace(**sources)


def _probe(part):
    return contracts.probe(part['name'], lookup.build('probe', part))


def _transformation(part, rate_of, seed):
    """The gradient transformation of a part, its learning rates scheduled and its seed given; inner
    parts likewise."""
    arguments = {}
    for name, value in part.items():
        if name == 'learning_rate' and value is not None and not callable(value):
            value = rate_of(part, value)
        elif isinstance(value, dict) and 'name' in value:
            value = _transformation(value, rate_of, seed)
        arguments[name] = value
    takes_seed = 'seed' in lookup.parameters(lookup.find('optimizer', part['name']))
    if takes_seed and part.get('seed') is None:
        arguments['seed'] = seed
    return contracts.transformation(part['name'], lookup.build('optimizer', arguments))


def _adam_scaled(part, batch_size, reference):
    """`part`, or the parts inside it, with the betas and eps (set, or defaults) that go with the
    batch size."""
    known, names = lookup.parameters(lookup.find('optimizer', part['name'])), ('b1', 'b2', 'eps')
    if set(names) <= known.keys():
        values = [part.get(name, known[name].default) for name in names]
        return {
            **part,
            **dict(zip(names, adam_scaling(batch_size, reference, *values), strict=True)),
        }
    inner = {
        name: value for name, value in part.items() if isinstance(value, dict) and 'name' in value
    }
    if inner:
        return {
            **part,
            **{name: _adam_scaled(value, batch_size, reference) for name, value in inner.items()},
        }
    raise Refusal(
        f"batch_scaling.rule: found 'square_root_adam' with {part['name']}, which has no b1, b2, "
        'eps; '
        "allowed: 'linear', 'square_root'"
    )
