"""Local SGD, Lookahead across workers, DiLoCo: workers that drift apart for k steps and meet at
slow weights."""

import functools
import math
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import optax

from lbexp.optimizers._layerwise.lazy_cond import cond_once, round_to_dtype
from lbexp.optimizers._layerwise.momentum_buffers import momentum_mask, replace, select
from lbexp.optimizers.gradient_noise import GradientNoiseState
from lbexp.parallel.replicas import Replicas, at_least_one_worker, copies, mean, size
from lbexp.precision import upcast
from lbexp.probes import UpdateInfo
from lbexp.ranges import Fraction, Positive, PositiveCount, PositiveInteger
from lbexp.theory.limits import require


class Outer(NamedTuple):
    """What all workers agree on at a synchronisation."""

    slow: Any  # weights
    velocity: Any  # outer momentum, like the weights
    # float32, rms distance of the workers from their mean when they last met, before or at the row
    spread: Any


def local_sgd(
    workers: PositiveInteger,
    k: PositiveCount = 8,
    slow_step_size: Positive = 1.0,
    outer_momentum: Fraction = 0.0,
    nesterov: bool = True,
    buffer_policy: Literal['maintain', 'reset', 'average'] = 'maintain',
) -> Replicas:
    """Every worker takes k steps of its own optimizer on its own examples; then all begin anew from
    the slow weights.

        every step, worker w:   x_w <- optimizer(x_w)
        every k-th:             d = slow - mean_w x_w;   v <- outer_momentum v + d
                                slow <- slow - slow_step_size (d + outer_momentum v   or, without
                                nesterov, v)
                                x_w <- slow

    slow_step_size 1, outer_momentum 0: local SGD, plain averaging. slow_step_size < 1: Lookahead
    across workers; with one worker it is `optimizers.lookahead(optimizer, k, slow_step_size)`, to
    the bit where XLA rounds both alike (jax 0.10). outer_momentum > 0: DiLoCo, whose inner
    optimizer is AdamW and whose outer one is Nesterov's with rate 0.7 and momentum 0.9 (here
    slow_step_size is that rate). k = 1 and SGD with slow_step_size 1 is synchronous SGD, up to
    rounding.

    Optimizer, step counts and running statistics are each worker's own; noise of lbexp's
    `gradient_noise` is independent. Evaluation uses the slow weights and the mean of the
    statistics. One all-reduce of the weights in k steps, and none in between: the workers agree on
    divergence, and the probes look, at synchronisations and where a row is written alone (the probe
    norms at rows). Probes see the slow weights, the mean gradient of the step, and the mean of the
    workers' own updates, before a synchronisation; of optimizer states, which differ, they see
    none.

    Args:
        workers: W >= 1; divides the batch size: a step takes batch_size / W examples of each
            worker.
        k: steps between synchronisations, >= 1; may be traced, as the next two.
        slow_step_size: > 0, and at most 1 without outer momentum.
        outer_momentum: in [0, 1).
        nesterov: whether outer momentum is Nesterov's, in the form of PyTorch's SGD.
        buffer_policy: what a synchronisation does to the momentum buffers of the workers'
            optimizer. 'maintain': nothing; 'reset': they become 0; 'average': they become their
            mean, which is all-reduced with the weights.

    Columns: worker_spread, communicated_bytes (all-reduced per step, on average).

    Raises:
        ValueError: an argument out of range.

    Source: Stich 2019, arXiv:1805.09767 (local SGD); Zhang et al. 2019, arXiv:1907.08610
        (Lookahead); Douillard et al. 2023, arXiv:2311.08105, Algorithm 1 (DiLoCo).
    """
    _check(workers, k, slow_step_size, outer_momentum, buffer_policy)
    rule = _Rule(k, slow_step_size, outer_momentum, nesterov, buffer_policy)

    def start(params, model_state, opt_state):
        zeros = jax.tree.map(jnp.zeros_like, params)
        outer = Outer(jax.tree.map(jnp.copy, params), zeros, jnp.zeros(()))
        of_workers = (
            copies(params, workers),
            copies(model_state, workers),
            _own_noise(copies(opt_state, workers), workers),
        )
        return *of_workers, outer

    return Replicas(
        workers,
        pieces=workers,
        by_worker=('params', 'model_state', 'opt_state', 'metric_sums'),
        start=start,
        step=functools.partial(_step, rule),
        deployed=lambda state: (state.replicas.slow, mean(state.model_state)),
        columns=functools.partial(_columns, rule),
    )


