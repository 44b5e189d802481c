"""Reads the weights that trials begin from: of another run, a file, or the run itself; and keeps a
copy, so that a run goes on without them."""

import hashlib
import pathlib
from collections.abc import Iterable
from typing import Any

from lbexp.config import lookup
from lbexp.engine import initial_weights
from lbexp.engine.frozen import joined
from lbexp.errors import Refusal
from lbexp.local_path import local_path
from lbexp.trained import _formats
from lbexp.trained._run import Run

THIS_RUN = 'this run'
_FIELD = 'init_from.weights'


def gather(trials: Iterable[dict], workdir: pathlib.Path | None) -> None:
    """Provides the weights that trials begin from, for whatever builds them.

    Names outside lbexp that a workdir has are trusted where the trials name them, too.

    Args:
        trials: resolved configurations.
        workdir: of the run; None: it is not known yet.

    Raises:
        Refusal: no such workdir, trial or file, or a file that is damaged.
        Damaged, OSError: a checkpoint of the source is.
    """
    trials = list(trials)
    trusted = lookup.outside_names(trials)
    # one Run for all trials of a workdir, which reads a cohort's checkpoint once
    runs: dict[pathlib.Path, Run] = {}
    for settings in _sources(trials):
        initial_weights.provide(settings, _arrays(settings, workdir, trusted, runs))


def keep(trials: Iterable[dict], workdir: pathlib.Path) -> None:
    """Copies what trials begin from into the workdir, but for what is in it anyway."""
    for settings in _sources(trials):
        path = _copy(settings, workdir)
        if settings['weights'] != THIS_RUN and not path.exists():
            path.parent.mkdir(exist_ok=True)
            arrays = initial_weights.arrays(settings)
            described = {'of': initial_weights.described(settings)}
            _formats.export(arrays, described, path, 'msgpack')


def _sources(trials):
    """The different 'init_from' of trials that have one."""
    by_key = {}
    for trial in trials:
        settings = trial['init_from']
        if settings['weights'] is not None:
            by_key[initial_weights.source_key(settings)] = settings
    return list(by_key.values())


def _arrays(settings, workdir, trusted, runs):
    source = settings['weights']
    if source == THIS_RUN:
        if workdir is None:
            raise Refusal(
                f'{_FIELD}: found {source!r} in the first trials, before there are any; allowed: a '
                'workdir, a file, and this run in trials that a study asks for later'
            )
        path = workdir
    else:
        path = local_path(source, _FIELD)
    if not path.exists() and workdir is not None and _copy(settings, workdir).exists():
        path = _copy(settings, workdir)
    if not path.exists():
        raise Refusal(
            f'{_FIELD}: found no {source!r}; allowed: the workdir of a run, a file of lbexp.export '
            f'({", ".join(_formats.READERS)}), or --workdir of a run that has a copy of them'
        )
    if path.is_file():
        return _formats.read(path)
    if path not in runs:
        runs[path] = Run(path, trust_workdir=trusted)
    trial = runs[path].trial(settings['trial'])
    tree: Any = {'params': trial.params, 'model_state': trial.model_state}
    if initial_weights.takes_optimizer_state(settings):
        tree = _as_trained(trial)
    if initial_weights.takes_position(settings):
        tree['position'] = {'step': trial.state.step, 'tick': trial.state.tick}
    return _formats.named(tree)


def _as_trained(trial):
    """What a trial would have gone on with."""
    if trial.config['replicas']:
        raise Refusal(
            f'init_from.optimizer_state: found a source with replicas, trial {trial.number}; '
            'allowed: one worker'
        )
    state = trial.state
    params = joined(state.params, state.frozen)
    return {'params': params, 'model_state': state.model_state, 'opt_state': state.opt_state}


def _copy(settings, workdir):
    name = hashlib.sha256(initial_weights.source_key(settings).encode()).hexdigest()[:16]
    return workdir / 'weights' / f'{name}.msgpack'
