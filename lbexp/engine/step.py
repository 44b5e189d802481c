"""One microbatch of training, and the loop over many."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax

from lbexp import optimizers
from lbexp.engine.contracts import check_distinct
from lbexp.engine.recipe import Recipe
from lbexp.engine.state import TrialState
from lbexp.parallel.replicas import Tools, copies
from lbexp.parallel.workers import workers
from lbexp.probes import Facts

# Purposes of a trial's random streams: root key -> fold_in(purpose) -> fold_in(tick).
_INIT, _MODEL, _WEIGHTS = range(3)


def initial_state(recipe: Recipe) -> TrialState:
    """The state before the first microbatch: a function of the trial's seed."""
    params, model_state = recipe.workload.init(_key(recipe, _INIT))
    opt_state = recipe.optimizer.init(params)
    zero = jnp.zeros((), jnp.int32)
    examples = jax.eval_shape(lambda: _draw(recipe, jnp.zeros((recipe.microbatch,), jnp.uint32)))
    values, _ = jax.eval_shape(
        recipe.workload.loss, params, model_state, examples, jax.random.key(0)
    )
    loss = jnp.zeros((), values['loss'].dtype)
    totals = {
        'examples': jnp.zeros(()),
        **{name: jnp.zeros((), _total(v)) for name, v in values.items()},
    }
    facts = Facts(zero, loss, params, params, params, opt_state, jnp.zeros(()), jnp.zeros((), bool))
    own = ()
    if recipe.replicas is not None:
        params, model_state, opt_state, own = recipe.replicas.start(params, model_state, opt_state)
        if 'opt_state' in recipe.replicas.by_worker:
            facts = facts._replace(opt_state=())
        if 'totals' in recipe.replicas.by_worker:
            totals = copies(totals, recipe.replicas.workers)
    return TrialState(
        tick=zero,
        step=zero,
        params=params,
        model_state=model_state,
        opt_state=opt_state,
        replicas=own,
        gathered=() if recipe.pace is None else (jax.tree.map(jnp.zeros_like, params), loss),
        totals=totals,
        probes=tuple(probe.init(facts) for probe in recipe.probes),
        diverged=jnp.zeros((), bool),
    )


def train_step(
    recipe: Recipe, constrain: Callable = lambda examples: examples, axis: str | None = None
):
    """(state, row_step) -> state: one microbatch, and an update when the global batch is complete.

    loss = sum_n z_n loss_n / n over the microbatch; the global batch's gradient is the mean over
    its microbatches.

    Without a pace in the recipe every microbatch is a global batch. With replicas, the step is
    theirs.

    Args:
        constrain: places the drawn examples on devices.
        axis: of the mesh, along which the workers of replicas lie; None: each device has all of
            them.
    """
    gradient = _gradient(recipe, constrain)
    if recipe.replicas is not None:
        return recipe.replicas.step(_tools(recipe, gradient, axis))

    def step(state, row_step):
        loss, sums, grads, model_state = gradient(state.params, state.model_state, state.tick)
        state = state._replace(
            tick=state.tick + 1,
            model_state=model_state,
            totals=jax.tree.map(jnp.add, state.totals, sums),
            diverged=~jnp.isfinite(loss),
        )
        if recipe.pace is None:
            return _update(recipe, state, grads, loss, row_step)
        gathered = jax.tree.map(jnp.add, state.gathered, (grads, loss))
        gathered = optax.tree.cast_like(gathered, state.gathered)

        def complete():
            # A product: of a quotient XLA makes one program's product and another's division, which
            # round differently.
            share = 1 / recipe.pace.accumulation(state.step)
            means = optax.tree.cast_like(
                jax.tree.map(lambda total: total * share, gathered), gathered
            )
            updated = _update(recipe, state, *means, row_step)
            return updated._replace(gathered=jax.tree.map(jnp.zeros_like, gathered))

        due = recipe.pace.position(state.step + 1)
        return jax.lax.cond(state.tick == due, complete, lambda: state._replace(gathered=gathered))

    return step


def segment(recipe: Recipe, step: Callable, axis: str | None = None):
    """(state, until, row_start, row_step) -> (state, columns): train to tick `until`, or until the
    loss is not finite.

    The columns are what a row says of training; they count from `row_start`, the tick of the last
    row. How a run is cut into segments does not change its results.
    """

    def run(state, until, row_start, row_step):
        # At the start of a row, not at its end: a trial that is there before others waits with its
        # sums.
        fresh = state.tick == row_start
        state = state._replace(
            totals=jax.tree.map(lambda total: jnp.where(fresh, 0, total), state.totals)
        )
        going = lambda s: (s.tick < until) & ~s.diverged
        state = jax.lax.while_loop(going, lambda s: step(s, row_step), state)
        return state, _columns(recipe, state, axis)

    return run


def evaluation(recipe: Recipe, chunk: int, constrain: Callable = lambda examples: examples):
    """state -> {'test_' + metric: mean over the whole test set, ...}, with the weights that the
    optimizer would deploy.

    Likewise for the validation set and the first examples of the training set, where the recipe
    assesses them. A set is read in chunks of one size; the padding of the last has weight 0, so the
    mean is exact.
    """

    def evaluate(state):
        if recipe.replicas is None:
            params, model_state = (
                optimizers.evaluation_params(state.opt_state, state.params),
                state.model_state,
            )
        else:
            params, model_state = recipe.replicas.deployed(state)
        metrics = lambda examples: recipe.workload.metrics(params, model_state, examples)
        found = {}
        for prefix, (source, size) in recipe.assessed.items():
            means = _means(metrics, source, size, chunk, constrain)
            found |= {f'{prefix}_{name}': value for name, value in means.items()}
        return found

    return evaluate


