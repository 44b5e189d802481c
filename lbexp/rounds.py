"""The rounds of a study: its trials, and those that its results ask for, until there are none."""

import functools
import pathlib
from collections.abc import Callable
from typing import TypeVar

from ml_collections import ConfigDict

from lbexp import config as configs
from lbexp.engine.run import build_once
from lbexp.parallel import collectives
from lbexp.studies import Study
from lbexp.trained.initial_weights import gather

_Outcome = TypeVar('_Outcome')


def rounds(
    study: Study,
    config: ConfigDict,
    workdir: pathlib.Path,
    first_trials: list[configs.Trial],
    record_trials: Callable[[list[configs.Trial]], list[dict]],
    train: Callable[[list[dict]], _Outcome | None],
) -> _Outcome | None:
    """Trains the first trials, and then what `study.more` asks for, until it asks for nothing new.

    Every process of a job calls it alike.

    Args:
        record_trials: trials of a round -> all trials of the workdir, as `engine.record` has them.
        train: trials of the workdir -> None, or why there is nothing more to do.

    Returns:
        What `train` gave in the last round.

    Raises:
        Refusal: trials that cannot be built.
    """
    trials, known, next_trials = first_trials, [], study.more

    # Process 0 alone reads the results and decides; a Trial reaches the others as JSON.
    def ask():
        assert next_trials is not None
        return [trial._asdict() for trial in next_trials(config, workdir)]

    while True:
        entries = record_trials(trials)
        if entries == known:  # the results ask for no trial, and for no other tags, any more
            return None
        known = entries
        outcome = train(entries)
        if outcome is not None or next_trials is None:
            return outcome
        trials = [configs.Trial(**fields) for fields in collectives.run_on_primary(ask)]
        resolved = [configs.resolve(config, trial.overrides) for trial in trials]
        # Before they are recorded: a trial that cannot be built would be in the workdir for good.
        collectives.run_on_all(functools.partial(gather, resolved, workdir))
        collectives.run_on_all(functools.partial(build_once, resolved))


def grows(study: Study, search: ConfigDict) -> bool:
    """Whether trials may be added to those that a workdir has.

    Args:
        search: of the configuration; empty: there is none.
    """
    return study.more is not None or bool(search)
