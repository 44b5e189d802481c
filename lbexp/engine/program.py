"""A cohort as compiled functions over all its trials at once."""

import concurrent.futures
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from lbexp.config import lookup
from lbexp.engine import evaluation as evaluations
from lbexp.engine import frozen
from lbexp.engine import measurement as measurements
from lbexp.engine import step as steps
from lbexp.engine.arguments import data, stream
from lbexp.engine.components import components, evaluation_probes
from lbexp.engine.evaluation_chunk import evaluation_chunk
from lbexp.engine.memory import check_memory
from lbexp.engine.numbers import numbered
from lbexp.engine.placement import over_trials, placement
from lbexp.engine.plan import Cohort
from lbexp.parallel import mesh as meshes
from lbexp.probes import MeasureAt

_STRETCH = 64  # microbatches that a stream gives at once

# XLA:CPU copies every weight but the first layer's at each step, as its update might come before
# its last use. With region analysis it orders them instead. Without / with, time of a step: MLP
# 784-512-512-10 1.09, 64-512-512-10 1.37, five layers of 512 1.06; but 64-128-128-10 0.86, where
# waiting costs more than the copy (batch 32, 2 cores). Since norms are taken before the update
# (observation.py), and lbexp's AdamW has its quotient last, it is optax's whose weights would be
# copied.
_IN_PLACE = {'xla_cpu_copy_insertion_use_region_analysis': True}
_LARGE = 2**16  # parameters


class Measurement(NamedTuple):
    """An evaluation probe over the stacked states."""

    at: MeasureAt
    measure: Callable  # states -> {column: [padded, ...]}


class Program(NamedTuple):
    """Functions over the stacked states of the cohort's trials: every leaf has a leading axis of
    `padded` trials."""

    states: Any  # shapes of the states
    init: Callable  # () -> states
    # (states, until [K], row_start [K], row_step [K]) -> (states, columns); donates the states
    segment: Callable
    # states -> Evaluation, whose arrays have an axis of trials first
    evaluate: Callable | None
    measurements: tuple[Measurement, ...]  # of the evaluation probes
    place: Callable  # states of the cohort's K trials, on the host -> states on the devices
    # () -> {'init', 'segment' and, where there is one, 'evaluate': bytes, as XLA plans them}
    memory: Callable
    trials: int  # K; what lies beyond is padding, which trains for no tick
    # of a stream, microbatches given at once: a segment ends with its stretch; None: no stream
    stretch: int | None
    layout: str  # in words
    target: str | None  # the metric of the workload's target


class _Numbers(NamedTuple):
    """What differs between the trials of a cohort, traced; over all trials, or of one."""

    accumulation: Any  # microbatches per update, the first one where the batch grows
    steps: Any  # updates that schedules are spread over
    config: dict[str, Any]  # path in the configuration -> value


def program(cohort: Cohort, layout: str, data_parallel: int | None) -> Program:
    """Lays the cohort's trials out on the devices and compiles its functions.

    Raises:
        Refusal: a layout that the devices do not allow, or more than their memory holds.
    """
    place, words = placement(cohort, layout, data_parallel)
    mesh = place.mesh
    by_trial, everywhere = meshes.named_sharding(mesh, 'trial'), meshes.named_sharding(mesh)
    arrays = meshes.put(_arrays(cohort), everywhere)
    numbers = meshes.put(_numbers(cohort, place), by_trial)
    states = jax.eval_shape(over_trials(place, partial(_initialise, cohort)), arrays, numbers)
    placements = place.of_states(states)
    states = jax.tree.map(_placed, states, placements)
    check_memory(states, arrays, place.at_once, place.count)
    arguments = arrays, numbers, states
    init, segment, evaluate = _compilations(cohort, place, placements, arguments)
    measured = _measurements(cohort, place, arguments)

    def run_segment(states, *ticks):
        until, *_ = ticks
        stretch = _next_stretch(cohort, until)
        present = {**arrays, **meshes.put(stretch, everywhere)}
        # What pads the trials trains until tick 0: for none.
        nothing = np.zeros(1, np.int32)
        padded = [place.pad(np.asarray(values, np.int32), nothing) for values in ticks]
        return _call(segment, present, numbers, states, *meshes.put(padded, by_trial))

    return Program(
        states=states,
        init=partial(_call, init, arrays, numbers),
        segment=run_segment,
        evaluate=partial(_call, evaluate, arrays, numbers) if evaluate else None,
        measurements=measured,
        place=lambda states: meshes.put(jax.tree.map(place.pad, states), placements),
        memory=partial(_memory, init=init, segment=segment, evaluate=evaluate),
        trials=place.count,
        stretch=_STRETCH if stream(cohort.config['workload']) else None,
        layout=words,
        target=_target(cohort),
    )


