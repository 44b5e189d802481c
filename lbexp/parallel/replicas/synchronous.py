"""Synchronous replicas: gradients are averaged every step, batch norm stays each replica's own."""

import jax.numpy as jnp

from lbexp import optimizers
from lbexp.parallel.replicas import (
    Replicas,
    after_pass,
    at_least_one_worker,
    copies,
    mean,
    size,
)
from lbexp.ranges import PositiveInteger


def synchronous(workers: PositiveInteger) -> Replicas:
    """Every step: g_w = gradient at the common weights on worker w's piece;  w <- optimizer(mean_w
    g_w).

    Weights and optimizer state begin equal (a broadcast from the first replica) and stay so; they
    are kept once. What differs is the model state: each replica normalizes its own piece (the ghost
    batch is the replica's batch) and keeps running statistics of what it has seen. Evaluation uses
    the mean of the replicas' statistics; Horovod's examples save those of replica 0. One all-reduce
    of a gradient per step.

    Args:
        workers: W >= 1; divides the batch size.

    Source: Sergeev and Del Balso 2018, arXiv:1802.05799 (Horovod); Goyal et al. 2017,
        arXiv:1706.02677, section 2.3.
    """
    at_least_one_worker(workers)

    def start(params, model_state, opt_state):
        return params, copies(model_state, workers), opt_state, ()

    def step(tools):
        def run(state, row_step):
            def gradient(model_state, worker):
                return tools.gradient(state.params, model_state, state.tick, worker)

            passes = tools.workers.each(gradient)(state.model_state, tools.workers.here())
            losses, sums, grads, model_state = passes
            # One all-reduce: of the gradients, with the losses beside them.
            grads, loss = tools.workers.mean((grads, losses))
            state = after_pass(state, loss, sums, model_state)
            return tools.update(state, grads, loss, row_step)

        return run

    return Replicas(
        workers,
        pieces=workers,
        by_worker=('model_state', 'metric_sums'),
        start=start,
        step=step,
        deployed=lambda state: (
            optimizers.evaluation_params(state.opt_state, state.params),
            mean(state.model_state),
        ),
        columns=lambda state, optimizer: {'communicated_bytes': jnp.float32(size(state.params))},
    )
