"""Shapes in signatures, against reality: every function that is annotated with one is called with
arguments of the right shapes, and refuses wrong ones, each argument and each result in turn.

The functions are found, not listed: a new one without a case fails here. All of it is traced, as
shapes are known then, and nothing is compiled.
"""

import functools
from typing import get_args, get_origin

import beartype
import flax.linen as nn
import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest
from shape_cases import CASES, HELD, integers, ones
from signatures import has_shape, signatures

from lbexp.shapes import Counts, FloatTree, Params, SameBatch

# What says nothing of the shape, but of numbers alone: it refuses other numbers.
OF_ANY_SHAPE = (Counts, FloatTree, Params, SameBatch)


def calls(name):
    """(function, its arguments by name) of each case; the function takes them by position."""
    subject, annotations = signatures()[name]
    if name in HELD:
        parameters = [parameter for parameter in annotations if parameter != 'return']
        for function, arguments in HELD[name]():
            yield function, dict(zip(parameters, arguments, strict=True))
        return
    for case in CASES[name]:
        arguments = case()
        if isinstance(arguments.get('self'), nn.Module):
            yield applied, arguments
        else:
            yield by_position(subject, list(arguments)), arguments


def by_position(function, names):
    return lambda *values: function(**dict(zip(names, values, strict=True)))


def applied(module, *arguments):
    """A module on its input, with parameters that are made for it."""
    keys = {'params': jax.random.key(0), 'dropout': jax.random.key(1)}
    return module.init_with_output(keys, *arguments)[0]


def every_item(annotation):
    """`annotation` with PyTree[x] for dict[str, x]: beartype looks at one item of a dict alone."""
    if get_origin(annotation) is dict:
        return jaxtyping.PyTree[get_args(annotation)[1]]
    if get_origin(annotation) is tuple:
        return tuple.__class_getitem__(tuple(map(every_item, get_args(annotation))))
    return annotation


def checked(function, names, annotations):
    """`function` of arguments of these names, which jaxtyping and beartype compare with the
    annotations."""
    names = list(names)
    call = eval(f'lambda {", ".join(names)}: function({", ".join(names)})', {'function': function})
    call.__name__ = 'call'
    present = {*names, 'return'} & set(annotations)
    call.__annotations__ = {name: every_item(annotations[name]) for name in present}
    return jaxtyping.jaxtyped(call, typechecker=beartype.beartype)


def has_array(value):
    return any(isinstance(leaf, (jax.Array, np.ndarray)) for leaf in jax.tree.leaves(value))


def wrong(value, any_shape):
    """`value` with one more axis at its first array, none, or twice the length; with `any_shape` of
    complex numbers."""
    (first, *others), structure = jax.tree.flatten(value)
    numpy = np if isinstance(first, np.ndarray) else jnp

    def with_first(array):
        return jax.tree.unflatten(structure, [array, *others])

    if any_shape:
        yield with_first(first.astype(np.complex64))
        return
    yield with_first(first[..., None])
    if first.ndim:
        yield with_first(numpy.concatenate([first, first]))
        yield with_first(first.reshape(-1)[0])


def is_refused(call, arguments):
    try:
        call(*arguments.values())
    except jaxtyping.TypeCheckError:
        return True
    return False


def check_arguments(arguments, annotations):
    """A wrong argument is refused, whichever it is."""
    parameters = {name: annotations[name] for name in arguments if name in annotations}
    call = checked(lambda *_: None, arguments, parameters)
    for name, annotation in parameters.items():
        value = arguments[name]
        if has_shape(annotation) and has_array(value):
            bad_values = wrong(value, annotation in OF_ANY_SHAPE)
            refused = any(is_refused(call, {**arguments, name: bad}) for bad in bad_values)
            assert refused, f'{name}: {annotation}'


def check_result(result, arguments, annotations):
    """A function that returns what is wrong is refused, whichever of its results it is."""
    annotation = annotations.get('return')
    if get_origin(annotation) is not tuple:
        check_one_result(result, annotation, lambda bad: bad, arguments, annotations)
        return
    for i, member in enumerate(get_args(annotation)):
        whole = functools.partial(with_member, result, i)
        check_one_result(result[i], member, whole, arguments, annotations)


def check_one_result(value, annotation, whole, arguments, annotations):
    """`whole` puts one of the results among the others."""
    if not has_shape(annotation):
        return
    # A result of any shape may be held to that of an argument.
    results = map(whole, wrong(value, annotation in (FloatTree, Params)))
    returned = []
    call = checked(lambda *_: returned[-1], arguments, annotations)
    for bad in results:
        returned.append(bad)
        if is_refused(call, arguments):
            return
    pytest.fail(f'result: {annotation}')


def with_member(values, place, value):
    return (*values[:place], value, *values[place + 1 :])


def check_fields(value):
    """The fields of a NamedTuple, and of those within it, are what it says of them."""
    name = f'{type(value).__module__.removeprefix("lbexp.")}:{type(value).__name__}'
    if not hasattr(value, '_fields') or name not in signatures():
        return
    checked(type(value), value._fields, signatures()[name].annotations)(*value)
    for field in value:
        check_fields(field)


def traced(function):
    """The test, traced: shapes are known, and nothing is computed."""

    @functools.wraps(function)
    def test(*arguments, **named):
        jax.eval_shape(lambda: function(*arguments, **named))

    return test


def test_every_signature_with_a_shape_has_a_case():
    assert set(signatures()) == {*CASES, *HELD}


@pytest.mark.parametrize('name', sorted({*CASES, *HELD}))
@traced
def test_right_shapes_are_accepted_and_wrong_ones_refused(name):
    _, annotations = signatures()[name]
    for function, arguments in calls(name):
        result = checked(function, arguments, annotations)(*arguments.values())
        check_fields(result)
        check_arguments(arguments, annotations)
        check_result(result, arguments, annotations)


@traced
def test_positions_are_unsigned_and_examples_of_one_length():
    annotations = signatures()['data.source:Source.draw'].annotations
    names = [name for name in annotations if name != 'return']

    def draw(*examples):
        return lambda *_: dict(zip('xy', examples))

    arguments = (), jnp.uint32(0), integers(6)
    checked(draw(ones(6, 2), ones(6)), names, annotations)(*arguments)
    for examples, positions in (
        ((ones(6, 2), ones(5)), integers(6)),
        ((ones(5, 2), ones(5)), integers(6)),
        ((ones(6, 2), ones(6)), ones(6)),
        ((ones(6, 2), ones(6)), integers(6, jnp.int32)),
    ):
        call = checked(draw(*examples), names, annotations)
        assert is_refused(call, dict(zip(names, ((), jnp.uint32(0), positions))))
