"""Lookahead around momentum with an average on a noisy quadratic, in NumPy."""

import numpy as np


class Algorithm:
    """Lookahead around momentum with an average, one coordinate, as one writes it in a loop. State:
    x m s m0 y."""

    def __init__(
        self,
        rate,
        a,
        beta=0.0,
        nesterov=False,
        k=None,
        alpha=0.5,
        buffer_policy='maintain',
        decay=None,
    ):
        self.__dict__.update(locals())

    def update(self, z, xi, t):
        """Update number t (from 1) of state z, with the target's deviation xi."""
        x, m, s, m0, y = z
        g = self.a * (x - xi)
        m = self.beta * m + g
        x = x - self.rate * (g + self.beta * m if self.nesterov else m)
        if self.k and t % self.k == 0:
            s = x = s + self.alpha * (x - s)
            if self.buffer_policy == 'reset':
                m = 0.0 * m
            if self.buffer_policy == 'interpolate':
                m = m0 = self.alpha * m + (1 - self.alpha) * m0
        if self.decay is not None:
            y = self.decay * y + (1 - self.decay) * x
        return np.array([x, m, s, m0, y])

    def maps(self, t):
        """The update is linear: its matrix and response are its values on basis vectors."""
        matrix = np.stack([self.update(e, 0.0, t) for e in np.eye(5)], axis=1)
        return matrix, self.update(np.zeros(5), 1.0, t)

    def moments(self, steps, mean, variance, noise):
        """Means and variances of x, s, y after 0 .. steps updates; covariances as vectors, by
        Kronecker products."""
        weights = np.array([1.0, 0, 1, 0, 0])
        z, cov = weights * mean, np.kron(weights, weights) * variance
        seen = []
        for t in range(1, steps + 1):
            matrix, response = self.maps(t)
            z, cov = matrix @ z, np.kron(matrix, matrix) @ cov + noise * np.kron(response, response)
            seen.append((z, np.diag(cov.reshape(5, 5))))
        return seen

    def at_rest(self, noise):
        """Stationary variance of (x, s, y) after each update of a cycle."""
        keep = (
            [0, 1]
            + [2] * bool(self.k)
            + [3] * (self.buffer_policy == 'interpolate')
            + [4] * (self.decay is not None)
        )
        n, cycle = len(keep), self.k or 1
        power, spread = np.eye(n * n), np.zeros(n * n)
        for t in range(1, cycle + 1):
            matrix, response = self.maps(t)
            matrix, response = matrix[np.ix_(keep, keep)], response[keep]
            kron = np.kron(matrix, matrix)
            power, spread = kron @ power, kron @ spread + noise * np.kron(response, response)
        cov, variances = np.linalg.solve(np.eye(n * n) - power, spread), []
        for t in range(1, cycle + 1):
            matrix, response = self.maps(t)
            matrix, response = matrix[np.ix_(keep, keep)], response[keep]
            cov = np.kron(matrix, matrix) @ cov + noise * np.kron(response, response)
            variances.append(np.diag(cov.reshape(n, n)))
        return np.array(variances)