class _Rule(NamedTuple):
    """When workers meet, and what becomes of them there: arguments of `local_sgd`."""

    k: Any
    slow_step_size: Any
    outer_momentum: Any
    nesterov: bool
    buffer_policy: str

    def buffer_mask(self, optimizer, opt_state):
        """Where `opt_state` holds what a synchronisation changes. False, a mask of everything:
        nowhere."""
        if self.buffer_policy == 'maintain':
            return False
        return momentum_mask(optimizer, opt_state)


def _step(rule, tools):
    one_step = _one_step(tools)
    synchronise = _synchronisation(rule, tools)

    def run(state, row_step):
        each_step = tools.workers.each(lambda *of_worker: one_step(state.tick, *of_worker))
        moved = each_step(state.params, state.model_state, state.opt_state, tools.workers.here())
        params, model_state, opt_state, losses, sums, grads, updates = moved
        count = state.step + 1
        due, at_row = count % rule.k == 0, count == row_step
        params, opt_state, outer = synchronise(due, count, row_step, state, params, opt_state)
        totals = jax.tree.map(jnp.add, state.metric_sums, sums)

        def lost():
            return tools.workers.mean(~jnp.isfinite(totals['loss'])) > 0

        # All devices must leave the loop in the same step, and agree only where they talk anyway.
        diverged = jax.lax.cond(due | at_row, lost, lambda: jnp.zeros((), bool))
        state = state._replace(
            tick=state.tick + 1,
            step=count,
            params=params,
            model_state=model_state,
            opt_state=opt_state,
            replicas=outer,
            metric_sums=totals,
            diverged=diverged,
        )

        def info():
            loss, gradient, added = tools.workers.mean((losses, grads, updates))
            rate = tools.learning_rate(count - 1)
            return UpdateInfo(count, loss, gradient, added, outer.slow, (), rate, at_row)

        look = at_row | due if tools.watched else at_row
        return tools.observe(state, look, info)

    return run


def _one_step(tools):
    """A step of one worker."""

    def one(tick, params, model_state, opt_state, worker):
        loss, sums, grads, model_state = tools.gradient(params, model_state, tick, worker)
        updates, opt_state = tools.optimizer.update(grads, opt_state, params, value=loss)
        params = optax.apply_updates(params, round_to_dtype(updates))
        return params, model_state, opt_state, loss, sums, grads, updates

    return one


def _synchronisation(rule, tools):
    """(whether it is due, updates done, the row's last, the state before the step, the workers'
    weights, their optimizer states) -> weights, optimizer states, outer state."""
    meet = _meeting(rule, tools.workers)

    def synchronise(due, count, row_step, before, params, opt_state):
        mask = rule.buffer_mask(tools.optimizer, opt_state)

        def together(carry):
            params, buffers, outer = carry
            return meet(before.params, params, buffers, outer, count + rule.k > row_step)

        # Not lax.cond, which would copy the weights in the steps that do not synchronise.
        carry = params, select(mask, opt_state), before.replicas
        ((params, buffers, outer),) = cond_once(due, together, carry)
        return params, replace(mask, opt_state, buffers), outer

    return synchronise


