"""Groups of examples whose gradients are compared: the microbatches of an update, or equal pieces
of them.

For the probes that ask (`Probe.groups`). Where none does nothing is computed and nothing is kept.
"""

from collections.abc import Callable
from typing import Any, Literal

import jax
import jax.numpy as jnp

from lbexp import noise_scale
from lbexp.config import lookup
from lbexp.engine.components import TrialComponents
from lbexp.engine.state import TrialState
from lbexp.errors import Refusal
from lbexp.probes import GradientNoise, Probe


def start(trial: TrialComponents, params: Any, opt_state: Any) -> tuple:
    """What a trial has summed before its first microbatch: zeros for each probe that asks."""
    if not _asked(trial):
        return ()
    sums = []
    for probe in trial.probes:
        empty = ()
        if probe.groups is not None:
            shapes = jax.eval_shape(probe.groups.measure, params, params, opt_state)
            empty = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)
        sums.append(empty)
    return tuple(sums)


def pieces(trial: TrialComponents) -> int | Literal['examples']:
    """Equal pieces of a microbatch whose gradients are computed beside its own; 1: none are;
    'examples': each example is a group."""
    asked = _asked(trial)
    return asked[0].pieces if asked else 1


def add_pieces(trial: TrialComponents, gradient: Callable, state: TrialState) -> TrialState:
    """Adds an estimate of tr Sigma from the pieces of the microbatch that comes next.

    Their mean gradient is that of the pieces, not that which trains: where there is dropout the
    masks are others.

    Args:
        gradient: (params, model_state, tick, piece) -> (loss, sums, gradient, model_state).
    """
    count = pieces(trial)
    assert count != 'examples'
    size = trial.microbatch // count

    def of_piece(totals, piece):
        _, _, grads, _ = gradient(state.params, state.model_state, state.tick, piece)
        values = (grads, _measures(trial, state, grads))
        return jax.tree.map(jnp.add, totals, values), None

    def estimated():
        zeros = jax.tree.map(jnp.zeros_like, (state.params, state.groups))
        # A scan, not a vmap: that would hold the gradients of all pieces at once.
        totals, _ = jax.lax.scan(of_piece, zeros, jnp.arange(count, dtype=jnp.uint32))
        mean, of_groups = jax.tree.map(lambda total: total / count, totals)
        of_mean = _measures(trial, state, mean)

        def added(total, groups, mean):
            return total + noise_scale.trace(groups, mean, size, count)

        return jax.tree.map(added, state.groups, of_groups, of_mean)

    sums = jax.lax.cond(_due(trial, state), estimated, lambda: state.groups)
    return state._replace(groups=sums)


def add_examples(trial: TrialComponents, by_example: Callable, state: TrialState) -> TrialState:
    """Adds an estimate of tr Sigma from the squares of the gradients of single examples.

    Args:
        by_example: (params, model_state, tick) -> (gradient, squares), as
            `gradient_and_squares`.
    """

    def added(total, of_examples, of_mean):
        return total + noise_scale.trace(of_examples, of_mean, 1, trial.microbatch)

    def estimated():
        mean, squares = by_example(state.params, state.model_state, state.tick)
        of_examples = []
        for probe in trial.probes:
            of_probe = ()
            if probe.groups is not None and probe.groups.add_squares is not None:
                of_probe = probe.groups.add_squares(squares, state.params)
            of_examples.append(of_probe)
        of_mean = _measures(trial, state, mean)
        return jax.tree.map(added, state.groups, tuple(of_examples), of_mean)

    sums = jax.lax.cond(_due(trial, state), estimated, lambda: state.groups)
    return state._replace(groups=sums)


def add_microbatch(trial: TrialComponents, gradient: Any, state: TrialState) -> TrialState:
    """Adds the squares of a microbatch, where microbatches are the groups."""

    def added():
        return jax.tree.map(jnp.add, state.groups, _measures(trial, state, gradient))

    sums = jax.lax.cond(_due(trial, state), added, lambda: state.groups)
    return state._replace(groups=sums)


