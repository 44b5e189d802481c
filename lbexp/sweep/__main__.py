"""Trains the cohorts of an experiment as processes of their own, on this machine, a Slurm cluster
or a Ray cluster.

    python -m lbexp.sweep --config=experiments/sweep_lr.py --executor=local run
    python -m lbexp.sweep --config=experiments/reality_check.py --executor=slurm
    --workdir=/shared/check run python -m lbexp.sweep --workdir=/shared/check status
    python -m lbexp.sweep --workdir=/shared/check report

run     trains what is not done, and reports; what a direct run would write is written, to the bit
where workers have
        as many devices as it has (on a CPU: cores of the machine, or that Slurm gives to a task)
status  a table of the cohorts
report  report.html from what is there so far; what a workdir names outside lbexp runs only where
--config names it
        too, or with --trust_workdir

What became of a cohort is in its folder of the workdir. The same command again skips what is done,
goes on with what was interrupted, and tries again what failed; two of them at once share the work.
Ctrl-C, SIGTERM and SIGHUP save and stop. Exit status: 0 done, 1 cohorts failed, the disk or a part
did, 2 the configuration is wrong, 3 rows of a cohort are lost, 75 stopped before the end, 78 every
trial diverged.
"""

import functools
import signal
import sys

from absl import flags

from lbexp import command, documents
from lbexp import config as configs
from lbexp.config import lookup
from lbexp.errors import Refusal
from lbexp.exit_status import DONE, FAILED, STOPPED
from lbexp.output import outlive_readers

_COMMANDS = ('run', 'status', 'report')


def main(argv: list[str]) -> int:
    """Parses, checks, and does what is asked. Returns the exit status."""
    given = _flags()
    if {'--help', '-h', '-help', '--helpfull'} & set(argv):
        print(f'{__doc__}\nFlags:\n{given.get_help()}\n\n{command.fields_help()}')
        return DONE
    overrides, words, problems = command.parse(given, argv, _COMMANDS)
    if len(words) != 1:
        problems.append(
            f'found {" and ".join(words) or "no command"}; allowed: one of {", ".join(_COMMANDS)}'
        )
    if problems:
        return command.refuse(problems)
    if words[0] == 'run':
        stop = command.Stop()
    else:  # there is nothing to save
        stop = None
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        if words[0] == 'run' or not given.workdir:
            return _of_config(given, overrides, words[0], stop)
        workdir = command.workdir_of(given, None, [])
        return _of_workdir(workdir, words[0], _trusted(given, overrides), _lost(given))
    except Exception as error:
        return command.tell(error, given.traceback)


def _flags():
    given = command.own_flags()
    where = "where cohorts train: 'local', 'slurm', 'ray': a file of lbexp/sweep/executors"
    flags.DEFINE_string('executor', 'local', where, flag_values=given)
    at_once = 'cohorts at once; default: as many as there is room for'
    flags.DEFINE_integer('workers', None, at_once, lower_bound=1, flag_values=given)
    cores = 'cores of each worker; default: a share of this machine, or 1 of a cluster'
    flags.DEFINE_integer('cores', None, cores, lower_bound=1, flag_values=given)
    devices = 'accelerators of each worker, of a cluster'
    flags.DEFINE_integer('accelerators', 0, devices, lower_bound=0, flag_values=given)
    tries = 'attempts at a cohort after which it is given up'
    flags.DEFINE_integer('attempts', 3, tries, lower_bound=1, flag_values=given)
    lost = 'seconds without a sign of life after which a worker on another host is lost'
    flags.DEFINE_float('lost', 120.0, lost, lower_bound=1.0, flag_values=given)
    trust = (
        'let report run what the workdir names outside lbexp: a workdir is data, and may be '
        "anybody's"
    )
    flags.DEFINE_bool('trust_workdir', False, trust, flag_values=given)
    restart = 'train from the start the cohorts whose checkpoints or rows are lost'
    flags.DEFINE_bool('restart_lost', False, restart, flag_values=given)
    return given


def _of_config(given, overrides, word, stop):
    config, problems = command.read(given, overrides)
    if config is None or problems:
        return command.refuse(problems)
    executor = None
    if word == 'run':
        executor = _executor(given)
        stop.listen()  # Ray takes signals for itself
    _plan_on_cpu()
    command.prepare(config)
    problems = command.checked(config)
    if problems:
        return command.refuse(problems)
    study = lookup.build('study', configs.plain(config.study))
    wanted = study.trials(config)
    resolved = [configs.resolve(config, trial.overrides) for trial in wanted]
    workdir = command.workdir_of(
        given,
        config,
        [trial.overrides for trial in wanted],
        command.fingerprint_of(given, resolved),
    )
    if word != 'run':
        return _of_workdir(workdir, word, _trusted(given, overrides), _lost(given), given.figures)
    from lbexp.engine import record
    from lbexp.sweep import standing
    from lbexp.sweep.rounds import rounds
    from lbexp.sweep.schedule import How

    tell = lambda line: print(line, flush=True)
    finished = record.nothing_to_train(workdir)
    fingerprint = functools.partial(command.fingerprint_of, given)
    how = How(executor, given.attempts, given.lost, stop, tell, fingerprint, given.restart_lost)
    outcome = rounds(study, config, workdir, wanted, how)
    if finished and finished == record.nothing_to_train(workdir):
        tell(finished)
    if outcome.stopped:
        tell(f'stopped by {stop.name}; saved in {workdir}. To go on, run the same command again.')
        return STOPPED
    if outcome.failed:
        standing.report(workdir, None, outcome.failed, given.figures)
        return _tell_failed(outcome.failed, given.attempts)
    with lookup.trusting(None):  # the workdir has the names of this configuration, and no others
        return command.report(study.analyse(workdir), workdir, given.figures)


def _executor(given):
    from lbexp.sweep.executors import Wanted

    make = lookup.find('executor', given.executor)
    return make(Wanted(given.workers, given.cores, given.accelerators))


def _tell_failed(failed, tries):
    for number, cause in failed.items():
        print(f'lbexp: cohort {number}: {cause}', file=sys.stderr)
    again = f'The same command with --attempts={tries + 3} tries again'
    print(f'lbexp: {len(failed)} cohorts failed {tries} times. {again}', file=sys.stderr)
    return FAILED


def _plan_on_cpu():
    """This process plans; it must not take an accelerator, or its memory, from the workers."""
    import jax

    jax.config.update('jax_platforms', 'cpu')


def _trusted(given, overrides):
    """The names outside lbexp that the user gives, by an experiment file; None: he trusts the
    workdir."""
    if given.trust_workdir:
        return None
    config, problems = command.read(given, overrides) if given.config else ({}, [])
    if problems:
        raise Refusal(problems[0])
    return lookup.outside_names(configs.plain(config) if config else {})


def _lost(given):
    """None, where the user does not say it: each worker then counts as lost when it was told that
    it would."""
    return given.lost if given['lost'].present else None


def _of_workdir(workdir, word, trusted, lost, figure_formats):
    from lbexp.sweep import standing

    if not (workdir / documents.COHORTS).exists():
        raise Refusal(
            f'--workdir: found no cohorts in {str(workdir)!r}; allowed: the workdir of a run of '
            'lbexp.sweep'
        )
    if word == 'status':
        return standing.show(workdir, lost)
    return standing.report(workdir, trusted, figure_formats=figure_formats)


if __name__ == '__main__':
    outlive_readers()
    sys.exit(main(sys.argv))
