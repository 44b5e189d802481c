"""Which trials share a program, and how they lie on the devices."""

import functools
import json
import math
from collections.abc import Sequence
from fractions import Fraction
from typing import NamedTuple

import numpy as np

from lbexp.batch_size import regime_adaptation
from lbexp.config import fields, lookup
from lbexp.engine.accumulation import accumulation_schedule, boundaries
from lbexp.engine.components import stream
from lbexp.engine.numbers import leaves, numbered, numeric
from lbexp.engine.traceable import traceable
from lbexp.errors import Refusal

_FEWEST = 8  # examples in a pass, below which its time is overhead


class Cohort(NamedTuple):
    """Trials that share one compiled program. What differs between them is in `numbers`."""

    trials: list[int]  # indices of the trials in the study
    # configuration of the first; the entries named in `numbers` are replaced in each trial
    config: dict
    numbers: dict[str, np.ndarray]  # path in the configuration -> one value per trial [K]
    accumulate: bool  # batch size is a number: an update takes several microbatches
    microbatch: int  # examples per forward/backward pass
    steps: np.ndarray  # updates in all [K]
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

    def _accumulation_schedule(self, k):
        numbers = {path: values[k] for path, values in self.numbers.items()}
        numbers['batch_size'] = int(self.accumulation[k]) * self.microbatch
        return accumulation_schedule(numbered(self.config, numbers))


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
    groups, traceable_of, untraced = {}, {}, {}
    for index, config in enumerate(trials):
        shape = _split(config, numeric(config))[0]
        if shape not in traceable_of:
            traceable_of[shape] = traceable(in_examples(config), run_length(config))
        paths, reasons = traceable_of[shape]
        key, numbers = _split(config, paths)
        if stream(config) is not None:
            key += f' alone: {index}'  # trials do not share what is read from the disk
        groups.setdefault(key, []).append((index, config, numbers))
        untraced[key] = reasons
    return [_cohort(members, untraced[key]) for key, members in groups.items()]


def splits(cohorts: Sequence[Cohort]) -> list[str]:
    """What a user wants to know of the numbers that are not traced, one line each: those that his
    own part looks at, and those that differ between the cohorts."""
    reasons = {path: reason for cohort in cohorts for path, reason in cohort.untraced.items()}
    lines = []
    for path, reason in reasons.items():
        values = {json.dumps(dict(leaves(cohort.config)).get(path)) for cohort in cohorts}
        if len(values) > 1 or '.py:' in reason:
            lines.append(f'{path} splits programs: {reason}')
    return lines


def explain(cohort: Cohort, others: Sequence[Cohort]) -> str:
    """How the cohort takes its batch sizes, and why those of `others` are apart, in words."""
    sizes = sorted({int(n) * cohort.microbatch for n in cohort.accumulation})
    words = (
        f'batch size {sizes[0]}' if len(sizes) == 1 else f'batch sizes {sizes[0]} to {sizes[-1]}'
    )
    if cohort.accumulate:
        return f'{words} in microbatches of {cohort.microbatch}'
    if all(other.microbatch == cohort.microbatch for other in others):
        return words
    every = sorted({int(n) * other.microbatch for other in others for n in other.accumulation})
    return f'{words}, apart: ' + (
        _apart(cohort.config['workload'], every) or 'no microbatch is set'
    )


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
    together, size = lookup.build('workload', workload).together, math.gcd(*batch_sizes)
    if together is None:
        return 'batch norm takes the whole batch'
    if size % together:
        return f'ghosts of {together} do not divide the common microbatch of {size}'
    if size < min(_FEWEST, *batch_sizes):
        return f'a common microbatch of {size} would be slower'
    return None