def noise(trial: TrialComponents, gradient: Any, state: TrialState) -> tuple:
    """For each probe the estimates of the update whose mean gradient this is; () where it does not
    ask, (): none does. Zeros where no probe measures this update."""
    if not _asked(trial):
        return ()
    count = trial.accumulation.microbatches(state.step)
    batch_size = (count * trial.microbatch).astype(jnp.float32)

    def estimated():
        of_mean = _measures(trial, state, gradient)
        share = 1 / count
        means = jax.tree.map(lambda total: total * share, state.groups)
        traces = means
        if pieces(trial) == 1:
            traces = jax.tree.map(
                lambda groups, mean: noise_scale.trace(groups, mean, trial.microbatch, count),
                means,
                of_mean,
            )
        squares = jax.tree.map(
            lambda mean, trace: noise_scale.square(mean, trace, batch_size), of_mean, traces
        )
        return traces, squares

    def nothing():
        zeros = jax.tree.map(jnp.zeros_like, state.groups)
        return zeros, zeros

    traces, squares = jax.lax.cond(_due(trial, state), estimated, nothing)
    estimates = []
    for probe, trace, square in zip(trial.probes, traces, squares, strict=True):
        of_probe = ()
        if probe.groups is not None:
            of_probe = GradientNoise(trace, square, batch_size)
        estimates.append(of_probe)
    return tuple(estimates)


def cleared(state: TrialState) -> TrialState:
    return state._replace(groups=jax.tree.map(jnp.zeros_like, state.groups))


def check(
    probes: list[dict],
    workload: dict,
    batch_size: int,
    microbatch: int | None,
    has_replicas: bool,
) -> None:
    """Raises Refusal where the probes of a trial ask for groups that it does not have.

    Args:
        probes, workload: parts of the configuration.
        batch_size: examples per update.
        microbatch: examples per forward and backward pass; None: all of an update.
        has_replicas: whether several workers train.
    """
    names, counts = [], []
    for part in probes:
        probe = lookup.build('probe', part)
        # one that looks at rows has no gradients to see
        if isinstance(probe, Probe) and probe.groups is not None:
            names.append(part['name'])
            counts.append(probe.groups.pieces)
    if not names:
        return
    who = f'probes: found {", ".join(dict.fromkeys(names))}'
    counts = sorted(set(counts), key=str)
    if len(counts) > 1:
        raise Refusal(f'{who} with groups {counts}; allowed: one number, as they share gradients')
    if has_replicas:
        raise Refusal(
            f'{who} with replicas; allowed: one worker, whose microbatches or their pieces are the '
            'groups'
        )
    _check_pieces(workload, batch_size, microbatch or batch_size, who, counts[0])


def _check_pieces(workload, batch_size, size, who, count):
    """Of a pass over `size` examples."""
    if count == 1:
        if batch_size == size:
            raise Refusal(
                f'{who} with one group, a batch of {size} in one microbatch; allowed: a microbatch '
                'of half the batch size or less, or groups >= 2 of the probe'
            )
        return
    if count == 'examples':
        count = size
    if size % count:
        raise Refusal(
            f'{who} with groups {count} and {size} examples at once; allowed: a divisor of {size}'
        )
    together = lookup.build('workload', workload).together
    if together is None:
        raise Refusal(
            f'{who} with groups {count} and batch norm over all of a batch, of which a piece has '
            "other gradients; allowed: the workload's ghost, a divisor of "
            f'{size // count}, or groups 1 and a microbatch'
        )
    if (size // count) % together:
        raise Refusal(
            f'{who} with groups of {size // count} examples and ghosts of {together}; allowed: '
            'groups of whole ghosts'
        )


def _asked(trial):
    return [probe.groups for probe in trial.probes if probe.groups is not None]


def _due(trial, state):
    """Whether a probe measures the update that comes next."""
    dues = [(state.step + 1) % asked.every == 0 for asked in _asked(trial)]
    return jnp.any(jnp.stack(dues))


def _measures(trial, state, gradient):
    """For each probe its numbers of a gradient; () where it does not ask."""
    values = []
    for probe in trial.probes:
        of_probe = ()
        if probe.groups is not None:
            of_probe = probe.groups.measure(gradient, state.params, state.opt_state)
        values.append(of_probe)
    return tuple(values)
