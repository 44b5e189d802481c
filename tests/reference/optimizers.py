"""The optimizers as their papers print them, in NumPy float64, one tensor at a time.

A reference is a function (w, g, s, t) -> w: weights, gradient, the tensor's own state (a dict that
it changes) and the step t = 0, 1, ... Momentum is s['m'], so that `lookahead` can reset it. `decay`
and `adapt` say whether this tensor is decayed and adapted; where some of its rows are decayed,
`decay` is a column of 0 and 1. Numbers that may change with t are functions of t.
"""

import numpy as np


def norm(x):
    """|x| without overflow."""
    peak = np.max(np.abs(x), initial=0.0)
    return peak * np.sqrt(np.sum((x / peak) ** 2)) if peak > 0 else 0.0


def at(number, t):
    return number(t) if callable(number) else number


def momentum(rate, mu=0.9, form='outside', nesterov=False):
    """Goyal et al. 2017, arXiv:1706.02677: eq. 9 (outside) and eq. 10 (inside). Nesterov: Sutskever
    et al. 2013, eq. 3 in the variables of the look-ahead point."""

    def update(w, g, s, t, decay=True, adapt=True):
        newest = at(rate, t) * g if form == 'inside' else g
        s['m'] = mu * s.get('m', 0.0) + newest
        step = mu * s['m'] + newest if nesterov else s['m']
        return w - (step if form == 'inside' else at(rate, t) * step)

    return update


def sgd(rate):
    """Robbins and Monro 1951."""
    return lambda w, g, s, t, decay=True, adapt=True: w - at(rate, t) * g


def _adam(g, s, t, b1, b2, correct=True):
    """Kingma and Ba 2015, arXiv:1412.6980, Algorithm 1; step t counts from 0."""
    s['m'] = b1 * s.get('m', 0.0) + (1 - b1) * g
    s['v'] = b2 * s.get('v', 0.0) + (1 - b2) * g * g
    if not correct:
        return s['m'], s['v']
    return s['m'] / (1 - b1 ** (t + 1)), s['v'] / (1 - b2 ** (t + 1))


def adamw(rate, b1=0.9, b2=0.999, eps=1e-8, wd=1e-2):
    """Loshchilov and Hutter 2019, arXiv:1711.05101, Algorithm 2, the decay times the learning
    rate."""

    def update(w, g, s, t, decay=True, adapt=True):
        m, v = _adam(g, s, t, b1, b2)
        return w - at(rate, t) * (m / (np.sqrt(v) + eps) + at(wd, t) * decay * w)

    return update


def lars(
    rate,
    wd=5e-4,
    mu=0.9,
    eta=1e-3,
    eps=0.0,
    form='paper',
    den='sum',
    nesterov=False,
    bounds=None,
    zero=None,
):
    """You, Gitman, Ginsburg 2017, arXiv:1708.03888, Algorithm 1; form 'outside': the rate outside
    the buffer; form
    'average': You et al. 2020, arXiv:1904.00962v5, Algorithm 1. `zero`: the ratio where the formula
    is undefined."""
    eta = 1.0 if form == 'average' else eta
    zero = eta if zero is None else zero

    def ratio(w, g, step, beta):
        below = eps + (
            norm(g) + norm(beta * w) if den == 'sum' and form != 'average' else norm(step)
        )
        found = eta * norm(w) / below if norm(w) > 0 and below > 0 else zero
        return np.clip(found, *bounds) if bounds else found

    def update(w, g, s, t, decay=True, adapt=True):
        beta = at(wd, t) * decay
        step = g + beta * w
        if form == 'average':
            s['m'] = mu * s.get('m', 0.0) + (1 - mu) * step
            return w - at(rate, t) * (ratio(w, g, s['m'], beta) if adapt else 1.0) * s['m']
        step = (ratio(w, g, step, beta) if adapt else 1.0) * step
        return momentum(rate, mu, 'inside' if form == 'paper' else 'outside', nesterov)(
            w, step, s, t
        )

    return update


