"""Large numbers in words."""

_PREFIXES = ('', 'k', 'M', 'G', 'T', 'P', 'E')


def with_prefix(value: float, unit: str) -> str:
    """'2.1 MFLOP': three digits, and the prefix that goes with them.

    Args:
        value: not negative.
        unit: what it counts.
    """
    place = 0
    while value >= 999.5 and place < len(_PREFIXES) - 1:
        value, place = value / 1000, place + 1
    return f'{value:.3g} {_PREFIXES[place]}{unit}'
