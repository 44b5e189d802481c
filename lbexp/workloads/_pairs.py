"""What is computed of pairs of vectors, two of each example: how close each pair is, and how it
stands among the others."""

import jax
import jax.numpy as jnp

from lbexp.shapes import Numbers, Pairs, Scalar

_SMALLEST = 1e-24  # squared length below which a vector is not made one of length 1


def unit(pairs: Pairs) -> Pairs:
    """Each vector divided by its length; one of nearly no length stays so, with a gradient."""
    squared = (pairs**2).sum(axis=-1, keepdims=True)
    return pairs * jax.lax.rsqrt(jnp.maximum(squared, _SMALLEST))


def nt_xent(units: Pairs, temperature: Scalar) -> tuple[Numbers, Numbers]:
    """The loss of each example among the others, and whether its vectors find each other.

        l(i, j) = -log(exp(z_i . z_j / tau) / sum_{k != i} exp(z_i . z_k / tau))  [nats]
        loss_n = (l(n1, n2) + l(n2, n1)) / 2

    over all 2 n vectors z (NT-Xent: Chen et al. 2020, arXiv:2002.05709, equation 1). One example
    alone has loss 0; a large tau gives log(2 n - 1), the loss of vectors that say nothing.

    Args:
        units: vectors of length 1.
        temperature: tau > 0.

    Returns:
        losses, and the share (0, 1/2 or 1) of an example's two vectors to which the other is the
        most similar of all.
    """
    count = 2 * len(units)
    vectors = units.reshape(count, -1)
    # TF32 would leave three digits of what the temperature then multiplies
    similarity = jnp.matmul(vectors, vectors.T, precision='highest') * (1 / temperature)
    similarity = jnp.where(jnp.eye(count, dtype=bool), -jnp.inf, similarity)
    places = jnp.arange(count)
    partner = places ^ 1
    losses = jax.nn.logsumexp(similarity, axis=1) - similarity[places, partner]
    finds = (similarity.argmax(axis=1) == partner).astype(jnp.float32)
    return losses.reshape(-1, 2).mean(axis=1), finds.reshape(-1, 2).mean(axis=1)


def squared_distances(units: Pairs) -> Numbers:
    """|z_n1 - z_n2|^2, in 0 .. 4: its mean is the alignment loss (Wang and Isola 2020,
    arXiv:2005.10242, section 4.1, alpha = 2)."""
    return ((units[:, 0] - units[:, 1]) ** 2).sum(axis=-1)


def mean_potential(units: Pairs) -> Scalar:
    """Mean of exp(-2 |z_i1 - z_j1|^2) over i != j: its logarithm is the uniformity loss (Wang and
    Isola 2020, section 4.1, t = 2), about -4 where vectors of many dimensions lie everywhere
    alike, 0 where all are one. NaN of one example."""
    count = len(units)
    cosines = jnp.matmul(units[:, 0], units[:, 0].T, precision='highest')
    potentials = jnp.exp(-2 * (2 - 2 * cosines))
    is_other = ~jnp.eye(count, dtype=bool)
    return jnp.where(is_other, potentials, 0).sum() / (count * (count - 1))
