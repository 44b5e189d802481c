"""The noisy quadratic model as a workload: a loss whose every moment is known, for engine,
optimizers and probes."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from annotated_types import Ge

from lbexp.data.source import Source
from lbexp.ranges import ArrayLength, NonNegative, Number, Positive, PositiveInteger
from lbexp.theory.limits import require
from lbexp.workloads import Workload

# Keeps the noise apart from the other streams of a trial's seed.
_STREAM = 0x6E6F6973


def noisy_quadratic(
    curvature: Positive = 1.0,
    noise: NonNegative = 1.0,
    dimension: ArrayLength = 1,
    spectrum: Number | Sequence[Number] | None = None,
    noise_spectrum: Number | Sequence[Number] | None = None,
    start: Number = 1.0,
    start_spread: NonNegative = 0.0,
    optimum: Number = 0.0,
    replicas: PositiveInteger = 1,
    examples_per_draw: Annotated[Number, Ge(1)] = 1,
    epoch: PositiveInteger = 65536,
    dtype: Literal['float32', 'float64'] = 'float32',
) -> Workload:
    """loss_n = 1/2 sum_i a_i (x_i - c_ni)^2, c_ni ~ N(x*, sigma_i^2) drawn anew for every example.

    The parameters are {'x': [replicas, dimension]}: independent copies of the problem in one
    program, the Monte-Carlo axis. Gradients are those of the *sum* over replicas, so each replica
    trains as if alone; the loss that is reported is their *mean*. An optimizer that takes norms
    over a whole array (LARS, LAMB, clipping) would couple the replicas: tell it that the first axis
    is stacked, or use one replica and many trials.

    The mean over a batch of B examples acts like one c of variance sigma^2 / B. `examples_per_draw`
    = b draws such means directly: with batch_size 1 and examples_per_draw B the weights have the
    distribution of batch_size B at 1 / B of the cost. Exact, as normals add up to normals; only the
    reported training loss differs: its noise part is 1/2 sum a_i sigma_i^2 / b in place of 1/2 sum
    a_i sigma_i^2.

    The training loss is that before the update, 1/2 sum a_i ((x_i - x*)^2 + sigma_i^2 / b) on
    average; the test loss is the noise-free excess, 1/2 sum a_i (x_i - x*)^2.

    Args:
        curvature: a_1 > 0.
        noise: sigma_1 >= 0, standard deviation of c for one example [units of x].
        dimension: coordinates of a replica, >= 1.
        spectrum: None: a_i = curvature; a number s: a_i = curvature / i^s; a list: curvature times
            its entries.
        noise_spectrum: the same of sigma_i. (spectrum 1, noise_spectrum -0.5: gradient noise of
            covariance diag(a).)
        start: mean of x_i - x* at the start; start_spread: its standard deviation over replicas, >=
            0.
        optimum: x*.
        replicas: independent copies, >= 1.
        examples_per_draw: b >= 1, see above.
        epoch: draws that count as an epoch.
        dtype: 'float32' or 'float64'.

    Numbers may be traced, but for dimension, replicas and epoch.

    Raises:
        ValueError: a number out of range; float64 while JAX is in 32-bit mode.

    Source: Zhang et al. 2019, arXiv:1907.04164, Section 3; arXiv:1907.08610, Section 3.2.
    """
    _check(noise, dimension, start_spread, replicas, examples_per_draw, epoch, dtype)
    a = _profile('curvature', curvature, spectrum, dimension, dtype)
    require('curvature', a, a > 0, 'numbers > 0: a flat or concave coordinate has no fixed point')
    sigma = _profile('noise', noise, noise_spectrum, dimension, dtype)
    # The mean of b draws has 1 / sqrt(b) of the standard deviation.
    sigma = sigma / jnp.sqrt(jnp.asarray(examples_per_draw, dtype))
    require('noise', sigma, sigma >= 0, 'standard deviations >= 0')
    problem = _Problem(a, sigma, optimum, (replicas, dimension), dtype)

    def init(key):
        mean = jnp.asarray(start, dtype)
        spread = jnp.asarray(start_spread, dtype)
        away = mean + spread * jax.random.normal(key, problem.shape, dtype)
        return {'x': jnp.asarray(optimum, dtype) + away}, {}

    train = Source(epoch, (), problem.draw, problem.read)
    test = Source(1, (), problem.draw, problem.read)
    return Workload(init, problem.loss, problem.metrics, train, test)


class _Problem(NamedTuple):
    """The quadratic and its noise."""

    curvature: jax.Array  # a [dimension]
    deviation: jax.Array  # of one draw [dimension]
    optimum: Any
    shape: tuple[int, int]  # of the weights: replicas, dimension
    dtype: str

    def draw(self, arrays, seed, positions):
        stream = jax.random.fold_in(jax.random.key(seed), _STREAM)

        def standard_normal(position):
            return jax.random.normal(jax.random.fold_in(stream, position), self.shape, self.dtype)

        return {'xi': jax.vmap(standard_normal)(positions)}

    def read(self, arrays, positions):
        # Without noise: the loss of the test example is the excess.
        return {'xi': jnp.zeros((positions.shape[0], *self.shape), self.dtype)}

    def losses(self, params, examples):
        """[n, replicas]."""
        from_optimum = params['x'][None] - jnp.asarray(self.optimum, self.dtype)
        distance = from_optimum - self.deviation[None, None] * examples['xi']  # x - c
        return jnp.sum(self.curvature[None, None] * distance**2, axis=-1) / 2

    def loss(self, params, model_state, examples, key):
        losses = self.losses(params, examples)
        return {'loss': _mean_with_gradient_of_sum(losses)}, model_state

    def metrics(self, params, model_state, examples):
        return {'loss': self.losses(params, examples).mean(1)}


@jax.custom_jvp
def _mean_with_gradient_of_sum(losses):
    """[n, replicas] -> [n]."""
    return losses.mean(1)


@_mean_with_gradient_of_sum.defjvp
def _(primals, tangents):
    return primals[0].mean(1), tangents[0].sum(1)


def _profile(name, first, spectrum, dimension, dtype):
    """The values [dimension] that a first value and a spectrum describe."""
    first = jnp.asarray(first, dtype)
    if spectrum is None:
        return jnp.full((dimension,), first)
    if isinstance(spectrum, Sequence):
        if len(spectrum) != dimension:
            raise ValueError(
                f'{name}: found a spectrum of {len(spectrum)} entries; allowed: dimension entries, '
                f'which is {dimension}'
            )
        # One by one: some of the numbers may be traced.
        return first * jnp.stack([jnp.asarray(value, dtype) for value in spectrum])
    ranks = jnp.arange(1, dimension + 1, dtype=dtype)
    return first / ranks ** jnp.asarray(spectrum, dtype)


def _check(noise, dimension, start_spread, replicas, examples_per_draw, epoch, dtype):
    require('noise', noise, noise >= 0, 'a standard deviation >= 0')
    require('start_spread', start_spread, start_spread >= 0, 'a standard deviation >= 0')
    require(
        'examples_per_draw', examples_per_draw, examples_per_draw >= 1, 'a number of examples >= 1'
    )
    for name, value in (('dimension', dimension), ('replicas', replicas), ('epoch', epoch)):
        require(name, value, value >= 1, 'an integer >= 1')
    if dtype not in ('float32', 'float64'):
        raise ValueError(f'dtype: found {dtype!r}; allowed: float32, float64')
    if dtype == 'float64' and not jax.config.read('jax_enable_x64'):
        raise ValueError(
            'dtype: found float64 in 32-bit mode; allowed: float32, or start with JAX_ENABLE_X64=1'
        )
