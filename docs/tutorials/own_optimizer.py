# %% [markdown]
# # Your own optimizer
#
# An optimizer is a function that returns an optax gradient transformation. In a file that Python
# finds, lbexp trains with it by its name: swept, beside others, and around or inside others.

# %%
import pathlib
import sys

import jax
import jax.numpy as jnp
import optax

import lbexp
from lbexp import optimizers

# %% [markdown]
# Lion (Chen et al. 2023, arXiv:2302.06675) steps by the sign of a momentum:
#
#     u = sign(b1 m + (1 - b1) g);  m <- b2 m + (1 - b2) g;  w <- w - rate (u + decay w)
#
# `learning_rate` arrives as a function of the updates done, also under a constant schedule. Other
# numbers may be traced: the update looks at none of them with a Python `if`, so trials that
# differ in them share one compiled program. Annotations say what a configuration may give.

# %%
SOURCE = '''
from typing import Annotated

import jax
import jax.numpy as jnp
import optax
from annotated_types import Ge, Lt


def lion(
    learning_rate: optax.ScalarOrSchedule,
    b1: Annotated[float, Ge(0), Lt(1)] = 0.9,
    b2: Annotated[float, Ge(0), Lt(1)] = 0.99,
    decay: Annotated[float, Ge(0)] = 0.0,
) -> optax.GradientTransformation:
    """Lion: steps by the sign of a momentum.

    Args:
        learning_rate: length of each coordinate's step.
        b1, b2: decay of what the sign is taken of, and of the momentum.
        decay: of the weights, times the rate.
    """

    def init(params):
        return jnp.zeros((), jnp.int32), jax.tree.map(jnp.zeros_like, params)

    def update(gradients, state, params):
        count, momentum = state
        rate = learning_rate(count) if callable(learning_rate) else learning_rate

        def step(g, m, w):
            return -rate * (jnp.sign(b1 * m + (1 - b1) * g) + decay * w)

        updates = jax.tree.map(step, gradients, momentum, params)
        momentum = jax.tree.map(lambda g, m: b2 * m + (1 - b2) * g, gradients, momentum)
        return updates, (count + 1, momentum)

    return optax.GradientTransformation(init, update)
'''
pathlib.Path('mine.py').write_text(SOURCE)
sys.path.insert(0, '.')  # in a script or at the command line: beside it, or in PYTHONPATH

# %% [markdown]
# Three rates, two seeds: six trials, one program.

# %%
fields = {
    'workload': dict(name='digits_mlp'),
    'optimizer': dict(name='mine:lion', learning_rate=0.003, decay=0.1),
    'schedule': dict(name='cosine', warmup=0.1),
    'batch_size': 128,
    'epochs': 8.0,
}
sweep = [('optimizer.learning_rate', (0.001, 0.003, 0.01)), ('seed', (0, 1))]
lion = lbexp.run(fields, {'sweep': sweep}, workdir='lion', figures=[])

# %%
lion.final()[['optimizer.learning_rate', 'seed', 'test_accuracy']]

# %% [markdown]
# What is out of range, or has another name, is one line before anything runs.

# %%
try:
    lbexp.run(fields, {'optimizer.b1': 1.5})
except lbexp.RunFailed as error:
    print(error)

# %% [markdown]
# Any optimizer can be the inner one of `lookahead`, and `transforms` come before it.

# %%
around = dict(name='lookahead', k=5, inner=fields['optimizer'])
result = lbexp.run(fields, {'optimizer': around}, workdir='around', figures=[])
result.final()[['test_accuracy', 'test_loss']]

# %% [markdown]
# Outside the trainer it is what optax says that it is. lbexp's own optimizers are too: here
# Lookahead around Lion in a bare loop, on a bowl.

# %%
from mine import lion as make_lion

RATE = optax.linear_schedule(0.1, 0.0, 200)
tx = optimizers.lookahead(make_lion(learning_rate=RATE, b2=0.9), k=5)
params = {'w': jnp.array([3.0, -2.0])}
state = tx.init(params)


@jax.jit
def train(params, state):
    gradients = jax.grad(lambda p: 0.5 * jnp.sum(p['w'] ** 2))(params)
    updates, state = tx.update(gradients, state, params)
    return optax.apply_updates(params, updates), state


for _ in range(200):
    params, state = train(params, state)
print(params['w'], optimizers.evaluation_params(state, params)['w'])