def _means(metrics, source, size, chunk, constrain):
    """Mean of each metric over the first `size` examples of a source."""

    def add(i, totals):
        positions = i * chunk + jnp.arange(chunk)
        weight = (positions < size).astype(jnp.float32)
        values = metrics(constrain(source.read(source.arrays, jnp.minimum(positions, size - 1))))
        return {
            name: totals[name] + jnp.sum(weight * v, dtype=_total(v)) for name, v in values.items()
        }

    one = jax.eval_shape(lambda: source.read(source.arrays, jnp.zeros((1,), jnp.int32)))
    zeros = {
        name: jnp.zeros((), _total(values)) for name, values in jax.eval_shape(metrics, one).items()
    }
    totals = jax.lax.fori_loop(0, -(-size // chunk), add, zeros)
    return {name: total / size for name, total in totals.items()}


def _total(values):
    """The dtype in which per-example values are added up."""
    return jnp.promote_types(values.dtype, jnp.float32)


def _key(recipe, purpose):
    return jax.random.fold_in(jax.random.key(recipe.seed), purpose)


def _draw(recipe, positions):
    source = recipe.workload.train
    return source.draw(source.arrays, jnp.asarray(recipe.seed, jnp.uint32), positions)


def _gradient(recipe, constrain):
    """(params, model_state, tick, piece) -> (loss, sums over the examples, gradient, model_state)
    of a microbatch.

    With replicas, of one of the pieces that it is cut into.
    """
    pieces = 1 if recipe.replicas is None else recipe.replicas.pieces
    size = recipe.microbatch // pieces

    def gradient(params, model_state, tick, piece=0):
        first = tick.astype(jnp.uint32) * recipe.microbatch + jnp.asarray(piece, jnp.uint32) * size
        positions = first + jnp.arange(size, dtype=jnp.uint32)
        examples = constrain(_draw(recipe, positions))
        key = jax.random.fold_in(_key(recipe, _MODEL), tick)
        key = key if pieces == 1 else jax.random.fold_in(key, piece)
        z = None if recipe.weights is None else recipe.weights(_key(recipe, _WEIGHTS), positions)

        def weighted(params):
            values, new = recipe.workload.loss(params, model_state, examples, key)
            losses = (
                values['loss'] if z is None else values['loss'] * z.astype(values['loss'].dtype)
            )
            return losses.mean(), (values, new)

        (loss, (values, new)), grads = jax.value_and_grad(weighted, has_aux=True)(params)
        sums = {name: jnp.sum(v, dtype=_total(v)) for name, v in values.items()}
        return loss, {**sums, 'examples': jnp.full((), size, jnp.float32)}, grads, new

    return gradient


def _tools(recipe, gradient, axis):
    """What the engine gives to replicas."""

    def observe(state, look, facts):
        # Where nobody looks, nothing is measured, and nothing moves between devices.
        probes = jax.lax.cond(
            look, lambda: _observed(recipe, state.probes, facts()), lambda: state.probes
        )
        return state._replace(probes=probes)

    return Tools(
        gradient,
        update=lambda *given: _update(recipe, *given),
        observe=observe,
        watched=len(recipe.probes) > 1,  # the norms come first
        optimizer=recipe.optimizer,
        learning_rate=recipe.learning_rate,
        workers=workers(recipe.replicas.workers, axis),
    )


def _update(recipe, state, grads, loss, row_step):
    rate = recipe.learning_rate(state.step)
    updates, opt_state = recipe.optimizer.update(grads, state.opt_state, state.params, value=loss)
    params = optax.apply_updates(state.params, updates)
    count = state.step + 1
    facts = Facts(count, loss, grads, updates, params, opt_state, rate, count == row_step)
    return state._replace(
        step=count,
        params=params,
        opt_state=opt_state,
        probes=_observed(recipe, state.probes, facts),
    )


def _observed(recipe, states, facts):
    return tuple(
        probe.update(state, facts) for probe, state in zip(recipe.probes, states, strict=True)
    )


def _columns(recipe, state, axis):
    means = {
        name: total / state.totals['examples']
        for name, total in state.totals.items()
        if name != 'examples'
    }
    # The rate of the last update done.
    rate = recipe.learning_rate(jnp.maximum(state.step - 1, 0))
    columns = {'step': state.step, 'tick': state.tick, 'diverged': state.diverged}
    if recipe.replicas is not None:
        if 'totals' in recipe.replicas.by_worker:  # equal numbers of examples
            means = workers(recipe.replicas.workers, axis).mean(means)
        columns = _joined(columns, recipe.replicas.columns(state, recipe.optimizer))
    columns = _joined(columns, {**means, 'learning_rate': rate})
    for probe, probe_state in zip(recipe.probes, state.probes, strict=True):
        columns = _joined(columns, probe.summary(probe_state))
    return columns


def _joined(columns, others):
    check_distinct(columns, others)
    return columns | others
