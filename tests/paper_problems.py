"""Problems on which an optimizer is compared with the transcription of its paper."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import optax
from reference import optimizers as reference

STEPS = 50


def network():
    """Weights 12-10-6-3, biases 0, and their gradients on random data: (weights, t ->
    gradients)."""
    draw = np.random.default_rng(0)
    sizes = (12, 10, 6, 3)
    weights = {}
    for i, (rows, columns) in enumerate(itertools.pairwise(sizes)):
        weights[f'w{i}'] = draw.standard_normal((rows, columns)) / np.sqrt(rows)
        weights[f'b{i}'] = np.zeros(columns)

    def gradients(weights, t):
        draw = np.random.default_rng((1, t))
        x, hidden = draw.standard_normal((16, 12)), []
        for i in range(3):
            hidden.append(x)
            x = x @ weights[f'w{i}'] + weights[f'b{i}']
            x = np.tanh(x) if i < 2 else x
        back, found = (x - draw.standard_normal((16, 3))) / 16, {}
        for i in (2, 1, 0):
            found |= {f'w{i}': hidden[i].T @ back, f'b{i}': back.sum(0)}
            back = (back @ weights[f'w{i}'].T) * (1 - hidden[i] ** 2)
        return found

    return weights, gradients


def edge(largest=1e20):
    """Zeros and extremes, and gradients that do not depend on the weights.

    (Not 1e20 weights with 1e-20 gradients: LARS's ratio of the two has no float32.)
    """
    draw = np.random.default_rng(2)
    scales = {
        'zero weights': (0.0, 1.0),
        'zero gradients': (1.0, 0.0),
        'both zero': (0.0, 0.0),
        'tiny': (1e-20, 1e-20),
        'huge': (1e20, largest),
        'tiny weights': (1e-20, 1.0),
        'huge weights': (1e20, 1.0),
        'tiny gradients': (1.0, 1e-20),
        'huge gradients': (1.0, largest),
        'apart': (1e15, 1e-20),
    }
    weights = {name: w * draw.standard_normal((5, 4)) for name, (w, _) in scales.items()}

    def gradients(weights, t):
        draw = np.random.default_rng((3, t))
        return {name: scales[name][1] * (0.5 + draw.standard_normal((5, 4))) for name in weights}

    return weights, gradients


def compared(case, problem, dtype, tx=None):
    """Largest relative difference over steps and tensors, and the relative distance walked.

    The reference runs on its own gradients, rounded to `dtype`; the optimizer is given the same
    ones.
    """
    weights, slope = problem

    def rounded(tree):
        return {name: np.asarray(x, dtype) for name, x in tree.items()}

    weights, given, seen = rounded(weights), [], []
    state = {name: {} for name in weights}
    now = {name: w.astype(np.float64) for name, w in weights.items()}
    for t in range(STEPS):
        given.append(rounded(slope(now, t)))
        exact = case.before({name: g.astype(np.float64) for name, g in given[-1].items()})
        now = {
            n: case.paper(w, exact[n], state[n], t, case.decay(w), case.adapt(w))
            for n, w in now.items()
        }
        seen.append(now)

    with jax.enable_x64(dtype == 'float64'):
        walked = trained(case.ours() if tx is None else tx(), weights, given)
    differences, distances = [], []
    for name, start in weights.items():
        # Weights that cross zero are compared to the largest they were so far.
        scale = reference.norm(start)
        for t, expected in enumerate(seen):
            scale = max(scale, reference.norm(expected[name]))
            apart = reference.norm(np.asarray(walked[name][t], np.float64) - expected[name])
            differences.append(apart / scale if scale > 0 else apart)
        distances.append(reference.norm(seen[-1][name] - start) / max(scale, 1e-300))
    return max(differences), min(distances)


def trained(tx, weights, given):
    """Weights after every step, {name: [steps, ...]}, in one scan."""

    def step(carry, slope):
        params, state = carry
        updates, state = tx.update(slope, state, params)
        params = optax.apply_updates(params, updates)
        return (params, state), params

    params = jax.tree.map(jnp.asarray, weights)
    slopes = jax.tree.map(lambda *each: jnp.stack(each), *given)
    return jax.jit(lambda p, g: jax.lax.scan(step, (p, tx.init(p)), g)[1])(params, slopes)
