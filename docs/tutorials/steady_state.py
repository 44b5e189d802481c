# %% [markdown]
# # Steady-state theory
#
# With a constant learning rate SGD does not come to rest: the noise of its batches keeps the
# weights moving around the optimum. On a quadratic the covariance of that motion is known
# exactly, for SGD, momentum and Lookahead around them. Here theory meets the trainer.

# %%
import numpy as np

import lbexp
from lbexp.theory.fixed_point import fixed_point, within_cycle
from lbexp.theory.process import process
from lbexp.theory.stationary_variance import stationary_variance

# %% [markdown]
# ## One coordinate
#
# With curvature a and gradients a (x - c), where c has variance v = σ² / B around the optimum,
# the variance of the weight is
#
#     V = rate a v / (2 - rate a)
#
# for SGD. `process` writes an optimizer as a linear map, and `fixed_point` finds where its
# covariance comes to rest.

# %%
rate, a, v = 0.5, 1.0, 1.0
plain = fixed_point(process(learning_rate=rate, curvature=a), noise=v)
print('fixed point', float(plain.covariance[0, 0]))
print('closed form', float(stationary_variance(rate, a, v)))

# %% [markdown]
# Lookahead (Zhang et al. 2019, arXiv:1907.08610) goes back by half of the way that k updates
# made. Its slow weights have a lower variance, and within a cycle the fast weights' variance
# rises as a saw-tooth.

# %%
around = process(learning_rate=rate, curvature=a, k=5, slow_step_size=0.5)
rest = fixed_point(around, noise=v)
print('after a synchronisation', float(rest.covariance[0, 0]))
teeth = within_cycle(around, v, rest.covariance, 5)
print('within a cycle', np.asarray(teeth)[:, 0, 0].round(4))

# %% [markdown]
# ## In the trainer
#
# The workload `noisy_quadratic` is that problem, here 1,000 independent copies of it in one
# program, and the probe `stationary_moments` measures the variance over copies and time, with an
# error that knows of autocorrelation.

# %%
sgd_part = dict(name='sgd', learning_rate=rate)
lookahead = dict(name='lookahead', k=5, slow_step_size=0.5, inner=sgd_part)
fields = {
    'workload': dict(name='noisy_quadratic', replicas=1000, start=0.0),
    'batch_size': 1,
    'steps': 1000,
    'num_rows': 1,
}
probe = dict(name='stationary_moments', burn_in=100, population=True)
measured = {}
for name, optimizer, every in (('SGD', sgd_part, 1), ('Lookahead', lookahead, 5)):
    probes = (dict(probe, every=every, prefix='weights'),)
    changed = {'optimizer': optimizer, 'probes': probes}
    result = lbexp.run(fields, changed, workdir=name, figures=[], show=False)
    measured[name] = result.final().iloc[0]

# %%
for name, predicted in (('SGD', plain), ('Lookahead', rest)):
    row = measured[name]
    variance, error = row['weights_variance'], row['weights_variance_error']
    exact = float(predicted.covariance[0, 0])
    print(f'{name}: measured {variance:.4f} +- {error:.4f}, theory {exact:.4f}')
    print(f'  difference {(variance - exact) / error:.2f} standard errors')
    assert abs(variance - exact) < 4 * error

# %% [markdown]
# The experiment `steady_state` does this for 292 variances with momentum, Nesterov, averages and
# real batches ([its result](../results/steady_state.md)), and `network_steady_state` asks how far
# it holds for a network.
