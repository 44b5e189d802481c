"""What curvature is measured of: a small network on the digits, quadratics of known spectrum."""

import jax
import jax.numpy as jnp
import numpy as np

from lbexp.data.load import load


def logits(params, examples):
    hidden = jnp.tanh(examples['x'] @ params['first']['kernel'] + params['first']['bias'][None])
    return hidden @ params['last']['kernel'] + params['last']['bias'][None]


def losses(params, examples):
    log_p = jax.nn.log_softmax(logits(params, examples))
    return -jnp.take_along_axis(log_p, examples['label'][:, None], axis=1)[:, 0]


def tanh_network(key, widths=(64, 16, 10)):
    inputs, hidden, outputs = widths
    first, last = jax.random.split(jax.random.key(key))
    return {
        'first': {
            'kernel': jax.random.normal(first, (inputs, hidden)) / np.sqrt(inputs),
            'bias': jnp.zeros(hidden),
        },
        'last': {
            'kernel': jax.random.normal(last, (hidden, outputs)) / np.sqrt(hidden),
            'bias': jnp.zeros(outputs),
        },
    }


def digits(count):
    stored = load('digits', 'train')
    images = stored['image'][:count].reshape(count, -1)
    return {
        'x': jnp.asarray(images, jnp.float32) / 16,
        'label': jnp.asarray(stored['label'][:count]),
    }


def quadratic(values, key=0):
    """(product, like) with these eigenvalues in a random basis, over a tree of two leaves."""
    size = len(values)
    basis, _ = np.linalg.qr(np.random.default_rng(key).normal(size=(size, size)))
    matrix = jnp.asarray(basis @ np.diag(values) @ basis.T, jnp.float32)
    like = {'a': jnp.zeros(3), 'b': jnp.zeros(((size - 3) // 2, 2))}

    def product(vector):
        flat = jnp.concatenate([vector['a'], vector['b'].ravel()])
        image = jnp.dot(matrix, flat, precision='highest')
        return {'a': image[:3], 'b': image[3:].reshape(-1, 2)}

    return product, like
