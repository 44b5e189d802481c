"""What is only known of a cohort once it begins, written into config.json: how hosts share its
data, what its probes measure on, which weights it begins from."""

import functools
import pathlib

from lbexp.config import lookup
from lbexp.data.partition import distinct
from lbexp.engine import initial_weights, record
from lbexp.engine.components import components
from lbexp.engine.measurement import described
from lbexp.engine.plan import Cohort, in_examples
from lbexp.parallel import collectives, hosts


def notes(workdir: pathlib.Path, cohort: Cohort, trials: dict[int, dict]) -> list[str]:
    """Notes the facts in config.json; returns those that a user wants to see, one line each.

    Args:
        trials: resolved configurations by number.
    """
    facts, lines = {}, []
    if cohort.config['data']['partition'] == 'independent':
        words = collectives.run_on_primary(lambda: _shares(cohort))
        facts[f'data of trial {cohort.trials[0]}'] = words
        lines.append(f'data: {words}')
    for name, words in described(cohort.config).items():
        facts[f'probe {name}'] = words
    if cohort.config['init_from']['weights'] is not None:
        of_trials = _weights(cohort, trials)
        facts |= of_trials
        first, *others = dict.fromkeys(of_trials.values())
        more = f'; and {len(others)} others alike' if others else ''
        lines.append(f'begins from {first}{more}')
    for name, words in facts.items():
        collectives.run_on_primary(functools.partial(record.note, workdir, name, words))
    return lines


def _shares(cohort):
    """How the data is shared, and what share of it an epoch of the first trial has."""
    train = components(in_examples(cohort.config), 1).workload.train
    share = distinct(train, int(cohort.numbers['seed'][0]))
    count = cohort.config['data']['hosts'] or hosts.count()
    return (
        f'independent orders of {count} hosts, {share:.3f} of the examples are in the first epoch'
    )


def _weights(cohort, trials):
    """{'initial weights of trial 0': what it takes of them}."""
    workload = lookup.build('workload', cohort.config['workload'])
    facts = {}
    for trial in sorted(cohort.trials):
        words = initial_weights.in_words(trials[trial]['init_from'], workload)
        facts[f'initial weights of trial {trial}'] = words
    return facts
