"""From a trial's configuration to the functions that train it. The numbers in it may be traced."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
import optax

from lbexp.batch_size import adam_scaling, batch_scaling
from lbexp.config import lookup
from lbexp.data.order import order
from lbexp.data.partition import partition
from lbexp.engine import contracts, row_counts
from lbexp.engine.accumulation import AccumulationSchedule, accumulation_schedule
from lbexp.engine.arguments import start, with_arrays, with_state
from lbexp.engine.initial_position import Start
from lbexp.engine.parameter_rates import scaled_updates
from lbexp.engine.precision import in_precision
from lbexp.engine.rates import ScheduledRate, constant_rate, takes_number
from lbexp.engine.sources import evaluation_sets
from lbexp.engine.state import WEIGHTS, stream_key
from lbexp.errors import Refusal
from lbexp.parallel import hosts
from lbexp.parallel.replicas import Replicas, lone_worker
from lbexp.probes import EvaluationProbe, Probe, norms
from lbexp.workloads import Workload


class NamedProbe(NamedTuple):
    """An evaluation probe, by the name that the configuration gives it."""

    name: str
    probe: EvaluationProbe


class TrialComponents(NamedTuple):
    """The functions that a trial is made of, and its seed."""

    workload: Workload
    optimizer: optax.GradientTransformationExtraArgs
    learning_rate: Callable  # updates done -> the scheduled rate
    weighting: Callable  # positions -> (losses -> losses times the example weights)
    microbatch: int  # examples per forward/backward pass
    accumulation: AccumulationSchedule  # microbatches per update
    probes: tuple[Probe, ...]  # that look at every update
    evaluation_probes: tuple[NamedProbe, ...]
    replicas: Replicas  # the workers; `lone_worker`: one model, wherever its batch lies
    eval_sets: dict  # prefix of the metric -> (source, examples evaluated)
    # metrics whose values of each example are kept, 'auto': the accuracy where there is one
    keep_examples: Any
    seed: Any  # uint32
    freeze: Sequence[str] = ()  # regular expressions of the parameters that do not train
    row_counts: Callable | None = None  # of the workload; None: the optimizer does not ask
    start: Start = Start()  # where it begins


def components(
    config: dict, steps: Any, arrays: dict | None = None, workload: Workload | None = None
) -> TrialComponents:
    """Builds the parts of one trial.

    Each 'learning_rate' in the optimizer's configuration, inner optimizers included, is a peak:
    what reaches the optimizer is the function schedule(peak * batch scaling, steps). A part that
    takes a `seed` and is given none gets the trial's, so that the noise of two trials is
    independent.

    Args:
        config: plain data, as config.resolve returns it; numbers may be traced.
        steps: of the whole run [updates]; may be traced.
        arrays: what `data` returned, as arguments of the program: data should not be constants in
            it.
        workload: the configuration's, where it is built already.

    Raises:
        Refusal: a part refuses its arguments, batch_scaling needs betas that the optimizer does
            not have, or the workload has no other precision.
    """
    seed, rates = config['seed'], _Rates(config, steps)
    if workload is None:
        workload = lookup.build('workload', config['workload'])
    name = config['workload']['name']
    workload = contracts.workload(name, in_precision(name, workload, config['precision']))
    optimizer, begins = _optimizer(config, rates, seed), Start()
    if arrays is not None:
        source = config['init_from']['trial']
        workload = with_arrays(workload, arrays, source)
        optimizer, begins = with_state(optimizer, arrays, source), start(arrays, source)
    microbatch = config['microbatch'] or config['batch_size']
    shared = config['data']
    count = shared['hosts'] or hosts.count()
    train = partition(workload.train, shared['partition'], count, microbatch)
    workload = workload._replace(train=train)
    workers = replicas(config)
    parts = (config['optimizer'], *config['transforms'])
    return TrialComponents(
        workload,
        optimizer,
        rates.scheduled[0] if rates.scheduled else _no_rate,
        _weighting(config, workload.train, seed),
        microbatch,
        rates.accumulation,
        (norms.norms(), *_update_probes(config)),
        tuple(evaluation_probes(config)),
        workers,
        evaluation_sets(workload, config['evaluate_train'], config['evaluate_test']),
        config['keep_examples'],
        seed,
        config['freeze'],
        row_counts.asked(parts, workload, workers, config['microbatch']),
        begins,
    )


def planned_rate(config: dict, steps: Any) -> Callable:
    """The learning rate of `components`, for which no data are read."""
    rates = _Rates(config, steps)
    _optimizer(config, rates, config['seed'])
    return rates.scheduled[0] if rates.scheduled else _no_rate


class _Rates:
    """The learning rates of a trial: its schedule, from the peak of each of its optimizers, and
    how it follows the batch."""

    def __init__(self, config, steps):
        size, scaling = config['batch_size'], config['batch_scaling']
        growth = config['batch_growth']
        self._factor = batch_scaling(scaling['rule'], size, scaling['reference'])
        self.accumulation = accumulation_schedule(size, config['microbatch'], growth)
        self._schedule, self._steps, self._grows = config['schedule'], steps, bool(growth)
        # (updates done -> rate) of each peak, as they are met: the optimizer's own comes first
        self.scheduled = []

    def of(self, part, peak):
        """The learning rate that the optimizer `part` is given in place of its peak."""
        schedule, peak = self._schedule, peak * self._factor
        rate = lookup.build('schedule', schedule, peak=peak, steps=self._steps)
        rate = contracts.schedule(schedule['name'], rate)
        rate = self.accumulation.scale_rate(rate)
        self.scheduled.append(rate)
        if takes_number(lookup.find('optimizer', part['name'])):
            return constant_rate(part['name'], peak, schedule, self._grows)
        return ScheduledRate(rate)


def _no_rate(count):
    """Of an optimizer that has no learning rate."""
    return jnp.full((), jnp.nan)


def _optimizer(config, rates, seed):
    """The transforms, then the optimizer, as one transformation."""
    part, scaling = config['optimizer'], config['batch_scaling']
    if scaling['rule'] == 'square_root_adam':
        part = _adam_scaled(part, config['batch_size'], scaling['reference'])
    # Its rates come first: what a row shows is the optimizer's.
    optimizer = _transformation(part, rates, seed, config['rates'])
    transforms = [_transformation(transform, rates, seed) for transform in config['transforms']]
    if transforms:
        optimizer = optax.chain(*transforms, optimizer)
    return optax.with_extra_args_support(optimizer)


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
        places = {'place': jnp.arange(source.size, dtype=jnp.int32)}
        return source.draw(places, stream, positions)['place']

    arguments = {'batch_size': config['batch_size'], 'dataset_size': source.size}
    arguments['indices'] = indices
    # a part is given what it asks for by name
    known = lookup.parameters(lookup.find('example_weights', part['name']))
    offered = {name: value for name, value in arguments.items() if name in known}
    weights = lookup.build('example_weights', {**offered, **part})
    return contracts.weights(part['name'], weights)


def replicas(config: dict) -> Replicas:
    """The workers of a trial.

    Raises:
        Refusal: a batch that they cannot divide.
    """
    part, package = config['replicas'], 'replicas'
    if not part:
        return lone_worker()
    seeded = {}
    if 'seed' in lookup.parameters(lookup.find(package, part['name'])):
        seeded['seed'] = config['seed']
    workers = lookup.build(package, part, **seeded)
    if config['batch_size'] % workers.pieces:
        raise Refusal(
            f'batch_size: found {config["batch_size"]} with {part["name"]}, which cuts it into '
            f'{workers.pieces} equal pieces; allowed: a multiple'
        )
    return contracts.replicas(part['name'], workers)


def evaluation_probes(config: dict) -> list[NamedProbe]:
    """The probes of a trial that look at rows."""
    probes = []
    for part in config['probes']:
        name, probe = part['name'], lookup.build('probe', part)
        if not isinstance(probe, EvaluationProbe):
            continue
        if probe.measure_at == 'evaluations' and config['num_evaluations'] == 0:
            raise Refusal(
                f'num_evaluations: found 0 with {name}, which measures at evaluations; allowed: '
                ">= 1, or measure_at='log' of the probe"
            )
        probes.append(NamedProbe(name, contracts.evaluation_probe(name, probe)))
    return probes


def _update_probes(config):
    """The probes of a trial that look at every update."""
    probes = []
    for part in config['probes']:
        name, probe = part['name'], lookup.build('probe', part)
        if isinstance(probe, Probe):
            probes.append(contracts.probe(name, probe))
    return probes


def _transformation(part, rates, seed, factors=()):
    """The gradient transformation of a part, its learning rates scheduled and its seed given; inner
    parts likewise.

    Args:
        factors: of the learning rate, (pattern, factor): of the innermost part, whose update is
            proportional to it. What is around it, such as lookahead, averages the weights.
    """
    arguments, is_innermost = {}, True
    for name, value in part.items():
        # A rate that is a function already is scheduled.
        if name == 'learning_rate' and value is not None and not callable(value):
            value = rates.of(part, value)
        elif _is_part(value):
            value, is_innermost = _transformation(value, rates, seed, factors), False
        arguments[name] = value
    takes_seed = 'seed' in lookup.parameters(lookup.find('optimizer', part['name']))
    if takes_seed and part.get('seed') is None:
        arguments['seed'] = seed
    built = contracts.transformation(part['name'], lookup.build('optimizer', arguments))
    if factors and is_innermost:
        return scaled_updates(part['name'], built, factors)
    return built


def _adam_scaled(part, batch_size, reference):
    """`part`, or the parts inside it, with the betas and eps (set, or defaults) that go with the
    batch size."""
    names = ('b1', 'b2', 'eps')
    known = lookup.parameters(lookup.find('optimizer', part['name']))
    if set(names) <= known.keys():
        values = [part.get(name, known[name].default) for name in names]
        scaled = adam_scaling(batch_size, reference, *values)
        return part | dict(zip(names, scaled, strict=True))
    inner = {}
    for name, value in part.items():
        if _is_part(value):
            inner[name] = _adam_scaled(value, batch_size, reference)
    if inner:
        return part | inner
    raise Refusal(
        f"batch_scaling.rule: found 'square_root_adam' with {part['name']}, which has no b1, b2, "
        "eps; allowed: 'linear', 'square_root'"
    )


def _is_part(value):
    return isinstance(value, dict) and 'name' in value
