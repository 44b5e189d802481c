"""The density of a symmetric product's eigenvalues, by stochastic Lanczos quadrature."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from lbexp.curvature.lanczos import ritz, tridiagonal
from lbexp.shapes import DensityPoints, NodesOfProbes, Params, RandomKey


class Quadrature(NamedTuple):
    """The measure sum_i weights_i delta(x - nodes_i) of each random vector."""

    nodes: NodesOfProbes
    weights: NodesOfProbes  # of a probe they add up to 1


class Density(NamedTuple):
    """Smoothed, at some points of the axis t = asinh(x / linear)."""

    value: DensityPoints  # eigenvalues, as a share of all, per unit of t
    standard_error: DensityPoints  # over probes


def quadrature(
    product: Callable, like: Params, key: RandomKey, steps: int, probes: int
) -> Quadrature:
    """Nodes theta_i and weights s_1i^2 of Lanczos from random vectors (Golub and Welsch 1969;
    Ghorbani, Krishnan, Xiao 2019, arXiv:1901.10159, algorithm 1).

        1/n sum_k f(lambda_k) = E sum_i s_1i^2 f(theta_i),   exact for polynomials below degree 2 m

    It is for the bulk, and for what is no finer than about the range of the eigenvalues over the
    steps: in a smaller neighbourhood of 0 all of them look alike. The mass of an outlier of k
    eigenvalues has a relative standard deviation of sqrt(2 / k) with one probe: outliers come from
    `lanczos.extremes`, and are not counted here.

    Cost: steps x probes products, memory of `lanczos.tridiagonal`.
    """

    def one_probe(key):
        pairs = ritz(tridiagonal(product, like, key, steps))
        return Quadrature(pairs.values, pairs.weights)

    return jax.lax.map(one_probe, jax.random.split(key, probes))


def density(measure: Quadrature, points: DensityPoints, width: Any, linear: Any) -> Density:
    """The density at `points`, smoothed by a Gaussian on the axis t = asinh(x / linear), which is
    linear about 0 and logarithmic beyond `linear` on both sides.

    Args:
        points: eigenvalues x, where it is asked for.
        width: standard deviation of the Gaussian, in units of t; say it with the figure.
        linear: > 0 [units of x]; the range over the steps, or more.

    Returns:
        The mean over probes and its standard error, NaN with one probe.
    """
    scale = 1 / linear
    places = jnp.arcsinh(measure.nodes * scale)
    at = jnp.arcsinh(points * scale)
    apart = (at[None, None] - places[..., None]) * (1 / width)
    kernel = jnp.exp(-(apart**2) / 2) * (1 / (width * jnp.sqrt(2 * jnp.pi)))
    of_probes = jnp.sum(measure.weights[..., None] * kernel, axis=1)
    count = len(of_probes)
    error = jnp.full_like(of_probes[0], jnp.nan)
    if count > 1:
        error = of_probes.std(axis=0, ddof=1) * (1 / jnp.sqrt(count))
    return Density(of_probes.mean(axis=0), error)