def _target(cohort):
    target = lookup.build('workload', cohort.config['workload']).target
    return target[0] if target else None


def _call(compilation, *arguments):
    """Calls a function that may still be compiling."""
    return compilation.result()(*arguments)


def _memory(**compilations):
    """By function, its `memory_analysis`: bytes of arguments, results, what is donated, and
    temporary arrays."""
    planned = {}
    for name, compilation in compilations.items():
        if compilation is not None:
            planned[name] = compilation.result().memory_analysis()
    return planned


def _compilations(cohort, place, placements, arguments):
    """Futures of the compiled functions: initialisation, a segment, evaluation (None: there is
    nothing to evaluate).

    XLA compiles the three side by side; what is not needed yet is waited for when it is.
    """
    arrays, numbers, states = arguments
    initialise = partial(_initialise, cohort)
    train, assess = partial(_train, cohort, place), partial(_assess, cohort, place)
    by_trial, read = meshes.named_sharding(place.mesh, 'trial'), _read_by_host(place)
    compiler = concurrent.futures.ThreadPoolExecutor(3)
    compilation = partial(compiler.submit, _compiled, place.mesh)

    initialising = jax.jit(over_trials(place, initialise), out_shardings=placements)
    init = compilation(initialising, arrays, numbers)
    shared = placements if place.by_worker else None
    train_all = over_trials(place, train, shared, updates=True)
    # The states are donated: there is no room for two copies of them.
    training = jax.jit(train_all, donate_argnums=2, out_shardings=(placements, read))
    count = place.count + place.padding
    ticks = [jax.ShapeDtypeStruct((count,), np.int32, sharding=by_trial)] * 3
    options = _options(states.params)
    segment = compilation(training, arrays, numbers, states, *ticks, options=options)
    evaluate = None
    if jax.eval_shape(over_trials(place, assess), arrays, numbers, states).columns:
        assessing = jax.jit(over_trials(place, assess), out_shardings=read)
        evaluate = compilation(assessing, arrays, numbers, states)
    # What was submitted is compiled all the same: only its threads end behind it.
    compiler.shutdown(wait=False)
    return init, segment, evaluate


def _measurements(cohort, place, arguments):
    """The evaluation probes, each a function that is compiled when it is first asked for."""
    arrays, numbers, _ = arguments
    measurements = []
    for number, (_, probe) in enumerate(evaluation_probes(cohort.config)):
        measure = over_trials(place, partial(_measure, cohort, place, number))
        compiled = jax.jit(measure, out_shardings=_read_by_host(place))
        call = partial(_call_on, place.mesh, compiled, arrays, numbers)
        measurements.append(Measurement(probe.measure_at, call))
    return tuple(measurements)


def _call_on(mesh, function, *arguments):
    # It is traced in the first call, which needs the mesh as `_compiled` does.
    with jax.set_mesh(mesh):
        return function(*arguments)


def _read_by_host(place):
    """Where what the host reads lies: every one of several hosts reads it whole."""
    if jax.process_count() > 1:
        return meshes.named_sharding(place.mesh)
    return meshes.named_sharding(place.mesh, 'trial')


