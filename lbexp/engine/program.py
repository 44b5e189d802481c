"""A cohort as compiled functions over all its trials at once."""

import concurrent.futures
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import PartitionSpec

from lbexp.engine import step as steps
from lbexp.engine.memory import check_memory
from lbexp.engine.numbers import numbered
from lbexp.engine.plan import Cohort
from lbexp.engine.recipe import data, recipe, replicas, stream
from lbexp.errors import Refusal
from lbexp.parallel import mesh as meshes

_EVALUATION_CHUNK = 1024  # examples evaluated at once
_FEED = 64  # microbatches that a stream gives at once

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


def program(cohort: Cohort, layout: str, data_parallel: int | None) -> Program:
    """Lays the cohort's trials out on the devices and compiles its functions.

    Raises:
        Refusal: a layout that the devices do not allow, or more than their memory holds.
    """
    count = len(cohort.trials)
    shared = _shared(cohort)
    layout, across, shards = meshes.shape(layout, count, shared.parts, data_parallel, shared.of)
    mesh = meshes.mesh(across, shards)
    axis = 'data' if shared.by_worker and shards > 1 else None  # along which workers lie
    by_trial, everywhere = meshes.spread(mesh, 'trial'), meshes.spread(mesh)
    padding = -count % across
    pad = lambda values, fill=None: np.concatenate(
        [values, np.repeat(values[-1:] if fill is None else fill, padding, 0)]
    )
    feed = stream(cohort.config)
    arrays = data(cohort.config)
    if feed is not None:
        arrays['train'] = feed(int(cohort.numbers['seed'][0]), 0, _FEED * cohort.microbatch)
    arrays = meshes.put(arrays, everywhere)
    numbers = dict(cohort.numbers, **{'/steps': cohort.steps, '/accumulation': cohort.accumulation})
    numbers = meshes.put({path: pad(_narrow(path, v)) for path, v in numbers.items()}, by_trial)

    sharding = cohort.config['sharding']

    def constrain(examples):
        if shards == 1:
            return examples
        return jax.lax.with_sharding_constraint(examples, meshes.spread(mesh, 'data'))

    def keep(state):
        if shards == 1 or sharding == 'replicated' or axis is not None:
            return state
        return jax.lax.with_sharding_constraint(state, meshes.shared(mesh, state, sharding))

    chunk = -(-_EVALUATION_CHUNK // shards) * shards
    over = _over(layout, mesh)
    initialise = over(lambda arrays, numbers: steps.initial_state(_recipe(cohort, arrays, numbers)))

    def train(arrays, numbers, state, *ticks):
        made = _recipe(cohort, arrays, numbers)
        # Where workers lie on devices, each draws its own examples there.
        step = steps.train_step(made, *([constrain] if axis is None else [lambda own: own, axis]))
        return steps.segment(made, lambda *state: keep(step(*state)), axis)(state, *ticks)

    def assess(arrays, numbers, state):
        return steps.evaluation(_recipe(cohort, arrays, numbers), chunk, constrain)(state)

    placed = lambda leaf, placement: jax.ShapeDtypeStruct(
        leaf.shape, leaf.dtype, sharding=placement
    )
    states = jax.eval_shape(initialise, arrays, numbers)
    if axis is None:
        placements = meshes.shared(mesh, states, sharding, 'trial')
    else:
        placements = _placements(states, mesh, shared.by_worker)
    states = jax.tree.map(placed, states, placements)
    at_once = (count + padding) // across if layout == 'vmap' else 1
    check_memory(states, arrays, at_once, count)
    ticks = [jax.ShapeDtypeStruct((count + padding,), np.int32, sharding=by_trial)] * 3
    # XLA compiles the three side by side; what is not needed yet is waited for when it is.
    compiler = concurrent.futures.ThreadPoolExecutor(3)
    init = compiler.submit(
        _compiled, mesh, jax.jit(initialise, out_shardings=placements), arrays, numbers
    )
    # What the host reads, every host reads whole.
    told = by_trial if jax.process_count() == 1 else everywhere
    over_devices = over if axis is None else _over(layout, mesh, placements)
    training = jax.jit(over_devices(train), donate_argnums=2, out_shardings=(placements, told))
    segment = compiler.submit(
        _compiled, mesh, training, arrays, numbers, states, *ticks, options=_options(states.params)
    )
    assessed = bool(jax.eval_shape(over(assess), arrays, numbers, states))
    if assessed:
        assessing = jax.jit(over(assess), out_shardings=told)
        evaluate = compiler.submit(_compiled, mesh, assessing, arrays, numbers, states)
    compiler.shutdown(wait=False)

    def fed(until):
        first = (int(until.max()) - 1) // _FEED * _FEED * cohort.microbatch
        stretch = feed(int(cohort.numbers['seed'][0]), first, _FEED * cohort.microbatch)
        return {**arrays, 'train': meshes.put(stretch, everywhere)}

    def run_segment(states, until, *ticks):
        nothing = np.zeros(1, np.int32)
        placed = meshes.put(
            [pad(np.asarray(t, np.int32), nothing) for t in (until, *ticks)], by_trial
        )
        return segment.result()(fed(until) if feed else arrays, numbers, states, *placed)

    return Program(
        states=states,
        init=lambda: init.result()(arrays, numbers),
        segment=run_segment,
        evaluate=(lambda states: evaluate.result()(arrays, numbers, states)) if assessed else None,
        place=lambda states: meshes.put(jax.tree.map(pad, states), placements),
        trials=count,
        stretch=_FEED if feed else None,
        layout=f'{layout}, mesh trial={across} data={shards}{shared.told}',
    )


class _Shared(NamedTuple):
    """What devices may share of a trial."""

    parts: int  # that its batch has
    of: str
    by_worker: tuple[str, ...]  # fields of the state that lie where the workers are
    told: str


def _shared(cohort):
    made = replicas(cohort.config)
    if made is None:
        told = ', fsdp' if cohort.config['sharding'] == 'fsdp' else ''
        return _Shared(cohort.microbatch, 'examples per microbatch', (), told)
    if cohort.config['sharding'] != 'replicated':
        raise Refusal(
            "sharding: found 'fsdp' with replicas, whose weights differ; allowed: 'replicated'"
        )
    told = f', {cohort.config["replicas"]["name"]} of {made.workers} workers'
    if made.by_worker:
        return _Shared(made.workers, 'workers', made.by_worker, told)
    return _Shared(cohort.microbatch // made.pieces, 'examples per pass', (), told)


def _placements(states, mesh, by_worker):
    """The placement of each leaf of the states: by trial, and by worker where that is the next
    axis."""

    def placed(name, part):
        placement = meshes.spread(mesh, 'trial', *(['data'] if name in by_worker else []))
        return jax.tree.map(lambda leaf: placement, part)

    return states._replace(**{name: placed(name, part) for name, part in states._asdict().items()})


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


def _over(layout, mesh, placements=None):
    """Lifts f(arrays, *of one trial) to f(arrays, *of all trials).

    Args:
        placements: of the states, where each device has its own workers: f(arrays, numbers, state,
            *ticks) then runs on each device, and returns (state, columns).
    """

    def over(f):
        if layout == 'vmap':
            # shard_map has taken the axis apart already
            name = {} if placements else {'spmd_axis_name': 'trial'}
            many = lambda arrays, *trials: jax.vmap(lambda *one: f(arrays, *one), **name)(*trials)
        else:
            many = lambda arrays, *trials: jax.lax.map(lambda one: f(arrays, *one), trials)
        if placements is None and (layout == 'vmap' or mesh.shape['trial'] == 1):
            return many
        by_trial = PartitionSpec('trial')

        def on_each_device(arrays, *trials):
            specs, told = [PartitionSpec(), *(by_trial for _ in trials)], by_trial
            if placements is not None:
                specs[2] = jax.tree.map(lambda placement: placement.spec, placements)
                told = (specs[2], by_trial)
            mapped = jax.shard_map(
                many, mesh=mesh, in_specs=tuple(specs), out_specs=told, check_vma=False
            )
            return mapped(arrays, *trials)

        return on_each_device

    return over


def _recipe(cohort, arrays, numbers):
    """The trial's recipe, its numbers traced, its data the arrays that the program was given."""
    parts = {path: value for path, value in numbers.items() if not path.startswith('/')}
    if cohort.accumulate:
        parts['batch_size'] = cohort.microbatch * numbers['/accumulation']
    return recipe(numbered(cohort.config, parts), numbers['/steps'], arrays)


def _narrow(path: str, values: Any) -> np.ndarray:
    """Numbers in the types that the program computes in."""
    if path == 'seed':
        return values.astype(np.uint32)
    return values.astype(jax.dtypes.canonicalize_dtype(jnp.result_type(values)))
