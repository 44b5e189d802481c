"""Every optimizer and variant beside the transcription of its paper."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import optax
from reference import optimizers as reference

from lbexp import optimizers as o

TOLERANCE = {'float64': 1e-10, 'float32': 1e-5}
matrices, everything = (lambda w: w.ndim >= 2), (lambda w: True)


def schedule(t):
    """Up, then down: what tells the learning rate inside the buffer from outside. t: int or int32
    array."""
    return 0.01 + 0.1 / (1 + (0.125 * t - 2.0) ** 2)


def decay_schedule(t):
    return 0.05 / (1 + 0.1 * t)


class Case(NamedTuple):
    ours: Callable  # () -> transformation
    paper: Any  # reference update
    decay: Callable = matrices
    adapt: Callable = matrices
    before: Callable = lambda gradients: gradients
    optax: Callable | None = None  # () -> optax's, where it is the paper's


ALL = {'decay': 'all', 'adapt': 'all'}
whole = {'decay': everything, 'adapt': everything}
r = reference
CASES = {
    'sgd': Case(lambda: o.sgd(schedule), r.sgd(schedule), optax=lambda: optax.sgd(schedule)),
    'momentum': Case(
        lambda: o.momentum(schedule), r.momentum(schedule), optax=lambda: optax.sgd(schedule, 0.9)
    ),
    'momentum nesterov': Case(
        lambda: o.momentum(schedule, 0.8, nesterov=True),
        r.momentum(schedule, 0.8, nesterov=True),
        optax=lambda: optax.sgd(schedule, 0.8, nesterov=True),
    ),
    'momentum inside': Case(
        lambda: o.momentum(schedule, form='inside'),
        r.momentum(schedule, form='inside'),
        optax=lambda: optax.chain(optax.scale_by_learning_rate(schedule), optax.trace(0.9)),
    ),
    'momentum inside nesterov': Case(
        lambda: o.momentum(schedule, form='inside', nesterov=True),
        r.momentum(schedule, form='inside', nesterov=True),
    ),
    'adamw': Case(lambda: o.adamw(schedule), r.adamw(schedule)),
    'adamw all': Case(
        lambda: o.adamw(schedule, 0.8, 0.99, 1e-7, 0.1, decay='all'),
        r.adamw(schedule, 0.8, 0.99, 1e-7, 0.1),
        decay=everything,
        optax=lambda: optax.adamw(schedule, 0.8, 0.99, 1e-7, weight_decay=0.1),
    ),
    'adamw decay schedule': Case(
        lambda: o.adamw(0.02, weight_decay=decay_schedule), r.adamw(0.02, wd=decay_schedule)
    ),
    'lars': Case(lambda: o.lars(lambda t: 30 * schedule(t)), r.lars(lambda t: 30 * schedule(t))),
    'lars all': Case(
        lambda: o.lars(schedule, 0.05, trust_coefficient=0.1, **ALL),
        r.lars(schedule, 0.05, eta=0.1),
        **whole,
    ),
    'lars without decay': Case(
        lambda: o.lars(schedule, 0.0, trust_coefficient=0.1, zero_ratio=1.0, **ALL),
        r.lars(schedule, 0.0, eta=0.1, zero=1.0),
        optax=lambda: optax.lars(schedule, trust_coefficient=0.1),
        **whole,
    ),
    'lars nesterov': Case(
        lambda: o.lars(schedule, 0.05, trust_coefficient=0.1, nesterov=True),
        r.lars(schedule, 0.05, eta=0.1, nesterov=True),
    ),
    'lars outside': Case(
        lambda: o.lars(schedule, 0.05, trust_coefficient=0.1, eps=1e-8, momentum_form='outside'),
        r.lars(schedule, 0.05, eta=0.1, eps=1e-8, form='outside'),
    ),
    'lars outside nesterov': Case(
        lambda: o.lars(
            schedule, 0.05, trust_coefficient=0.1, momentum_form='outside', nesterov=True
        ),
        r.lars(schedule, 0.05, eta=0.1, form='outside', nesterov=True),
    ),
    'lars average': Case(
        lambda: o.lars(schedule, 0.05, momentum_form='average'),
        r.lars(schedule, 0.05, form='average'),
    ),
    'lars norm of sum': Case(
        lambda: o.lars(
            schedule, 0.05, trust_coefficient=0.1, denominator='norm_of_sum', zero_ratio=1.0, **ALL
        ),
        r.lars(schedule, 0.05, eta=0.1, den='of_sum', zero=1.0),
        optax=lambda: optax.lars(schedule, 0.05, trust_coefficient=0.1),
        **whole,
    ),
    'lars MLPerf': Case(
        lambda: o.lars(schedule, 0.05, trust_coefficient=0.1, zero_ratio=1.0),
        r.mlperf(schedule, 0.05, eta=0.1),
    ),
    'lars bounds': Case(
        lambda: o.lars(schedule, 0.05, trust_coefficient=0.1, ratio_bounds=(0.05, 0.5)),
        r.lars(schedule, 0.05, eta=0.1, bounds=(0.05, 0.5)),
    ),
    'larc clip': Case(lambda: o.larc(schedule, 0.01), r.larc(schedule, 0.01)),
    'larc scale': Case(
        lambda: o.larc(schedule, 0.01, mode='scale'), r.larc(schedule, 0.01, mode='scale')
    ),
    'larc nesterov all': Case(
        lambda: o.larc(schedule, 0.01, nesterov=True, **ALL),
        r.larc(schedule, 0.01, nesterov=True),
        **whole,
    ),
    'lamb': Case(lambda: o.lamb(schedule), r.lamb(schedule)),
    'lamb all': Case(
        lambda: o.lamb(schedule, weight_decay=0.1, **ALL),
        r.lamb(schedule, wd=0.1),
        optax=lambda: optax.lamb(schedule, weight_decay=0.1),
        **whole,
    ),
    'lamb without decay': Case(
        lambda: o.lamb(schedule, 0.8, 0.99, 1e-7, 0.0, **ALL),
        r.lamb(schedule, 0.8, 0.99, 1e-7, 0.0),
        optax=lambda: optax.lamb(schedule, 0.8, 0.99, 1e-7),
        **whole,
    ),
    'lamb decay masked': Case(
        lambda: o.lamb(schedule, adapt='all', weight_decay=decay_schedule),
        r.lamb(schedule, wd=decay_schedule),
        adapt=everything,
    ),
    'lamb without bias correction': Case(
        lambda: o.lamb(schedule, bias_correction=False), r.lamb(schedule, correct=False)
    ),
    'lamb normalized gradients': Case(
        lambda: o.lamb(schedule, normalize_gradients=True), r.lamb(schedule), before=r.normalized
    ),
    'lamb clipped gradients': Case(
        lambda: o.lamb(schedule, max_gradient_norm=0.1),
        r.lamb(schedule),
        before=functools.partial(r.normalized, limit=0.1),
    ),
    'lamb phi': Case(
        lambda: o.lamb(schedule, weight_decay=0.0, weight_norm_bounds=(0.5, 3.0)),
        r.lamb(schedule, wd=0.0, phi=(0.5, 3.0)),
    ),
    'lamb bounds': Case(
        lambda: o.lamb(schedule, ratio_bounds=(0.01, 0.3)), r.lamb(schedule, bounds=(0.01, 0.3))
    ),
    'novograd': Case(
        lambda: o.novograd(schedule, weight_decay=0.01, decay='all'),
        r.novograd(schedule, wd=0.01),
        **whole,
    ),
    'novograd b25': Case(
        lambda: o.novograd(schedule, 0.9, 0.25, 1e-6, 0.01, decay='all'),
        r.novograd(schedule, 0.9, 0.25, 1e-6, 0.01),
        optax=lambda: optax.novograd(schedule, 0.9, 0.25, 1e-6, weight_decay=0.01),
        **whole,
    ),
    'novograd averaging': Case(
        lambda: o.novograd(schedule, grad_averaging=True, weight_decay=0.01),
        r.novograd(schedule, averaging=True, wd=0.01),
        adapt=everything,
    ),
    'novograd decoupled': Case(
        lambda: o.novograd(schedule, decoupled_decay=True, weight_decay=decay_schedule),
        r.novograd(schedule, decoupled=True, wd=decay_schedule),
        adapt=everything,
    ),
    'novograd eps inside': Case(
        lambda: o.novograd(schedule, eps=1e-3, eps_inside_root=True),
        r.novograd(schedule, eps=1e-3, inside=True),
        adapt=everything,
    ),
    'novograd amsgrad': Case(
        lambda: o.novograd(schedule, b2=0.5, amsgrad=True),
        r.novograd(schedule, b2=0.5, amsgrad=True),
        adapt=everything,
    ),
    **{
        f'lookahead momentum {buffers}': Case(
            lambda buffers=buffers: o.lookahead(o.momentum(schedule), 6, 0.4, buffers),
            r.lookahead(r.momentum(schedule), 6, 0.4, buffers),
        )
        for buffers in ('maintain', 'reset', 'interpolate')
    },
    'lookahead lamb': Case(
        lambda: o.lookahead(o.lamb(schedule), 5, 0.8), r.lookahead(r.lamb(schedule), 5, 0.8)
    ),
    'lookahead adamw reset': Case(
        lambda: o.lookahead(o.adamw(schedule), 5, 0.8, 'reset'),
        r.lookahead(r.adamw(schedule), 5, 0.8, 'reset'),
    ),
}
# Squares of single gradients beyond 1e19 have no float32: Adam's second moment is infinite there,
# ours as the paper's.
SQUARED = ('adamw', 'lamb')
