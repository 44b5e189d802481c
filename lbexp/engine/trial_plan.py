"""How long a trial runs, and what follows from it for its configuration: the one thing of a trial
that is worked out from all of it."""

import math
from fractions import Fraction
from typing import NamedTuple

from lbexp.batch_size import regime_adaptation
from lbexp.engine.accumulation import AccumulationSchedule, accumulation_schedule, boundaries
from lbexp.engine.training_set import training_set
from lbexp.errors import Refusal


class TrialPlan(NamedTuple):
    """A trial as its components take it."""

    config: dict  # resolved, with the boundaries of a growing batch in examples
    steps: int  # updates of the whole run, of which `stop_at` may leave some out

    @property
    def end(self) -> int:
        """Updates after which the trial ends."""
        return _end(self.steps, self.config.get('stop_at'))


def trial_plan(config: dict) -> TrialPlan:
    """The plan of one trial.

    Args:
        config: plain data, as config.resolve returns it.

    Raises:
        Refusal: a run that is longer than its counters.
    """
    growth = _growth_in_examples(config)
    return TrialPlan({**config, 'batch_growth': growth}, whole_length(config))


def trial_accumulation(config: dict) -> AccumulationSchedule:
    """How the microbatches of a trial make its updates.

    Args:
        config: plain data, as config.resolve returns it.
    """
    growth = _growth_in_examples(config)
    return accumulation_schedule(config['batch_size'], config['microbatch'], growth)


def run_length(config: dict) -> int:
    """Updates after which a run ends: all of `whole_length`, or the share `stop_at` of them,
    rounded, and at least 1.

    Raises:
        Refusal: a run that is longer than its counters.
    """
    return _end(whole_length(config), config.get('stop_at'))


def _end(steps, share):
    """The share None is all, as in workdirs of an older version, which had none."""
    return steps if share is None else max(1, round(share * steps))


def whole_length(config: dict) -> int:
    """Updates that schedules are spread over: `steps`, or what `epochs` passes over the training
    set make, rounded up.

    Where the batch grows these say how many examples the run has, and there are fewer updates.

    Raises:
        Refusal: a run that is longer than its counters.
    """
    examples = _examples(config)
    _refuse_too_long(config, examples)
    if config['batch_growth']:
        schedule = trial_accumulation(config)
        return int(schedule.updates(math.ceil(examples / config['microbatch'])))
    if config['steps'] is not None:
        return int(config['steps'])
    return math.ceil(examples / config['batch_size'])


def _refuse_too_long(config, examples):
    """Updates and microbatches are counted in int32, positions of examples in uint32."""
    length = 'steps'
    if config['steps'] is None:
        length = 'epochs'
    passes = examples / (config['microbatch'] or config['batch_size'])
    limits = (
        (passes, 31, 'forward and backward passes', 'a program counts them in 32 bits'),
        (examples, 32, 'examples', 'their positions have 32 bits'),
    )
    for count, power, unit, why in limits:
        if count > 2**power - 1:
            problem = f'{length}: found {config[length]}, which is {float(count):.3g} {unit}'
            raise Refusal(f'{problem}; allowed: at most 2^{power} - 1, as {why}')


def _examples(config):
    """Examples in a run. A float such as 0.1 means the decimal that it prints as."""
    if config['steps'] is not None:
        return Fraction(int(config['steps']) * config['batch_size'])
    examples = Fraction(str(config['epochs'])) * training_set(config['workload']).size
    reference = config['regime_adaptation']
    if reference is None:
        return examples
    return regime_adaptation(examples, config['batch_size'], Fraction(reference))


def _growth_in_examples(config):
    """`batch_growth` of a configuration with its boundaries in examples."""
    growth = config['batch_growth']
    if not growth:
        return growth
    return {**growth, 'boundaries': boundaries(growth['boundaries'], _examples(config))}
