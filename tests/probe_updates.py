"""What a probe is shown in tests, without an engine."""

import jax.numpy as jnp

from lbexp.probes import UpdateInfo


def update_info(step, params, *, grads=None, updates=None, rate=0.1, opt_state=(), is_row=False):
    """An update; gradients and updates are the parameters where they do not matter."""
    return UpdateInfo(
        step=jnp.asarray(step),
        loss=jnp.zeros(()),
        grads=params if grads is None else grads,
        updates=params if updates is None else updates,
        params=params,
        opt_state=opt_state,
        learning_rate=jnp.asarray(rate),
        logging=jnp.asarray(is_row),
    )
