"""A run that is to be longer than it was begun: what goes on as if it had been asked for at once,
and what has to be chosen."""

from typing import Any

import numpy as np
from ml_collections import ConfigDict

from lbexp import config as configs
from lbexp.config import lookup
from lbexp.engine.changes import computing
from lbexp.engine.plan import run_length
from lbexp.errors import Refusal

_LENGTHS = ('steps', 'epochs')
_POINTS = 257  # updates at which rates are compared, evenly spaced


def is_extension(changes: dict[str, list]) -> bool:
    """Whether all that changes of what is computed is the length of the run, and it grows.

    Args:
        changes: {path: [there, now]}.
    """
    paths = computing(changes)
    for path in paths:
        before, now = changes[path]
        if path not in _LENGTHS or None in (before, now) or now <= before:
            return False
    return bool(paths)


def refuse_other_shape(there: dict, now: dict, workdir: Any) -> None:
    """Raises Refusal where a longer run would have begun otherwise: its schedule, or how its batch
    grows, is a shape over the whole of it.

    Args:
        there, now: of config.json.
    """
    for entry in now['trials']:
        before = configs.resolve(ConfigDict(there['config']), entry['overrides'])
        longer = configs.resolve(ConfigDict(now['config']), entry['overrides'])
        shape = _shape_over_the_run(before, longer)
        if shape:
            name = 'steps' if longer['epochs'] is None else 'epochs'
            raise Refusal(
                f'{name}: found {before[name]} there, {longer[name]} now, with {shape}, which '
                'depends on the length; allowed: --allow_config_change, to go on as the longer run '
                'would from here, or a new run with '
                f'--config.init_from.weights={workdir}, whose schedule and optimizer state begin '
                'anew'
            )


def _shape_over_the_run(before, longer):
    """What depends on the length, in words; '': nothing."""
    if longer['batch_growth']:
        return 'batch_growth'
    steps = run_length(before)
    counts = np.unique(np.linspace(0, steps - 1, _POINTS).astype(int))
    if not np.array_equal(
        _rates(before, steps, counts), _rates(longer, run_length(longer), counts)
    ):
        return f'schedule {longer["schedule"]["name"]!r}'
    return ''


def _rates(config, steps, counts):
    rate = lookup.build('schedule', config['schedule'], peak=1.0, steps=steps)
    return np.array([float(rate(count)) for count in counts])
