"""Steps to target against a plain loop over updates in NumPy; the papers' claims on the full
model."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lbexp.theory.steps_to_target import steps_to_target, tuned_steps


@pytest.fixture(autouse=True, scope='module')
def x64():
    with jax.enable_x64(True):
        yield


D = 6
A = 1 / np.arange(1, D + 1)


def by_loop(
    batch_size, rate, target, momentum=0.0, k=None, slow_step_size=0.5, ema_decay=None, power=0.0
):
    """Expected loss update by update, second moments of (x, m, s, y) per coordinate; steps until
    the target."""
    moments = [np.outer(weights, weights) for weights in [np.array([1.0, 0, 1, 0])] * D]
    loss, t = np.inf, 0
    while loss > target and t < 2000:
        t, loss = t + 1, 0.0
        for i, a in enumerate(A):
            # x <- x - rate a^-p m, m <- beta m + a x + gradient noise of variance a / B
            step = np.array(
                [
                    [1 - rate * a ** (1 - power), -rate * a**-power * momentum, 0, 0],
                    [a, momentum, 0, 0],
                ]
            )
            step = np.concatenate([step, [[0, 0, 1, 0], [0, 0, 0, 1]]])
            kick = np.array([-rate * a**-power, 1, 0, 0])
            after = np.eye(4)
            if k and t % k == 0:
                after[0] = after[2] = [slow_step_size, 0, 1 - slow_step_size, 0]
            if ema_decay is not None:
                after = (
                    np.array(
                        [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [1 - ema_decay, 0, 0, ema_decay]]
                    )
                    @ after
                )
            step, kick = after @ step, after @ kick
            moments[i] = step @ moments[i] @ step.T + a / batch_size * np.outer(kick, kick)
            seen = 3 if ema_decay is not None else 2 if k else 0
            weight = 1 - ema_decay**t if ema_decay is not None else 1
            loss += a * moments[i][seen, seen] / weight**2 / 2
    return t if loss <= target else np.inf


CASES = [
    dict(),
    dict(momentum=0.5),
    dict(ema_decay=0.8),
    dict(k=4, slow_step_size=0.6),
    dict(power=0.5),
    dict(power=1.0, momentum=0.3),
]


@pytest.mark.parametrize('case', CASES, ids=str)
def test_steps_are_those_of_the_loop(case):
    found = jax.jit(lambda b, g: steps_to_target(b, g, target=0.1, spectrum=A, **case))
    for batch_size, rate in ((20.0, 0.2), (200.0, 0.4), (1.0, 0.5)):
        assert found(batch_size, rate) == by_loop(batch_size, rate, 0.1, **case)


@pytest.mark.long
def test_unreachable_unstable_and_already_there():
    def f(b, g, target):
        return steps_to_target(b, g, target=target, spectrum=A)

    assert np.isinf(f(1.0, 1.0, 0.01))  # noise floor about 0.8
    assert np.isinf(f(1e9, 2.1, 0.01))  # unstable
    assert f(1.0, 0.1, 10.0) == 0
    with pytest.raises(ValueError, match='batch_size: found 0'):
        f(0, 0.1, 0.01)
    with pytest.raises(ValueError, match=r'spectrum: found -1.0'):
        steps_to_target(1, 0.1, spectrum=np.array([1.0, -1.0]))


def test_tuning_finds_the_best_learning_rate():
    tuned = jax.jit(lambda b: tuned_steps(b, spectrum=A, target=0.02))
    steps = jax.jit(
        jax.vmap(lambda g, b: steps_to_target(b, g, spectrum=A, target=0.02), in_axes=(0, None))
    )
    rates = np.geomspace(1e-3, 1.99, 800)
    for batch_size in (4.0, 64.0, 1e5):
        fewest, rate = tuned(batch_size)
        grid = np.asarray(steps(rates, batch_size))
        assert fewest <= 1.02 * grid.min() + 1
        assert steps(rate[None], batch_size)[0] == fewest


@pytest.mark.long
def test_claims_on_a_model_of_500_coordinates():
    """Momentum is SGD at small batches and goes on at large ones; preconditioning further; averages
    help at small."""
    spectrum = 1 / np.arange(1, 501.0)

    def best(**given):
        return jax.jit(
            lambda b: jax.lax.map(lambda one: tuned_steps(one, spectrum=spectrum, **given)[0], b)
        )(jnp.array([4.0, 1e5]))

    sgd, momentum = (np.asarray(x) for x in (best(), best(momentum=0.9)))
    ema, preconditioned = (np.asarray(x) for x in (best(ema_decay=0.99), best(power=0.5)))
    np.testing.assert_allclose(momentum[0], sgd[0], rtol=0.02)
    assert momentum[1] < 0.3 * sgd[1]
    assert preconditioned[1] < 0.5 * momentum[1]
    assert ema[0] < 0.95 * sgd[0]
    assert ema[1] > 0.95 * sgd[1]
