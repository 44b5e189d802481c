"""A study is a set of trials and the question asked of them. One file, one question.

`trials` gives the overrides of each trial; `analyse` reads the rows of a workdir and never trains.

    from lbexp.analysis import Analysis
    from lbexp.studies import Study

    def two_seeds() -> Study:
        def trials(config):
            return [{'seed': 0}, {'seed': 1}]

        return Study(trials, lambda workdir: Analysis('seeds', 'two seeds', [], []))
"""

from collections.abc import Callable
from typing import NamedTuple

from lbexp.config import lookup


class _Fields(NamedTuple):
    trials: Callable  # (config) -> overrides of each trial, [{path: value}]
    # (workdir) -> Analysis: tables, figures and verdict, from the rows in the workdir
    analyse: Callable
    # (config, workdir) -> overrides of the trials that the results so far ask for; what
    more: Callable | None = None
    #   is there already does not run again. Such a study can be extended: other arguments, the same
    # workdir.


class Study(_Fields):
    """What `analyse` looks up is `lookup.recorded`: a workdir is data, whoever reads it."""

    def __new__(cls, trials, analyse, more=None):
        return super().__new__(cls, trials, lookup.recorded()(analyse), more)
