"""The spaces over which the optimizers of a study are tuned: arguments of the study."""

from collections.abc import Mapping, Sequence
from typing import Any

from lbexp.dotted import flatten
from lbexp.errors import Refusal

Space = dict[str, tuple]  # {path in the configuration: (scale, low, high)}


def optimizer_spaces(
    replacements: Sequence[Mapping[str, Any]],
    defaults: Mapping[str, Mapping[str, Any]],
    optimizers: Sequence[str],
) -> dict[str, Space]:
    """By optimizer, what of it is tuned.

    Args:
        replacements: dict(optimizer=NAME, FIELD=(scale, low, high), ...), which replace a default
            whole; a field of an optimizer inside it: inner=dict(FIELD=...).
        defaults: by optimizer, {field: (scale, low, high)}.
        optimizers: those that are compared.

    Raises:
        Refusal: a replacement without a name, or of an optimizer that is not compared; an optimizer
            that has neither default nor replacement.
    """
    fields: dict[str, Any] = dict(defaults)
    problems = []
    for replacement in replacements:
        space = dict(replacement)
        name = space.pop('optimizer', None)
        if name not in optimizers or not space:
            problems.append(
                f'spaces: found {dict(replacement)}; allowed: dict(optimizer=..., FIELD=(scale, '
                f'low, high)), of {", ".join(optimizers)}'
            )
        else:
            fields[name] = space
    for name in optimizers:
        if name not in fields:
            problems.append(
                f'spaces: found none for {name}; allowed: dict(optimizer={name!r}, ...)'
            )
    if problems:
        raise Refusal('; '.join(problems))
    spaces = {}
    for name in optimizers:
        spaces[name] = {}
        for field, axis in flatten(dict(fields[name])).items():
            # of a configuration it is a list
            spaces[name][f'optimizer.{field}'] = tuple(axis)
    return spaces
