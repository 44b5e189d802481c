"""Lookahead around any optimizer: plain parameters in, plain updates out."""

import functools
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import optax

from lbexp.optimizers._layerwise.lazy_cond import cond_or_select, round_to_dtype
from lbexp.optimizers._layerwise.leaves import init_second_moment
from lbexp.optimizers._layerwise.momentum_buffers import (
    MOMENTUM_FIELDS,
    momentum_mask,
    replace,
    select,
)
from lbexp.optimizers.ema import mean_of_squares, weight_of_newest
from lbexp.precision import upcast
from lbexp.ranges import Fraction, PositiveFraction, PositiveInteger, checked


class LookaheadState(NamedTuple):
    count: jax.Array  # inner steps done (int32)
    slow: Any  # slow weights, like the parameters
    inner_state: Any
    momentum: Any  # 'interpolate': the momentum buffers as the last synchronisation left them
    second_moment: Any  # 'optimal': running mean of squared gradients


@checked
def lookahead(
    inner: optax.GradientTransformation,
    k: PositiveInteger = 5,
    slow_step_size: PositiveFraction | Literal['optimal'] = 0.5,
    buffer_policy: Literal['maintain', 'reset', 'interpolate'] = 'maintain',
    alpha_low: PositiveFraction = 0.2,
    curvature_decay: Fraction | None = 0.99,
    momentum_fields: tuple[str, ...] = MOMENTUM_FIELDS,
) -> optax.GradientTransformationExtraArgs:
    """k steps forward, 1 step back.

        every step:   w <- inner(w)                                              (fast weights: the
        parameters)
        every k-th:   slow <- slow + slow_step_size (w - slow);  w <- slow

    Slow weights live in the state: read them with `evaluation_params(opt_state, params)`. The
    updates must reach the parameters as they are, so lookahead comes last in a chain; after a
    synchronisation slow and fast weights are equal to the bit. k counts inner steps: accumulation
    goes outside. slow_step_size = 1 is the inner optimizer. The synchronisation (which computes the
    inner update a second time) runs in the steps that need it, under vmap in the steps where some
    replica needs it. Derivatives, forward and reverse, compute both sides in every step.

    Args:
        inner: any optimizer; extra arguments reach it.
        k: inner steps between synchronisations, >= 1; may be traced.
        slow_step_size: in (0, 1]; may be traced. 'optimal': see below.
        buffer_policy: what a synchronisation does to the inner momentum buffers m. 'maintain':
            nothing.
            'reset': m <- 0.
            'interpolate': m <- a m + (1 - a) m_last, as the weights, m_last being the buffers after
            the last synchronisation, at first 0. Never touched: step counts, schedule positions,
            keys, copies of weights, second moments (zeroed with its step count running on, Adam's
            would make the next step 1 / sqrt(1 - b2) too long).
        alpha_low: least step size of 'optimal', in (0, 1].
        curvature_decay: decay of the second moment that 'optimal' keeps, in [0, 1). None: it keeps
            none, and every update takes an extra argument `curvature`.
        momentum_fields: the momentum buffers are the fields of the inner state with these names
            that `optax.tree.map_params` sees as parameters; optax's and lbexp's are the default.

    slow_step_size='optimal' is the minimiser along the line from slow to fast weights. For a loss
    (w - w*)' A (w - w*) / 2 and d = slow - w, its derivative at slow - a d is -d' A (slow - a d -
    w*), zero at

        a* = (slow - w*)' A d / d' A d
        (Proposition 1).

    w* is unknown; one Newton step with a diagonal curvature C from the last point v where a
    gradient g was taken (w is v plus the last inner update) estimates it as v - g / C, in which C
    cancels:

        a = clip([(slow - v)' C d + g' d] / d' C d, alpha_low, 1),

    exact where C is. The paper takes C from the running second moment of the gradients that Adam
    keeps (empirical Fisher); here lookahead keeps its own, bias-corrected, or takes the extra
    argument `curvature` (a tree like the parameters, >= 0). The mean gradient of a large batch has
    a smaller second moment than its examples have: C is then too small and a at its bounds more
        often. Give a measured curvature where it matters.

    Raises:
        ValueError: a number out of its range, an unknown buffer_policy, no params, no
            curvature, or a buffer_policy other than 'maintain' around a state that has buffers of
            the parameters' shape but none with a name in momentum_fields.

    Zhang, Lucas, Hinton, Ba 2019, arXiv:1907.08610, Algorithm 1, Proposition 1.
    """
    is_optimal = isinstance(slow_step_size, str)
    inner = optax.with_extra_args_support(inner)
    keeps_curvature = is_optimal and curvature_decay is not None

    def buffers(inner_state):
        if buffer_policy == 'maintain':
            return ()
        return select(momentum_mask(inner, inner_state, momentum_fields), inner_state)

    def init(params):
        inner_state = inner.init(params)
        # In every mode but 'maintain': a state without momentum buffers is refused here.
        last = jax.tree.map(jnp.zeros_like, buffers(inner_state))
        if buffer_policy != 'interpolate':
            last = ()
        moment = ()
        if keeps_curvature:
            moment = init_second_moment(params)
        slow = jax.tree.map(_copy, params)
        return LookaheadState(jnp.zeros((), jnp.int32), slow, inner_state, last, moment)

    def curvature_of(moment, extra_args):
        """C of 'optimal': the extra argument, or the running second moment."""
        if not keeps_curvature:
            moment = None
        curvature = extra_args.get('curvature', moment)
        if is_optimal and curvature is None:
            raise ValueError(
                "slow_step_size='optimal' with curvature_decay=None needs "
                'update(..., curvature=...)'
            )
        return curvature

    def synchronised_buffers(inner_state, last, choose):
        """The inner state with its momentum as buffer_policy has it, where `choose` says so."""
        if buffer_policy == 'maintain':
            return inner_state
        old = buffers(inner_state)
        new = last
        if buffer_policy == 'reset':
            new = jax.tree.map(jnp.zeros_like, old)
        mask = momentum_mask(inner, inner_state, momentum_fields)
        return replace(mask, inner_state, jax.tree.map(choose, new, old))

    def update(updates, state, params=None, **extra_args):
        if params is None:
            raise ValueError('lookahead moves weights: call update(grads, state, params)')
        grads = updates
        count = jnp.asarray(optax.safe_increment(state.count))
        moment = state.second_moment
        if keeps_curvature:
            moment = mean_of_squares(moment, grads, weight_of_newest(curvature_decay, count))
        curvature = curvature_of(moment, extra_args)

        def synchronise(carry, inner_state, grads, params):
            slow, last = carry
            updates, new_inner_state = inner.update(grads, inner_state, params, **extra_args)
            fast = optax.apply_updates(params, round_to_dtype(updates))
            a = slow_step_size
            if is_optimal:
                a = _optimal_step_size(slow, params, fast, grads, curvature, alpha_low)
            if buffer_policy == 'interpolate':
                new = buffers(new_inner_state)
                last = jax.tree.map(lambda m, old: _mix(a, m, old), new, last)
            mixed = jax.tree.map(lambda s, w: _mix(a, w, s), slow, fast)
            return _as_reached(mixed, params, updates), last

        # The inner update is computed again inside: it is cheaper than to keep its result for the
        # step that needs it.
        sync = count % k == 0
        carry = (state.slow, state.momentum)
        (slow, last), inner_state, *_ = cond_or_select(
            sync, synchronise, carry, state.inner_state, grads, params
        )
        updates, inner_state = inner.update(grads, inner_state, params, **extra_args)

        def choose(new, old):
            return jnp.where(sync, new, old)

        updates = jax.tree.map(choose, _difference(slow, params, updates), updates)
        inner_state = synchronised_buffers(inner_state, last, choose)
        return updates, LookaheadState(count, slow, inner_state, last, moment)

    return optax.GradientTransformationExtraArgs(init, update)


