"""What a trial carries from one microbatch to the next."""

from typing import Any, NamedTuple

import jax
import numpy as np

# Purposes of a trial's random streams: root key -> fold_in(purpose) -> fold_in(tick).
INIT, MODEL, WEIGHTS, PROBE = range(4)


class TrialState(NamedTuple):
    """Everything that a trial's future depends on, beside its numbers: what a checkpoint holds.

    Of a trial with replicas, the fields in which its workers differ hold arrays over the workers,
    first axis.
    """

    tick: Any  # int32, microbatches consumed
    step: Any  # int32, optimizer updates done
    params: Any
    model_state: Any  # batch-norm statistics and the like
    opt_state: Any
    replicas: Any  # of workers that differ: slow weights, or a server's clock; () without
    # sums of gradients and losses of the microbatches since the last update; () where every
    # microbatch is one
    accumulated: Any
    # sums over the training examples since the last row: {'examples': n, 'loss': ..., ...}
    metric_sums: Any
    probes: tuple  # state of each probe
    diverged: Any  # bool: the loss was not finite. The trial stands still from then on.
    # for each probe sums over the groups of examples since the last update; (): no probe asks
    groups: tuple = ()
    # parameters that do not train: a tree like the model's, None in place of what `params` has; ():
    # all of them train
    frozen: Any = ()


def stream_key(seed: Any, purpose: int) -> jax.Array:
    """The key of one of a trial's random streams."""
    return jax.random.fold_in(jax.random.key(seed), purpose)


def finite(params: Any) -> np.ndarray:
    """By trial, whether its parameters [trials, ...] are numbers. The loss of the last update does
    not tell: it is that before it."""
    of_leaves = []
    for leaf in jax.tree.leaves(params):
        if jax.numpy.issubdtype(leaf.dtype, jax.numpy.inexact):
            by_trial = np.isfinite(leaf).reshape(len(leaf), -1)
            of_leaves.append(by_trial.all(axis=-1))
    return np.all(of_leaves, axis=0)
