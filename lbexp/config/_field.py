"""What a row of the table of fields says, and the types of counts in it."""

from typing import Annotated, Any, NamedTuple

from annotated_types import Interval

LARGEST = 2**31 - 1  # of a count that a program keeps in an int32

Count = Annotated[int, Interval(ge=1, le=LARGEST)]
NonNegativeCount = Annotated[int, Interval(ge=0, le=LARGEST)]
Points = Annotated[int, Interval(ge=1, le=10**6)]
Fractions = Annotated[float, Interval(gt=0, lt=1)]


ABSENT = object()  # no default: of a dict's field that need not be there


class Part(NamedTuple):
    """A dict with a 'name', which the lookup resolves, and the arguments of the function that it
    names."""

    kind: str  # a key of lookup.KINDS
    optional: bool = False  # an empty dict switches it off
    several: bool = False  # a tuple of parts


class Field(NamedTuple):
    """A row of the table. A dotted name is a field of a dict; without a default it may be
    absent."""

    name: str
    default: Any
    annotation: Any  # a type with its range, as in function signatures; or a Part
    help: str
    unit: str = ''
    # '': never; 'always'; 'with a microbatch'; 'arguments': the numbers among the part's arguments
    traced: str = ''
    # says how a run is watched over, not what it computes: may change when it goes on
    watches: bool = False
