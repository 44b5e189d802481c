"""How far weights are from where they began, against the number of updates: curves with a straight
line in log t, or in a power of t."""

from typing import NamedTuple

import numpy as np

_POWERS = np.arange(-50, 151) / 100  # those that are tried; 0 exactly among them


class Curve(NamedTuple):
    """y = offset + slope f(t), f = (t^power - 1) / power, or log t where the power is 0."""

    power: float
    offset: float
    slope: float

    def at(self, t: np.ndarray) -> np.ndarray:
        """Its values at t > 0 [updates]."""
        return self.offset + self.slope * transformed(t, self.power)


def transformed(t: np.ndarray, power: float) -> np.ndarray:
    """(t^power - 1) / power: log t at power 0, and near it for powers near 0 (Box and Cox 1964)."""
    if power == 0:
        return np.log(t)
    return np.expm1(power * np.log(t)) / power


def curve(t: np.ndarray, y: np.ndarray, power: float | None = None) -> Curve:
    """Least squares of a curve through (t, y), with this power, or with the best of -0.5, -0.49,
    ..., 1.5."""
    powers = _POWERS if power is None else [power]
    x = np.array([transformed(t, each) for each in powers])
    away = x - x.mean(axis=1, keepdims=True)
    slopes = away @ (y - y.mean()) / np.sum(away**2, axis=1)
    missed = np.mean((y - y.mean() - slopes[:, None] * away) ** 2, axis=1)
    best = int(missed.argmin())
    offset = y.mean() - slopes[best] * x[best].mean()
    return Curve(float(powers[best]), float(offset), float(slopes[best]))


def misfit(t: np.ndarray, y: np.ndarray, power: float) -> float:
    """1 - R^2 of the curve with this power."""
    return float(np.mean((curve(t, y, power).at(t) - y) ** 2) / y.var())


def held_out_errors(t: np.ndarray, paths: np.ndarray, power: float | None = None) -> np.ndarray:
    """Of each path, the mean square by which the curve through the mean of all others misses it
    [seeds].

    A further parameter gains nothing by chance here, and that errors along a path are dependent
    does no harm.

    Args:
        t: [n].
        paths: [seeds, n], two seeds at least.
        power: as in `curve`.
    """
    errors = []
    for place, path in enumerate(paths):
        others = np.delete(paths, place, axis=0).mean(axis=0)
        errors.append(np.mean((curve(t, others, power).at(t) - path) ** 2))
    return np.array(errors)


def log_spaced(t: np.ndarray, count: int) -> np.ndarray:
    """Places of about `count` of t, ascending, evenly spaced in log t."""
    marks = np.geomspace(t[0], t[-1], count)
    places = np.abs(t[None] - marks[:, None]).argmin(axis=1)
    return np.unique(places)
