"""Writes the report of a workdir anew, from what is there.

    python -m lbexp.report --workdir=runs/lamb-...
    python -m lbexp.report --workdir=runs/lamb-... --live     # in a browser, while it trains
    python -m lbexp.report --workdir=runs/lamb-... --predictions

--predictions adds what the best trained network gets wrong: the confusion matrix and the hardest
test examples of a classifier, as pictures where they are some; of a language model texts that it
writes. Both are computed from the last checkpoint, and kept in predictions.json.

Nothing is trained. Until every trial has ended the page has curves and no verdict; with --live it
is written every few seconds until then, and a browser that shows it reads it anew. What a workdir
names outside lbexp runs only where --config names it too, or with --trust_workdir. Exit status: 0
done, 1 the disk or a part failed, 2 something given is wrong, 78 every trial diverged.
"""

import signal
import sys
import time

from absl import flags

from lbexp import command, documents, flag_command, results
from lbexp.analysis import Analysis
from lbexp.config import lookup
from lbexp.errors import Refusal
from lbexp.output import outlive_readers
from lbexp.report import page
from lbexp.workdirs import chosen_workdir

_ENDED = ('done', 'diverged')


def main(argv: list[str]) -> int:
    """Parses, writes, says where. Returns the exit status."""
    flag_values = _flags()

    def check(overrides, words):
        is_known = flag_values.workdir
        return [] if is_known else ['--workdir: not given; allowed: the folder of a run']

    def act(overrides, words):
        return _report(flag_values, overrides)

    return flag_command.run(argv, __doc__, flag_values, act, check)


def _flags():
    flag_values = command.own_flags()
    live = 'write it again and again until every trial has ended'
    flags.DEFINE_bool('live', False, live, flag_values=flag_values)
    every = 'seconds between two pages, with --live'
    flags.DEFINE_float('every', 10.0, every, lower_bound=0.1, flag_values=flag_values)
    looked = (
        'compute what a trained network gets wrong on the test set, or which texts it writes, and '
        'show it from now on'
    )
    flags.DEFINE_bool('predictions', False, looked, flag_values=flag_values)
    trial = 'number of the network, with --predictions; default: the best'
    flags.DEFINE_integer('trial', None, trial, lower_bound=0, flag_values=flag_values)
    trust = "run what the workdir names outside lbexp: a workdir is data, and may be anybody's"
    flags.DEFINE_bool('trust_workdir', False, trust, flag_values=flag_values)
    return flag_values


def _report(flag_values, overrides):
    workdir = chosen_workdir(flag_values.workdir)
    if (workdir / documents.COHORTS).exists():
        raise Refusal(
            f'--workdir: found the cohorts of lbexp.sweep in {str(workdir)!r}; allowed: '
            'python -m lbexp.sweep --workdir=... report'
        )
    trusted = command.trusted(flag_values, overrides)
    if flag_values.predictions:
        _predict(workdir, trusted, flag_values.trial)
    while flag_values.live and not _has_ended(workdir):
        path = page.page(workdir, _so_far(workdir), (), refresh=flag_values.every)
        print(f'report: {path}', flush=True)
        time.sleep(flag_values.every)
    if not _has_ended(workdir):
        return command.report(_so_far(workdir), workdir, flag_values.figures)
    with lookup.trusting(trusted), lookup.recorded():
        analysis = lookup.build('study', results.part(workdir, 'study')).analyse(workdir)
    return command.report(analysis, workdir, flag_values.figures)


def _predict(workdir, trusted, number):
    # imports JAX, which a page does not need
    from lbexp.engine.quiet import quiet
    from lbexp.parallel.devices import devices
    from lbexp.trained import Run, predictions

    quiet()
    devices(1, many_trials=False)
    predictions.keep(Run(workdir, True if trusted is None else trusted), number)


def _has_ended(workdir):
    statuses = results.final(workdir)['status']
    return all(status in _ENDED for status in statuses)


def _so_far(workdir):
    statuses = results.final(workdir)['status'].tolist()
    ended = sum(status in _ENDED for status in statuses)
    title = page.title(results.configuration(workdir)['config'], workdir)
    verdict = f'{ended} of {len(statuses)} trials have ended: no verdict yet.'
    return Analysis(title, verdict, [], [])


if __name__ == '__main__':
    outlive_readers()
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # files are whole or not there
    sys.exit(main(sys.argv))
