"""Says what a finished comparison could see, and what the next one needs.

    python -m lbexp.power --workdir=runs/reality_check-...
    python -m lbexp.power --workdir=runs/reality_check-... --margin=0.005
    python -m lbexp.power --workdir=runs/reality_check-... --table

From the workdir's reported trials, for each pair of arms (or each against --reference): standard
deviations of the paired difference of test error over tunings, over seeds (initial weights and
order of the data) and over test examples; the effect that the budget detects with power 0.8 at 5 %
two-sided; with --margin the tunings, the seeds of one tuning and the test examples that this effect
needs; with --table the detectable effect against tunings and seeds. Test examples are told where
the run kept their values (keep_examples). Exit status: 0 done, 2 something given is wrong.
"""

import math
import pathlib
import signal
import sys

from absl import flags

from lbexp import flag_command
from lbexp.analysis import Table
from lbexp.errors import Refusal
from lbexp.exit_status import DONE
from lbexp.output import outlive_readers
from lbexp.power_analysis import (
    Budget,
    Spread,
    detectable_effect,
    examples_needed,
    seeds_needed,
    tunings_needed,
)
from lbexp.report import table
from lbexp.studies._comparison.pilot import pilot, reported

_TUNINGS, _SEEDS = (6, 8, 10, 15, 20, 30), (1, 2, 4, 8, 16)  # of --table
Pilots = dict[str, tuple[Spread, Budget]]


def main(argv: list[str]) -> int:
    """Parses, reads, prints. Returns the exit status."""
    flag_values = flags.FlagValues()
    flags.DEFINE_string('workdir', None, 'folder of a comparison', flag_values=flag_values)
    reference = 'arm that the others are compared with; default: every pair'
    flags.DEFINE_string('reference', None, reference, flag_values=flag_values)
    margin = 'effect that is to be seen: a difference of test error, > 0'
    flags.DEFINE_float('margin', None, margin, flag_values=flag_values)
    grid = 'detectable effect against tunings and seeds'
    flags.DEFINE_bool('table', False, grid, flag_values=flag_values)
    flags.DEFINE_bool('traceback', False, 'show every frame of an error', flag_values=flag_values)

    def check(overrides, words):
        problems = [f'--config.{path}: not a flag of this command' for path, _ in overrides]
        return [*problems, *_problems(flag_values)]

    def act(overrides, words):
        return _plan(flag_values)

    return flag_command.run(argv, __doc__, flag_values, act, check)


def _problems(flag_values):
    if not flag_values.workdir:
        yield '--workdir: not given; allowed: the folder of a comparison'
    margin = flag_values.margin
    if margin is not None and not (0 < margin < math.inf):
        yield f'--margin: found {margin}; allowed: a difference of test error > 0'


def _plan(flag_values):
    pilots = _pilots(pathlib.Path(flag_values.workdir), flag_values.reference)
    table.show(_spreads(pilots, flag_values.workdir))
    if flag_values.margin is not None:
        table.show(_needed(pilots, flag_values.margin))
    if flag_values.table:
        for name, (spread, budget) in pilots.items():
            table.show(_detectable(name, spread, budget))
    return DONE


def _pilots(workdir: pathlib.Path, reference: str | None) -> Pilots:
    trials = reported(workdir)
    if len(trials) < 2 or reference not in {None, *trials}:
        arms = ', '.join(trials) or 'no arm'
        asked = f'--reference={reference} with ' if reference else ''
        raise Refusal(f'--workdir: found {asked}{arms}; allowed: two arms or more, one of them')
    pilots = {}
    names = list(trials)
    for place, name in enumerate(names):
        for other in names[place + 1 :] if reference is None else [reference]:
            if name != other:
                pilots[f'{name} - {other}'] = pilot(workdir, trials[name], trials[other])
    return pilots


def _spreads(pilots: Pilots, workdir):
    rows = []
    for name, (spread, budget) in pilots.items():
        deviations = [_root(variance) for variance in spread]
        effect = _number(detectable_effect(spread, budget))
        rows.append(
            [name, *deviations, budget.tunings, budget.seeds, budget.examples or '', effect]
        )
    columns = ['difference of test error', 'tuning', 'seed', 'example', 'tunings', 'seeds']
    columns += ['examples', 'detects']
    caption = (
        'Standard deviations of the paired difference; seeds: of each tuning. Detects: the effect '
        'that is decided with probability 0.8 at 5 %; of one tuning, its own noise left out.'
    )
    return Table(f'What {workdir} can see', columns, rows, caption)


def _needed(pilots: Pilots, margin):
    rows = []
    for name, (spread, budget) in pilots.items():
        tunings = 'unknown: one tuning' if math.isnan(spread.tuning) else ''
        if not tunings:
            tunings = _count(tunings_needed(spread, budget, margin))
        seeds = _count(seeds_needed(spread, budget, margin))
        examples = examples_needed(spread, margin)
        rows.append([name, tunings, seeds, 'unknown' if examples is None else examples])
    columns = ['difference of test error', 'tunings', 'or seeds of one tuning', 'test examples']
    caption = (
        'Tunings: of as many seeds and test examples as there were. Seeds of one tuning: what '
        'other tunings would find is left out. Test examples: below these no number of seeds '
        'suffices.'
    )
    return Table(f'What an effect of {margin:g} needs', columns, rows, caption)


def _detectable(name: str, spread: Spread, budget: Budget):
    title, caption = f'Detectable effect, {name}', 'With power 0.8 at 5 % two-sided.'
    rows = []
    if math.isnan(spread.tuning):
        for seeds in _TUNINGS:
            effect = detectable_effect(spread, budget._replace(tunings=1, seeds=seeds))
            rows.append([seeds, _number(effect)])
        return Table(title, ['seeds of one tuning', 'effect'], rows, caption)
    for tunings in _TUNINGS:
        effects = []
        for seeds in _SEEDS:
            of_both = budget._replace(tunings=tunings, seeds=seeds)
            effects.append(_number(detectable_effect(spread, of_both)))
        rows.append([tunings, *effects])
    columns = ['tunings', *(f'{seeds} seeds' for seeds in _SEEDS)]
    return Table(title, columns, rows, caption)


def _root(variance):
    return _number(math.sqrt(variance)) if variance >= 0 else 'unknown'


def _number(value):
    return 'nothing' if math.isnan(value) else f'{value:.2g}'


def _count(value):
    return 'more than 2,000' if value is None else value


if __name__ == '__main__':
    outlive_readers()
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # there is nothing to save
    sys.exit(main(sys.argv))
