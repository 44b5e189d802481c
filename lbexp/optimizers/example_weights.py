"""Example weights that give a large batch the gradient covariance of a small one."""

from collections.abc import Callable
from functools import partial
from typing import Annotated

import jax
import jax.numpy as jnp
from annotated_types import Gt

from lbexp.ranges import Number, Positive, checked

# of a key and positions [n]: weights [n]
ExampleWeights = Callable[[jax.Array, jax.Array], jax.Array]


@checked
def example_weights(
    matched_batch_size: Positive,
    batch_size: Positive,
    dataset_size: Annotated[Number, Gt(1)] | None = None,
    centred: bool = False,
) -> ExampleWeights:
    """(key, positions) -> z: weights of mean 1 for g = (1/M) sum_n z_n g_n, one backward pass.

    Let G and S be mean and covariance of the example gradients over the N examples of the data, M =
    batch_size and m = matched_batch_size <= M. Batches drawn without replacement have Cov(g) = (S /
    M) (N - M) / (N - 1) at z = 1. Weights of mean 1, drawn apart from the batch, add E[Cov(sum z_n
    g_n | batch)] / M^2. Independent ones add

        (s^2 / M^2) E sum g_n g_n' = (s^2 / M) (S + G G'),

    and the sum reaches the small batch's (S / m) (N - m) / (N - 1), up to G G' s^2 / M, with

        s^2 = (M / m - 1) N / (N - 1)          (with replacement: M / m - 1, as for
        dataset_size=None).

    What is matched is the covariance around the full gradient; the term in G G', along the
    gradient, is over and above, and small where noise dominates. `centred` removes it: z_2j = 1 +
    e_j, z_2j+1 = 1 - e_j, so that the weights of a batch sum to M and a gradient common to all
    passes without noise. A random pair has E (g_a - g_b)(g_a - g_b)' = 2 S N / (N - 1), so the M /
    2 pairs of a batch add (s^2 / M) S N / (N - 1), and the sum equals the small batch's covariance
    exactly with

        s^2 = M / m - 1   for every N.

    **For data drawn with replacement.** Where epochs are reshuffled, the engine's default, a small
    batch's noise adds up to nothing over its epoch, and that of these weights does not: at rest the
    parameters of a linear model vary many times as much as the small batch's (21 times at a rate of
    0.01). There take `balanced_weights`.

    z_n is a function of the key and of the example's position alone, so sharding and microbatching
    cannot change it. Weights are normal, hence negative for some examples. For m >= M they are 1:
    noise cannot be taken away.

    Args:
        matched_batch_size: m [examples per global batch]; may be traced, as all numbers here.
        batch_size: M [examples per global batch].
        dataset_size: N [examples], > 1; None: sampling with replacement (matters for independent
            weights only).
        centred: antithetic pairs; batch_size must be even, so that no pair is cut.

    Returns:
        A function of a key and positions [n] (uint32, unique in the run) to weights [n] (float32).

    Raises:
        ValueError: centred and an odd batch_size, a size out of its range.

    Hoffer, Hubara, Soudry 2017, arXiv:1705.08741, section 4 (s^2 proportional to M).
    """
    if centred and isinstance(batch_size, int) and batch_size % 2:
        raise ValueError(f'batch_size is {batch_size}; centred weights come in pairs: make it even')
    ratio = jnp.asarray(batch_size / matched_batch_size, jnp.float32)
    # N / (N - 1), the correction of a finite set
    finite = 1.0
    if dataset_size is not None and not centred:
        finite = dataset_size / (dataset_size - 1)
    s = jnp.sqrt(jnp.maximum(ratio - 1, 0) * finite)

    @partial(jax.vmap, in_axes=(None, 0))
    def draw(key, position):
        return jax.random.normal(jax.random.fold_in(key, position))

    def weights(key, positions):
        if not centred:
            return 1 + s * draw(key, positions)
        # +1 and -1 in turn: the two of a pair share a draw.
        sign = 1 - 2 * (positions % 2).astype(jnp.float32)
        return 1 + s * sign * draw(key, positions // 2)

    return weights
