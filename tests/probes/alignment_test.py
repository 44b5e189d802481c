"""Cosines of updates against NumPy, and those of halves against halves that were made."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from probe_updates import update_info
from training import tiny, train

from lbexp import noise_scale
from lbexp.probes import GradientNoise
from lbexp.probes.alignment import alignment

pytestmark = pytest.mark.usefixtures('shared_programs')


def cosine(a, b):
    return a @ b / np.linalg.norm(a) / np.linalg.norm(b)


def test_successive_updates_and_the_gradient():
    generator = np.random.default_rng(0)
    updates, gradients = generator.standard_normal((2, 9, 5)) + 1
    part = alignment()
    state = part.init(update_info(0, {'w': jnp.zeros(5)}))
    for t in range(9):
        info = update_info(
            t + 1, {'w': jnp.zeros(5)}, updates={'w': jnp.asarray(updates[t], 'float32')},
            grads={'w': jnp.asarray(gradients[t], 'float32')}, is_row=t == 8,
        )  # fmt: skip
        state = part.update(state, info)
    row = part.summary(state)
    successive = [cosine(updates[t], updates[t - 1]) for t in range(1, 9)]
    descent = [-cosine(updates[t], gradients[t]) for t in range(1, 9)]
    np.testing.assert_allclose(row['alignment_updates'], np.mean(successive), rtol=1e-5)
    np.testing.assert_allclose(row['alignment_gradient'], np.mean(descent), rtol=1e-5)
    error = np.std(successive, ddof=1) / np.sqrt(8)
    np.testing.assert_allclose(row['alignment_updates_error'], error, rtol=1e-4)
    assert 'alignment_halves' not in row


def test_halves_are_what_two_halves_of_the_batch_have():
    """4,000 batches of 8 groups of 4 examples, cut into halves by hand."""
    generator = np.random.default_rng(1)
    groups = 0.1 + generator.standard_normal((4000, 8, 6)) / 2  # standard deviation 1 / sqrt(4)
    first, second = groups[:, :4].mean(1), groups[:, 4:].mean(1)
    signal = (first * second).sum(1).mean()
    square = ((first**2).sum(1) + (second**2).sum(1)).mean() / 2
    of_groups, of_mean = (groups**2).sum(-1).mean(1), (groups.mean(1) ** 2).sum(-1)
    traces = noise_scale.trace(of_groups, of_mean, 4, 8)
    squares = noise_scale.square(of_mean, traces, 32)
    part = alignment(groups=8)
    state = part.init(update_info(0, {'w': jnp.zeros(6)}))

    def look(state, seen):
        step, trace, square = seen
        info = update_info(step, {'w': jnp.ones(6)})
        noise = GradientNoise(trace, square, jnp.asarray(32.0))
        return part.update(state, info._replace(noise=noise)), None

    seen = (jnp.arange(1, 4001), jnp.asarray(traces, 'float32'), jnp.asarray(squares, 'float32'))
    row = part.summary(jax.jit(lambda *run: jax.lax.scan(look, *run)[0])(state, seen))
    truth = 0.06 / (0.06 + 6 / 16)
    assert row['alignment_halves_low'] < truth < row['alignment_halves_high']
    assert row['alignment_halves_low'] < signal / square < row['alignment_halves_high']
    assert row['alignment_halves_high'] - row['alignment_halves_low'] < 0.03


@pytest.mark.long
def test_in_training_it_agrees_with_the_noise_scale(tmp_path):
    """1 / (1 + 2 B_simple / M), also of the ends of the interval. Updates of momentum share their
    past; those of gradient descent are descent. What is trained stays."""
    probes = (dict(name='alignment', groups=1), dict(name='gradient_noise_scale'))
    fields = dict(steps=240, num_rows=6)
    plain = train(tiny(microbatch=4, **fields), tmp_path / 'plain')
    rows = train(tiny(microbatch=4, **fields, probes=probes), tmp_path / 'momentum')
    for row, of_plain in zip(rows, plain, strict=True):
        assert of_plain.items() <= row.items()
    for row in rows[1:]:  # the first update has none before it
        ends = {'': row['noise_scale'], '_high': row['noise_scale_low']}
        ends['_low'] = row['noise_scale_high'] if row['noise_scale_resolved'] else np.inf
        for end, scale in ends.items():
            expected = 1 / (1 + 2 * scale / 16)
            np.testing.assert_allclose(row[f'alignment_halves{end}'], expected, rtol=1e-3)
        assert row['alignment_updates'] > 0.2 and row['alignment_updates_error'] > 0
    descent = tiny(optimizer=dict(name='sgd', learning_rate=0.05), probes=(dict(name='alignment'),))
    for row in train(descent, tmp_path / 'descent'):
        np.testing.assert_allclose(row['alignment_gradient'], 1, rtol=1e-5)