def _arrays(cohort):
    """The arrays of the workload's sets, and the weights that trials begin from; of a stream, its
    first stretch."""
    config, trials = cohort.config, cohort.numbers.get('init_from.trial')
    whole = data(config['workload'], config['init_from'], trials, cohort.numbers)
    return {**whole, **_stretch(cohort, 0)}


def _next_stretch(cohort, until):
    """The stretch of a stream in which the microbatches before `until` lie."""
    last = int(until.max()) - 1
    begin = last // _STRETCH * _STRETCH
    return _stretch(cohort, begin * cohort.microbatch)


def _stretch(cohort, first):
    """{'train': the examples of a stream from the position `first` on}; {}: there is no stream."""
    feed = stream(cohort.config['workload'])
    if feed is None:
        return {}
    seed = int(cohort.numbers['seed'][0])  # a stream's trial is alone in its cohort
    return {'train': feed(seed, first, _STRETCH * cohort.microbatch)}


def _numbers(cohort, place):
    """The numbers of all trials, in the types that the program computes in."""
    narrow = {path: _narrow(path, values) for path, values in cohort.numbers.items()}
    accumulation = _narrow('accumulation', cohort.accumulation)
    steps = _narrow('steps', cohort.lengths)
    return jax.tree.map(place.pad, _Numbers(accumulation, steps, narrow))


def _components(cohort, arrays, numbers):
    """The components of a trial, its numbers traced, its data the arrays that the program was
    given."""
    values = dict(numbers.config)
    if cohort.accumulate:
        values['batch_size'] = cohort.microbatch * numbers.accumulation
    return components(numbered(cohort.config, values), numbers.steps, arrays)


def _initialise(cohort, arrays, numbers):
    return steps.initial_state(_components(cohort, arrays, numbers))


def _train(cohort, place, arrays, numbers, state, *ticks):
    trial = _components(cohort, arrays, numbers)
    step = steps.train_step(trial, place.share_examples, place.worker_axes)

    def sharded_step(state, row_step):
        return place.keep_shares(step(state, row_step))

    return steps.segment(trial, sharded_step, place.worker_axes)(state, *ticks)


def _assess(cohort, place, arrays, numbers, state):
    trial = _components(cohort, arrays, numbers)
    chunk = _chunk(place, trial, state)
    evaluate = evaluations.evaluation(trial, chunk, place.share_evaluation, place.shards)
    return evaluate(state)


def _measure(cohort, place, number, arrays, numbers, state):
    trial = _components(cohort, arrays, numbers)
    chunk, constrain = _chunk(place, trial, state), place.share_evaluation
    return measurements.measurement(trial, number, chunk, constrain)(state)


def _chunk(place, trial, state):
    params, model_state = trial.replicas.deployed(state)
    metrics = frozen.bound(trial, state.frozen).workload.metrics
    sources = [source for source, _ in trial.eval_sets.values()]
    return evaluation_chunk(
        metrics, sources, params, model_state, at_once=place.at_once, shards=place.shards
    )


def _placed(leaf, placement):
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=placement)


def _compiled(mesh, function, *arguments, options=None):
    with jax.set_mesh(mesh):  # batch norm of replicas asks how many there are
        lowered = function.lower(*arguments)
        try:
            return lowered.compile(compiler_options=options)
        except jax.errors.JaxRuntimeError as error:
            if options is None or 'No such compile option' not in str(error):
                raise
            return lowered.compile()  # another version's compiler


def _options(params):
    """The compiler's options for training `params`, the parameters of all trials."""
    each = sum(leaf.size // len(leaf) for leaf in jax.tree.leaves(params))  # of one trial
    if jax.default_backend() == 'cpu' and each >= _LARGE:
        return _IN_PLACE
    return None


def _narrow(path: str, values: Any) -> np.ndarray:
    """Numbers in the types that the program computes in."""
    if path == 'seed':
        return values.astype(np.uint32)
    return values.astype(jax.dtypes.canonicalize_dtype(jnp.result_type(values)))
