"""One microbatch of training, and the loop over many."""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax

from lbexp.engine import frozen as frozen_parameters
from lbexp.engine import groups, row_counts, totals
from lbexp.engine.components import TrialComponents
from lbexp.engine.contracts import check_distinct
from lbexp.engine.observation import looked_before, observed
from lbexp.engine.state import INIT, MODEL, TrialState, stream_key
from lbexp.models._ghost_norms import gradient_and_squares
from lbexp.parallel.replicas import Tools, copies
from lbexp.parallel.workers import workers
from lbexp.probes import UpdateInfo


def initial_state(trial: TrialComponents) -> TrialState:
    """The state before the first microbatch: a function of the trial's seed, or that of its
    source."""
    whole, model_state = trial.workload.init(stream_key(trial.seed, INIT))
    params, frozen = frozen_parameters.split(trial.freeze, whole)
    trial = frozen_parameters.bound(trial, frozen)
    opt_state = trial.optimizer.init(params)
    # The shapes of a microbatch: it is drawn when it is trained on.
    positions = jax.ShapeDtypeStruct((trial.microbatch,), jnp.uint32)
    examples = jax.eval_shape(functools.partial(_draw, trial), positions)
    values, _ = jax.eval_shape(
        trial.workload.loss, params, model_state, examples, jax.random.key(0)
    )
    loss = jnp.zeros((), values['loss'].dtype)
    sums = {**totals.zeros(values), 'examples': jnp.zeros(())}
    info = _first_info(params, opt_state, loss)
    params, model_state, opt_state, extra = trial.replicas.start(params, model_state, opt_state)
    if 'opt_state' in trial.replicas.by_worker:
        # The optimizer states of workers differ: probes are shown none of them.
        info = info._replace(opt_state=())
    if 'metric_sums' in trial.replicas.by_worker:
        sums = copies(sums, trial.replicas.workers)
    return TrialState(
        tick=jnp.asarray(trial.start.tick, jnp.int32),
        step=jnp.asarray(trial.start.step, jnp.int32),
        params=params,
        model_state=model_state,
        opt_state=opt_state,
        replicas=extra,
        accumulated=trial.accumulation.start(params, loss),
        groups=groups.start(trial, info.params, info.opt_state),
        metric_sums=sums,
        probes=tuple(probe.init(info) for probe in trial.probes),
        diverged=jnp.zeros((), bool),
        frozen=frozen,
    )


def _first_info(params, opt_state, loss) -> UpdateInfo:
    """What probes are told before the first update: of the right shapes."""
    return UpdateInfo(
        step=jnp.zeros((), jnp.int32),
        loss=loss,
        grads=params,
        updates=params,
        params=params,
        opt_state=opt_state,
        learning_rate=jnp.zeros(()),
        logging=jnp.zeros((), bool),
    )


def train_step(
    trial: TrialComponents,
    constrain: Callable = lambda examples: examples,
    worker_axes: tuple[str, ...] = (),
) -> Callable:
    """(state, row_step) -> state: one microbatch, and an update when the global batch is complete.

    loss = sum_n z_n loss_n / n over the microbatch; the global batch's gradient is the mean over
    its microbatches. The step is that of the trial's workers, of whom there may be one.

    Args:
        constrain: places the drawn examples on devices.
        worker_axes: of the mesh, along which the workers of replicas lie; (): each device has all
            of them.
    """

    def step(state, row_step):
        bound = frozen_parameters.bound(trial, state.frozen)
        return _step_of(bound, constrain, worker_axes)(state, row_step)

    return step


def _step_of(trial, constrain, worker_axes):
    """The step of a trial of which all parameters train."""
    gradient = _gradient(trial, constrain, trial.replicas.pieces)
    step = trial.replicas.step(_tools(trial, gradient, worker_axes))
    count = groups.pieces(trial)
    if count == 1:
        return step
    if count == 'examples':
        squares = by_example(trial, constrain)
        return lambda state, row_step: step(groups.add_examples(trial, squares, state), row_step)
    of_piece = _gradient(trial, constrain, count)
    return lambda state, row_step: step(groups.add_pieces(trial, of_piece, state), row_step)


def segment(trial: TrialComponents, step: Callable, worker_axes: tuple[str, ...] = ()):
    """(state, until, row_start, row_step) -> (state, columns): train to tick `until`, or until the
    loss is not finite.

    The columns are what a row says of training; they count from `row_start`, the tick of the last
    row. How a run is cut into segments does not change its results.
    """

    def run(state, until, row_start, row_step):
        # At the start of a row, not at its end: a trial that is there before others waits with its
        # sums.
        fresh = state.tick == row_start
        sums = jax.tree.map(lambda total: jnp.where(fresh, 0, total), state.metric_sums)
        state = state._replace(metric_sums=sums)

        def going(s):
            return (s.tick < until) & ~s.diverged

        state = jax.lax.while_loop(going, lambda s: step(s, row_step), state)
        return state, _columns(trial, state, worker_axes)

    return run


def _draw(trial, positions):
    source, stream = trial.workload.train, jnp.asarray(trial.seed, jnp.uint32)
    return source.draw(source.arrays, stream, positions)


