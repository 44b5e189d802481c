"""Trees and logistic regression on the data of an experiment, and its trained networks beside them.

    python -m lbexp.baselines --config=experiments/ctr.py:adult
    python -m lbexp.baselines --workdir=runs/ctr-...

Prints AUC, average precision and log loss on the test examples, with bootstrap intervals over them,
of logistic regression (L-BFGS, the penalty chosen on the validation examples), and of boosted trees
where the library is there (pip install lbexp[tabular]; they stop early on the validation examples).
The workload is `binary`, with a table as data and validation examples. Logistic regression is given
what the networks are; trees are given the numbers as they are, as intervals only cost them.

Of a workdir the networks stand in the same table, a row for each configuration, with the mean over
its seeds and the difference to the better baseline on the same resamples; below it, who is behind
that baseline and who ahead: the interval of the difference excludes 0. A row for each trial, in
full, is written to --to, by default the folder 'analysis' of the workdir, as baselines.csv. Trials
that are not done are left out and named on standard error. What a workdir names outside lbexp runs
only where --config names it too, or with --trust_workdir.
Exit status: 0 done, 1 a part failed, 2 something given is wrong, 3 the checkpoints are damaged.
"""

import importlib.util
import pathlib
import signal
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from absl import flags

from lbexp import command, flag_command, results
from lbexp.analysis import Table
from lbexp.config import lookup
from lbexp.datasets import Dataset
from lbexp.errors import Damaged, Refusal
from lbexp.exit_status import DONE
from lbexp.local_path import local_path
from lbexp.output import outlive_readers
from lbexp.reference_models import boosted_trees, labels_of, logistic_regression
from lbexp.report import curves, measured, table
from lbexp.resampling import Scores, resampled
from lbexp.score_table import Comparison, Network, comparison, score_table
from lbexp.trained_flags import command_flags, opened

if TYPE_CHECKING:
    from lbexp.trained import Run


def main(argv: list[str]) -> int:
    """Parses, fits, prints. Returns the exit status."""
    flag_values = command_flags()
    to = "folder of baselines.csv; default: 'analysis' in the workdir"
    flags.DEFINE_string('to', None, to, flag_values=flag_values)

    def act(overrides, words):
        if flag_values.workdir is not None:
            return _show_beside(flag_values, overrides)
        config, problems = command.read(flag_values, overrides)
        if problems:
            return command.refuse(problems)
        table.show(compared(config.workload.to_dict()))
        return DONE

    def check(overrides, words):
        if flag_values.workdir is not None:
            return []
        needs_workdir = [name for name in ('trial', 'to') if flag_values[name].value is not None]
        return [f'--{name}: given without --workdir; allowed: both' for name in needs_workdir]

    return flag_command.run(argv, __doc__, flag_values, act, check)


def _show_beside(flag_values, overrides):
    folder = None
    if flag_values.to:
        folder = local_path(flag_values.to, '--to')
        if folder.exists() and not folder.is_dir():
            raise Refusal(f'--to: found a file, {folder}; allowed: a folder')
    run = opened(flag_values, overrides)
    numbers = run.trials if flag_values.trial is None else [flag_values.trial]
    both = beside(run, numbers)
    table.show(both.configurations)
    print('\n'.join(both.verdict), flush=True)
    folder = folder or pathlib.Path(run.workdir) / 'analysis'
    for path in measured.save(measured.Measured(both.trials, [], [], 'baselines'), folder):
        print(path, flush=True)
    return DONE


def compared(workload: dict[str, Any]) -> Table:
    """The table of both baselines on the data of a workload.

    Raises:
        Refusal: another workload than binary, or data that is no table with validation examples.
    """
    workload = _spelled_out(workload)
    data = _data(workload)
    return score_table(_baselines(workload, data), _title(workload), _caption(data))


