"""Variance at rest of weights that several workers train, by iterating second moments in NumPy:
nothing of lbexp.theory."""

import functools

import numpy as np

_UPDATES = 600  # by then what is compared has come to rest, to 1e-6


@functools.cache
def stale_variance(delay, workers, rate, a, k=None, alpha=0.5):
    """E w^2 after a synchronisation (without Lookahead: after any update), noise of variance 1.

    The state holds the weights, the slow weights, and what each worker has read. A push takes the
    gradient at what its worker read, updates the weights, synchronises where it is the k-th, and
    reads anew. Workers take turns (constant delay), or are drawn alike (geometric).
    """
    size = workers + 2
    moments = np.zeros((size, size))
    period = k or 1
    for t in range(_UPDATES // period * period):
        synchronises = k is not None and (t + 1) % k == 0
        pushing = [t % workers] if delay == 'constant' else range(workers)
        sums = np.zeros_like(moments)
        for worker in pushing:
            update, kick = _push(worker, size, rate, a, alpha if synchronises else None)
            # noise of the gradient, a times that of the target
            sums += update @ moments @ update.T + a**2 * np.outer(kick, kick)
        moments = sums / len(pushing)
    return moments[0, 0]


def _push(worker, size, rate, a, alpha):
    """The matrix of an update, and what noise in the gradient does to the state."""
    weights, slow, read = 0, 1, 2 + worker
    update, kick = np.eye(size), np.zeros(size)
    update[weights, read] -= rate * a
    kick[weights] = -rate
    if alpha is not None:
        synchronise = np.eye(size)
        synchronise[slow] = 0
        synchronise[slow, slow], synchronise[slow, weights] = 1 - alpha, alpha
        synchronise[weights] = synchronise[slow]
        update, kick = synchronise @ update, synchronise @ kick
    reading = np.eye(size)
    reading[read] = 0
    reading[read, weights] = 1
    return reading @ update, reading @ kick


@functools.cache
def met_variance(workers, k, alpha, rate, a, beta=0.0, mu=0.0, nesterov=True, buffer='maintain'):
    """E slow^2 after a synchronisation of workers with heavy balls, noise of variance 1 each.

    The state holds the weights and the buffer of each worker, slow weights, and outer velocity.
    """
    slow, velocity = 2 * workers, 2 * workers + 1
    step, kicks = np.eye(2 * workers + 2), np.zeros((2 * workers + 2, workers))
    for w in range(workers):
        weights, momentum = w, workers + w
        # m <- beta m + a x + noise;  x <- x - rate m
        step[momentum] *= beta
        step[momentum, weights] = a
        step[weights] -= rate * step[momentum]
        kicks[momentum, w], kicks[weights, w] = a, -rate * a
    meeting = np.eye(2 * workers + 2)
    gap = np.zeros(2 * workers + 2)
    gap[slow], gap[:workers] = 1, -1 / workers
    meeting[velocity] = mu * meeting[velocity] + gap
    outer = gap + mu * meeting[velocity] if nesterov else meeting[velocity]
    meeting[slow] = meeting[slow] - alpha * outer
    meeting[:workers] = meeting[slow]
    if buffer != 'maintain':
        buffers = slice(workers, 2 * workers)
        meeting[buffers, buffers] = 1 / workers if buffer == 'average' else 0
    moments = np.zeros_like(step)
    for t in range(_UPDATES // k * k):
        moments = step @ moments @ step.T + kicks @ kicks.T
        if (t + 1) % k == 0:
            moments = meeting @ moments @ meeting.T
    return moments[slow, slow]