def _meeting(rule, workers):
    """(weights before the step; weights, buffers, outer state; whether it is a row's last) -> the
    weights, buffers and outer state of workers that have met."""
    momentum = rule.outer_momentum

    def outer_step(slow, velocity, average):
        """The weights and the velocity after an outer step towards the workers' average."""
        away = jax.tree.map(lambda s, x: upcast(s) - upcast(x), slow, average)
        velocity = jax.tree.map(lambda v, d: momentum * upcast(v) + d, velocity, away)
        moves = velocity
        if rule.nesterov:
            moves = jax.tree.map(lambda d, v: d + momentum * v, away, velocity)

        def moved(weights, move):
            return (upcast(weights) - rule.slow_step_size * move).astype(weights.dtype)

        return jax.tree.map(moved, slow, moves), velocity

    def meet(before, params, buffers, outer, is_last):
        # One all-reduce, of all that is averaged.
        averages = workers.mean((params, buffers if rule.buffer_policy == 'average' else ()))
        average, average_buffers = averages
        spread = jax.lax.cond(
            is_last, lambda: _spread(workers, params, average), lambda: outer.spread
        )
        slow, velocity = outer_step(outer.slow, outer.velocity, average)
        if workers.count == 1:
            # An optimizer's updates pass through the parameters: Lookahead's slow weights are
            # rounded like that.
            slow = _reached(jax.tree.map(lambda x: x[0], before), slow)

        def spread_out(new, old):
            return jnp.broadcast_to(new[None], old.shape).astype(old.dtype)

        params = jax.tree.map(spread_out, slow, params)
        if rule.buffer_policy == 'average':
            buffers = jax.tree.map(spread_out, average_buffers, buffers)
        elif rule.buffer_policy == 'reset':
            buffers = jax.tree.map(jnp.zeros_like, buffers)
        return params, buffers, Outer(slow, velocity, spread)

    return meet


def _columns(rule, state, optimizer):
    outer = state.replicas
    sent = size(outer.slow)
    if rule.buffer_policy == 'average':
        buffers = select(rule.buffer_mask(optimizer, state.opt_state), state.opt_state)
        workers = len(jax.tree.leaves(state.params)[0])
        sent += size(buffers) // workers
    return {'worker_spread': outer.spread, 'communicated_bytes': jnp.float32(sent) / rule.k}


def _reached(before, target):
    """Where updates from `before` to `target` lead, rounded as weights are, twice: then it is a
    fixed point."""
    for _ in range(2):
        updates = jax.tree.map(lambda t, b: (upcast(t) - upcast(b)).astype(b.dtype), target, before)
        target = optax.apply_updates(before, updates)
    return target


def _spread(workers, params, centre):
    def square(x, c):
        return jnp.sum((upcast(x) - upcast(c)[None]) ** 2, axis=range(1, x.ndim))

    squares = jax.tree.map(square, params, centre)
    mean_square = workers.mean(sum(jax.tree.leaves(squares)))
    return jnp.sqrt(mean_square).astype(jnp.float32)


def _own_noise(opt_state, count):
    """Seeds of gradient noise that differ between the workers; the first keeps the trial's."""

    # 2^32 divided by the golden ratio: its multiples lie far from each other.
    apart = jnp.arange(count, dtype=jnp.uint32) * jnp.uint32(0x9E3779B9)

    def is_noise(part):
        return isinstance(part, GradientNoiseState)

    def of_workers(part):
        if not is_noise(part):
            return part
        return part._replace(seed=part.seed + apart)

    return jax.tree.map(of_workers, opt_state, is_leaf=is_noise)


def _check(workers, k, slow_step_size, outer_momentum, buffer_policy):
    at_least_one_worker(workers)
    require('k', k, k >= 1, 'an integer (steps) >= 1')
    is_fraction = (outer_momentum >= 0) & (outer_momentum < 1)
    require('outer_momentum', outer_momentum, is_fraction, '0 <= outer_momentum < 1')
    largest = 1.0
    if isinstance(outer_momentum, float) and outer_momentum > 0:
        largest = math.inf
    fine = (slow_step_size > 0) & (slow_step_size <= largest)
    require('slow_step_size', slow_step_size, fine, '(0, 1]; with outer momentum any rate > 0')
    modes = ('maintain', 'reset', 'average')
    require('buffer_policy', buffer_policy, buffer_policy in modes, ', '.join(modes))
