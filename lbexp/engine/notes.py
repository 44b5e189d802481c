"""What is only known of a cohort once it begins, or has ended: how hosts share its data, what its
probes measure on, which weights it begins from, how large it is and how fast it was. config.json
has it, too."""

import functools
import pathlib
from collections.abc import Callable
from typing import Any

import jax

from lbexp.config import lookup
from lbexp.data.partition import distinct
from lbexp.engine import initial_weights, record
from lbexp.engine.cohort_runner import Progress
from lbexp.engine.components import components
from lbexp.engine.measurement import described
from lbexp.engine.plan import Cohort
from lbexp.engine.throughput import flop_per_example
from lbexp.parallel import collectives, hosts
from lbexp.quantities import with_prefix


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
    for name, words in described(cohort.config['probes']).items():
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


def size_of(cohort: Cohort, states: Any) -> str:
    """Parameters of a trial that train, and what an example costs, in words.

    Args:
        states: shapes of the states of all trials.
    """
    count = sum(leaf.size // len(leaf) for leaf in jax.tree.leaves(states.params))
    cost = with_prefix(flop_per_example(cohort), 'FLOP')
    return f'{count:,} parameters, {cost} an example'


def speed(workdir: pathlib.Path, cohort: Cohort, examples_per_second: float) -> list[str]:
    """Notes how fast all trials of the cohort trained together; returns the line, if there is one.

    Args:
        examples_per_second: without compilation and evaluation; 0: nobody knows.
    """
    if not examples_per_second:
        return []
    reached = with_prefix(examples_per_second * flop_per_example(cohort), 'FLOP/s')
    words = f'{examples_per_second:,.0f} examples/s, {reached} in matrix products'
    name = f'speed of trial {min(cohort.trials)}'
    if len(cohort.trials) > 1:
        name = f'speed of trials {min(cohort.trials)}, ..., {len(cohort.trials)} together'
    collectives.run_on_primary(functools.partial(record.note, workdir, name, words))
    return [f'trained {words}']


def _shares(cohort):
    """How the data is shared, and what share of it an epoch of the first trial has."""
    train = components(cohort.config, 1).workload.train
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


class LastProgress:
    """Passes progress on, and remembers the last."""

    def __init__(self, on_progress: Callable[[Progress], Any]):
        self.last = Progress(0, 0, 0, {}, 0)
        self._on_progress = on_progress

    def __call__(self, progress: Progress) -> None:
        self.last = progress
        self._on_progress(progress)
