"""Parts of a configuration against the functions that they name."""

import functools
import inspect
import json
from collections.abc import Iterator
from typing import Any

from lbexp.config import lookup
from lbexp.config._parameter import of_parameter
from lbexp.config.violation import takes_part, violation
from lbexp.errors import Refusal, user_frame

_ANY_RUN = {'peak': 1.0, 'steps': 100}  # of which a schedule gives fractions


def part_problems(kind: str, part: dict, path: str) -> tuple[str, ...]:
    """A part's name and arguments against the signature of the function that it names; then its
    inner parts.

    Args:
        kind: a key of lookup.KINDS.
        part: plain data, with a 'name'.
        path: of the part in the configuration.
    """
    return _of_signature(kind, json.dumps(part), path)


def construction_problems(kind: str, part: dict, path: str, batch_size: int) -> tuple[str, ...]:
    """What the function of a part with a right signature says of its numbers when it is called.

    Later they are traced, and it cannot look at them. Kinds that cost more than a call are not
    built here.
    """
    if kind not in ('optimizer', 'example_weights', 'schedule'):
        return ()
    from_engine = {'example_weights': {'batch_size': batch_size}, 'schedule': _ANY_RUN}
    arguments = {**from_engine.get(kind, {}), **part}
    # As text, which a cache can have for a key.
    return _of_construction(kind, json.dumps(arguments), path)


@functools.lru_cache(4096)  # many trials have one part in common
def _of_signature(kind, part, path):
    return tuple(_of_part(kind, json.loads(part), path))


@functools.lru_cache(4096)
def _of_construction(kind, part, path):
    part = json.loads(part)
    try:
        built = lookup.build(kind, part)
        if kind == 'optimizer' and ':' in part['name']:
            _require_update(part['name'], built)
    except Refusal as error:
        return (f'{path}: {error}',)
    return ()


def _require_update(name, optimizer):
    """Refusal: the update needs more than gradients, parameters and the loss, or parameters of a
    class of its own.

    Such as L-BFGS's value_fn, and the LookaheadParams of Optax's lookahead.
    """
    import jax
    import optax

    update = optax.with_extra_args_support(optimizer).update
    params = {'kernel': jax.numpy.ones((2, 3)), 'bias': jax.numpy.ones(3)}

    def step(params):
        return update(params, optimizer.init(params), params, value=params['bias'][0])

    try:
        jax.eval_shape(step, params)
    except (TypeError, AttributeError, ValueError) as error:
        # Other ValueErrors may be of these parameters alone, such as a mask for those of the
        # workload.
        is_of_arguments = not isinstance(error, ValueError) or 'must be provided' in str(error)
        if is_of_arguments and user_frame(error) is None:
            allowed = 'an update of gradients, state, parameters (dicts of arrays) and value'
            raise Refusal(f'{name}: {error}; allowed: {allowed}') from error
    except Exception:  # not of these parameters: told where those of the workload are traced
        return


def _of_part(kind: str, part: Any, path: str) -> Iterator[str]:
    # The table checks no more of a tuple of parts than that it is one.
    if not isinstance(part, dict) or not isinstance(part.get('name'), str):
        yield f"{path}: found {part!r}; allowed: a dict with a 'name'"
        return
    try:
        parameters = lookup.parameters(lookup.find(kind, part['name']))
    except Refusal as error:
        yield f'{path}.name: {error}'
        return
    arguments = dict(part)
    function = arguments.pop('name')
    for name, value in arguments.items():
        value = lookup.argument(parameters.get(name), kind, value)
        problem = _of_argument(kind, function, parameters, name, value)
        if problem:
            yield f'{path}.{name}: {problem}'
        elif _names_part(value):
            inner_kind = lookup.inner_kind(parameters.get(name), kind)
            yield from _of_part(inner_kind, value, f'{path}.{name}')
    from_engine = (*lookup.KINDS[kind].given, *lookup.KINDS[kind].may_be_given)
    for name, parameter in parameters.items():
        if _is_needed(parameter) and name not in arguments and name not in from_engine:
            yield f'{path}.{name}: not set; {function} needs it'


def _is_needed(parameter):
    return parameter.default is inspect.Parameter.empty and not _is_variadic(parameter)


def _of_argument(kind, function, parameters, name, value) -> str | None:
    from_engine = lookup.KINDS[kind].given
    if name in from_engine and value is not None:
        return f'found {value!r}; allowed: nothing: it is for the engine to set'
    if name in parameters and not _is_variadic(parameters[name]):
        return _of_value(name, value, of_parameter(parameters[name]))
    kinds = {parameter.kind for parameter in parameters.values()}
    if inspect.Parameter.VAR_KEYWORD in kinds:
        return None
    settable = [parameter for parameter in parameters if parameter not in from_engine]
    hint = lookup.nearest(name, settable)
    return (
        f'found {value!r}; {function} has no such argument.{hint} It takes: {", ".join(settable)}'
    )


def _of_value(name, value, annotation) -> str | None:
    integer = _beyond_32_bits(value)
    # How large a seed may be its own annotation says.
    if integer is not None and name != 'seed':
        return (
            f'found {integer}; allowed: integers below 2^31; a larger number is written '
            f'{float(integer):.3g}'
        )
    if _names_part(value) and not takes_part(annotation):
        return f"found {value!r}; allowed: no part, which a dict with a 'name' is"
    return violation(value, annotation)


def _beyond_32_bits(value) -> int | None:
    """An integer somewhere in `value` that JAX does not hold in 32 bits; None: there is none."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        return next(filter(None, map(_beyond_32_bits, value)), None)
    if isinstance(value, int) and abs(value) >= 2**31:
        return min(value, 10**300)  # which a float holds, for the message
    return None


def _names_part(value):
    return isinstance(value, dict) and 'name' in value


def _is_variadic(parameter):
    return parameter.kind in (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