def _as_reached(weights, params, updates):
    """`weights` to the bit as the caller will have them, who adds an update in the dtypes of
    `updates`."""
    # The update that leads there, rounded as the caller will round it, twice: then it is a fixed
    # point.
    for _ in range(2):
        weights = optax.apply_updates(params, _difference(weights, params, updates))
    return weights


def _optimal_step_size(slow, before, fast, grads, curvature, low):
    """The clipped step size; `before`: the weights where `grads` were taken, `fast` after the inner
    update."""

    step, is_safe = _line_minimum(slow, before, fast, grads, curvature)
    # Products beyond float32: the same of weights and curvatures in units of the largest, which the
    # quotient forgets.
    length = _unit(jax.tree.map(jnp.subtract, slow, fast))
    curve = _unit(curvature)

    def scaled_weights(x):
        return upcast(x) * (1 / length)

    def scaled_gradient(g):
        return upcast(g) * (1 / curve) * (1 / length)

    def scaled_curvature(c):
        return upcast(c) * (1 / curve)

    scaled_step, _ = _line_minimum(
        jax.tree.map(scaled_weights, slow),
        jax.tree.map(scaled_weights, before),
        jax.tree.map(scaled_weights, fast),
        jax.tree.map(scaled_gradient, grads),
        jax.tree.map(scaled_curvature, curvature),
    )
    return jnp.clip(jnp.where(is_safe, step, scaled_step), low, 1)


def _line_minimum(slow, before, fast, grads, curvature):
    """([(s - v)' C d + g' d] / d' C d, whether its products stayed within float32)."""
    numerators, denominators = [], []
    trees = (slow, before, fast, grads, curvature)
    for leaves in zip(*map(jax.tree.leaves, trees), strict=True):
        s, v, w, g, c = map(upcast, leaves)
        d = s - w
        numerators.append(jnp.sum((((s - v) * c + g) * d.conj()).real))
        denominators.append(jnp.sum((c * d * d.conj()).real))
    numerator, denominator = sum(numerators), sum(denominators)
    # Weights that did not move have no line to search.
    is_still = denominator == 0
    step = jnp.where(is_still, 1, numerator / jnp.where(is_still, 1, denominator))
    is_safe = (denominator > 1e-25) & (denominator < 1e30) & (jnp.abs(numerator) < 1e30)
    return step, is_safe


def _unit(tree):
    """The largest element, 1 where all are 0, so that 1 / unit is a number too."""
    peaks = [jnp.max(jnp.abs(upcast(x)), initial=0) for x in jax.tree.leaves(tree)]
    largest = functools.reduce(jnp.maximum, peaks)
    return jnp.clip(jnp.where(largest > 0, largest, 1), 1e-37, 1e37)


def _copy(p):
    """A copy: parameters and state may both be donated. What is abstract stays so."""
    if isinstance(p, jax.ShapeDtypeStruct):
        return p
    return jnp.copy(p)


def _mix(a, new, old):
    return (upcast(old) + a * (upcast(new) - upcast(old))).astype(old.dtype)


def _difference(new, old, like):
    """new - old in the dtypes of `like`."""

    def subtract(n, o, u):
        return (upcast(n) - upcast(o)).astype(u.dtype)

    return jax.tree.map(subtract, new, old, like)
