"""An optimizer that keeps the row counts it is given, 'counting:counting' in a configuration."""

import jax.numpy as jnp
import optax

TABLE = 'vectors/categories'


def counting(
    learning_rate: optax.ScalarOrSchedule, tables: str
) -> optax.GradientTransformationExtraArgs:
    """SGD at a rate of 0, whose state is the counts of the last update, and their sum over all."""
    del learning_rate, tables

    def init(params):
        rows = len(params['vectors']['categories'])
        return jnp.zeros(rows, jnp.int32), jnp.zeros(rows, jnp.int32)

    def update(updates, state, params=None, *, row_counts, **extra):
        del params, extra
        counts = row_counts[TABLE]
        return optax.tree.zeros_like(updates), (counts, state[1] + counts)

    return optax.GradientTransformationExtraArgs(init, update)
