"""A cohort as compiled functions over all its trials at once."""

import concurrent.futures
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from lbexp.engine import step as steps
from lbexp.engine.components import components, data, stream
from lbexp.engine.memory import check_memory
from lbexp.engine.numbers import numbered
from lbexp.engine.placement import over_trials, placement
from lbexp.engine.plan import Cohort
from lbexp.parallel import mesh as meshes

_EVALUATION_CHUNK = 1024  # examples evaluated at once
_STRETCH = 64  # microbatches that a stream gives at once

# XLA:CPU copies every weight but the first layer's at each step, as its update might come before
# its last use. With region analysis it orders them instead. Without / with, time of a step: MLP
# 784-512-512-10 1.09, 64-512-512-10 1.37, five layers of 512 1.06; but 64-128-128-10 0.86, where
# waiting costs more than the copy (batch 32, 2 cores).
_IN_PLACE = {'xla_cpu_copy_insertion_use_region_analysis': True}
_LARGE = 2**16  # parameters


class Program(NamedTuple):
    """Functions over the stacked states of the cohort's trials: every leaf has a leading axis of
    `padded` trials."""

    states: Any  # shapes of the states
    init: Callable  # () -> states
    # (states, until [K], row_start [K], row_step [K]) -> (states, columns); donates the states
    segment: Callable
    evaluate: Callable | None  # states -> {metric: [padded]}
    place: Callable  # states of the cohort's K trials, on the host -> states on the devices
    trials: int  # K; what lies beyond is padding, which trains for no tick
    # of a stream, microbatches given at once: a segment ends with its stretch; None: no stream
    stretch: int | None
    layout: str  # in words


class _Numbers(NamedTuple):
    """What differs between the trials of a cohort, traced; over all trials, or of one."""

    accumulation: Any  # microbatches per update, the first one where the batch grows
    steps: Any  # updates in all
    config: dict[str, Any]  # path in the configuration -> value


def program(cohort: Cohort, layout: str, data_parallel: int | None) -> Program:
    """Lays the cohort's trials out on the devices and compiles its functions.

    Raises:
        Refusal: a layout that the devices do not allow, or more than their memory holds.
    """
    place, words = placement(cohort, layout, data_parallel)
    mesh, total = place.mesh, place.count + place.padding
    by_trial, everywhere = meshes.named_sharding(mesh, 'trial'), meshes.named_sharding(mesh)
    arrays = meshes.put(_arrays(cohort), everywhere)
    numbers = meshes.put(_numbers(cohort, place), by_trial)
    initialise = partial(_initialise, cohort)
    train, assess = partial(_train, cohort, place), partial(_assess, cohort, place)

    states = jax.eval_shape(over_trials(place, initialise), arrays, numbers)
    placements = place.of_states(states)
    states = jax.tree.map(_placed, states, placements)
    at_once = total // mesh.shape['trial'] if place.layout == 'vmap' else 1
    check_memory(states, arrays, at_once, place.count)

    # What the host reads, every host reads whole.
    read = by_trial if jax.process_count() == 1 else everywhere
    initialising = jax.jit(over_trials(place, initialise), out_shardings=placements)
    train_all = over_trials(place, train, placements if place.by_worker else None)
    training = jax.jit(train_all, donate_argnums=2, out_shardings=(placements, read))
    ticks = [jax.ShapeDtypeStruct((total,), np.int32, sharding=by_trial)] * 3
    # XLA compiles the three side by side; what is not needed yet is waited for when it is.
    compiler = concurrent.futures.ThreadPoolExecutor(3)
    init = compiler.submit(_compiled, mesh, initialising, arrays, numbers)
    options = _options(states.params)
    segment = compiler.submit(
        _compiled, mesh, training, arrays, numbers, states, *ticks, options=options
    )
    run_evaluation = None
    if jax.eval_shape(over_trials(place, assess), arrays, numbers, states):
        assessing = jax.jit(over_trials(place, assess), out_shardings=read)
        evaluate = compiler.submit(_compiled, mesh, assessing, arrays, numbers, states)

        def run_evaluation(states):
            return evaluate.result()(arrays, numbers, states)

    compiler.shutdown(wait=False)

    def run_segment(states, until, *ticks):
        nothing = np.zeros(1, np.int32)
        padded = [place.pad(np.asarray(t, np.int32), nothing) for t in (until, *ticks)]
        stretch = _next_stretch(cohort, until)
        held = {**arrays, **meshes.put(stretch, everywhere)}
        return segment.result()(held, numbers, states, *meshes.put(padded, by_trial))

    return Program(
        states=states,
        init=lambda: init.result()(arrays, numbers),
        segment=run_segment,
        evaluate=run_evaluation,
        place=lambda states: meshes.put(jax.tree.map(place.pad, states), placements),
        trials=place.count,
        stretch=_STRETCH if stream(cohort.config) else None,
        layout=words,
    )


def _arrays(cohort):
    """The arrays of the workload's sets; of a stream, its first stretch."""
    return {**data(cohort.config), **_stretch(cohort, 0)}


def _next_stretch(cohort, until):
    """The stretch of a stream in which the microbatches before `until` lie."""
    return _stretch(cohort, (int(until.max()) - 1) // _STRETCH * _STRETCH * cohort.microbatch)


def _stretch(cohort, first):
    """{'train': the examples of a stream from the position `first` on}; {}: there is no stream."""
    feed = stream(cohort.config)
    if feed is None:
        return {}
    return {'train': feed(int(cohort.numbers['seed'][0]), first, _STRETCH * cohort.microbatch)}


def _numbers(cohort, place):
    """The numbers of all trials, in the types that the program computes in."""
    numbers = _Numbers(
        _narrow('accumulation', cohort.accumulation),
        _narrow('steps', cohort.steps),
        {path: _narrow(path, values) for path, values in cohort.numbers.items()},
    )
    return jax.tree.map(place.pad, numbers)


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
    step = steps.train_step(trial, place.share_examples, place.worker_axis)

    def kept(state, row_step):
        return place.keep_shares(step(state, row_step))

    return steps.segment(trial, kept, place.worker_axis)(state, *ticks)


def _assess(cohort, place, arrays, numbers, state):
    chunk = -(-_EVALUATION_CHUNK // place.shards) * place.shards
    trial = _components(cohort, arrays, numbers)
    return steps.evaluation(trial, chunk, place.share_evaluation)(state)


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
    each = sum(leaf.size // len(leaf) for leaf in jax.tree.leaves(params))
    return _IN_PLACE if jax.default_backend() == 'cpu' and each >= _LARGE else None


def _narrow(path: str, values: Any) -> np.ndarray:
    """Numbers in the types that the program computes in."""
    if path == 'seed':
        return values.astype(np.uint32)
    return values.astype(jax.dtypes.canonicalize_dtype(jnp.result_type(values)))
