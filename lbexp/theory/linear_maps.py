"""Linear maps I + A known by their change A: what is slow, and so close to I, keeps every digit of
its gap."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from lbexp.shapes import (
    Chosen,
    Flag,
    LeftFactor,
    LinearMap,
    MappedMatrix,
    MappedVector,
    Matrix,
    Product,
    RightFactor,
    Scalar,
    StackOfMatrices,
    Vector,
    VectorOrColumns,
)

_SQUARINGS = 1100  # more than there are powers of two in a float64


class Rest(NamedTuple):
    """x = (I + A) x + q, solved."""

    value: Vector | Matrix  # x, of the shape of q
    # logarithm of the spectral radius of I + A, with relative accuracy; where settled
    log_radius: Scalar
    settled: Flag  # I + A contracts, and x is known to better than 1e-3


def product(a: LeftFactor, b: RightFactor) -> Product:
    """Matrix product of small matrices: sums of elementwise products, exact in float32 on every
    platform."""
    return jnp.sum(a[..., :, :, None] * b[..., None, :, :], axis=-2)


def compose(later: StackOfMatrices, earlier: StackOfMatrices) -> StackOfMatrices:
    """The change of (I + later)(I + earlier): sums of small terms stay sums of small terms.

    What `later` sets to 0 is 0, not what rounding leaves of it.
    """
    minus_identity = -jnp.eye(later.shape[-1], dtype=later.dtype)
    cleared = jnp.all(later == minus_identity, axis=-1, keepdims=True)
    return jnp.where(cleared, minus_identity, earlier + later + product(later, earlier))


def moved(change: Matrix, vectors: VectorOrColumns) -> VectorOrColumns:
    """(I + change) vectors, for one vector [n] or columns [n, m]."""
    if vectors.ndim == 1:
        return vectors + of_vector(change, vectors)
    return vectors + product(change, vectors)


def of_vector(matrix: LinearMap, vector: Vector) -> MappedVector:
    """matrix vector, summed like `product`."""
    return jnp.sum(matrix * vector[None, :], axis=-1)


def around(matrix: LinearMap, covariance: Matrix) -> MappedMatrix:
    """matrix covariance matrix^T."""
    return product(product(matrix, covariance), matrix.T)


def outer(vector: Vector) -> Matrix:
    """vector vector^T."""
    return vector[:, None] * vector[None, :]


def covariance_change(change: StackOfMatrices, covariance: StackOfMatrices) -> StackOfMatrices:
    """(I + A) S (I + A)^T - S = A S + (S + A S) A^T; (A S)^T for S A^T would double what rounding
    makes asymmetric."""
    left = product(change, covariance)
    return left + product(covariance + left, jnp.swapaxes(change, -1, -2))


def next_power(change: Matrix, power: Matrix) -> tuple[Matrix, Matrix]:
    """(change, I + change) of (I + A)^2: far from I it is the power itself that must keep its
    digits."""
    identity = jnp.eye(change.shape[-1], dtype=change.dtype)
    row_sums = jnp.sum(jnp.abs(power), axis=1)
    small = jnp.max(row_sums) < 0.5
    # (I + A)^2 - I = A (A + 2 I): accurate at eigenvalues of I + A close to 1, and close to -1
    further = product(change, change + 2 * identity)
    power = jnp.where(small, product(power, power), identity + further)
    change = jnp.where(small, power - identity, further)
    return change, power


def rest_of_covariance(change: Matrix, spread: Matrix) -> Rest:
    """S = (I + A) S (I + A)^T + spread, by doubling: S_2T = S_T + (I + A)^T-th power around S_T."""

    def residual(value):
        return spread + covariance_change(change, value)

    return _rest(change, spread, around, residual, jnp.diagonal)


def rest_of_vector(change: Matrix, push: Vector, judged: Chosen) -> Rest:
    """x = (I + A) x + push, by doubling likewise; `judged` [n] bool: the entries, > 0, whose
    accuracy counts."""

    def residual(value):
        return push + of_vector(change, value)

    def sizes(value):
        return jnp.where(judged, value, 0.0)

    return _rest(change, push, of_vector, residual, sizes)


@jax.jit
def spectral_radius(matrix: Matrix) -> Scalar:
    """Largest absolute eigenvalue, by repeated squaring: lim |M^p|^(1/p), p = 2^48 (Gelfand).

    Needs no eigensolver, so it runs on every platform, and keeps its accuracy at defective matrices
    (critical damping), where an eigensolver has half the digits.
    """

    def square(carry, weight):
        matrix, log_radius = carry
        # Divided by its size, a power neither vanishes nor overflows; the sizes' logarithms add up.
        size = jnp.sqrt(jnp.sum(matrix**2))
        scaled = matrix / jnp.where(size > 0, size, 1.0)
        power = product(scaled, scaled)
        return (power, log_radius + weight * jnp.log(size)), None

    weights = 0.5 ** jnp.arange(48, dtype=matrix.dtype)
    start = (matrix, jnp.zeros((), matrix.dtype))
    (_, log_radius), _ = jax.lax.scan(square, start, weights)
    return jnp.exp(log_radius)


def _rest(change, push, carried, residual, sizes):
    """Doubling, then one step of refinement, whose size says how much the doubling was worth.

    Args:
        carried: (power, value) -> the power of I + A applied to the value.
        residual: value -> what I + A and the push still add to it.
        sizes: value -> the entries by whose relative error the result is judged.
    """
    identity = jnp.eye(change.shape[0], dtype=change.dtype)
    power, value, count, last = _doubled(change, push, carried, sizes)
    contracts = jnp.max(jnp.abs(power)) <= _died_away(change)
    value = jnp.where(contracts, value, 0.0)

    def double(_, carry):
        change, power, value = carry
        next_change, next_matrix = next_power(change, power)
        return next_change, next_matrix, value + carried(power, value)

    safe = jnp.where(contracts, change, -identity)
    count = jnp.where(contracts, count, 0)
    start = (safe, identity + safe, residual(value))
    _, _, correction = jax.lax.fori_loop(0, count, double, start)
    tolerance = 1e-3 * sizes(value) + jnp.finfo(change.dtype).tiny
    correct = jnp.all(jnp.abs(sizes(correction)) <= tolerance)
    seen, exponent = last
    # The radius of a power 2^exponent, whose logarithm is so many times that of I + A.
    log_radius = jnp.log(spectral_radius(seen)) * jnp.exp2(-exponent.astype(change.dtype))
    return Rest(value + correction, log_radius, contracts & correct)


def _doubled(change, push, carried, sizes):
    """(last power of I + A, sum of the powers around the push, doublings, (a power, its
    exponent)): the latter before it had died away."""
    matrix = jnp.eye(change.shape[0], dtype=change.dtype) + change

    def goes_on(carry):
        _, power, value, count, _ = carry
        size = jnp.max(jnp.abs(power))
        is_left = (size > _died_away(change)) & jnp.isfinite(size)
        return is_left & jnp.all(jnp.isfinite(value)) & (count < _SQUARINGS)

    def double(carry):
        change, power, value, count, (seen, exponent) = carry
        further = carried(power, value)
        size = sizes(value)
        is_positive = size > 0
        growth = sizes(further) / jnp.where(is_positive, size, 1)
        growth = jnp.max(jnp.where(is_positive, growth, 0))
        # The last power that has not died away yet tells the radius best.
        slow = growth > 1 / 16
        last = jnp.where(slow, power, seen), jnp.where(slow, count, exponent)
        next_change, next_matrix = next_power(change, power)
        return next_change, next_matrix, value + further, count + 1, last

    zero = jnp.zeros((), jnp.int32)
    start = (change, matrix, push, zero, (matrix, zero))
    _, power, value, count, last = jax.lax.while_loop(goes_on, double, start)
    return power, value, count, last


def _died_away(change):
    """The size below which a power of I + A adds nothing to what it is added to."""
    return jnp.finfo(change.dtype).eps / 64