def _cohort(members, untraced):
    work = np.asarray([run_length(config) * config['batch_size'] for _, config, _ in members])
    members = [members[i] for i in balanced_order(work)]
    indices, configs, numbers = zip(*members, strict=True)
    first = configs[0]
    size = first['microbatch'] or first['batch_size']
    return Cohort(
        trials=list(indices),
        config=first,
        numbers={
            **{path: np.asarray([n[path] for n in numbers]) for path in numbers[0]},
            'seed': np.asarray([c['seed'] for c in configs]),
            **_growth(configs),
        },
        accumulate=first['microbatch'] is not None,
        microbatch=size,
        steps=np.asarray([run_length(c) for c in configs]),
        accumulation=np.asarray([c['batch_size'] // size for c in configs]),
        untraced=untraced,
    )


def balanced_order(work: np.ndarray) -> Sequence[int] | np.ndarray:
    """Permutation of trials such that every contiguous block (a device's share) has about the same
    work.

    The longest goes to position 0, the next to n/2, n/4, 3n/4, ... (van der Corput order); as they
    come where all are equal.

    Args:
        work: of each trial [any unit].
    """
    if len(set(work)) == 1:
        return range(len(work))
    bit_reversed = [int(f'{position:032b}'[::-1], 2) for position in range(len(work))]
    ranks = np.argsort(np.argsort(bit_reversed))  # when each position is filled
    longest_first = np.argsort(-work, kind='stable')
    return longest_first[ranks]


def run_length(config: dict) -> int:
    """Updates in a run: `steps`, or what `epochs` passes over the training set make, rounded up.

    Where the batch grows these say how many examples the run has, and there are fewer updates.

    Raises:
        Refusal: a run that is longer than its counters.
    """
    examples = _examples(config)
    _refuse_too_long(config, examples)
    if config['batch_growth']:
        return int(
            accumulation_schedule(in_examples(config)).updates(
                math.ceil(examples / config['microbatch'])
            )
        )
    if config['steps'] is not None:
        return int(config['steps'])
    return math.ceil(examples / config['batch_size'])


def _refuse_too_long(config, examples):
    """Updates and microbatches are counted in int32, positions of examples in uint32."""
    size = config['microbatch'] or config['batch_size']
    length = 'epochs' if config['steps'] is None else 'steps'
    for count, power, what, why in (
        (examples / size, 31, 'forward and backward passes', 'a program counts them in 32 bits'),
        (examples, 32, 'examples', 'their positions have 32 bits'),
    ):
        if count > 2**power - 1:
            problem = f'{length}: found {config[length]}, which is {float(count):.3g} {what}'
            raise Refusal(f'{problem}; allowed: at most 2^{power} - 1, as {why}')


def _examples(config):
    """Examples in a run. A float such as 0.1 means the decimal that it prints as."""
    if config['steps'] is not None:
        return Fraction(int(config['steps']) * config['batch_size'])
    examples, reference = (
        Fraction(str(config['epochs'])) * train_size(config),
        config['regime_adaptation'],
    )
    if reference is None:
        return examples
    return regime_adaptation(examples, config['batch_size'], Fraction(reference))


def in_examples(config: dict) -> dict:
    """`config` with the boundaries of a growing batch in examples, as the parts of a trial take
    them."""
    if not config['batch_growth']:
        return config
    return numbered(config, {'batch_growth.boundaries': boundaries(config, _examples(config))})


def _growth(configs):
    """The numbers of batch_growth, boundaries in examples."""
    if not configs[0]['batch_growth']:
        return {}
    grown = [{**c['batch_growth'], 'boundaries': boundaries(c, _examples(c))} for c in configs]
    numbers = [name for name, value in grown[0].items() if value is not None]
    return {f'batch_growth.{name}': np.asarray([g[name] for g in grown]) for name in numbers}


def train_size(config: dict) -> int:
    """Examples in an epoch."""
    return _train_size(json.dumps(config['workload']))


@functools.lru_cache(64)
def _train_size(workload):
    return lookup.build('workload', json.loads(workload)).train.size


def _split(config, paths):
    """What splits cohorts, as text, and the numbers that do not."""
    numbers = {path: value for path, value in leaves(config) if path in paths}
    # The length of the run and, with a microbatch, the batch size are traced as whole; so is how
    # the batch grows.
    with_microbatch = fields.traced('with a microbatch') if config['microbatch'] else ()
    free = dict.fromkeys((*fields.traced('always'), *with_microbatch))
    growth = {name: np.size(value) for name, value in config['batch_growth'].items()}
    return json.dumps(
        numbered(config, {**dict.fromkeys(numbers), **free, 'batch_growth': growth}), sort_keys=True
    ), numbers
