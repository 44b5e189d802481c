"""Evaluates the trained networks of a workdir on a set of examples.

    python -m lbexp.evaluate --workdir=runs/lamb-... --trial=0
    python -m lbexp.evaluate --workdir=runs/sweep-... --data=validation
    python -m lbexp.evaluate --workdir=runs/lamb-... --data=mine.csv

Prints a line for each trial: each of the workload's metrics over the whole set, with the weights
that the optimizer would deploy. A table, an archive or a folder of images of your own is read as
the data that was trained on was: columns by name, with its classes and its normalisation; an
archive for a data set of lbexp has the arrays of its training examples, by name. Trials that
diverged or were never saved are named on standard error. What a workdir names outside lbexp runs
only where --config names it too, or with --trust_workdir. Exit status: 0 done, 1 the disk or a part
failed, 2 something given is wrong, 3 the checkpoints are damaged.
"""

import pathlib
import signal
import sys

from absl import flags

from lbexp import flag_command
from lbexp.analysis import Table
from lbexp.errors import Damaged, Refusal
from lbexp.exit_status import DONE
from lbexp.local_path import local_path
from lbexp.output import outlive_readers
from lbexp.report import table
from lbexp.trained_flags import command_flags, opened

_SETS = ('test', 'validation', 'train')


def main(argv: list[str]) -> int:
    """Parses, evaluates, prints. Returns the exit status."""
    flag_values = command_flags()
    data = (
        "'test', 'validation', 'train', or a table (.csv, .tsv, .parquet), an archive (.npz) or a "
        'folder of images, read as the data that was trained on'
    )
    flags.DEFINE_string('data', 'test', data, flag_values=flag_values)

    def act(overrides, words):
        return _evaluate(flag_values, overrides)

    return flag_command.run(argv, __doc__, flag_values, act)


def _evaluate(flag_values, overrides):
    examples = _examples(flag_values.data)
    run = opened(flag_values, overrides)
    numbers = run.trials if flag_values.trial is None else [flag_values.trial]
    columns, rows, problems = [], [], []
    for number in numbers:
        try:
            trial = run.trial(number)
        except (Refusal, Damaged) as error:
            problems.append(error)
            continue
        metrics = trial.evaluate(examples)
        columns = ['trial', 'step', *metrics]
        rows.append([trial.number, trial.step, *metrics.values()])
    if not rows:
        raise problems[0]
    for problem in problems:
        print(f'lbexp: {problem}; left out', file=sys.stderr)
    table.show(Table(f'{flag_values.data} of {run.workdir}', columns, rows, ''))
    return DONE


def _examples(data: str) -> str | pathlib.Path:
    """The name of a set, or the path of a file or folder."""
    if data in _SETS:
        return data
    path = local_path(data, '--data')
    if not path.exists():
        allowed = f'{", ".join(_SETS)}, a table, an archive (.npz) or a folder of images'
        raise Refusal(f'--data: found {data!r}; allowed: {allowed}')
    return path


if __name__ == '__main__':
    outlive_readers()
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # there is nothing to save
    sys.exit(main(sys.argv))
