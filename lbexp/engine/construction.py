"""Parts of trials built with their numbers as they are: what a part refuses, it refuses here."""

import functools
import json

import jax

from lbexp.config import lookup
from lbexp.engine import initial_optimizer, initial_position, initial_weights
from lbexp.engine.components import components
from lbexp.engine.step import initial_state
from lbexp.engine.training_set import keep_training_set, training_set
from lbexp.engine.trial_plan import trial_plan
from lbexp.errors import Refusal


def build_different(trials: list[dict]) -> None:
    """Builds the parts of every different trial.

    Args:
        trials: resolved configurations.

    Raises:
        ValueError: a part refuses its arguments; the message says which and why.
    """
    # Of trials that differ in their seeds alone, one.
    apart_from_seeds = {json.dumps({**config, 'seed': 0}): config for config in trials}
    by_workload = {}
    for config in apart_from_seeds.values():
        by_workload.setdefault(json.dumps(config['workload']), []).append(config)
    for members in by_workload.values():
        # It holds the data: it is built once, and let go before the next.
        part = members[0]['workload']
        workload = lookup.build('workload', part)
        keep_training_set(part, workload)
        for config in members:
            planned = trial_plan(config)
            trial = components(*planned, workload=workload)
            if config['init_from']['weights'] is not None:
                initial_weights.taken(config['init_from'], trial.workload)
            if initial_weights.takes_position(config['init_from']):
                initial_position.check(config['init_from'], planned.end, trial.accumulation)
            if initial_weights.takes_optimizer_state(config['init_from']):
                state = jax.eval_shape(functools.partial(initial_state, trial))
                initial_optimizer.check(config, state.opt_state)
            size, batch = training_set(part).size, config['batch_size']
            if batch > size:
                raise Refusal(
                    f'batch_size: found {batch} with {size} training examples; allowed: at most '
                    'as many'
                )