def beside(run: 'Run', numbers: Sequence[int]) -> Comparison:
    """The trials of a run and both baselines on the test examples.

    Raises:
        Refusal: as `compared`; trials on different data; none of the trials has a network.
        lbexp.errors.Damaged, OSError: as `Run.trial`.
    """
    workload, logits = _test_logits(run, numbers)
    data = _data(workload)
    labels = labels_of(data, data.test)
    scores = {number: resampled(each, labels) for number, each in logits.items()}
    networks = []
    words = _words(run)
    for number, of_trial in scores.items():
        networks.append(Network(words[number], number, of_trial))
    return comparison(networks, _baselines(workload, data), _title(workload), _caption(data))


def _test_logits(run, numbers):
    """The workload of these trials, and {number: logits [n]} of those that have a network."""
    workload, logits, problems = None, {}, []
    for number in numbers:
        try:
            trial = _done(run.trial(number))
        except (Refusal, Damaged) as error:
            problems.append(error)
            continue
        of_trial = _spelled_out(trial.config['workload'])
        if workload is None:
            workload = of_trial
            _data(workload)  # refuses what has no baselines before anything is predicted
        if of_trial.get('data') != workload['data']:
            raise Refusal(
                f'--workdir: found the data of trial {number}, which differs from that of trial '
                f'{next(iter(logits))}; allowed: one, by --trial'
            )
        arrays = trial.workload.test.arrays
        outputs = trial.predict({name: arrays[name] for name in trial.workload.inputs})
        logits[number] = np.asarray(outputs, np.float64)
    if workload is None:
        raise problems[0]
    for problem in problems:
        print(f'lbexp: {problem}; left out', file=sys.stderr)
    return workload, logits


def _spelled_out(workload):
    """The workload, its data as a part where a text stands for it."""
    data = workload.get('data')
    if not isinstance(data, str):
        return workload
    return {**workload, 'data': lookup.spelled_out('data', data)}


def _done(trial):
    """The trial. Raises Refusal where it is not over: a network that is half trained proves
    nothing."""
    if trial.status != 'done':
        raise Refusal(f'trial {trial.number}: found status {trial.status}; allowed: done')
    return trial


def _words(run):
    """{number: the configuration of the trial but for its seed, in words}, of all trials of a
    run."""
    finals = results.final(run.workdir)
    numbers = finals['trial'].tolist()
    configurations = curves.configurations(finals, range(len(numbers)))
    words = [text or 'network' for text in configurations]
    return dict(zip(numbers, words, strict=True))


def _title(workload):
    return f'Baselines on {workload["data"]["name"]}'


def _caption(data):
    caption = (
        f'On {len(labels_of(data, data.test))} test examples; 95 % intervals: bootstrap over them.'
    )
    if importlib.util.find_spec('xgboost') is None:
        caption += ' Boosted trees need xgboost: pip install lbexp[tabular].'
    return caption


def _baselines(workload, data) -> dict[str, Scores]:
    labels = labels_of(data, data.test)
    logits = {'logistic regression': logistic_regression(data)}
    if importlib.util.find_spec('xgboost') is not None:
        part = dict(workload['data'])
        known = lookup.parameters(lookup.find('data', part['name']))
        if 'bins' in known:
            part['bins'] = None
        if 'missing' in known:  # trees read a missing number as one
            part['missing'] = 'mean'
        logits['boosted trees'] = boosted_trees(lookup.build('data', part))
    return {name: resampled(each.astype(np.float64), labels) for name, each in logits.items()}


def _data(workload) -> Dataset:
    if workload['name'] != 'binary':
        raise Refusal(f"workload: found {workload['name']!r}; allowed: 'binary'")
    data = lookup.build('data', workload['data'])
    if data.test is None or data.validation is None:
        raise Refusal('data: found no test or no validation examples; allowed: validation=1 ..')
    if not set(data.inputs) <= {'numeric', 'categorical'}:
        raise Refusal(f'data: found {", ".join(data.inputs)}; allowed: the columns of a table')
    if len(data.target.classes) != 2:
        raise Refusal(f'data: found {len(data.target.classes)} classes; allowed: 2')
    return data


if __name__ == '__main__':
    outlive_readers()
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # files are whole or not there
    sys.exit(main(sys.argv))
