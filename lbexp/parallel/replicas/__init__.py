"""How several workers train one model: a NamedTuple of pure functions. One file, one way.

The step keeps the structure, shapes and dtypes of the state (`lbexp.engine.state.TrialState`);
`columns` gives numbers by names that no other column has. A way that differs in one thing from
another replaces that function of it:

    from lbexp.parallel.replicas import Replicas
    from lbexp.parallel.replicas.synchronous import synchronous

    def quiet(workers: int) -> Replicas:
        return synchronous(workers)._replace(columns=lambda state, optimizer: {})
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from lbexp import optimizers
from lbexp.parallel.workers import Workers


class Replicas(NamedTuple):
    """A trial with replicas is still a trial: its state holds arrays over the workers where they
    differ.

    The batch of a step is cut into `pieces`; piece i of the step at tick t has the stream's
    positions (t pieces + i) b .. (t pieces + i + 1) b - 1, b = batch size / pieces. So W workers
    read what one worker reads whose batch is theirs together, and equal examples are equal
    examples.
    """

    workers: int  # W
    pieces: int  # equal pieces of the batch of a step: W where every worker takes one
    # fields of the state that devices may share: every leaf has the workers' axis first
    by_worker: tuple[str, ...]
    # (params, model_state, opt_state) -> the same, over the workers where they differ, and
    # `replicas`
    start: Callable
    step: Callable  # (Tools) -> ((state, row_step) -> state)
    deployed: Callable  # state -> (params, model_state) to evaluate
    columns: Callable  # (state, optimizer) -> {name: number}, for rows


class Tools(NamedTuple):
    """What the engine gives to a step of replicas."""

    # (params, model_state, tick, piece) -> (loss, sums over its examples, gradient, model_state)
    gradient: Callable
    # (state, gradient, loss, row_step) -> state: takes in the gradient of a microbatch; when the
    # global batch is complete, the optimizer updates the state, and probes look
    update: Callable
    # (state, look, info) -> state: probes look at info() where `look`; all devices must agree
    observe: Callable
    watched: bool  # whether there are probes beside the norms, which look at rows alone
    optimizer: Any
    learning_rate: Callable  # updates done -> the scheduled rate
    workers: Workers


def lone_worker() -> Replicas:
    """One worker: a step is one microbatch. What a configuration without `replicas` means."""

    def step(tools):
        def run(state, row_step):
            loss, sums, grads, model_state = tools.gradient(
                state.params, state.model_state, state.tick, 0
            )
            state = after_pass(state, loss, sums, model_state)
            return tools.update(state, grads, loss, row_step)

        return run

    return Replicas(
        workers=1,
        pieces=1,
        by_worker=(),
        start=lambda params, model_state, opt_state: (params, model_state, opt_state, ()),
        step=step,
        deployed=lambda state: (
            optimizers.evaluation_params(state.opt_state, state.params),
            state.model_state,
        ),
        columns=lambda state, optimizer: {},
    )


def after_pass(state: Any, loss: Any, sums: Any, model_state: Any) -> Any:
    """The state between the pass over a step's examples and the optimizer's update.

    Args:
        loss: of the step.
        sums: of metrics over its examples.
        model_state: after it.
    """
    return state._replace(
        tick=state.tick + 1,
        model_state=model_state,
        metric_sums=jax.tree.map(jnp.add, state.metric_sums, sums),
        diverged=~jnp.isfinite(loss),
    )


def copies(tree: Any, count: int) -> Any:
    """`tree` for each of `count` workers: what all of them begin with. Random keys are each
    worker's own."""

    def of_workers(key):
        return jax.vmap(lambda worker: jax.random.fold_in(key, worker))(jnp.arange(count))

    def spread(leaf):
        # A lone worker keeps the key of a trial without workers.
        if jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key) and count > 1:
            keys = jax.vmap(of_workers)(leaf.reshape(-1))
            return keys.T.reshape(count, *leaf.shape)
        return jnp.broadcast_to(leaf[None], (count, *leaf.shape))

    return jax.tree.map(spread, tree)


def mean(tree: Any) -> Any:
    """Means over the workers' axis, in the dtypes of the leaves: outside the program that devices
    share."""
    return jax.tree.map(lambda x: jnp.mean(x, axis=0).astype(x.dtype), tree)


def size(tree: Any) -> int:
    """Bytes of the arrays of `tree`."""
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))


def at_least_one_worker(count: Any):
    """ValueError: no such number of workers."""
    if not isinstance(count, int) or isinstance(count, bool) or count < 1:
        raise ValueError(f'workers: found {count!r}; allowed: an integer >= 1')
