"""What a workload measures of a set, without looking at an example."""

import functools

import jax
import jax.numpy as jnp

from lbexp.data.source import Source
from lbexp.workloads import Workload


def metric_names(workload: Workload, source: Source) -> list[str]:
    """The metrics of an evaluation of `source` without a prefix, 'accuracy', 'loss', 'auc': means,
    then those of the whole set.

    Shapes alone are traced; nothing is read or computed.
    """
    params, model_state = jax.eval_shape(workload.init, jax.eval_shape(jax.random.key, 0))
    position = jax.ShapeDtypeStruct((1,), jnp.int32)
    examples = jax.eval_shape(functools.partial(source.read, source.arrays), position)
    names = list(jax.eval_shape(workload.metrics, params, model_state, examples))
    if workload.set_metrics is not None:
        outputs = jax.eval_shape(workload.set_metrics.outputs, params, model_state, examples)
        names += jax.eval_shape(workload.set_metrics.summary, outputs)
    return names
