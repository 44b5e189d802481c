"""Asynchronous workers before a parameter server, simulated: who finishes next is a function of
seed and job."""

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp

from lbexp import optimizers
from lbexp.parallel.replicas import (
    Replicas,
    after_pass,
    at_least_one_worker,
    copies,
    mean,
    size,
)
from lbexp.ranges import NonNegativeCount, Positive, PositiveInteger
from lbexp.theory.limits import require

# Keeps the durations apart from the other streams of a trial's seed.
_STREAM = 0x64656C61


class Server(NamedTuple):
    """What the server knows of its workers."""

    copies: Any  # the weights that each worker has pulled
    pulled: Any  # int32 [W], the server's updates at that time
    remaining: Any  # float32 [W], time until each finishes its job
    staleness: Any  # float32, sum over the updates since the last row
    stalest: Any  # int32, the largest of them
    updates: Any  # int32, how many


def asynchronous(
    workers: PositiveInteger,
    delay: Literal['constant', 'geometric', 'trace'] = 'constant',
    trace: Sequence[Positive] = (),
    push: Literal['gradient', 'delta'] = 'gradient',
    k: PositiveInteger = 1,
    inner_learning_rate: Positive = 0.1,
    seed: NonNegativeCount = 0,
) -> Replicas:
    """The worker that finishes next pushes what it computed at the weights that it had pulled; then
    it pulls anew.

        w = the worker with the least time left;  g = gradient at copy_w on the next piece of the
        stream server: x <- optimizer(g);  copy_w <- x;  the next job of w takes a time of its own

    A step is one push, of a whole batch. The optimizer is the server's: `lookahead` there is slow
    weights behind asynchronous ones. Staleness: the server's updates between a worker's pull and
    its push; W = 1 has none and is synchronous training to the bit. Jobs are numbered in the order
    in which they begin; a job's time depends on seed and number alone, so a run repeats itself,
    whatever the devices, which share the batch of a push.

    push='delta': the worker takes k steps of SGD, each on an equal piece of the batch, and pushes
    copy_w minus where they led, which the server's optimizer takes for a gradient (learning rate 1
    of plain SGD adopts it).

    Args:
        workers: W >= 1.
        delay: 'constant': all jobs take one time, so workers take turns and staleness is W - 1
            after the first W - 1 updates. 'geometric': times are exponential, without memory, so
            each update is by any of the workers and staleness is geometric with mean W - 1, P(s) =
            (1 - 1/W)^s / W. 'trace': the times in `trace`, again and again, job by job.
        trace: measured durations [any one unit], each > 0.
        push: 'gradient' or 'delta'.
        k: steps of a delta, >= 1; divides the batch size.
        inner_learning_rate: of these steps, > 0.
        seed: of the durations; the engine gives the trial's.

    Columns: staleness_mean and staleness_max over the updates since the last row;
        communicated_bytes (pushed and pulled per step).

    Raises:
        ValueError: an argument out of range.

    Source: Dean et al. 2012 (Downpour SGD); Mitliagkas et al. 2016, arXiv:1605.09774 (memoryless
        workers); Zhang et al. 2016, arXiv:1511.05950 (staleness); deltas: Reddi et al. 2021,
        arXiv:2003.00295.
    """
    _check(workers, delay, trace, push, k, inner_learning_rate)
    times = _times(delay, trace, seed)

    def start(params, model_state, opt_state):
        zero = jnp.zeros((), jnp.int32)
        # Jobs 0 .. W - 1; the one that begins with update u is number u + W - 1.
        remaining = jax.vmap(times)(jnp.arange(workers, dtype=jnp.int32))
        pulled = jnp.zeros((workers,), jnp.int32)
        server = Server(copies(params, workers), pulled, remaining, jnp.zeros(()), zero, zero)
        return params, copies(model_state, workers), opt_state, server

    def step(tools):
        take_pass = tools.gradient
        if push == 'delta':
            take_pass = _delta(tools.gradient, k, inner_learning_rate)
        return _step(workers, times, take_pass, tools)

    return Replicas(
        workers,
        pieces=k if push == 'delta' else 1,
        by_worker=(),
        start=start,
        step=step,
        deployed=lambda state: (
            optimizers.evaluation_params(state.opt_state, state.params),
            mean(state.model_state),
        ),
        columns=_columns,
    )


