"""Stages in a row, each from the weights of the one before it, and the arms that are made of
them."""

from collections.abc import Sequence
from typing import NamedTuple

PRETRAINING = 'pretraining'  # name of the stage before the two


class Arm(NamedTuple):
    """Stages in a row, by name; pretraining is the first of them or none."""

    stages: tuple[str, ...]

    @property
    def name(self) -> str:
        """'a, then b'; 'b alone' of b twice."""
        *before, last = self.stages
        if before and before[-1] == last:
            return f'{", then ".join(before)} alone'
        return ', then '.join(self.stages)

    @property
    def last(self) -> str:
        """The name of its last stage."""
        return self.stages[-1]

    @property
    def number(self) -> int:
        """Of its last stage: 0 of pretraining, 1 and 2 of the two."""
        return len(self.stages) - self.stages.count(PRETRAINING)

    @property
    def before(self) -> 'Arm | None':
        """What its last stage begins from; None: fresh weights."""
        return Arm(self.stages[:-1]) if self.stages[1:] else None


def arms_of(names: Sequence[str], reverse: bool, is_pretrained: bool) -> list[Arm]:
    """A, then B; B alone, which is B twice; B, then A; each after pretraining, if there is any, and
    then A, then B without it.

    Args:
        names: of A and B.
        reverse: whether B, then A is one.
    """
    first, second = names
    orders = [(first, second), (second, second)] + ([(second, first)] if reverse else [])
    if not is_pretrained:
        return [Arm(order) for order in orders]
    return [Arm((PRETRAINING, *order)) for order in orders] + [Arm((first, second))]


def parts_of(arms: Sequence[Arm]) -> list[Arm]:
    """What arms are made of: each beginning of one once, the shorter first."""
    longest = max(len(arm.stages) for arm in arms)
    parts = []
    for length in range(1, longest + 1):
        parts += [Arm(arm.stages[:length]) for arm in arms if len(arm.stages) >= length]
    return list(dict.fromkeys(parts))
