"""Every optimizer and variant against float64 transcriptions of its paper, 50 steps, in float64 and
float32."""

import functools
import itertools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from reference import optimizers as reference

from lbexp import optimizers as o

STEPS = 50
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
every_case = pytest.mark.parametrize('name', CASES)
every_precision = pytest.mark.parametrize('dtype', TOLERANCE)


def network():
    """Weights 12-10-6-3, biases 0, and their gradients on random data: (weights, t ->
    gradients)."""
    draw = np.random.default_rng(0)
    sizes = (12, 10, 6, 3)
    weights = {}
    for i, (rows, columns) in enumerate(itertools.pairwise(sizes)):
        weights[f'w{i}'] = draw.standard_normal((rows, columns)) / np.sqrt(rows)
        weights[f'b{i}'] = np.zeros(columns)

    def gradients(weights, t):
        draw = np.random.default_rng((1, t))
        x, hidden = draw.standard_normal((16, 12)), []
        for i in range(3):
            hidden.append(x)
            x = x @ weights[f'w{i}'] + weights[f'b{i}']
            x = np.tanh(x) if i < 2 else x
        back, found = (x - draw.standard_normal((16, 3))) / 16, {}
        for i in (2, 1, 0):
            found |= {f'w{i}': hidden[i].T @ back, f'b{i}': back.sum(0)}
            back = (back @ weights[f'w{i}'].T) * (1 - hidden[i] ** 2)
        return found

    return weights, gradients


def edge(largest=1e20):
    """Zeros and extremes, and gradients that do not depend on the weights.

    (Not 1e20 weights with 1e-20 gradients: LARS's ratio of the two has no float32.)
    """
    draw = np.random.default_rng(2)
    scales = {
        'zero weights': (0.0, 1.0),
        'zero gradients': (1.0, 0.0),
        'both zero': (0.0, 0.0),
        'tiny': (1e-20, 1e-20),
        'huge': (1e20, largest),
        'tiny weights': (1e-20, 1.0),
        'huge weights': (1e20, 1.0),
        'tiny gradients': (1.0, 1e-20),
        'huge gradients': (1.0, largest),
        'apart': (1e15, 1e-20),
    }
    weights = {name: w * draw.standard_normal((5, 4)) for name, (w, _) in scales.items()}

    def gradients(weights, t):
        draw = np.random.default_rng((3, t))
        return {name: scales[name][1] * (0.5 + draw.standard_normal((5, 4))) for name in weights}

    return weights, gradients


def compared(case, problem, dtype, tx=None):
    """Largest relative difference over steps and tensors, and the relative distance walked.

    The reference runs on its own gradients, rounded to `dtype`; the optimizer is given the same
    ones.
    """
    weights, slope = problem
    rounded = lambda tree: {name: np.asarray(x, dtype) for name, x in tree.items()}
    weights, given, seen = rounded(weights), [], []
    state = {name: {} for name in weights}
    now = {name: w.astype(np.float64) for name, w in weights.items()}
    for t in range(STEPS):
        given.append(rounded(slope(now, t)))
        exact = case.before({name: g.astype(np.float64) for name, g in given[-1].items()})
        now = {
            n: case.paper(w, exact[n], state[n], t, case.decay(w), case.adapt(w))
            for n, w in now.items()
        }
        seen.append(now)

    with jax.enable_x64(dtype == 'float64'):
        walked = trained(case.ours() if tx is None else tx(), weights, given)
    differences, distances = [], []
    for name, start in weights.items():
        # Weights that cross zero are compared to the largest they were so far.
        scale = reference.norm(start)
        for t, expected in enumerate(seen):
            scale = max(scale, reference.norm(expected[name]))
            apart = reference.norm(np.asarray(walked[name][t], np.float64) - expected[name])
            differences.append(apart / scale if scale > 0 else apart)
        distances.append(reference.norm(seen[-1][name] - start) / max(scale, 1e-300))
    return max(differences), min(distances)


def trained(tx, weights, given):
    """Weights after every step, {name: [steps, ...]}, in one scan."""

    def step(carry, slope):
        params, state = carry
        updates, state = tx.update(slope, state, params)
        params = optax.apply_updates(params, updates)
        return (params, state), params

    params = jax.tree.map(jnp.asarray, weights)
    slopes = jax.tree.map(lambda *each: jnp.stack(each), *given)
    return jax.jit(lambda p, g: jax.lax.scan(step, (p, tx.init(p)), g)[1])(params, slopes)


@every_precision
@every_case
def test_equals_the_paper(name, dtype):
    difference, distance = compared(CASES[name], network(), dtype)
    assert difference <= TOLERANCE[dtype]
    assert distance > 0.01, 'weights hardly moved: the comparison would mean nothing'


@every_precision
@every_case
def test_equals_the_paper_at_zeros_and_extremes(name, dtype):
    squares = dtype == 'float32' and any(part in name for part in SQUARED)
    difference, _ = compared(CASES[name], edge(1e18 if squares else 1e20), dtype)
    assert difference <= TOLERANCE[dtype]


@pytest.mark.parametrize('name', [name for name, case in CASES.items() if case.optax])
def test_equals_optax_where_that_is_the_paper(name):
    difference, _ = compared(CASES[name], network(), 'float64', CASES[name].optax)
    assert difference <= TOLERANCE['float64']


def test_there_are_enough_cases():
    assert len(CASES) >= 25
