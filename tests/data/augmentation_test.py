"""Pictures that are transformed while they are drawn."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lbexp.data.augmentation import augmented, transformed
from lbexp.data.source import memory

AMOUNTS = dict(rotation=0.0, zoom=0.0, shift=0.0, flip=0.0, brightness=0.0, crop=0)
PICTURES = np.random.default_rng(0).integers(0, 256, (20, 7, 6, 3), np.uint8)
SEED = jnp.uint32(3)


def drawn(positions, source=None, **amounts):
    source = source or memory({'image': PICTURES, 'label': np.arange(20)})
    source = augmented(source, 'image', amounts)
    return source.draw(source.arrays, SEED, jnp.asarray(positions, jnp.uint32))


@pytest.mark.parametrize('dtype', [np.uint8, np.float32])
def test_at_zero_a_picture_is_itself_to_the_bit(dtype):
    pictures = PICTURES.astype(dtype)
    if dtype == np.float32:
        pictures = np.random.default_rng(1).normal(size=PICTURES.shape).astype(dtype)
    source = memory({'image': pictures, 'label': np.arange(20)})
    plain = source.draw(source.arrays, SEED, jnp.arange(20, dtype=jnp.uint32))
    same = jax.jit(lambda: drawn(range(20), source, **AMOUNTS))()
    assert same['image'].dtype == dtype
    assert np.array_equal(same['image'], plain['image'])
    mirrored = drawn(range(20), source, flip=1.0)
    assert np.array_equal(mirrored['image'], plain['image'][:, :, ::-1])
    assert np.array_equal(mirrored['label'], plain['label'])


@pytest.mark.long
def test_a_picture_depends_on_seed_and_position_alone():
    amounts = dict(rotation=20.0, zoom=0.2, shift=0.2, flip=0.5, brightness=0.3, crop=3)
    whole = drawn(range(12), **amounts)['image']
    parts = [drawn([8], **amounts)['image'], drawn([3, 8, 2], **amounts)['image'][1:2]]
    for part in parts:
        assert np.array_equal(part[0], whole[8])
    # another epoch shows the example otherwise
    again = drawn([8 + 20, 9 + 20, 10 + 20], **amounts)['image']
    assert not any(np.array_equal(picture, whole[8]) for picture in again)


def test_half_of_the_pictures_are_mirrored():
    source = memory({'image': PICTURES[:1].repeat(2000, 0), 'label': np.zeros(2000)})
    pictures = np.asarray(drawn(range(2000), source, flip=0.5)['image'])
    same = np.all(pictures == PICTURES[0], axis=(1, 2, 3))
    mirrored = np.all(pictures == PICTURES[0][:, ::-1], axis=(1, 2, 3))
    assert (same ^ mirrored).all()
    assert abs(same.mean() - 0.5) < 4 * 0.5 / np.sqrt(2000)


def test_against_a_loop_over_pixels():
    """The affine map and the bilinear value, written out in float64."""
    amounts = {**AMOUNTS, 'rotation': 30.0, 'zoom': 0.3, 'shift': 0.1}
    picture = np.random.default_rng(2).normal(size=(5, 7, 1)).astype(np.float32)
    key = jax.random.key(5)
    draws = np.asarray(jax.random.uniform(key, (6,), minval=-1, maxval=1), np.float64)
    angle, scale = np.deg2rad(30 * draws[0]), 1 + 0.3 * draws[1]
    expected = np.empty((5, 7))
    for i in range(5):
        for j in range(7):
            y, x = i - 2, j - 3
            row = scale * (np.cos(angle) * y - np.sin(angle) * x) + 0.1 * 5 * draws[2] + 2
            column = scale * (np.sin(angle) * y + np.cos(angle) * x) + 0.1 * 7 * draws[3] + 3
            row, column = np.clip(row, 0, 4), np.clip(column, 0, 6)
            a, b = int(row), int(column)
            c, d = min(a + 1, 4), min(b + 1, 6)
            v, u = row - a, column - b
            expected[i, j] = (1 - v) * ((1 - u) * picture[a, b, 0] + u * picture[a, d, 0]) + v * (
                (1 - u) * picture[c, b, 0] + u * picture[c, d, 0]
            )
    np.testing.assert_allclose(transformed(key, picture, amounts)[..., 0], expected, atol=1e-5)


def test_a_crop_is_cut_out_of_zeros_around_the_picture():
    """Each of the 9 x 9 crops of the picture with 4 zeros around it, equally often."""
    count, padding = 4050, 4
    picture = PICTURES[:1] | 1  # 0 nowhere
    _, height, width, _ = picture.shape
    border = ((padding, padding), (padding, padding), (0, 0))
    padded = np.pad(picture[0], border)
    source = memory({'image': picture.repeat(count, 0), 'label': np.zeros(count)})
    crops = np.asarray(drawn(range(count), source, crop=padding)['image'])
    counts = []
    for top in range(2 * padding + 1):
        for left in range(2 * padding + 1):
            expected = padded[top : top + height, left : left + width]
            counts.append((crops == expected).all((1, 2, 3)).sum())
    assert sum(counts) == count
    # chi-squared of 80 degrees of freedom: mean 80, deviation sqrt(160)
    mean = count / len(counts)
    assert ((np.array(counts) - mean) ** 2 / mean).sum() < 80 + 4 * np.sqrt(160)


def test_a_crop_may_be_traced_and_leaves_the_other_draws_alone():
    amounts = dict(rotation=20.0, zoom=0.2, flip=0.5)
    plain = drawn(range(12), **amounts)['image']
    assert np.array_equal(drawn(range(12), **amounts, crop=0)['image'], plain)
    cropped = drawn(range(12), **amounts, crop=2)['image']
    traced = jax.jit(lambda padding: drawn(range(12), **amounts, crop=padding)['image'])(2)
    assert np.array_equal(traced, cropped)
    assert not np.array_equal(cropped, plain)


def test_stored_order_and_what_is_no_picture_are_left_alone():
    source = augmented(memory({'image': PICTURES}), 'image', dict(rotation=90.0))
    places = jnp.arange(20)
    assert np.array_equal(source.read(source.arrays, places)['image'], PICTURES)
    numbers = source.draw({'place': jnp.arange(20)}, SEED, jnp.arange(5, dtype=jnp.uint32))
    assert numbers.keys() == {'place'}


@pytest.mark.parametrize(
    'augment, problem',
    [
        (dict(rotate=10.0), "augment: found 'rotate'; allowed: 'rotation', 'zoom'"),
        (dict(flip=1.5), r'augment.flip: found 1.5; allowed: a probability in \[0, 1\]'),
        (dict(rotation=-1), r'augment.rotation: found -1; allowed: degrees, >= 0'),
        (dict(crop=1.5), r'augment.crop: found 1.5; allowed: an integer >= 0 \[pixels\]'),
        (dict(zoom='much'), r"augment.zoom: found 'much'; allowed: a fraction"),
    ],
)
def test_what_is_refused(augment, problem):
    with pytest.raises(ValueError, match=problem):
        augmented(memory({'image': PICTURES}), 'image', augment)
