"""MNIST-1D: ten one-dimensional strokes, deformed at random; small enough for hundreds of
trials."""

import numpy as np

# A digit is a stroke of twelve heights (Greydanus and Kobak 2024, arXiv:2011.14439, section 3;
# Apache 2.0).
_STROKES = (
    (5, 6, 6.5, 6.75, 7, 7, 7, 7, 6.75, 6.5, 6, 5),
    (5, 3, 3, 3.4, 3.8, 4.2, 4.6, 5, 5.4, 5.8, 5, 5),
    (5, 6, 6.5, 6.5, 6, 5.25, 4.75, 4, 3.5, 3.5, 4, 5),
    (5, 6, 6.5, 6.5, 6, 5, 5, 6, 6.5, 6.5, 6, 5),
    (5, 4.4, 3.8, 3.2, 2.6, 2.6, 5, 5, 5, 5, 5, 5),
    (5, 3, 3, 3, 3, 5, 6, 6.5, 6.5, 6, 4.5, 5),
    (5, 4, 3.5, 3.25, 3, 3, 3, 3, 3.25, 3.5, 4, 5),
    (5, 7, 7, 6.6, 6.2, 5.8, 5.4, 5, 4.6, 4.2, 5, 5),
    (5, 4, 3.5, 3.5, 4, 5, 5, 4, 3.5, 3.5, 4, 5),
    (5, 4, 3.5, 3.5, 4, 5, 5, 5, 5, 4.7, 4.3, 5),
)
_PADDING = 36, 60  # zeros behind a stroke, from .. to [points]
_LENGTH, _POINTS = 72, 40  # points of a signal while it is deformed, and in the end
# width of the scale, of the slope; largest translation + 1 [points]
_AMPLITUDE, _SHEAR, _SHIFT = 0.4, 0.75, 48
# standard deviation of the noise in the padding before it is smoothed, and everywhere
_ROUGH, _FINE = 0.25, 0.02
_SMOOTH = 2  # standard deviation of the Gaussian that smooths it [points]


def generate(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """(signals float32 [count, 40, 1], labels int64 [count]), classes in equal shares, in random
    order.

    Each example is its digit's stroke, padded with zeros and stretched to 72 points, scaled,
    translated around the end, given smooth noise where it was 0 and white noise everywhere,
    sheared, and sampled at 40 points. All of them together then have mean 0 and variance 1.

    Args:
        count: a multiple of 10.
        seed: of everything random; example i of a class does not depend on `count`.
    """
    from scipy.ndimage import gaussian_filter1d

    strokes = np.array(_STROKES)
    strokes = (strokes - strokes.mean(1, keepdims=True)) / strokes.std(1, keepdims=True)
    strokes = (strokes - strokes[:, :1]) / 6
    examples = []
    for i in range(count):
        generator = np.random.default_rng((seed, i))
        examples.append(_deformed(strokes[i % 10], generator, gaussian_filter1d))
    signals = np.stack(examples)
    order = np.random.default_rng(seed).permutation(count)
    signals = (signals - signals.mean()) / signals.std()
    return signals[order, :, None].astype(np.float32), order % 10


def _deformed(stroke, generator, smoothed):
    # The order of the draws is part of the data set: it may not change.
    padding = generator.integers(_PADDING[0], _PADDING[1] + 1)
    # A stroke may touch 0; only the padding is to count as empty.
    padded = np.concatenate([stroke + 1e-8, np.zeros(padding)])
    amplitude = 1 + _AMPLITUDE * (generator.random() - 0.5)
    x = _resampled(padded, _LENGTH) * amplitude
    x = np.roll(x, generator.integers(_SHIFT))
    rough = smoothed(_ROUGH * generator.standard_normal(_LENGTH), _SMOOTH)
    fine = _FINE * generator.standard_normal(_LENGTH)
    x = np.where(x == 0, rough, x) + fine
    shear = _SHEAR * (generator.random() - 0.5)
    x = x - shear * np.linspace(-0.5, 0.5, _LENGTH)
    return _resampled(x, _POINTS)


def _resampled(x, length):
    """Piecewise linear, ends kept."""
    return np.interp(np.linspace(0, 1, length), np.linspace(0, 1, len(x)), x)
