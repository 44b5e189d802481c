"""A study is a set of trials and the question asked of them. One file, one question.

`trials` gives the trials, each with what it overrides and the tags by which the study finds it
again; `analyse` reads the rows of a workdir and never trains. What has to be computed beside
training (the speed of a machine, the Hessian at a trial's weights) is `measure`, a step of the run.

    from lbexp.analysis import Analysis
    from lbexp.studies import Study, Trial

    def two_seeds() -> Study:
        def trials(config):
            return [Trial({'seed': seed}, {'phase': 'reporting'}) for seed in (0, 1)]

        return Study(trials, lambda workdir: Analysis('seeds', 'two seeds', [], []))
"""

import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from lbexp.analysis import Analysis
from lbexp.config import Trial as Trial
from lbexp.config import asked, lookup

Trials = Sequence[Trial | Mapping[str, Any]]  # bare overrides are a trial without tags


class _Fields(NamedTuple):
    # the first trials
    trials: Callable[[ConfigDict], list[Trial]]
    # tables, figures and verdict, from what is in the workdir. It may run on a login node: nothing
    # is trained, timed or differentiated there
    analyse: Callable[[pathlib.Path], Analysis]
    # the trials that the results so far ask for; what is there already does not run again. Such a
    # study can be extended: other arguments, the same workdir
    more: Callable[[ConfigDict, pathlib.Path], list[Trial]] | None = None
    # called by the job once nothing is left to train, in all its processes together; leaves files
    # in the workdir, which `analyse` reads where they are there
    measure: Callable[[ConfigDict, pathlib.Path], None] | None = None


class Study(_Fields):
    """What a study asks, of which trials.

    What `analyse` looks up is `lookup.recorded`: a workdir is data, whoever reads it.

    Args:
        trials: (config) -> the first trials, as `Trial`s or as bare overrides {path: value}.
        analyse: (workdir) -> Analysis.
        more: (config, workdir) -> trials that the results so far ask for; None: there are none.
        measure: (config, workdir) -> None, after training; None: nothing is measured.
    """

    def __new__(
        cls,
        trials: Callable[[ConfigDict], Trials],
        analyse: Callable[[pathlib.Path], Analysis],
        more: Callable[[ConfigDict, pathlib.Path], Trials] | None = None,
        measure: Callable[[ConfigDict, pathlib.Path], None] | None = None,
    ):
        def first_trials(config: ConfigDict) -> list[Trial]:
            return asked(trials(config))

        def next_trials(config: ConfigDict, workdir: pathlib.Path) -> list[Trial]:
            assert more is not None
            return asked(more(config, workdir))

        return super().__new__(
            cls,
            first_trials,
            lookup.recorded()(analyse),
            None if more is None else next_trials,
            measure,
        )