def _gradient(trial, constrain, pieces):
    """(params, model_state, tick, piece) -> (loss, sums over the examples, gradient, model_state)
    of a microbatch, or of one of several equal pieces of it.
    """
    size = trial.microbatch // pieces

    def gradient(params, model_state, tick, piece):
        # The examples at positions tick m + piece m / pieces + 0, 1, ... of the trial's stream.
        # In uint32, as positions are: a run has up to 2^32 examples.
        tick_start = tick.astype(jnp.uint32) * trial.microbatch
        first = tick_start + jnp.asarray(piece, jnp.uint32) * size
        positions = first + jnp.arange(size, dtype=jnp.uint32)
        examples = constrain(_draw(trial, positions))
        key = jax.random.fold_in(stream_key(trial.seed, MODEL), tick)
        # A key for each piece: one for all would drop the same units in each. A whole microbatch
        # keeps its own, whether or not its pieces are measured.
        if pieces > 1:
            key = jax.random.fold_in(key, piece)
        weigh = trial.weighting(positions)

        def weighted(params):
            values, new = trial.workload.loss(params, model_state, examples, key)
            return weigh(values['loss']).mean(), (values, new)

        (loss, (values, new)), grads = jax.value_and_grad(weighted, has_aux=True)(params)
        sums = {name: totals.total(v) for name, v in values.items()}
        sums['examples'] = jnp.full((), size, jnp.float32)
        return loss, sums, grads, new

    return gradient


def by_example(trial: TrialComponents, constrain: Callable) -> Callable:
    """(params, model_state, tick) -> (gradient, mean square of each example's gradient) of a
    microbatch, as `gradient_and_squares`."""
    size = trial.microbatch

    def squares(params, model_state, tick):
        first = tick.astype(jnp.uint32) * size
        key = jax.random.fold_in(stream_key(trial.seed, MODEL), tick)

        def losses(params, positions, key):
            examples = constrain(_draw(trial, positions))
            values, _ = trial.workload.loss(params, model_state, examples, key)
            return trial.weighting(positions)(values['loss'])

        def all_losses(params):
            return losses(params, first + jnp.arange(size, dtype=jnp.uint32), key)

        def alone(params, place):
            # A key for each: one for all would drop the same units for every example.
            return losses(params, (first + place)[None], jax.random.fold_in(key, place))[0]

        return gradient_and_squares(all_losses, params, size, alone)

    return squares


def _tools(trial, gradient, worker_axes):
    """What the engine gives to the workers' step."""

    def update(state, gradient, loss, row_step):
        def complete(state, gradient, loss):
            return _update(trial, state, gradient, loss, row_step)

        if state.groups and groups.pieces(trial) == 1:
            state = groups.add_microbatch(trial, gradient, state)
        return trial.accumulation.step(state, gradient, loss, complete)

    def observe(state, look, info):
        def seen_by_all():
            seen = info()
            looked, _ = looked_before(trial, state.probes, seen.grads, seen.logging, ())
            return observed(trial, looked, seen, ())

        # Where nobody looks, nothing is measured, and nothing moves between devices.
        return state._replace(probes=jax.lax.cond(look, seen_by_all, lambda: state.probes))

    return Tools(
        gradient,
        update=update,
        observe=observe,
        watched=len(trial.probes) > 1,  # the norms come first
        optimizer=trial.optimizer,
        learning_rate=trial.learning_rate,
        workers=workers(trial.replicas.workers, worker_axes),
    )


def _update(trial, state, grads, loss, row_step):
    rate = trial.learning_rate(state.step)
    count = state.step + 1
    logging = count == row_step
    looked, before = looked_before(trial, state.probes, grads, logging, state.opt_state)
    # `value` is optax's name of the loss, for optimizers that ask for it, such as Polyak's.
    extra = {'value': loss}
    if trial.row_counts is not None:
        extra['row_counts'] = _row_counts(trial, state.step)
    updates, opt_state = trial.optimizer.update(grads, before, state.params, **extra)
    params = optax.apply_updates(state.params, updates)
    info = UpdateInfo(count, loss, grads, updates, params, opt_state, rate, logging)
    noise = groups.noise(trial, grads, state)
    return groups.cleared(state)._replace(
        step=count,
        params=params,
        opt_state=opt_state,
        probes=observed(trial, looked, info, noise),
    )


def _row_counts(trial, step):
    """Of the examples of the update that comes after `step` others."""
    position = trial.accumulation.position
    draw = functools.partial(_draw, trial)
    microbatches = position(step), position(step + 1)
    return row_counts.of_update(trial.row_counts, draw, microbatches, trial.microbatch)


def _columns(trial, state, worker_axes):
    sums = dict(state.metric_sums)
    count = sums.pop('examples')
    means = totals.means(sums, count)
    # The rate of the last update done.
    rate = trial.learning_rate(jnp.maximum(state.step - 1, 0))
    columns = {'step': state.step, 'tick': state.tick, 'diverged': state.diverged}
    if 'metric_sums' in trial.replicas.by_worker:  # equal numbers of examples
        means = workers(trial.replicas.workers, worker_axes).mean(means)
    columns = _joined(columns, trial.replicas.columns(state, trial.optimizer))
    columns = _joined(columns, {**totals.quotients(means), 'learning_rate': rate})
    for probe, probe_state in zip(trial.probes, state.probes, strict=True):
        columns = _joined(columns, probe.summary(probe_state))
    return columns


def _joined(columns, others):
    check_distinct(columns, others)
    return columns | others
