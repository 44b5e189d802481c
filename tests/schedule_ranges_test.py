"""What a schedule or a rule of the batch size cannot mean is refused, in one line that says what
was found."""

import inspect
import math
import typing

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lbexp import batch_size, schedules
from lbexp.batch_size import adam_scaling, batch_growth, batch_scaling, regime_adaptation
from lbexp.config import lookup
from lbexp.ranges import Elements, FiniteNonNegative, violation

SHAPES = {name: getattr(schedules, name) for name in lookup.names('schedule')}
# name: what is refused, what is taken at the edges
NUMBERS = {
    'peak': ((-0.1, math.inf, math.nan), (0.0, 3.0)),
    'steps': ((0, -5, math.inf, math.nan), (1, 1e9)),
    'warmup': ((5, 1.01, -0.1, math.nan), (0.0, 1.0)),
    'warmup_from': ((4, -0.1, math.nan), (0.0, 1.0)),
    'end': ((-0.1, 10, math.nan), (0.0, 1.0)),
    'power': ((-1.0, 0, math.inf, math.nan), (0.5, 3)),
    'factor': ((0.0, -0.1, 10, math.nan), (0.1, 1.0)),
    'start': ((0.0, -0.1, 10, math.nan), (0.1, 1.0)),
    'cooldown': ((20, 0.0, -0.1, 1.1, math.nan), (0.1, 1.0)),
}
CASES = [
    (shape, argument)
    for shape, function in SHAPES.items()
    for argument in inspect.signature(function).parameters
    if argument not in ('boundaries', 'anneal', 'scale')
]


def build(shape, **numbers):
    return SHAPES[shape](**{'peak': 0.1, 'steps': 100, **numbers})


@pytest.mark.parametrize('shape, argument', CASES)
def test_numbers_out_of_range(shape, argument):
    refused, taken = NUMBERS[argument]
    for number in refused:
        for value in (number, np.float64(number), np.float32(number), jnp.asarray(float(number))):
            with pytest.raises(
                ValueError, match=f'^{argument}: found .*; allowed: a number '
            ) as caught:
                build(shape, **{argument: value})
            assert '\n' not in str(caught.value)
    for number in taken:
        # which leaves no room for a cooldown
        if (shape, argument, number) != ('trapezoid', 'warmup', 1.0):
            assert np.isfinite(build(shape, **{argument: number})(3))


@pytest.mark.parametrize(
    'boundaries',
    [
        (50,),
        (30, 60),
        (0.5, 0.25),
        (0.0, 0.5),
        (0.5, 1.0),
        (-0.1,),
        (math.nan,),
        (0.2, math.inf),
        np.array([30, 60]),
    ],
    ids=str,
)
def test_boundaries_out_of_range(boundaries):
    with pytest.raises(
        ValueError,
        match=(
            r'^boundaries: found .*; allowed: numbers in \(0, 1\), '
            r'ascending$'
        ),
    ):
        build('step', boundaries=boundaries)


@pytest.mark.parametrize('boundaries', [0.5, '0.5', None, ('a',), ((0.1, 0.2),), (None,)], ids=str)
def test_boundaries_that_are_no_sequence_of_numbers(boundaries):
    with pytest.raises(ValueError, match=r'^boundaries: found .*; allowed: a sequence of numbers'):
        build('step', boundaries=boundaries)


def test_boundaries_that_are_taken():
    for boundaries in ((), (0.5,), [0.25, 0.75], np.array([0.25, 0.75]), (0.5, 0.5)):
        assert np.isfinite(build('step', boundaries=boundaries)(10))
    traced = jax.vmap(lambda b: build('step', boundaries=(b, 0.9))(50))(jnp.array([0.25, 0.75]))
    np.testing.assert_allclose(traced, [0.01, 0.1], rtol=1e-6)


