"""Which trials share a program, and how they lie on the devices."""

import itertools
import json
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from lbexp.config import fields, lookup
from lbexp.engine import groups as gradient_groups
from lbexp.engine import initial_position
from lbexp.engine.accumulation import accumulation_schedule
from lbexp.engine.numbers import entries, leaves, numbered, numeric, traceable
from lbexp.engine.training_set import training_set
from lbexp.engine.trial_plan import TrialPlan, trial_plan

_FEWEST = 8  # examples in a pass, below which its time is overhead


class Cohort(NamedTuple):
    """Trials that share one compiled program. What differs between them is in `numbers`."""

    trials: list[int]  # indices of the trials in the study
    # that of the plan of the first; the entries named in `numbers` are replaced in each trial
    config: dict
    numbers: dict[str, np.ndarray]  # path in the configuration -> one value per trial [K]
    accumulate: bool  # batch size is a number: an update takes several microbatches
    microbatch: int  # examples per forward/backward pass
    steps: np.ndarray  # updates after which each ends [K]
    # updates of the source, after which each begins: 0 but where it goes on at the source's
    starts: np.ndarray  # [K]
    lengths: np.ndarray  # updates that schedules are spread over [K]
    accumulation: np.ndarray  # microbatches per update [K], the first one where the batch grows
    # number that splits programs -> why it cannot be traced, where it could be seen to
    untraced: dict[str, str]

    def ticks(self, counts: np.ndarray) -> np.ndarray:
        """Microbatches in the first counts[..., k] updates of trial k."""
        if not self.config['batch_growth']:
            return counts * self.accumulation
        columns = []
        for k in range(len(self.trials)):
            position = self._accumulation_schedule(k).position
            columns.append(np.asarray(position(counts[..., k]), int))
        return np.stack(columns, axis=-1)

    def batch_sizes(self) -> set[int]:
        """Examples per global batch, before the batch grows."""
        return set((self.accumulation * self.microbatch).tolist())

    def _accumulation_schedule(self, k):
        config = numbered(self.config, {path: values[k] for path, values in self.numbers.items()})
        batch_size = int(self.accumulation[k]) * self.microbatch
        return accumulation_schedule(batch_size, config['microbatch'], config['batch_growth'])


def plan(trials: list[dict]) -> list[Cohort]:
    """Groups the resolved configurations of a study's trials into cohorts.

    A number that can be traced is traced, whether or not it varies: a trial then runs the same
    program alone as in company, to the bit, and the next learning rate finds its program in the
    compilation cache. Seed and length of the run always can, batch size when `microbatch` is set;
    of the parts' arguments, floats and integers that the parts accept as traced arrays.
    Everything else splits.

    Args:
        trials: plain data, as config.resolve returns it.
    """
    groups, traceable_of = {}, {}
    for index, config in enumerate(trials):
        gradient_groups.check(
            config['probes'],
            config['workload'],
            config['batch_size'],
            config['microbatch'],
            bool(config['replicas']),
        )
        planned = trial_plan(config)
        shape, _ = _split(config, numeric(config))
        # Traced once for all trials that differ in numbers alone: it is slow.
        if shape not in traceable_of:
            traceable_of[shape] = traceable(*planned)
        paths, untraced = traceable_of[shape]
        key, numbers = _split(config, paths)
        if training_set(config['workload']).is_stream:
            key += f' alone: {index}'  # trials do not share what is read from the disk
        members, _ = groups.setdefault(key, ([], untraced))
        members.append(_Member(index, planned, planned.end, numbers))
    return list(itertools.starmap(_cohort, groups.values()))


def splits(cohorts: Sequence[Cohort]) -> list[str]:
    """What a user wants to know of the numbers that are not traced, one line each: those that his
    own part looks at, and those that differ between the cohorts."""
    reasons = {}
    for cohort in cohorts:
        reasons |= cohort.untraced
    flats = [leaves(cohort.config) for cohort in cohorts]
    lines = []
    for path, reason in reasons.items():
        values = {json.dumps(flat.get(path)) for flat in flats}
        if len(values) > 1 or '.py:' in reason:
            lines.append(f'{path} splits programs: {reason}')
    return lines


def explain(cohort: Cohort, others: Sequence[Cohort]) -> str:
    """How the cohort takes its batch sizes, and why those of `others` are apart, in words."""
    smallest, largest = min(cohort.batch_sizes()), max(cohort.batch_sizes())
    words = f'batch size {smallest}'
    if smallest != largest:
        words = f'batch sizes {smallest} to {largest}'
    if cohort.accumulate:
        return f'{words} in microbatches of {cohort.microbatch}'
    if all(other.microbatch == cohort.microbatch for other in others):
        return words
    every = set().union(*map(Cohort.batch_sizes, others))
    why = _apart(cohort.config['workload'], sorted(every))
    return f'{words}, apart: {why or "no microbatch is set"}'


