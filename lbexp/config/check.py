"""One pass over a configuration that finds everything wrong with it, before anything is built or
run."""

from collections.abc import Iterator

from lbexp import config as configs
from lbexp.config import lookup
from lbexp.config._axis_problems import axis_problems, identity
from lbexp.config._field_problems import field_problems
from lbexp.config._part_problems import construction_problems, part_problems
from lbexp.config.fields import PARTS, TOP_LEVEL
from lbexp.documents import SPANNING
from lbexp.errors import Refusal, refused


def check(config) -> list[str]:
    """Problems of `config`, one line each: path, what was found, what is allowed. Empty: none.

    Every trial of the sweep is checked; a problem that many trials share is told once.
    """
    problems = check_fields(config)
    if problems:
        return problems
    study = configs.plain(config.study)
    problems = [*axis_problems(config), *part_problems('study', study, 'study')]
    # Other studies build parts to make their trials.
    if study['name'] != 'training':
        problems += _problems_of_base(config)
    if problems:
        return problems
    # From here on whatever builds parts can count on fields of the right types.
    try:
        asked_trials = lookup.build('study', study).trials(config)
    except ValueError as error:
        if not refused(error):
            raise
        return [f'study: {error}']
    if not asked_trials:
        return ['sweep: an axis has no values, so there are no trials']
    try:
        trials = [configs.resolve(config, trial.overrides) for trial in asked_trials]
    except Refusal as error:
        return [f'sweep: {error}']
    return _problems_of_trials(trials) or _problems_of_repeated(config, trials)


def check_fields(config) -> list[str]:
    """Problems that leave nothing to look at: fields that are not there, made up, or of another
    type."""
    try:
        return field_problems(configs.plain(config), TOP_LEVEL)
    except Refusal as error:
        return [str(error)]


def _problems_of_trials(trials) -> list[str]:
    required = [name for name in TOP_LEVEL if name not in SPANNING]
    problems = {}  # a dict keeps the order in which problems were met, once each
    for trial in trials:
        problems_of_trial = field_problems(trial, required)
        if not problems_of_trial:
            problems_of_trial = [*_together(trial), *_problems_of_parts(trial)]
        problems |= dict.fromkeys(problems_of_trial)
    return list(problems)


def _problems_of_repeated(config, trials) -> list[str]:
    """Axes that set the same field may give one trial twice, which the intervals would count as
    two."""
    # a search over few integers meets them again
    if config.study.name != 'training' or config.search:
        return []
    first_with = {}
    for i, trial in enumerate(trials):
        earlier = first_with.setdefault(identity(trial), i)
        if earlier != i:
            pair = f'trials {earlier} and {i} with the same fields'
            return [f'sweep: found {pair}; allowed: a trial once']
    return []


def _together(trial) -> Iterator[str]:
    """Fields that depend on each other."""
    steps, epochs = trial['steps'], trial['epochs']
    batch_size, microbatch = trial['batch_size'], trial['microbatch']
    if (steps is None) == (epochs is None):
        yield f'steps, epochs: found {steps}, {epochs}; allowed: one set, the other None'
    if microbatch and batch_size % microbatch:
        yield (
            f'microbatch: found {microbatch} with batch_size {batch_size}; allowed: a divisor '
            'of the batch size'
        )
    if trial['replicas'] and microbatch is not None:
        yield (
            f'microbatch: found {microbatch} with replicas, which divide the batch themselves; '
            'allowed: None'
        )
    rule, reference = trial['batch_scaling']['rule'], trial['batch_scaling']['reference']
    if rule and not reference:
        yield (
            f'batch_scaling.reference: found {reference}; allowed: a batch size > 0 when rule '
            f'is {rule!r}'
        )
    if trial['regime_adaptation'] is not None and epochs is None:
        yield 'regime_adaptation: set with steps; allowed: with epochs, which it turns into updates'
    if trial['batch_growth']:
        yield from _problems_of_growth(trial)


def _problems_of_growth(trial):
    boundaries = trial['batch_growth'].get('boundaries')
    if not boundaries or boundaries != sorted(boundaries):
        yield (
            f'batch_growth.boundaries: found {boundaries!r}; allowed: ascending fractions of '
            'the run, in (0, 1)'
        )
    if not trial['microbatch']:
        yield (
            'microbatch: found None with batch_growth; allowed: a divisor of the batch size, '
            'which then is a number'
        )


def _problems_of_base(config) -> Iterator[str]:
    for name, place in PARTS.items():
        part = configs.plain(config[name])
        if not part or name == 'study' or place.several:
            continue
        for problem in part_problems(place.kind, part, name):
            if ': not set; ' not in problem:  # the trials may set it
                yield problem


def _problems_of_parts(trial) -> Iterator[str]:
    for kind, path, part in _parts(trial):
        problems = part_problems(kind, part, path)
        yield from problems or construction_problems(kind, part, path, trial['batch_size'])


def _parts(trial) -> Iterator[tuple[str, str, dict]]:
    """Kind, path and data of each part of a trial."""
    for name, place in PARTS.items():
        if place.several:
            for i, part in enumerate(trial[name]):
                yield place.kind, f'{name}[{i}]', part
        elif trial[name]:
            yield place.kind, name, trial[name]
