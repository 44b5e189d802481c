"""Pictures that are turned, shifted and mirrored while they are drawn: a pure function of seed and
position, so that what was killed goes on with the same pictures, on any number of devices."""

import math
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from lbexp.data.source import Source
from lbexp.ranges import checking

# Keep the draws apart from the other streams of a trial's seed.
_STREAM = 0x61756731
_VIEWS = 0x76696577
_STORED_VIEWS = 0x73746F72  # a seed, of views in stored order
_CROP = 0x63726F70
_ALLOWED = {
    'rotation': 'degrees, >= 0',
    'zoom': 'a fraction in [0, 1)',
    'shift': 'a fraction of the side, in [0, 1)',
    'flip': 'a probability in [0, 1]',
    'brightness': 'a fraction in [0, 1)',
    'crop': 'an integer >= 0 [pixels]',
}
_MOST = dict.fromkeys(('rotation', 'crop'), math.inf)
_MOST |= dict.fromkeys(('flip', 'zoom', 'shift', 'brightness'), 1.0)


def augmented(source: Source, name: str, augment: Mapping[str, Any] | None) -> Source:
    """`source`, whose training pictures are transformed at random; its stored order is left as it
    is, for evaluation.

    A picture is turned by an angle of up to `rotation` degrees, scaled by 1 - zoom .. 1 + zoom,
    shifted by up to `shift` of its height and width, and mirrored left to right with probability
    `flip`: the output pixel p is the input at A p + b, bilinear between four pixels, the edge
    repeated outside. Values are multiplied by 1 - brightness .. 1 + brightness. Angles, factors
    and shifts are uniform, drawn from (seed, position). With all at 0 a picture comes out as it
    is, to the bit.

    `crop` is the random crop of CIFAR's recipe (He et al. 2015, arXiv:1512.03385, section 4.2: 4):
    as many pixels are put around the picture, and its old size is cut out anywhere. Both sides are
    so shifted by integers of -crop .. crop, each equally likely; what comes from outside is 0, as
    it is stored: black.

    Args:
        name: of the pictures, [size, h, w, c].
        augment: {'rotation': [degrees], 'zoom', 'shift', 'flip', 'brightness', 'crop': [pixels]}:
            each may be left out; numbers may be traced. None: nothing is done.

    Raises:
        ValueError: another name, or a number out of range.
    """
    if augment is None:
        return source
    check_augment(augment)
    amounts = _amounts(augment)

    def draw(arrays, seed, positions):
        examples = source.draw(arrays, seed, positions)
        # what is drawn may be something else, such as the examples' numbers
        if name not in examples:
            return examples
        stream = jax.random.fold_in(jax.random.key(seed), _STREAM)
        keys = jax.vmap(jax.random.fold_in, (None, 0))(stream, positions)
        pictures = jax.vmap(transformed, (0, 0, None))(keys, examples[name], amounts)
        return {**examples, name: pictures}

    return source._replace(draw=draw)


def paired(source: Source, name: str, augment: Mapping[str, Any]) -> Source:
    """`source`, whose examples have two views of their picture beside it: 'views', [n, 2, h, w, c].

    A view is the picture transformed as by `augmented`. Both are drawn apart: in training order
    from (seed, position), in stored order from the place alone, so that whoever evaluates sees the
    same views always.

    Args:
        name, augment: as of `augmented`.

    Raises:
        ValueError: another name in `augment`, or a number out of range.
    """
    check_augment(augment)
    amounts = _amounts(augment)

    def with_views(examples, key, numbers):
        # what is drawn may be something else, such as the examples' numbers
        if name not in examples:
            return examples
        keys = jax.vmap(jax.random.fold_in, (None, 0))(key, numbers)
        pairs_of_keys = jax.vmap(jax.random.split)(keys)
        of_one_picture = jax.vmap(transformed, (0, None, None))
        views = jax.vmap(of_one_picture, (0, 0, None))(pairs_of_keys, examples[name], amounts)
        return {**examples, 'views': views}

    def draw(arrays, seed, positions):
        stream = jax.random.fold_in(jax.random.key(seed), _VIEWS)
        return with_views(source.draw(arrays, seed, positions), stream, positions)

    def read(arrays, places):
        return with_views(source.read(arrays, places), jax.random.key(_STORED_VIEWS), places)

    return source._replace(draw=draw, read=read)


