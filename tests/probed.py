"""What the tests of probes share: what a probe is shown, and series with a known correlation."""

import jax
import jax.numpy as jnp
import numpy as np

from lbexp.probes import UpdateInfo


def info(step, params, loss=0.0, opt_state=()):
    zero = jnp.zeros(())
    return UpdateInfo(
        jnp.asarray(step),
        jnp.asarray(loss),
        params,
        params,
        params,
        opt_state,
        zero,
        jnp.zeros((), bool),
    )


def watch(probe, series, losses=None):
    """Summary after the probe has seen params `series` (pytree of [T, ...]) at steps 1 .. T."""
    losses = jnp.zeros(jax.tree.leaves(series)[0].shape[0]) if losses is None else losses
    first = info(0, jax.tree.map(lambda x: x[0], series), losses[0])

    def run(series, losses):
        def look(carry, seen):
            state, step = carry
            state = probe.update(state, info(step, *seen))
            return (state, step + 1), None

        return jax.lax.scan(look, (probe.init(first), 1), (series, losses))[0][0]

    return jax.jit(lambda *seen: probe.summary(run(*seen)))(series, losses)


def ar1(r, length, shape, seed=0, scale=1.0):
    generator = np.random.default_rng(seed)
    x, seen = generator.standard_normal(shape), []
    for _ in range(length):
        x = r * x + np.sqrt(1 - r**2) * generator.standard_normal(shape)
        seen.append(scale * x)
    return np.asarray(seen, 'f4')
