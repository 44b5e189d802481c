"""The noisy quadratic in rational arithmetic and sixty decimals: nothing of it is lbexp's, nothing
is rounded."""

from decimal import Decimal, getcontext
from fractions import Fraction

import numpy as np

getcontext().prec = 60
ZERO, ONE = Fraction(0), Fraction(1)


def decimal(fraction):
    return Decimal(fraction.numerator) / Decimal(fraction.denominator)


def linear(update, size):
    """(matrix, response) of update(z, xi), from its values on basis vectors."""

    def unit(i):
        return [ONE if j == i else ZERO for j in range(size)]

    columns = [update(unit(i), ZERO) for i in range(size)]
    return np.array(columns, object).T, np.array(update([ZERO] * size, ONE), object)


def at_rest(updates, size):
    """Covariances after each of the updates of a cycle, at rest, at a noise of 1.

    Each update is a list of functions (z, xi) -> z, one of which is drawn: moments are means over
    the list.
    """
    pairs = [(i, j) for i in range(size) for j in range(i, size)]
    maps = [[linear(choice, size) for choice in update] for update in updates]

    def move(covariance, choices, kicks=ONE):
        parts = [m @ covariance @ m.T + kicks * np.outer(r, r) for m, r in choices]
        return sum(parts) * Fraction(1, len(parts))

    def cycle(covariance, kicks):
        for choices in maps:
            covariance = move(covariance, choices, kicks)
        return np.array([covariance[pair] for pair in pairs], object)

    columns = []
    for i, j in pairs:
        unit = np.full((size, size), ZERO)
        unit[i, j] = unit[j, i] = ONE
        columns.append(cycle(unit, ZERO))
    change = -np.array(columns, object).T
    change[np.diag_indices(len(pairs))] += ONE
    moments = solve(change, cycle(np.full((size, size), ZERO), ONE))
    covariance = np.full((size, size), ZERO)
    for (i, j), moment in zip(pairs, moments, strict=True):
        covariance[i, j] = covariance[j, i] = moment
    seen = []
    for choices in maps:
        covariance = move(covariance, choices)
        seen.append(covariance)
    return seen


def solve(matrix, vector):
    """Gauss and Jordan; a column that is 0 throughout leaves its unknown 0."""
    rows = np.concatenate([matrix, vector[:, None]], axis=1)
    for i in range(len(rows)):
        pivot = next((j for j in range(i, len(rows)) if rows[j, i] != 0), None)
        if pivot is None:
            raise ZeroDivisionError('no fixed point')
        rows[[i, pivot]] = rows[[pivot, i]]
        rows[i] = rows[i] / rows[i, i]
        for j in range(len(rows)):
            if j != i and rows[j, i] != 0:
                rows[j] = rows[j] - rows[j, i] * rows[i]
    return rows[:, -1]


def optimizer(h, beta=ZERO, nesterov=False, alpha=None, buffer_policy='maintain', decay=None):
    """Update of (x, m, s, m0, y) at curvature 1; alpha: with the synchronisation at its end."""

    def update(z, xi):
        x, m, s, m0, y = z
        g = x - xi
        m = beta * m + g
        x = x - h * (g + beta * m if nesterov else m)
        if alpha is not None:
            s = x = s + alpha * (x - s)
            if buffer_policy == 'reset':
                m = ZERO
            if buffer_policy == 'interpolate':
                m = m0 = alpha * m + (1 - alpha) * m0
        if decay is not None:
            y = decay * y + (1 - decay) * x
        return [x, m, s, m0, y]

    return update


def cut(update, keep):
    """The update on the numbers `keep` alone; the others do nothing there."""

    def small(z, xi):
        full = [ZERO] * 5
        for place, value in zip(keep, z, strict=True):
            full[place] = value
        return [update(full, xi)[place] for place in keep]

    return small


def rest_of_optimizer(
    h, beta=ZERO, nesterov=False, k=None, alpha=None, buffer_policy='maintain', decay=None
):
    """(variance after the synchronisation, mean over the cycle, variance of the average) of the
    weights."""
    keep = (
        [0]
        + [1] * (beta != 0)
        + [2] * (k is not None)
        + [3] * (buffer_policy == 'interpolate')
        + [4] * (decay is not None)
    )
    inner = cut(optimizer(h, beta, nesterov, decay=decay), keep)
    last = cut(optimizer(h, beta, nesterov, alpha, buffer_policy, decay), keep) if k else inner
    seen = at_rest([[inner]] * ((k or 1) - 1) + [[last]], len(keep))
    return seen[-1][0, 0], sum(s[0, 0] for s in seen) / len(seen), seen[-1][-1, -1]


def rest_of_local_sgd(h, beta, k, alpha, mu, nesterov):
    """Variance of the slow weights of the mean of workers, of (x, m, s, u)."""

    def inner(z, xi):
        x, m, s, u = z
        m = beta * m + x - xi
        return [x - h * m, m, s, u]

    def last(z, xi):
        x, m, s, u = inner(z, xi)
        d = s - x
        u = mu * u + d
        s = s - alpha * (d + mu * u if nesterov else u)
        return [s, m, s, u]

    return at_rest([[inner]] * (k - 1) + [[last]], 4)[-1][2, 2]


def rest_of_worker(h, beta, k):
    """Variance of the weights before they are set to 0 after k updates, the buffer kept; at a noise
    of 1."""

    def inner(z, xi):
        x, m = z
        m = beta * m + x - xi
        return [x - h * m, m]

    return at_rest([[lambda z, xi: inner([ZERO, z[1]], xi)]] + [[inner]] * (k - 1), 2)[-1][0, 0]


def rest_of_delayed(h, beta, delay):
    """Variance of the weights with gradients of `delay` updates ago."""

    def update(z, xi):
        *past, m = z
        m = beta * m + past[delay] - xi
        return [past[0] - h * m, *past[:delay], m]

    return at_rest([[update]], delay + 2)[-1][0, 0]


def rest_of_memoryless(h, beta, workers):
    """Variance of the weights where each update is by a worker drawn anew; (x, m, c_1 .. c_W)."""

    def by(w):
        def update(z, xi):
            x, m, *copies = z
            m = beta * m + copies[w] - xi
            x = x - h * m
            copies[w] = x
            return [x, m, *copies]

        return update

    return at_rest([[by(w) for w in range(workers)]], workers + 2)[-1][0, 0]
