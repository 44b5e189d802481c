"""The seeds of a study's trials: all of them move with the configuration's `seed`."""

from collections.abc import Iterable

from lbexp.studies import Trial

STRIDE = 2**12  # seeds that a study may use


def first_seed(seed: int) -> int:
    """What is added to the seeds of a study's trials: 4096 times the configuration's, modulo 2^31.

    A study run again with another `--config.seed` shares no seed with the first run, neither of the
    trials that tune nor of those reported: a verdict that such a run overturns is none. With
    `config.seed` 0, the default, seeds are as the study numbers them.
    """
    return seed * STRIDE % 2**31


def moved(trials: Iterable[Trial], seed: int) -> list[Trial]:
    """The trials with seeds that have moved with the configuration's."""
    offset = first_seed(seed)
    elsewhere = []
    for trial in trials:
        overrides = {**trial.overrides, 'seed': trial.overrides['seed'] + offset}
        elsewhere.append(trial._replace(overrides=overrides))
    return elsewhere
