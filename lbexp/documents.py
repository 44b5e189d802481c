"""The JSON files of a workdir: what they hold, and how they are read.

A workdir may be anybody's, and its files anything: torn, damaged, of another shape. Who goes on
with a run refuses what is damaged; who reads results leaves it out. Both read by these functions.
"""

import collections
import json
import pathlib
from typing import Annotated, Any

import msgspec

from lbexp.errors import Refusal

# fields of a configuration that no single trial has: they say which trials there are
SPANNING = ('sweep', 'search')
CONFIG, STATUS, COHORTS = 'config.json', 'status.json', 'cohorts.json'
SUMMARY = 'summary.json'
PREDICTIONS = 'predictions.json'
FINISHED = 'finished.json'
_DEPTH = 50  # of nested data; a configuration has about 6
_SHOWN = 120  # characters of what is wrong

Count = Annotated[int, msgspec.Meta(ge=0, lt=2**53)]  # a whole number that every reader takes
Trial = Count  # the number of a trial


class Entry(msgspec.Struct):
    """A trial of config.json."""

    trial: Trial
    overrides: dict[str, Any]
    round: int = 0
    # what the study asked for it as: arm, phase, case, ... Several where it asked more than once
    tags: list[dict[str, str | int | float | bool | None]] = []


class Trials(msgspec.Struct, kw_only=True):
    """config.json, as far as whoever reads results needs it."""

    config: dict[str, Any] = {}
    trials: list[Entry] = []

    def __post_init__(self):
        counts = collections.Counter(entry.trial for entry in self.trials)
        twice = [trial for trial, count in counts.items() if count > 1]
        if twice:
            raise ValueError(f'trial {twice[0]} twice')


class Config(Trials, kw_only=True):
    """config.json."""

    config: dict[str, Any]
    trials: list[Entry]
    environment: dict[str, Any]  # where the run was begun
    environments: list[dict[str, Any]] = []  # where it was gone on with
    changes: list[dict[str, Any]] = []  # what was changed since, {name: [before, after]}
    run: str = ''  # a random name; '': written by a version that gave none
    fingerprint: dict[str, str] = {}  # of code and data
    stages: list[dict[str, Any]] = []  # what checkpoints from before a change may say, oldest first


class Changes(msgspec.Struct):
    """config.json, as far as it tells of changes."""

    # {name: [before, after]}
    changes: list[dict[str, Annotated[list, msgspec.Meta(min_length=2, max_length=2)]]] = []


class State(msgspec.Struct):
    """A trial of status.json, as far as whoever reads results needs it."""

    status: str


class Standing(State):
    """A trial of status.json."""

    step: int  # updates done
    # those in the last complete checkpoint; 0: there was none. None: an older version
    saved: int | None = None
    rows: int | None = None  # rows written when it came to its end
    digest: str | None = None  # of these rows


class Status(msgspec.Struct):
    """status.json."""

    status: str
    trials: dict[Trial, Standing]
    ended: str | None = None  # when the last trial came to its end, ISO 8601


class Cohort(msgspec.Struct):
    """A cohort of cohorts.json, a list of them."""

    round: int
    trials: list[Trial]


class Finished(msgspec.Struct):
    """finished.json: what a sweep ended with."""

    asked: str  # a digest of what was asked for, and of the code that did it
    # of each file that it left, or that it came from: bytes, time of its last change [ns]
    files: dict[str, tuple[int, int]]


class Layer(msgspec.Struct):
    """An array of parameters of summary.json."""

    path: str
    shape: list[Count]
    dtype: str


class Network(msgspec.Struct):
    """A network of summary.json."""

    trials: list[Trial]  # that train it
    name: str  # of the workload
    layers: list[Layer]
    parameters: Count
    examples: dict[str, Count]  # of each set
    target: tuple[str, float] | None = None  # a test metric and the value that counts as reached
    # operations of a forward and backward pass, an example; None: an older version
    flops: float | None = None


class Schedule(msgspec.Struct):
    """A learning rate of summary.json, as planned."""

    trials: list[Trial]
    steps: list[Count]  # updates done
    rates: list[float]


class Summary(msgspec.Struct):
    """summary.json: what is trained."""

    docstring: str = ''  # of the experiment file
    networks: list[Network] = []
    schedules: list[Schedule] = []


class Hard(msgspec.Struct):
    """An example of predictions.json whose loss is large."""

    place: Count  # in the stored order of its set
    label: str
    predicted: str
    probability: float  # of the label
    # WebP in base 64; '': it is no picture
    picture: Annotated[str, msgspec.Meta(pattern='^[A-Za-z0-9+/=]*$', max_length=200_000)] = ''


class Predictions(msgspec.Struct):
    """predictions.json: what a trained network gets wrong, or writes."""

    trial: Trial
    step: Count
    examples: Count = 0  # of the test set that were looked at
    classes: list[str] = []
    confusion: list[list[Count]] = []  # [label, prediction]
    hardest: list[Hard] = []  # by loss, the largest first
    texts: list[str] = []


def document(path: pathlib.Path, kind: Any) -> Any:
    """The content of a JSON file, as plain data that can be written as UTF-8.

    Args:
        kind: what it must hold: a type as msgspec takes it.

    Raises:
        Refusal: it holds something else; the message names the file, and what is wrong.
        OSError: there is none, or it cannot be read.
    """
    raw = pathlib.Path(path).read_bytes()
    try:
        content = json.loads(raw.decode())  # msgspec's own reader takes no Infinity
        # What reads nested data by recursion would end in a RecursionError, far from the file.
        if _is_deeper(content, _DEPTH):
            raise ValueError(f'nested more than {_DEPTH} deep')
        msgspec.convert(content, kind, str_keys=True)
    except (ValueError, RecursionError) as error:
        wrong = ' '.join(str(error).split())[:_SHOWN]
        rule = 'allowed: what lbexp wrote. Put a copy of it back, or choose another --workdir'
        raise Refusal(f'{path}: found a damaged file ({encodable(wrong)}); {rule}') from error
    # Only an escape can hold a lone surrogate, and few files have one.
    if b'\\u' in raw:
        return encodable(content)
    return content


def fits(value: Any, kind: Any) -> bool:
    """Whether a value is what a type says."""
    try:
        msgspec.convert(value, kind, str_keys=True)
        return True
    except ValueError:
        return False


def encodable(value: Any) -> Any:
    """Nested data whose text UTF-8 can hold: lone surrogates, which JSON can, become escapes."""
    if isinstance(value, str):
        if value.isascii():  # nearly every one
            return value
        return value.encode('utf-8', 'backslashreplace').decode()
    if isinstance(value, dict):
        return {encodable(key): encodable(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return list(map(encodable, value))
    return value


def _is_deeper(value, depth):
    if isinstance(value, dict):
        value = value.values()
    elif not isinstance(value, list):
        return False
    return depth == 0 or any(_is_deeper(inner, depth - 1) for inner in value)
