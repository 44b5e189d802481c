"""Effects over seeds and test examples at once: both are samples, and every seed is evaluated on
every example (a crossed design).

An interval over seeds says what other seeds would give on the same test set. Whether the claim
holds of other examples too, `two_way_interval` says; what either sample contributes, `components`.
"""

import math
from typing import NamedTuple

import numpy as np

from lbexp import inference
from lbexp.errors import Refusal
from lbexp.inference import Interval

_EXAMPLES = 2  # of a test set, below whose share no difference of errors is resolved


class Components(NamedTuple):
    """Variances of d_ti = mean + draw_t + example_i + rest_ti, and how many there were.

    Estimates of small variances may be negative; they are cut at 0.
    """

    draw: float  # of a seed or tuning
    example: float
    rest: float  # of one draw on one example
    draws: int  # T
    examples: int  # n


def two_way_interval(effects: np.ndarray, confidence: float = 0.95) -> Interval:
    """Mean of effects[t, i] over draws t and examples i with Student's interval for both as
    samples.

    Of d_ti = m + a_t + b_i + e_ti, independent with variances A, B and E, the mean has the variance
    A / T + B / n + E / (T n). With the mean squares of rows, columns and rest,

        MS_a = n sum_t (d_t. - d..)^2 / (T - 1)         of mean  n A + E
        MS_b = T sum_i (d_.i - d..)^2 / (n - 1)         of mean  T B + E
        MS_e = sum_ti (d_ti - d_t. - d_.i + d..)^2 / ((T - 1)(n - 1))     of mean  E

    it is estimated without bias by (MS_a + MS_b - MS_e) / (T n): the sum of what clusters of draws
    and clusters of examples say, less what both count (Cameron, Gelbach and Miller 2011, "Robust
    inference with multiway clustering", J. Bus. Econ. Stat. 29(2)). It is never taken as less than
    either alone. Degrees of freedom match the variance of the estimate (Satterthwaite 1946,
    Biometrics Bulletin 2(6)):

        (MS_a + MS_b - MS_e)^2 / (MS_a^2 / (T - 1) + MS_b^2 / (n - 1) + MS_e^2 / ((T - 1)(n - 1)))

    Args:
        effects: [T, n], of each draw (a pair of seeds; the mean over the seeds of a tuning) on each
            test example, such as one arm's mistake, 0 or 1, minus the other's. A draw with a value
            that is no number is left out: say beside it how many.
        confidence: probability in (0, 1).
    Returns:
        Ends are NaN below two draws or two examples.
    Raises:
        Refusal: `confidence` outside (0, 1).
    """
    inference.require_probability(confidence)
    effects = _sound(effects)
    draws, examples = effects.shape
    if not draws or not examples:
        return Interval(math.nan, math.nan, math.nan)
    mean = float(effects.mean())
    if draws < 2 or examples < 2:
        return Interval(mean, math.nan, math.nan)
    of_draws, of_examples, of_rest = _mean_squares(effects)
    total = max(of_draws + of_examples - of_rest, of_draws, of_examples)
    if total == 0:
        return Interval(mean, mean, mean)
    both = (draws - 1) * (examples - 1)
    spread = of_draws**2 / (draws - 1) + of_examples**2 / (examples - 1) + of_rest**2 / both
    margin = inference.student(total**2 / spread, confidence) * math.sqrt(total / effects.size)
    return Interval(mean, mean - margin, mean + margin)


def components(effects: np.ndarray) -> Components:
    """The variances of draws, examples and the rest, by the mean squares of `two_way_interval`:

        A = (MS_a - MS_e) / n,     B = (MS_b - MS_e) / T,     E = MS_e

    Args:
        effects: [T, n], as there.
    Returns:
        NaN below two draws or two examples.
    """
    effects = _sound(effects)
    draws, examples = effects.shape
    if draws < 2 or examples < 2:
        return Components(math.nan, math.nan, math.nan, draws, examples)
    of_draws, of_examples, of_rest = _mean_squares(effects)
    draw = max((of_draws - of_rest) / examples, 0.0)
    example = max((of_examples - of_rest) / draws, 0.0)
    return Components(draw, example, of_rest, draws, examples)


def require_resolution(margin: float, examples: int) -> None:
    """Refuses a margin of a difference of errors that `examples` test examples do not resolve.

    One example more or less wrong, in one of two arms, moves their difference by 1 / n. A margin
    has to be 2 / n at least, so that no single example of either arm decides what is equivalent.

    Raises:
        Refusal: the margin is below 2 / examples.
    """
    least = _EXAMPLES / examples
    if margin < least:
        raise Refusal(
            f'margin: found {margin:g}, which is {margin * examples:.2g} of {examples} test '
            f'examples; allowed: at least {_EXAMPLES} examples, {least:.3g}'
        )


def _sound(effects):
    """The draws without a value that is no number, float64."""
    effects = np.asarray(effects, np.float64)
    if effects.ndim != 2:
        return np.zeros((0, 0))
    return effects[np.isfinite(effects).all(axis=1)]


def _mean_squares(effects):
    """(of draws, of examples, of the rest)."""
    draws, examples = effects.shape
    mean = effects.mean()
    by_draw, by_example = effects.mean(axis=1) - mean, effects.mean(axis=0) - mean
    rest = effects - mean - by_draw[:, None] - by_example
    return (
        examples * float(by_draw @ by_draw) / (draws - 1),
        draws * float(by_example @ by_example) / (examples - 1),
        float(np.sum(rest**2)) / ((draws - 1) * (examples - 1)),
    )
