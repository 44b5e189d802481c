"""Looks at the loss around trained networks, without training.

    python -m lbexp.analyse hessian --workdir=runs/lamb-... --trial=0
    python -m lbexp.analyse landscape --workdir=runs/lamb-... --trial=0
    python -m lbexp.analyse interpolation --workdir=runs/sweep-... --trial=0 --other=3
    python -m lbexp.analyse connectivity --workdir=runs/sweep-... --trial=0 --other=3
    python -m lbexp.analyse noise --workdir=runs/lamb-... --trial=0

hessian        the largest eigenvalues and the smallest with their residuals, the trace with its
               standard error, and the density of all
landscape      the loss along two random filter-normalised directions, and in the plane of both
interpolation  training and test loss on the line from one trial's weights to another's and beyond
               both, and the barrier between them; units are not aligned
connectivity   the barriers on that line, on the one after the other network's units were put in the
               order of the first one's (dense layers alone), and on a curve that is trained to
               avoid them
noise          the covariance of gradients beside the gradient and the Hessian: noise scales with
               their intervals, largest eigenvalues, and how much lies along the Hessian's

With the weights that the optimizer would deploy, on the training examples that evaluation probes
measure. Writes CSV files and figures into --to, by default the folder 'analysis' of the workdir.
What a workdir names outside lbexp runs only where --config names it too, or with --trust_workdir.
Exit status: 0 done, 1 the disk or a part failed, 2 something given is wrong, 3 the checkpoints are
damaged.
"""

import pathlib
import signal
import sys

from absl import flags

from lbexp import flag_command
from lbexp.errors import Refusal
from lbexp.exit_status import DONE
from lbexp.local_path import local_path
from lbexp.output import outlive_readers
from lbexp.trained_flags import command_flags, opened

_COMMANDS = ('hessian', 'landscape', 'interpolation', 'connectivity', 'noise')
_OF_TWO = ('interpolation', 'connectivity')


def main(argv: list[str]) -> int:
    """Parses, measures, writes, says where. Returns the exit status."""
    flag_values = _flags()

    def check(overrides, words):
        return _problems(words, flag_values)

    def act(overrides, words):
        return _analyse(words[0], flag_values, overrides)

    return flag_command.run(argv, __doc__, flag_values, act, check, _COMMANDS)


def _problems(words, flag_values):
    problems = []
    if len(words) != 1:
        shown = ' and '.join(words) or 'no command'
        problems.append(f'found {shown}; allowed: one of {", ".join(_COMMANDS)}')
    is_of_two = bool(set(words) & set(_OF_TWO))
    if is_of_two and flag_values.other is None:
        problems.append('--other: not given; allowed: the number of another trial')
    elif words and not is_of_two and flag_values.other is not None:
        allowed = ' and '.join(map(repr, _OF_TWO))
        problems.append(f'--other: given to {words[0]}; allowed: with {allowed}')
    groups, examples = flag_values.groups, flag_values.examples
    if 'noise' in words and groups > examples:
        problems.append(f'--groups: found {groups} of {examples} examples; allowed: no more groups')
    return problems


def _flags():
    flag_values = command_flags()
    flags.DEFINE_integer(
        'other', None, 'number of the trial at the other end', 0, flag_values=flag_values
    )
    to = "folder to write to; default: 'analysis' in the workdir"
    flags.DEFINE_string('to', None, to, flag_values=flag_values)
    examples = 'examples that the loss is the mean over; of a smaller test set all'
    flags.DEFINE_integer('examples', 512, examples, 1, flag_values=flag_values)
    points = 'points of a line for each unit of its length'
    flags.DEFINE_integer('points', 12, points, 1, 1000, flag_values=flag_values)
    products = 'Hessian-vector products of each Lanczos run'
    flags.DEFINE_integer('products', 40, products, 4, flag_values=flag_values)
    flags.DEFINE_integer('seed', 0, 'of random directions and draws', 0, flag_values=flag_values)
    updates = "of 'connectivity': updates that train the middle of the curve"
    flags.DEFINE_integer('updates', 500, updates, 1, flag_values=flag_values)
    rate = 'of those updates, by Adam'
    flags.DEFINE_float('learning_rate', 0.01, rate, 0.0, flag_values=flag_values)
    groups = "of 'noise': groups of the examples, of which each has a gradient"
    flags.DEFINE_integer('groups', 64, groups, 10, flag_values=flag_values)
    batch_norm = "of networks that have it: 'frozen' averages, or those of the examples, 'batch'"
    modes = ['frozen', 'batch']
    flags.DEFINE_enum('batch_norm', None, modes, batch_norm, flag_values=flag_values)
    return flag_values


def _analyse(word, flag_values, overrides):
    run = opened(flag_values, overrides)
    first = run.trial(_number(flag_values.trial, run))
    folder = pathlib.Path(run.workdir) / 'analysis'
    if flag_values.to:
        folder = local_path(flag_values.to, '--to')
    if folder.exists() and not folder.is_dir():
        raise Refusal(f'--to: found a file, {folder}; allowed: a folder')
    # imports JAX, which a refusal should not wait for
    from lbexp.report import measured

    settings = measured.Settings(
        examples=flag_values.examples,
        points=flag_values.points,
        products=flag_values.products,
        seed=flag_values.seed,
        batch_norm=flag_values.batch_norm,
        updates=flag_values.updates,
        learning_rate=flag_values.learning_rate,
        groups=flag_values.groups,
    )
    trials = [first]
    if word in _OF_TWO:
        other = run.trial(flag_values.other)
        if other.number == first.number:
            raise Refusal(f'--other: found {other.number}, which is --trial; allowed: another one')
        trials.append(other)
    analysis = _measure(word)(*trials, settings)
    measured.show(analysis)
    for path in measured.save(analysis, folder):
        print(path, flush=True)
    return DONE


def _measure(word):
    """What measures, by the command's name."""
    from lbexp.report import analyses
    from lbexp.report.connectivity import connectivity
    from lbexp.report.gradient_noise import gradient_noise

    return {
        'hessian': analyses.hessian,
        'landscape': analyses.slices,
        'interpolation': analyses.interpolation,
        'connectivity': connectivity,
        'noise': gradient_noise,
    }[word]


def _number(trial, run):
    if trial is not None:
        return trial
    if len(run) != 1:
        raise Refusal(f'--trial: not given with {len(run)} trials; allowed: one of them')
    return run.trials[0]


if __name__ == '__main__':
    outlive_readers()
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # files are whole or not there
    sys.exit(main(sys.argv))
