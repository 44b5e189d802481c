"""What optax's optimizers do and what these do, in numbers: low precision and its range."""

import jax.numpy as jnp
import numpy as np
import optax
import pytest
from layerwise import length, normal, updates

from lbexp import optimizers


@pytest.mark.parametrize(
    ('dtype', 'weight', 'gradient', 'ratio_of_optax'),
    [
        # |w| = 316.2 and |g| = 0.3162: squares of 300 and sums of 1e5 ones have no float16.
        (jnp.float16, 1.0, 1e-3, np.inf),
        (jnp.float32, 1e-25, 1e-25, 1.0),
        (jnp.float32, 1e-25, 1.0, 1.0),
    ],
)
def test_norms_that_leave_the_range_of_their_dtype(dtype, weight, gradient, ratio_of_optax):
    w, slope = jnp.full((500, 200), weight, dtype), jnp.full((500, 200), gradient, dtype)

    def ratio(tx):
        return float(jnp.max(-updates(tx, slope, w).astype(jnp.float32))) / float(slope[0, 0])

    assert ratio(optax.lars(1.0, trust_coefficient=0.1)) == pytest.approx(ratio_of_optax)
    expected = 0.1 * float(w[0, 0]) / float(slope[0, 0])
    # float16 of the update: 11 bits.
    rel = 1e-3 if dtype == jnp.float16 else 1e-5
    assert ratio(optimizers.lars(1.0, 0.0, trust_coefficient=0.1)) == pytest.approx(
        expected, rel=rel
    )


def test_half_precision_ratio():
    """optax squares in bfloat16: the ratio is off by 5e-3 and the step by more than its own
    rounding."""
    w = normal(64, 33).astype(jnp.bfloat16)
    slope = normal(64, 33, seed=1).astype(jnp.bfloat16)

    def wide(x):
        return np.asarray(x, np.float64)

    exact = 0.1 * length(w) / length(slope)

    # Their ratio is the length of their own update, whose elements are rounded independently.
    def ratio(tx):
        return float(
            -np.vdot(wide(updates(tx, slope, w)), wide(slope)) / np.vdot(wide(slope), wide(slope))
        )

    assert abs(ratio(optimizers.lars(1.0, 0.0, trust_coefficient=0.1)) / exact - 1) < 2e-4
    assert abs(ratio(optax.lars(1.0, trust_coefficient=0.1)) / exact - 1) > 5e-4


@pytest.mark.parametrize('name', ['sgd', 'momentum', 'adamw', 'lars', 'larc', 'lamb', 'novograd'])
def test_learning_rates_are_not_rounded_to_the_parameters_dtype(name):
    """Rates 1.000 and 1.003 are one number in bfloat16, and in optax one trajectory."""
    w = normal(8, 8).astype(jnp.bfloat16)
    slope = normal(8, 8, seed=1).astype(jnp.bfloat16)

    # Equal updates after rounding to bfloat16 are likely for one weight, not for 64.
    def theirs(rate):
        return updates(optax.sgd(lambda count: rate + 0.0 * count), slope, w)

    np.testing.assert_array_equal(theirs(1.0), theirs(1.003))
    # clipped, its steps do not depend on the rate
    more = {'mode': 'scale'} if name == 'larc' else {}

    def ours(rate):
        return updates(
            getattr(optimizers, name)(lambda count: rate + 0.0 * count, **more), slope, w
        )

    assert not jnp.array_equal(ours(1.0), ours(1.003))


def test_novograd_keeps_its_second_moment_in_float32():
    """|g|^2 = 9e10 has no float16: optax's moment is inf and its weights stand still."""
    w, slope = jnp.ones((1000, 300), jnp.float16), jnp.ones((1000, 300), jnp.float16)
    stuck = optax.novograd(1.0, b1=0.0)
    slope = 300 * slope
    assert length(updates(stuck, slope, w)) == 0
    ours = updates(optimizers.novograd(1.0, b1=0.0), slope, w)
    assert length(ours) == pytest.approx(1, rel=2e-3)
    assert optimizers.novograd(1.0).init(w).nu.dtype == jnp.float32
    assert optax.novograd(1.0).init(w)[0].nu.dtype == jnp.float16
