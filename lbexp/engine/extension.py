"""A run that is to be longer than it was begun: what goes on as if it had been asked for at once,
and what has to be chosen."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from lbexp import config as configs
from lbexp.config import lookup
from lbexp.engine.changes import computing
from lbexp.engine.trial_plan import run_length, trial_accumulation, whole_length
from lbexp.errors import Refusal

_LENGTHS = ('steps', 'epochs', 'stop_at')
_POINTS = 257  # updates at which rates are compared, evenly spaced


def is_extension(changes: dict[str, list]) -> bool:
    """Whether all that changes of what is computed is the length of the run, and it grows.

    Args:
        changes: {path: [there, now]}.
    """
    paths = computing(changes)
    for path in paths:
        before, now = changes[path]
        if path == 'stop_at':  # which, not set, is the end
            before, now = before or 1.0, now or 1.0
        # Where steps become epochs each is None on one side: which run is longer is not told.
        if path not in _LENGTHS or None in (before, now) or now <= before:
            return False
    return bool(paths)


def refuse_other_shape(there: dict, now: dict, workdir: Any, may_change: bool) -> None:
    """Raises Refusal where a longer run would have begun otherwise: its schedule, or how its batch
    grows, is a shape over the whole of it.

    Args:
        there, now: of config.json.
        may_change: a schedule may go on as that of the longer run. A growing batch may not: which
            microbatches make an update is known from their counts alone.
    """
    for entry in now['trials']:
        before = configs.resolve(ConfigDict(there['config']), entry['overrides'])
        longer = configs.resolve(ConfigDict(now['config']), entry['overrides'])
        name = 'steps' if longer['epochs'] is None else 'epochs'
        change = f'{name}: found {before[name]} there, {longer[name]} now, with'
        anew = (
            f'a new run with --config.init_from.weights={workdir}, whose schedule and optimizer '
            'state begin anew'
        )
        if longer['batch_growth'] and whole_length(before) != whole_length(longer):
            raise Refusal(f'{change} batch_growth, which depends on the length; allowed: {anew}')
        if not may_change and _schedule_differs(before, longer):
            raise Refusal(
                f'{change} schedule {longer["schedule"]["name"]!r}, which depends on the length; '
                'allowed: --allow_config_change, to go on as the longer run would from here, or '
                f'{anew}'
            )


def refuse_other_updates(there: dict, now: dict, steps: Mapping[int, int]) -> None:
    """Raises Refusal where the updates that a trial has done would have taken other microbatches:
    as counts alone say which microbatches make an update, the next one would never be due, or be
    the mean of others.

    Args:
        there, now: of config.json.
        steps: updates done, by trial.
    """
    before, after = (ConfigDict(document['config']) for document in (there, now))
    for entry in now['trials']:
        done = steps.get(entry['trial'], 0)
        trained = configs.resolve(before, entry['overrides'])
        asked = configs.resolve(after, entry['overrides'])
        counts = np.arange(done + 1)
        if done and not np.array_equal(_taken(trained, counts), _taken(asked, counts)):
            raise Refusal(
                f'trial {entry["trial"]}: found {done} updates of {_taken(trained, done)} '
                f'microbatches there, which would have been {_taken(asked, done)} now '
                '(batch_size, microbatch, batch_growth, and the length of a run whose batch '
                'grows); allowed: as many. Choose another --workdir'
            )


def _taken(config, counts):
    """Microbatches in the first `counts` updates."""
    return np.asarray(trial_accumulation(config).position(counts))


def _schedule_differs(before, longer):
    """Whether the longer run would have had other rates."""
    counts = np.unique(np.linspace(0, run_length(before) - 1, _POINTS).astype(int))
    return not np.array_equal(_rates(before, counts), _rates(longer, counts))


def _rates(config, counts):
    rate = lookup.build('schedule', config['schedule'], peak=1.0, steps=whole_length(config))
    return np.array([float(rate(count)) for count in counts])
