"""How a learning rate reaches an optimizer: as a function of the updates done, or as a number where
it must be one."""

import types
import typing
from collections.abc import Callable
from typing import Any, get_args, get_origin

from lbexp.errors import Refusal
from lbexp.ranges import concrete


class ScheduledRate:
    """A learning rate as a function of the updates done: count -> rate.

    Calculating with it as with a number says what it is, at the place in the optimizer that does
    so.
    """

    def __init__(self, rate: Callable):
        self._rate = rate

    def __call__(self, count: Any) -> Any:
        return self._rate(count)

    def _is_no_number(self, *_):
        raise TypeError(
            'learning_rate is a function of the updates done, not a number: '
            'learning_rate(count), or '
            'optax.scale_by_learning_rate(learning_rate); an optimizer that needs a number says '
            'learning_rate: float'
        )

    __neg__ = __pos__ = __abs__ = __float__ = __int__ = _is_no_number
    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __matmul__ = __rmatmul__ = (
        _is_no_number
    )
    __truediv__ = __rtruediv__ = __floordiv__ = __rfloordiv__ = __mod__ = __rmod__ = __pow__ = (
        __rpow__
    ) = _is_no_number
    __lt__ = __le__ = __gt__ = __ge__ = _is_no_number
    __array__ = __jax_array__ = _is_no_number


def takes_number(function: Callable) -> bool:
    """Whether the annotation of `learning_rate` allows a number and no function: float,
    jax.typing.ArrayLike."""
    try:
        annotation = typing.get_type_hints(function).get('learning_rate', Any)
    except Exception:  # names that only a type checker can resolve
        return False
    members = _members(annotation)
    return float in members and not any(map(_is_callable, members))


def constant_rate(name: str, peak: Any, schedule: dict, batch_grows: bool) -> Any:
    """The number for an optimizer that takes no schedule: `peak`, which nothing in the
    configuration changes.

    Args:
        name: of the optimizer.
        schedule: the part of the configuration.
        batch_grows: which scales the rate.

    Raises:
        Refusal: the configuration schedules the rate.
    """
    warmup = concrete(schedule.get('warmup'))  # where it is traced it was looked at before
    warms_up = warmup is not None and warmup > 0
    problem = ''
    if schedule['name'] != 'constant' or warms_up:
        problem = f'schedule: found {schedule["name"]!r}'
        if warmup:
            problem += f' with warmup {warmup}'
    elif batch_grows:
        problem = 'batch_growth: found one'
    if problem:
        raise Refusal(
            f'{problem} with {name}, whose learning_rate is a number; allowed: '
            "'constant' without warmup"
        )
    return peak


def _members(annotation):
    """The types that an annotation allows, without what is said beside them."""
    members = get_args(annotation)
    if get_origin(annotation) in (typing.Union, types.UnionType):
        return set().union(*map(_members, members))
    if get_origin(annotation) is typing.Annotated:
        return _members(members[0])
    return {annotation}


def _is_callable(annotation):
    return Callable in (annotation, get_origin(annotation)) or annotation is typing.Callable
