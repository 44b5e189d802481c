"""The JSON files of a workdir: what they hold, and how they are read."""

import json
import pathlib
from typing import Any

import msgspec

from lbexp.errors import Refusal


class Entry(msgspec.Struct):
    """A trial of config.json."""

    trial: int
    overrides: dict[str, Any]
    round: int = 0


class Config(msgspec.Struct):
    """config.json."""

    config: dict[str, Any]
    trials: list[Entry]
    environment: dict[str, Any]  # where the run was begun
    environments: list[dict[str, Any]] = []  # where it was gone on with
    changes: list[dict[str, Any]] = []  # what was changed since, {name: [before, after]}
    run: str = ''  # a random name; '': written by a version that gave none
    fingerprint: dict[str, str] = {}  # of code and data
    stages: list[dict[str, Any]] = []  # what checkpoints from before a change may say, oldest first


class Standing(msgspec.Struct):
    """A trial of status.json."""

    status: str
    step: int  # updates done
    saved: int | None = None  # those in the last complete checkpoint; 0: there was none. None: an older version
    rows: int | None = None  # rows written when it came to its end
    digest: str | None = None  # of these rows


class Status(msgspec.Struct):
    """status.json."""

    status: str
    trials: dict[int, Standing]
    ended: str | None = None  # when the last trial came to its end, ISO 8601


def document(path: pathlib.Path, kind: type[msgspec.Struct]) -> dict:
    """The content of a JSON file that lbexp wrote, as plain data of which `kind` holds.

    Raises:
        Refusal: it is damaged.
        OSError: it cannot be read.
    """
    try:
        content = json.loads(path.read_bytes())  # msgspec's own reader takes no Infinity
        msgspec.convert(content, kind, strict=False)
        return content
    except (ValueError, RecursionError) as error:
        raise Refusal(
            f'{path}: found a damaged file ({error}); allowed: what lbexp wrote. Put a copy of it back, or choose '
            'another --workdir'
        ) from error
