# %% [markdown]
# # The gradient noise scale
#
# How large may a batch be before it stops to pay? The gradient of a batch of B examples is the
# mean gradient G plus noise of covariance Σ / B. Their sizes are equal at
#
#     B_simple = tr Σ / |G|²
#
# (McCandlish et al. 2018, arXiv:1812.06162). Below it an update is mostly noise, and twice the
# batch nearly halves the number of updates; far above it more examples change little. A probe
# measures it inside the compiled loop.

# %%
import numpy as np

import lbexp

# %% [markdown]
# `groups=8` compares the mean gradients of eight pieces of each batch. What is trained stays the
# same to the bit.

# %%
fields = {
    'workload': dict(name='digits_mlp'),
    'optimizer': dict(name='momentum', learning_rate=0.05),
    'probes': (dict(name='gradient_noise_scale', groups=8),),
    'batch_size': 64,
    'epochs': 12.0,
    'num_rows': 4,
}
result = lbexp.run(fields, workdir='noise', figures=[])

# %% [markdown]
# A row has tr Σ and |G|² over the updates since the last row, and their ratio with Fieller's
# interval. Where the gradient is not resolved the interval has no upper end: the noise scale is
# at least `noise_scale_low`.

# %%
columns = ['epoch', 'loss', 'gradient_trace', 'gradient_square', 'noise_scale_low', 'noise_scale']
table = result.table()[[*columns, 'noise_scale_high']]
table.round(3)

# %% [markdown]
# Few rows, so that each has many updates: towards the end the mean gradient is so small beside its
# noise that intervals are wide. Rows differ where their intervals do not overlap.

# %%
result.figure('noise_scale')

# %% [markdown]
# ## What it predicts
#
# With a tuned rate the number of updates to a loss is about
#
#     S(B) = S_min + E_min / B,
#
# a hyperbola whose corner E_min / S_min is the critical batch size: both updates and examples are
# twice their least there. On a quadratic with curvatures 1 / i the fewest updates are an exact
# recursion, so it can be seen without training.

# %%
import jax
import jax.numpy as jnp

from lbexp.theory.critical_batch_size import critical_batch_size
from lbexp.theory.steps_to_target import tuned_steps

batch_sizes = 4.0 ** np.arange(7)
spectrum = 1 / jnp.arange(1.0, 101.0)
for name, momentum in (('SGD', 0.0), ('momentum 0.9', 0.9)):
    fewest = jax.jit(lambda size, m=momentum: tuned_steps(size, momentum=m, spectrum=spectrum)[0])
    steps = [float(fewest(size)) for size in batch_sizes]
    fit = critical_batch_size(batch_sizes, steps)
    print(f'{name}: {steps}, critical batch size {fit.critical:.0f}')

# %% [markdown]
# Momentum extends the range in which a larger batch pays. With real networks the experiments
# [`steps_to_target`](../results/steps_to_target.md) measure the same: a probe gives the scale in
# one run, a study measures what it predicts, with intervals.
