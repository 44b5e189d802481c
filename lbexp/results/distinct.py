"""Names where letters of either case are the same: in a query, on some file systems."""

from collections.abc import Iterable


def distinct(names: Iterable[str]) -> list[str]:
    """The names; one that differs from an earlier one in case at most is numbered: 'loss',
    'Loss_2'."""
    taken, chosen = set(), []
    for name in names:
        candidate, number = name, 1
        while candidate.casefold() in taken:
            number += 1
            candidate = f'{name}_{number}'
        taken.add(candidate.casefold())
        chosen.append(candidate)
    return chosen
