"""One pass over a configuration that finds everything wrong with it, before anything is built or
run."""

from collections.abc import Iterator

from lbexp import config as configs
from lbexp.config import lookup
from lbexp.config._axis_problems import axis_problems, identity
from lbexp.config._field_problems import field_problems
from lbexp.config._part_problems import construction_problems, part_problems
from lbexp.config.fields import BY_NAME, PARTS
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
    # other studies build parts to make their trials; what a trial sets may be missing
    if study['name'] != 'training':
        problems += [
            problem for problem in _problems_of_base(config) if ': not set; ' not in problem
        ]
    if problems:
        return problems
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
    required = [name for name in BY_NAME if '.' not in name]
    try:
        return field_problems(configs.plain(config), required)
    except Refusal as error:
        return [str(error)]


def _problems_of_trials(trials) -> list[str]:
    required = [name for name in BY_NAME if '.' not in name and name not in SPANNING]
    problems = {}  # a dict keeps the order in which problems were met, once each
    for trial in trials:
        problems_of_trial = field_problems(trial, required) or [
            *_together(trial),
            *_problems_of_parts(trial),
        ]
        problems |= dict.fromkeys(problems_of_trial)
    return list(problems)


def _problems_of_repeated(config, trials) -> list[str]:
    """Axes that set the same field may give one trial twice, which the intervals would count as
    two."""
    # a search over few integers meets them again
    if config.study.name != 'training' or config.search:
        return []
    first = {}
    for i, trial in enumerate(trials):
        earlier = first.setdefault(identity(trial), i)
        if earlier != i:
            return [
                (
                    f'sweep: found trials {earlier} and {i} with the same fields; allowed: a '
                    'trial once'
                )
            ]
    return []


def _together(trial) -> Iterator[str]:
    """Fields that depend on each other."""
    steps, epochs, batch_size, microbatch = (
        trial[name] for name in ('steps', 'epochs', 'batch_size', 'microbatch')
    )
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
        if part and name != 'study' and not place.several:
            yield from part_problems(place.kind, part, name)


def _problems_of_parts(trial) -> Iterator[str]:
    for name, place in PARTS.items():
        parts = trial[name] if place.several else [trial[name]] if trial[name] else []
        for i, part in enumerate(parts):
            path = f'{name}[{i}]' if place.several else name
            problems = part_problems(place.kind, part, path)
            yield from problems or construction_problems(
                place.kind, part, path, trial['batch_size']
            )