def _step(workers, times, take_pass, tools):
    """The step in which one worker pushes; `take_pass` computes what it pushes."""

    def run(state, row_step):
        server = state.replicas
        # Of equal times the first worker's: with constant ones they take turns.
        worker = jnp.argmin(server.remaining)

        def of_worker(tree):
            return jax.tree.map(lambda leaf: leaf[worker], tree)

        def put(tree, new):
            return jax.tree.map(lambda leaf, n: leaf.at[worker].set(n), tree, new)

        # The pull was earlier: the worker's copy, not the server's weights of now.
        loss, sums, grads, model_state = take_pass(
            of_worker(server.copies), of_worker(state.model_state), state.tick, 0
        )
        # The engine's sums begin anew with a row, and so do those of staleness.
        is_first_of_row = state.metric_sums['examples'] == 0
        state = after_pass(state, loss, sums, put(state.model_state, model_state))
        state = tools.update(state, grads, loss, row_step)
        # The update of this push is counted already, and is none of those between.
        staleness = state.step - 1 - server.pulled[worker]

        def since_row(old):
            return jnp.where(is_first_of_row, 0, old)

        left = server.remaining - server.remaining[worker]
        server = Server(
            copies=put(server.copies, state.params),
            pulled=server.pulled.at[worker].set(state.step),
            # Times count from now on: a clock that runs for ever would lose its digits.
            remaining=left.at[worker].set(times(state.step + workers - 1)),
            staleness=since_row(server.staleness) + staleness,
            stalest=jnp.maximum(since_row(server.stalest), staleness),
            updates=since_row(server.updates) + 1,
        )
        return state._replace(replicas=server)

    return run


def _columns(state, optimizer):
    server = state.replicas
    return {
        'staleness_mean': server.staleness / jnp.maximum(server.updates, 1),
        'staleness_max': server.stalest,
        # pushed and pulled
        'communicated_bytes': jnp.float32(2 * size(state.params)),
    }


def _times(delay, trace, seed):
    """Number of a job -> how long it takes."""
    if delay == 'constant':
        return lambda job: jnp.ones(())
    if delay == 'trace':
        measured = jnp.stack([jnp.asarray(duration, jnp.float32) for duration in trace])
        return lambda job: measured[job % len(trace)]
    stream = jax.random.fold_in(jax.random.key(seed), _STREAM)
    return lambda job: jax.random.exponential(jax.random.fold_in(stream, job))


def _delta(gradient, k, rate):
    """k steps of SGD from the weights given; in place of a gradient, how far they led,
    backwards."""

    def compute(params, model_state, tick, piece):
        def inner(carry, piece):
            params, model_state = carry
            loss, sums, grads, model_state = gradient(params, model_state, tick, piece)
            params = jax.tree.map(lambda w, g: w - (rate * g).astype(w.dtype), params, grads)
            return (params, model_state), (loss, sums)

        pieces = jnp.arange(k, dtype=jnp.uint32)
        carry, (losses, sums) = jax.lax.scan(inner, (params, model_state), pieces)
        moved, model_state = carry
        total = jax.tree.map(lambda x: jnp.sum(x, axis=0), sums)
        loss = jnp.mean(losses)
        # The server subtracts a gradient: what points from where they led to where they began.
        delta = jax.tree.map(jnp.subtract, params, moved)
        return loss, total, delta, model_state

    return compute


def _check(workers, delay, trace, push, k, inner_learning_rate):
    at_least_one_worker(workers)
    delays, pushes = ('constant', 'geometric', 'trace'), ('gradient', 'delta')
    require('delay', delay, delay in delays, ', '.join(delays))
    require('push', push, push in pushes, ', '.join(pushes))
    require('k', k, k >= 1, 'an integer (steps) >= 1')
    require('inner_learning_rate', inner_learning_rate, inner_learning_rate > 0, 'a number > 0')
    if (delay == 'trace') != bool(len(trace)):
        raise ValueError(
            f'trace: found {len(trace)} durations with delay {delay!r}; allowed: '
            "some with 'trace' alone"
        )
    for duration in trace:
        require('trace', duration, duration > 0, 'durations > 0')
