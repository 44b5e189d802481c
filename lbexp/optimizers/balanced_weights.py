"""Example weights that give a large batch the gradient noise of a small one where epochs are
reshuffled."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from lbexp.optimizers.example_weights import ExampleWeights
from lbexp.ranges import Number, Positive, checked


@checked
def balanced_weights(
    matched_batch_size: Positive,
    batch_size: Positive,
    dataset_size: Number | None = None,
    indices: Callable[[jax.Array], jax.Array] | None = None,
) -> ExampleWeights:
    """(key, positions) -> z: weights of mean 1 whose noise adds up to nothing over an epoch of the
    small batch.

    With N examples in reshuffled epochs, batches of m use every example once in N / m updates. The
    noise of an update has the covariance (S / m) (N - m) / (N - 1), that of two updates of one
    epoch

        Cov(g_t, g_u) = -S / (N - 1),

    so that an epoch's sum has none. Where rate times curvature is below m / N the weights therefore
    vary far less than with batches drawn afresh. A batch of M = L m takes L epochs of the data for
    as many updates. Each example n gets an epoch c_n of every L, uniformly, and

        z_n = L in epoch c_n, 0 in the L - 1 others:    sum of z_n over L epochs = L,

    whatever n: the noise of L epochs sums to nothing, for any example gradients. The time at which
    an example counts is uniform over the N / m updates, as a reshuffled epoch of small batches has
    it. Each counts with weight L / M = 1 / m, so that, with the examples' mean gradient G and
    chances p = m / N,

        Cov(g_t, g_u) = -N p^2 / m^2 (S + G G') = -(S + G G') / N,    Cov(g_t) = (1 / m) (1 - m / N)
        (S + G G'),

    the small batch's but for terms in 1 / N and those along the full gradient, which is 0 at rest.
    `example_weights`, drawn anew in every epoch, has this covariance of an update and none between
    updates: right for data drawn with replacement, too much noise here.

    Within fewer than L epochs nothing is balanced yet. For m >= M, L = 1 and the weights are 1.

    Args:
        matched_batch_size: m [examples per global batch], > 0; may be traced, as all numbers here.
        batch_size: M [examples per global batch], > 0; L is M / m rounded, at least 1.
        dataset_size: N [examples].
        indices: positions [n] -> which of the N examples stands there; None: they come in stored
            order.

    Returns:
        A function of a key and positions [n] (uint32, unique in the run) to weights [n] (float32).

    Raises:
        ValueError: a size out of its range, or, when called, no dataset_size.

    The noise that is matched: Hoffer, Hubara, Soudry 2017, arXiv:1705.08741, section 4; its
        correlations are ours.
    """
    ratio = jnp.asarray(batch_size / matched_batch_size, jnp.float32)
    epochs = jnp.maximum(jnp.round(ratio), 1)  # L

    def weights(key, positions):
        if dataset_size is None:
            raise ValueError('dataset_size: found None; allowed: examples in an epoch')
        positions = jnp.asarray(positions, jnp.uint32)
        epoch = positions // jnp.asarray(dataset_size, jnp.uint32)
        if indices is None:
            example = positions % jnp.asarray(dataset_size, jnp.uint32)
        else:
            example = indices(positions)
        length = epochs.astype(jnp.uint32)
        cycle = epoch // length
        chosen = jax.vmap(_epoch, (None, 0, 0, None))(key, cycle, example, epochs)
        return jnp.where(epoch % length == chosen, epochs, 0.0)

    return weights


def _epoch(key, cycle, example, epochs):
    """c_n in 0 .. L - 1 of an example in a cycle of L epochs."""
    # Hashed from cycle and example alone: no state, whatever order and sharding are.
    cycle_key = jax.random.fold_in(key, cycle)
    share = jax.random.uniform(jax.random.fold_in(cycle_key, example))
    # share * epochs may round up to epochs.
    return jnp.minimum(jnp.floor(share * epochs), epochs - 1).astype(jnp.uint32)
