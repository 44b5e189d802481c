"""Ranges and variants as annotations: what a call refuses, in which words, and what it lets
pass."""

from collections.abc import Callable
from typing import Annotated, Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from annotated_types import Gt

from lbexp.config.violation import in_words as configuration_words
from lbexp.ranges import (
    AscendingFractions,
    Bounds,
    Dtype,
    Fraction,
    NonNegativeSchedule,
    Number,
    Patterns,
    PositiveFraction,
    PositiveInteger,
    Seed,
    checked,
    concrete,
    in_words,
    violation,
)

pytestmark = pytest.mark.quick

NUMBERS = {
    'int': int,
    'float': float,
    'numpy': np.float32,
    'numpy array': np.array,
    'jax': jnp.asarray,
    'bfloat16': jnp.bfloat16,
}


@checked
def optimizer(
    rate: NonNegativeSchedule,
    momentum: Fraction = 0.9,
    form: Literal['outside', 'inside'] = 'outside',
    bounds: Bounds | None = None,
    nesterov: bool = False,
    **more: Any,
) -> tuple:
    """Says what it was given."""
    return rate, momentum, form, bounds, nesterov, more


@pytest.mark.parametrize('kind', NUMBERS)
def test_every_kind_of_number_is_checked(kind):
    number = NUMBERS[kind]
    assert violation(number(1), Annotated[Number, Gt(0)]) is None
    assert violation(number(0), Annotated[Number, Gt(0)]).endswith('; allowed: a number > 0')
    assert violation(number(-3), NonNegativeSchedule).endswith(
        '; allowed: a number >= 0, a function'
    )
    with pytest.raises(ValueError, match=r'^momentum: found .*; allowed: a number in \[0, 1\)$'):
        optimizer(0.1, momentum=number(1))


@pytest.mark.parametrize(
    'number', [float('nan'), np.float64('nan'), jnp.nan, np.array(np.nan, np.float32)]
)
def test_nan_is_in_no_range(number):
    assert violation(number, PositiveFraction).endswith('; allowed: a number in (0, 1]')


@pytest.mark.parametrize(
    ('value', 'annotation', 'allowed'),
    [
        ('0.1', NonNegativeSchedule, 'a number >= 0, a function'),
        (True, NonNegativeSchedule, 'a number >= 0, a function'),
        (None, Fraction, 'a number in [0, 1)'),
        ({'a': 1}, Fraction, 'a number in [0, 1)'),
        ((0.1, 0.2), Fraction, 'a number in [0, 1)'),
        (2.5, PositiveInteger, 'an integer >= 1'),
        (np.float32(2), PositiveInteger, 'an integer >= 1'),
        (0, PositiveInteger, 'an integer >= 1'),
        (2**32, Seed, 'an integer in [0, 4294967295]'),
        ('false', bool, 'True, False'),
        (1, bool, 'True, False'),
        ('best', PositiveFraction | Literal['optimal'], "a number in (0, 1], 'optimal'"),
        ('bf16', Dtype | None, "a floating dtype such as 'bfloat16', 'float32', None"),
        ('int8', Dtype, "a floating dtype such as 'bfloat16', 'float32'"),
        ((2.0, 1.0), Bounds, '(low, high) with low <= high'),
        (5, Bounds | None, '(low, high) with low <= high, None'),
        ((1.0,), Bounds, '(low, high) with low <= high'),
        ((0.0, float('nan')), Bounds, '(low, high) with low <= high'),
        (('a', 'b'), Bounds, '(low, high) with low <= high'),
        ({'name': 'sgd'}, optax.GradientTransformation, 'a GradientTransformation'),
    ],
)
def test_what_does_not_fit_is_refused_in_words(value, annotation, allowed):
    assert violation(value, annotation) == f'found {value!r}; allowed: {allowed}'.replace(
        'np.float32(2.0)', '2.0'
    )


@pytest.mark.parametrize(
    ('value', 'annotation'),
    [
        (2**32 - 1, Seed),
        (np.int64(3), PositiveInteger),
        (jnp.int32(3), PositiveInteger),
        (jnp.ones(3), Fraction),
        (optax.constant_schedule(0.1), NonNegativeSchedule),
        ((0.0, float('inf')), Bounds),
        ([0.0, 1.0], Bounds),
        ((jnp.float32(0), 1), Bounds),
        ('bfloat16', Dtype),
        (jnp.bfloat16, Dtype),
        (np.dtype('float32'), Dtype),
        (None, Dtype | None),
        (np.bool_(True), bool),
        (optax.sgd(0.1), optax.GradientTransformation),
        (optax.MultiSteps(optax.sgd(0.1), 2), optax.GradientTransformation),
        ('anything', Any),
        (len, Callable),
    ],
)
def test_what_fits_passes(value, annotation):
    assert violation(value, annotation) is None


def test_a_near_variant_is_suggested():
    with pytest.raises(ValueError) as error:
        optimizer(0.1, form='insid')
    assert str(error.value) == (
        "form: found 'insid'; allowed: 'outside', 'inside'. Did you mean 'inside'?"
    )


@pytest.mark.parametrize('patterns', ['*kernel', ['bias', '*kernel'], '!*kernel', {'*kernel': 1}])
def test_a_text_that_is_no_regular_expression_is_refused(patterns):
    problem = violation(patterns, Annotated[Any, Patterns()])
    assert (
        'allowed: a regular expression' in problem
        and "kernel' is none: nothing to repeat" in problem
    )
    assert violation({'*kernel': True}, Annotated[Any, Patterns()]) is None  # a tree of bools


def test_what_is_traced_or_elsewhere_is_not_looked_at():
    rate, momentum = jax.jit(lambda x: optimizer(x, momentum=x)[:2])(-1.0)
    assert (rate, momentum) == (-1.0, -1.0)
    gone = jnp.float32(-1)
    gone.delete()
    assert concrete(gone) is None and concrete(jax.random.key(0)) is None and concrete(1j) is None
    assert jax.jit(lambda: optimizer(0.5)[0])() == 0.5


def test_a_refusal_of_donated_arrays_is_told():
    """Whose values nobody can show: the words are those of the annotation."""
    gone, limits = jnp.float32(0.5), jnp.array([0.5, 0.2])
    gone.delete()
    limits.delete()
    for value in (gone, [gone], {'key': gone}):
        assert violation(value, str) == 'found a deleted array; allowed: text'
    with pytest.raises(ValueError, match='nesterov: found a deleted array; allowed: True, False'):
        optimizer(0.1, nesterov=gone)
    assert violation(limits, AscendingFractions) is None


def test_the_function_stays_what_it_was():
    assert optimizer.__name__ == 'optimizer' and optimizer.__doc__ == 'Says what it was given.'
    assert optimizer(1, 0, extra=5) == (1, 0, 'outside', None, False, {'extra': 5})
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'rate'"):
        optimizer()
    with pytest.raises(TypeError, match="multiple values for argument 'rate'"):
        optimizer(1, rate=2)


def test_ranges_in_words():
    assert in_words(Fraction) == 'in [0, 1)'
    assert in_words(PositiveInteger) == '>= 1'
    assert in_words(NonNegativeSchedule) == '>= 0'
    assert in_words(bool) == ''


@pytest.mark.parametrize('annotation', [NonNegativeSchedule, Fraction, PositiveInteger, Bounds])
def test_a_configuration_is_told_the_same_range(annotation):
    assert in_words(annotation) in configuration_words(annotation)
