"""A study is a set of trials and the question asked of them. One file, one question."""

from collections.abc import Callable
from typing import NamedTuple


class Study(NamedTuple):
    trials: Callable  # (config) -> overrides of each trial, [{path: value}]
    analyse: Callable  # (workdir) -> Analysis: tables, figures and verdict, from the rows in the workdir
    more: Callable | None = None  # (config, workdir) -> overrides of the trials that the results so far ask for; what
    #   is there already does not run again. Such a study can be extended: other arguments, the same workdir.