def check_augment(augment: Mapping[str, Any]) -> None:
    """Raises ValueError where there is another name, or a number out of range."""
    for known, value in augment.items():
        if known not in _ALLOWED:
            raise ValueError(f'augment: found {known!r}; allowed: {", ".join(map(repr, _ALLOWED))}')
        number = checking.concrete(value)
        is_part = known == 'crop' and number is not None and number != int(number)
        if is_part or (number is not None and not 0 <= number <= _MOST[known]):
            raise ValueError(f'augment.{known}: found {number}; allowed: {_ALLOWED[known]}')
        if number is None and not checking.is_number(value):
            raise ValueError(f'augment.{known}: found {value!r}; allowed: {_ALLOWED[known]}')


def _amounts(augment):
    """All of them; crop is None where it is not asked for, and then costs nothing."""
    return {**dict.fromkeys(_ALLOWED, 0.0), 'crop': None, **augment}


def transformed(key: Any, picture: Any, amounts: Mapping[str, Any]) -> Any:
    """One picture [h, w, c], in its own type."""
    height, width, _ = picture.shape
    draws = jax.random.uniform(key, (6,), minval=-1, maxval=1)
    angle = draws[0] * jnp.asarray(amounts['rotation'], jnp.float32) * (math.pi / 180)
    scale = 1 + draws[1] * amounts['zoom']
    down, right = draws[2] * amounts['shift'] * height, draws[3] * amounts['shift'] * width
    # In [0, 1): at probability 0 never, at 1 always.
    mirrored = (draws[4] + 1) * 0.5 < amounts['flip']
    # In coordinates around the middle of the picture.
    rows = (jnp.arange(height) - (height - 1) / 2)[:, None]
    columns = (jnp.arange(width) - (width - 1) / 2)[None, :]
    columns = jnp.where(mirrored, -columns, columns)
    cos, sin = jnp.cos(angle), jnp.sin(angle)
    row = scale * (cos * rows - sin * columns) + down + (height - 1) / 2
    column = scale * (sin * rows + cos * columns) + right + (width - 1) / 2
    values = _bilinear(picture.astype(jnp.float32), row, column)
    values = values * (1 + draws[5] * amounts['brightness'])
    whole = _in_type(values, picture.dtype)
    if amounts['crop'] is None:
        return whole
    return _cropped(jax.random.fold_in(key, _CROP), whole, amounts['crop'])


def _cropped(key, picture, padding):
    """The picture shifted by integers of -padding .. padding, 0 outside."""
    height, width, _ = picture.shape
    draws = jax.random.uniform(key, (2,))
    down, right = jnp.floor(draws * (2 * padding + 1)).astype(jnp.int32) - padding
    rows, columns = jnp.arange(height) + down, jnp.arange(width) + right
    is_row, is_column = (rows >= 0) & (rows < height), (columns >= 0) & (columns < width)
    # what lies outside is read at the edge, and is not taken
    rows, columns = jnp.clip(rows, 0, height - 1), jnp.clip(columns, 0, width - 1)
    is_inside = is_row[:, None, None] & is_column[None, :, None]
    return jnp.where(is_inside, picture[rows][:, columns], 0)


def _bilinear(picture, row, column):
    """The picture at these coordinates [h, w], between four pixels; outside, its edge."""
    height, width, _ = picture.shape
    row, column = jnp.clip(row, 0, height - 1), jnp.clip(column, 0, width - 1)
    top, left = jnp.floor(row), jnp.floor(column)
    down, right = (row - top)[..., None], (column - left)[..., None]
    top, left = top.astype(jnp.int32), left.astype(jnp.int32)
    bottom, beside = jnp.minimum(top + 1, height - 1), jnp.minimum(left + 1, width - 1)
    above = picture[top, left] * (1 - right) + picture[top, beside] * right
    below = picture[bottom, left] * (1 - right) + picture[bottom, beside] * right
    return above * (1 - down) + below * down


def _in_type(values, dtype):
    """In the type of the picture, rounded and held in its range."""
    if not jnp.issubdtype(dtype, jnp.integer):
        return values.astype(dtype)
    limits = jnp.iinfo(dtype)
    return jnp.clip(jnp.round(values), limits.min, limits.max).astype(dtype)
