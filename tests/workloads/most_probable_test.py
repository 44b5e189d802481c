"""The most probable token is that of argmax, also where several are alike."""

import jax.numpy as jnp
import numpy as np
import pytest

from lbexp.workloads._most_probable import most_probable


@pytest.mark.parametrize('dtype', [jnp.float32, jnp.bfloat16])
def test_the_first_of_the_largest(dtype):
    logits = np.random.default_rng(0).integers(-3, 3, (40, 7, 11))  # with ties
    logits[0] = -np.arange(11) - 1e9
    found = most_probable(jnp.asarray(logits, dtype))
    np.testing.assert_array_equal(found, np.asarray(jnp.asarray(logits, dtype)).argmax(-1))


def test_nothing_is_the_most_probable_beside_what_is_no_number():
    assert most_probable(jnp.array([[0.0, jnp.nan, 1.0]])).tolist() == [3]
