"""The trials of arms: what each overrides, and the tags by which it is found again.

'extension' is the round of the search that drew a point, 'point' its number in that round; 'fitted'
is the value of the vertex where a trial runs there. Trials of the tunings after the first are
tagged with 'tuning'.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lbexp import results
from lbexp.studies import Trial
from lbexp.studies._comparison.searches import Point

Key = tuple[Any, ...]


def tagged_trial(
    name: str, overrides: dict[str, Any], phase: str, point: Point, seed: int, number: int
) -> Trial:
    """A trial of the arm `name` at a point, of the tuning `number`.

    A reported trial bears its point as well: where other results choose another one, it is no
    longer asked for under the same tags.
    """
    tags: dict[str, Any] = dict(arm=name, phase=phase)
    tags |= dict(extension=point.extension, point=point.number)
    if point.fitted is not None:
        tags['fitted'] = point.fitted
    if number:
        tags['tuning'] = number
    return Trial({**overrides, **point.values, 'seed': seed}, tags)


def key_of(trial: Trial) -> Key:
    """What tells a trial from the others that arms ask for."""
    return _key(trial.tags, trial.overrides['seed'])


def tagged_trials(workdir: Path) -> dict[Key, int]:
    """{`key_of` a trial that arms asked for: its number in the workdir}."""
    seeds = {}
    for entry in results.entries(workdir):
        seeds[entry['trial']] = entry['overrides'].get('seed')
    trial_of = {}
    for trial, tags in results.roles(workdir):
        # trials of another hand have other tags
        if 'arm' in tags and 'phase' in tags:
            trial_of[_key(tags, seeds[trial])] = trial
    return trial_of


def recorded(workdir: Path, trials: Sequence[Trial]) -> bool:
    """Whether the workdir has all of the trials."""
    trial_of = tagged_trials(workdir)
    return all(key_of(trial) in trial_of for trial in trials)


def _key(tags, seed):
    point = tags.get('extension'), tags.get('point'), tags.get('fitted')
    return tags['arm'], tags['phase'], *point, seed