def shared_microbatch(workload: dict, batch_sizes: Sequence[int]) -> int | None:
    """The microbatch with which runs of these batch sizes share one program; None: each needs a
    program of its own.

    It is their greatest common divisor, where the model can take that many examples at once: batch
    norm over ghost batches needs whole ghosts, batch norm over the whole batch needs all of it.
    Where all batch sizes are larger than it, it must have 8 examples: with fewer a pass costs about
    the same however few they are, and one program would be slower than several (`python
    scripts/benchmark.py study --passes`).

    Args:
        workload: the part of the configuration.
        batch_sizes: examples per global batch.
    """
    return None if _apart(workload, batch_sizes) else math.gcd(*batch_sizes)


def _apart(workload, batch_sizes):
    """Why runs of these batch sizes should not share a microbatch; None: they should."""
    together = lookup.build('workload', workload).together  # examples
    size = math.gcd(*batch_sizes)
    if together is None:
        return 'batch norm takes the whole batch'
    if size % together:
        return f'ghosts of {together} do not divide the common microbatch of {size}'
    if size < min(_FEWEST, *batch_sizes):
        return f'a common microbatch of {size} would be slower'
    return None


class _Member(NamedTuple):
    """A trial of a cohort."""

    index: int  # in the study
    plan: TrialPlan
    steps: int  # updates after which it ends
    numbers: dict[str, Any]  # path -> traced number


def _cohort(members, untraced):
    steps, starts, lengths, batch_sizes, numbers = [], [], [], [], []
    for _, (config, length), end, traced in members:
        steps.append(end)
        starts.append(initial_position.position(config['init_from']).step)
        lengths.append(length)
        batch_sizes.append(config['batch_size'])
        numbers.append({**traced, 'seed': config['seed'], **_growth(config), **_source(config)})
    steps, starts, lengths = np.asarray(steps), np.asarray(starts), np.asarray(lengths)
    batch_sizes = np.asarray(batch_sizes)
    order = balanced_order((steps - starts) * batch_sizes)
    members = [members[i] for i in order]
    first = members[0].plan.config
    microbatch = first['microbatch'] or first['batch_size']
    return Cohort(
        trials=[member.index for member in members],
        config=first,
        numbers=_stacked([numbers[i] for i in order]),
        accumulate=first['microbatch'] is not None,
        microbatch=microbatch,
        steps=steps[order],
        starts=starts[order],
        lengths=lengths[order],
        accumulation=batch_sizes[order] // microbatch,
        untraced=untraced,
    )


def _stacked(numbers):
    """{path: a value for each trial} of the numbers of each trial, whose paths are the same."""
    return {path: np.asarray([trial[path] for trial in numbers]) for path in numbers[0]}


def balanced_order(work: np.ndarray) -> np.ndarray:
    """Permutation of trials such that every contiguous block (a device's share) has about the same
    work.

    The longest goes to position 0, the next to n/2, n/4, 3n/4, ... (van der Corput order); as they
    come where all are equal.

    Args:
        work: of each trial [any unit].
    """
    if len(set(work)) == 1:
        return np.arange(len(work))
    bit_reversed = [int(f'{position:032b}'[::-1], 2) for position in range(len(work))]
    ranks = np.argsort(np.argsort(bit_reversed))  # when each position is filled
    longest_first = np.argsort(-work, kind='stable')
    return longest_first[ranks]


def _growth(config):
    """The numbers of batch_growth by path."""
    numbers = {}
    for name, value in config['batch_growth'].items():
        if value is not None:
            numbers[f'batch_growth.{name}'] = value
    return numbers


def _source(config):
    """The trial of 'init_from' by path, where there is one."""
    if config['init_from']['weights'] is None:
        return {}
    return {'init_from.trial': config['init_from']['trial']}


def _split(config, paths):
    """What splits cohorts, as text, and the numbers that do not."""
    numbers = entries(config, paths)
    free = [*numbers, *fields.traced('always')]
    # With a microbatch the batch size is traced as a whole.
    if config['microbatch']:
        free += fields.traced('with a microbatch')
    # So is how the batch grows, though not how often.
    growth = {}
    for name, value in config['batch_growth'].items():
        if value is not None:
            growth[name] = np.size(value)
    shared = numbered(config, {**dict.fromkeys(free), 'batch_growth': growth})
    # A number that is traced is null in `shared`, as is what is not set: the paths tell them apart.
    return json.dumps([shared, sorted(numbers)], sort_keys=True), numbers