def mlperf(rate, wd=1e-4, mu=0.9, eta=1e-3):
    """LARS of MLPerf's ResNet-50 (mlcommons/training, lars_optimizer.py), its epsilon 0 as
    documented."""

    def update(w, g, s, t, decay=True, adapt=True):
        if not adapt:  # the skip list: neither decayed nor adapted
            return momentum(rate, mu, 'inside')(w, g, s, t)
        trusted = norm(w) > 0 and norm(g) > 0
        ratio = eta * norm(w) / (norm(g) + wd * norm(w)) if trusted else 1.0
        s['m'] = mu * s.get('m', 0.0) + at(rate, t) * ratio * (g + wd * w)
        return w - s['m']

    return update


def larc(rate, wd=0.0, mu=0.9, eta=0.02, eps=1e-8, mode='clip', nesterov=False):
    """NVIDIA apex.parallel.LARC around heavy ball; where |w| or |g| is 0 the factor is 1."""

    def update(w, g, s, t, decay=True, adapt=True):
        beta = at(wd, t) * decay
        factor = 1.0
        if adapt and norm(w) > 0 and norm(g) > 0:
            local = eta * norm(w) / (norm(g) + norm(beta * w) + eps)
            factor = min(local / at(rate, t), 1.0) if mode == 'clip' else local
        return momentum(rate, mu, 'outside', nesterov)(w, factor * (g + beta * w), s, t)

    return update


def lamb(rate, b1=0.9, b2=0.999, eps=1e-6, wd=0.01, correct=True, phi=None, bounds=None):
    """You et al. 2020, arXiv:1904.00962v5, Algorithm 2; correct=False: version 3. phi: (low, high)
    of section 3."""

    def update(w, g, s, t, decay=True, adapt=True):
        m, v = _adam(g, s, t, b1, b2, correct)
        u = m / (np.sqrt(v) + eps) + at(wd, t) * decay * w
        ratio = 1.0
        if adapt:
            usual = norm(w) > 0 and norm(u) > 0
            ratio = (np.clip(norm(w), *phi) if phi else norm(w)) / norm(u) if usual else 1.0
            ratio = np.clip(ratio, *bounds) if bounds else ratio
        return w - at(rate, t) * ratio * u

    return update


def normalized(gradients, limit=None):
    """NVLAMB: all gradients divided by their common norm, or where it exceeds `limit` by norm /
    limit."""
    total = norm(np.array([norm(g) for g in gradients.values()]))
    scale = (1 / total if total > 0 else 1.0) if limit is None else 1 / max(1.0, total / limit)
    return {name: g * scale for name, g in gradients.items()}


def novograd(
    rate,
    b1=0.95,
    b2=0.98,
    eps=1e-8,
    wd=0.0,
    averaging=False,
    decoupled=False,
    inside=False,
    amsgrad=False,
):
    """Ginsburg et al. 2019, arXiv:1905.11286v3, Algorithm 1. v may exceed float64's range: its root
    is kept."""

    def update(w, g, s, t, decay=True, adapt=True):
        beta = at(wd, t) * decay
        length = norm(g)
        s['v'] = (
            length if t == 0 else norm(np.array([np.sqrt(b2) * s['v'], np.sqrt(1 - b2) * length]))
        )
        s['top'] = max(s.get('top', 0.0), s['v'])
        root = s['top'] if amsgrad else s['v']
        below = np.hypot(root, np.sqrt(eps)) if inside else root + eps
        step = (g / below if adapt else g) + (0.0 if decoupled else beta * w)
        s['m'] = step if t == 0 else b1 * s['m'] + (1 - b1 if averaging else 1.0) * step
        return w - at(rate, t) * (s['m'] + (beta * w if decoupled else 0.0))

    return update


def lookahead(inner, k=5, alpha=0.5, buffers='maintain'):
    """Zhang et al. 2019, arXiv:1907.08610, Algorithm 1 and section 3.1 (what a synchronisation does
    to momentum)."""

    def update(w, g, s, t, decay=True, adapt=True):
        slow = s.setdefault('slow', w)
        fast = inner(w, g, s, t, decay, adapt)
        if (t + 1) % k:
            return fast
        s['slow'] = slow + alpha * (fast - slow)
        if buffers == 'reset':
            s['m'] = 0.0 * s['m']
        if buffers == 'interpolate':
            s['m'] = s['m_last'] = alpha * s['m'] + (1 - alpha) * s.get('m_last', 0.0)
        return s['slow']

    return update
