"""Tokens that are hidden while they are drawn: a pure function of seed and position, so that what
was killed goes on with the same ones, on any number of devices."""

import functools
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from lbexp.data.source import Source
from lbexp.shapes import HiddenTokens, RandomKey, Row

# Keep the draws apart from the other streams of a trial's seed.
_DRAWN, _STORED = 0x6D61736B, 0x6D61736C
_MASKED, _RANDOM = 0.8, 0.1  # of the hidden tokens; the rest shows itself


class Hiding(NamedTuple):
    """How many tokens of a row are hidden, and behind what."""

    counts: tuple[int, ...]  # of a row with 0, 1, ... tokens that can be hidden
    vocabulary: int  # tokens
    special: int  # ids below it are marks: never hidden, and nothing is hidden behind them
    mask: int  # id that hides


def hiding(rate: Any, length: int, vocabulary: int, special: int, mask: int) -> Hiding:
    """ceil(rate n) of n tokens, in rows of up to `length` positions.

    Args:
        rate: a fraction in (0, 1).
    """
    # 0.15 * 20 is 3 up to rounding, and no more
    counts = [math.ceil(round(float(rate) * count, 9)) for count in range(length + 1)]
    return Hiding(tuple(counts), vocabulary, special, mask)


def masked(source: Source, how: Hiding) -> Source:
    """`source`, with tokens hidden in its `tokens`, and `places`, `targets` and `hidden` beside
    them, as `hide` has it.

    What is hidden in training depends on (seed, position); in stored order, for evaluation, on the
    place alone: it is always the same.
    """

    def draw(arrays, seed, positions):
        examples = source.draw(arrays, seed, positions)
        stream = jax.random.fold_in(jax.random.key(seed), _DRAWN)
        return _with_hidden(stream, positions, examples, how)

    def read(arrays, places):
        examples = source.read(arrays, places)
        return _with_hidden(jax.random.key(_STORED), places, examples, how)

    return source._replace(draw=draw, read=read)


def _with_hidden(stream, numbers, examples, how):
    # what is drawn may be something else, such as the examples' numbers
    if 'tokens' not in examples:
        return examples
    keys = jax.vmap(jax.random.fold_in, (None, 0))(stream, numbers)
    rows = examples['tokens'], examples['segments']
    hidden = jax.vmap(functools.partial(hide, how=how))(keys, *rows)
    return {**examples, **hidden._asdict()}


class Hidden(NamedTuple):
    """A row with tokens hidden, and which. m: as many as a row of l tokens has."""

    tokens: Row  # [l], as a model is shown them
    places: HiddenTokens  # [m] in the row, each once
    targets: HiddenTokens  # [m], the tokens that are there
    hidden: HiddenTokens  # [m], 1; 0: the place is none of them, in a row with fewer tokens


def hide(key: RandomKey, tokens: Row, segments: Row, how: Hiding) -> Hidden:
    """Hides counts[n] of the n tokens of a row that are no marks, each as likely as another
    (Devlin et al. 2018, arXiv:1810.04805, section 3.1 and appendix A.1).

    Of them 80 % are shown as the mask, 10 % as any token, 10 % as they are.

    Args:
        key: of the example.
        tokens, segments: of a row; 0 in `segments` is padding.
        how: many are hidden, and behind what.
    """
    of_order, of_action, of_token = jax.random.split(key, 3)
    can_be_hidden = (segments > 0) & (tokens >= how.special)
    # Draws are 0 or more: what cannot be hidden comes last.
    order = jnp.where(can_be_hidden, jax.random.uniform(of_order, tokens.shape), -1.0)
    most = how.counts[len(tokens)]
    _, places = jax.lax.top_k(order, most)
    count = jnp.asarray(np.array(how.counts))[can_be_hidden.sum()]
    hidden = jnp.arange(most) < count
    targets = tokens[places]
    action = jax.random.uniform(of_action, (most,))
    any_token = jax.random.randint(of_token, (most,), how.special, how.vocabulary, tokens.dtype)
    shown = jnp.where(action < _MASKED + _RANDOM, any_token, targets)
    shown = jnp.where(action < _MASKED, how.mask, shown)
    shown = jnp.where(hidden, shown, targets).astype(tokens.dtype)
    return Hidden(tokens.at[places].set(shown), places, targets, hidden.astype(jnp.int32))
