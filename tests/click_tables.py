"""What the tests of models of clicks share: a table of fields, and weights that are not zero."""

import jax
import numpy as np

from lbexp.inputs import Input

INPUTS = {
    'categorical': Input(
        'categorical', (3,), 'int32', vocabulary=(4, 3, 5), columns=('film', 'user', 'town')
    ),
    'numeric': Input('numeric', (2,), 'float32', columns=('age', 'year')),
}


def numbers(shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def with_noise(module, *arguments):
    """The module's outputs on the arguments, and its parameters, none of which is 0."""
    params = module.init(jax.random.key(0), *arguments)['params']
    leaves, structure = jax.tree.flatten(params)
    leaves = [leaf + numbers(leaf.shape, seed) for seed, leaf in enumerate(leaves)]
    params = jax.tree.unflatten(structure, leaves)
    outputs = module.apply({'params': params}, *arguments)
    return outputs, jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), params)


def table(count=40, seed=0):
    generator = np.random.default_rng(seed)
    ids = [generator.integers(0, size, count) for size in INPUTS['categorical'].vocabulary]
    return {
        'categorical': np.stack(ids, axis=1).astype(np.int32),
        'numeric': generator.standard_normal((count, 2)).astype(np.float32),
        'label': generator.integers(0, 2, count).astype(np.int32),
    }