def test_warmup_and_cooldown_share_the_run():
    with pytest.raises(ValueError, match=r'^warmup \+ cooldown: found 0\.9 \+ 0\.2; allowed'):
        build('trapezoid', warmup=0.9, cooldown=0.2)
    with pytest.raises(ValueError, match=r'^warmup \+ cooldown'):
        build('trapezoid', warmup=jnp.float32(0.9), cooldown=np.float64(0.2))
    for warmup in (0.1, 0.7, 0.9):
        build('trapezoid', warmup=warmup, cooldown=1 - warmup)


def test_variants():
    with pytest.raises(
        ValueError,
        match=(
            r"^anneal: found 'linera'; allowed: 'cosine', 'linear'. "
            r'Did you mean'
        ),
    ):
        build('one_cycle', anneal='linera')


@pytest.mark.parametrize(
    'size', [0, -32, math.inf, math.nan, np.float64(-1), jnp.float32(-1)], ids=str
)
def test_batch_sizes(size):
    for rule in ('linear', 'square_root', 'square_root_adam'):
        with pytest.raises(ValueError, match='reference: found'):
            batch_scaling(rule, 64, size)
        with pytest.raises(ValueError, match='batch_size: found'):
            batch_scaling(rule, size, 64)
    with pytest.raises(ValueError, match='reference: found'):
        adam_scaling(64, size, 0.9, 0.999, 1e-8)
    with pytest.raises(ValueError, match='reference: found'):
        regime_adaptation(90.0, 64, size)
    with pytest.raises(ValueError, match='batch_size: found'):
        batch_growth(size, (100,))


@pytest.mark.parametrize(
    'settings, words',
    [
        (dict(b1=1.0), 'b1: found 1.0'),
        (dict(b2=-0.1), 'b2: found -0.1'),
        (dict(eps=-1e-8), 'eps: found -1e-08'),
        (dict(eps=math.inf), 'eps: found inf'),
    ],
)
def test_adam_scaling(settings, words):
    with pytest.raises(ValueError, match=f'^{words}'):
        adam_scaling(64, 32, **{'b1': 0.9, 'b2': 0.999, 'eps': 1e-8, **settings})


@pytest.mark.parametrize(
    'settings, words',
    [
        (dict(boundaries=(200, 100)), r'boundaries: found \(200, 100\); allowed: .*ascending'),
        (dict(boundaries=(-1,)), r'boundaries: found \(-1,\)'),
        (dict(boundaries=(2**32,)), 'boundaries: found'),
        (dict(boundaries=(0.5, 0.75)), r'boundaries: found \(0.5, 0.75\); allowed: integers'),
        (dict(boundaries=100), 'boundaries: found 100; allowed: a sequence'),
        (dict(factor=0.0), 'factor: found 0.0'),
        (dict(factor=math.inf), 'factor: found inf'),
        (dict(microbatch=0), 'microbatch: found 0'),
        (dict(largest=-8), 'largest: found -8'),
    ],
)
def test_batch_growth(settings, words):
    with pytest.raises(ValueError, match=f'^{words}'):
        batch_growth(**{'batch_size': 8, 'boundaries': (100,), **settings})


def test_return_annotations_tell_schedules_apart():
    for name, function in SHAPES.items():
        assert typing.get_type_hints(function)['return'] == schedules.Schedule, name
    others = [
        f
        for _, f in inspect.getmembers(batch_size, inspect.isfunction)
        if f.__module__ == batch_size.__name__
    ]
    assert {f.__name__ for f in others} >= {
        'batch_scaling',
        'adam_scaling',
        'regime_adaptation',
        'batch_growth',
    }
    for function in others:
        assert typing.get_type_hints(function).get('return') != schedules.Schedule


def test_elements_of_sequences():
    """The bounds of elements and their order are annotations."""
    ordered = typing.Annotated[typing.Sequence[FiniteNonNegative], Elements(FiniteNonNegative)]
    assert violation([3, 1], ordered) == 'found [3, 1]; allowed: numbers in [0, inf), ascending'
    assert violation([1, 1, 3], ordered) is None
