"""A study is a set of trials and the question asked of them. One file, one question."""

from collections.abc import Callable
from typing import NamedTuple


class Study(NamedTuple):
    trials: Callable  # (config) -> overrides of each trial, [{path: value}]
    analyse: Callable  # (workdir) -> Analysis: tables, figures and verdict, from the rows in the workdir
