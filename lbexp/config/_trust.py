"""Which names of parts are looked up: a workdir is data, and may be anybody's.

What it names outside lbexp runs only where the user names it too.
"""

import contextlib
import contextvars
from collections.abc import Generator, Iterable
from typing import Any

from lbexp.errors import Refusal
from lbexp.wording import with_article

_reads_workdir = contextvars.ContextVar('reads_workdir', default=False)
# names outside lbexp; None: all of them
_trusted: contextvars.ContextVar[frozenset[str] | None] = contextvars.ContextVar(
    'trusted', default=frozenset()
)


@contextlib.contextmanager
def recorded() -> Generator[None, None, None]:
    """Inside, names come from a workdir, which is data and never code: they mean lbexp's own parts.

    Of the names that reach outside, those are looked up that `trusting` gives.
    """
    token = _reads_workdir.set(True)
    try:
        yield
    finally:
        _reads_workdir.reset(token)


@contextlib.contextmanager
def trusting(outside: Iterable[str] | None) -> Generator[None, None, None]:
    """Inside, a workdir may name these functions outside lbexp: the user named them himself. None:
    any."""
    token = _trusted.set(None if outside is None else frozenset(outside))
    try:
        yield
    finally:
        _trusted.reset(token)


def trust() -> tuple[bool, frozenset[str] | None]:
    """What is looked up here and now: whether names come from a workdir, and which outside lbexp
    the user named himself (None: all). Part of the key where a cache keeps what `find` answers."""
    return _reads_workdir.get(), _trusted.get()


def outside_names(value: Any) -> set[str]:
    """The texts, anywhere in nested data, that `find` would look up outside lbexp."""
    if isinstance(value, str):
        _, _, function = value.partition(':')
        return {value} if function else set()
    if isinstance(value, dict):
        value = value.values()
    elif not isinstance(value, (list, tuple)):
        return set()
    return set().union(*map(outside_names, value))


def refuse_untrusted(kind: str, name: str) -> None:
    """Raises Refusal inside `recorded`, where the user did not name `name` himself."""
    trusted = _trusted.get()
    if _reads_workdir.get() and trusted is not None and name not in trusted:
        raise Refusal(
            f'the workdir names {with_article(kind)} outside lbexp: found {name!r}; allowed: parts '
            'of lbexp. To run it, give the --config that names it, or --trust_workdir; in Python: '
            'lookup.trusting'
        )
