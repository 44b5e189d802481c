"""What a parameter of a part's function takes."""

import inspect
from typing import Any


def of_parameter(parameter: inspect.Parameter) -> Any:
    """The annotation of a parameter; where it says nothing, what its default is an example of."""
    default, annotation = parameter.default, parameter.annotation
    if annotation not in (inspect.Parameter.empty, Any):
        return annotation
    # the engine multiplies it by the schedule
    if parameter.name == 'learning_rate' and default is not None:
        return float
    example = _type_of_example(default)
    # Any says that the function does not take None; no annotation says nothing.
    if example is Any or annotation is Any:
        return example
    return example | None


def _type_of_example(value):
    match value:
        case str():
            return str | list[str]  # patterns of paths may be several
        case bool():  # before int, of which it is a subclass
            return bool
        case int() | float():
            return float
        case tuple() | list():
            return list
        case _:
            return Any
