"""Trains the cohorts of an experiment as processes of their own, on this machine, a Slurm cluster
or a Ray cluster.

    python -m lbexp.sweep --config=experiments/sweep_lr.py --executor=local run
    python -m lbexp.sweep --config=reality_check --executor=slurm --workdir=/shared/check run
    python -m lbexp.sweep --workdir=/shared/check status
    python -m lbexp.sweep --workdir=/shared/check report

run     trains what is not done, and reports; what a direct run would write is written, to the bit
        where workers have as many devices as it has (on a CPU: cores of the machine, or that Slurm
        gives to a task)
status  a table of the cohorts
report  report.html from what is there so far; what a workdir names outside lbexp runs only where
        --config names it too, or with --trust_workdir

What became of a cohort is in its folder of the workdir. The same command again skips what is done,
goes on with what was interrupted, and tries again what failed; where all is done and nothing has
changed since, it says so and writes nothing. Two of them at once share the work.
Ctrl-C, SIGTERM and SIGHUP save and stop. Exit status: 0 done, 1 cohorts failed, the disk or a part
did, 2 the configuration is wrong, 3 rows of a cohort are lost, 75 stopped before the end, 78 every
trial diverged.
"""

import functools
import signal
import sys

from absl import flags

from lbexp import command, documents, workdirs
from lbexp import config as configs
from lbexp.config import lookup
from lbexp.errors import Refusal
from lbexp.exit_status import DONE, FAILED, STOPPED
from lbexp.flag_command import HELP
from lbexp.local_path import local_path
from lbexp.output import outlive_readers
from lbexp.sweep import finished

_COMMANDS = ('run', 'status', 'report')


def main(argv: list[str]) -> int:
    """Parses, checks, and does what is asked. Returns the exit status."""
    flag_values = _flags()
    if HELP & set(argv):
        print(f'{__doc__}\nFlags:\n{flag_values.get_help()}\n\n{command.fields_help()}')
        return DONE
    overrides, words, problems = command.parse(flag_values, argv, _COMMANDS)
    if len(words) != 1:
        problems.append(
            f'found {" and ".join(words) or "no command"}; allowed: one of {", ".join(_COMMANDS)}'
        )
    if problems:
        return command.refuse(problems)
    (word,) = words
    if word == 'run':
        stop = command.Stop()
    else:  # there is nothing to save
        stop = None
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        if word == 'run' or not flag_values.workdir:
            return _of_config(flag_values, overrides, word, stop)
        workdir = workdirs.chosen_workdir(flag_values.workdir)
        return _of_workdir(workdir, word, command.trusted(flag_values, overrides), flag_values)
    except Exception as error:
        return command.tell(error, flag_values.traceback)


def _flags():
    flag_values = command.own_flags()
    where = "where cohorts train: 'local', 'slurm', 'ray': a file of lbexp/sweep/executors"
    flags.DEFINE_string('executor', 'local', where, flag_values=flag_values)
    command.define_trackers(flag_values)
    at_once = 'cohorts at once; default: as many as there is room for'
    flags.DEFINE_integer('workers', None, at_once, lower_bound=1, flag_values=flag_values)
    cores = 'cores of each worker; default: a share of this machine, or 1 of a cluster'
    flags.DEFINE_integer('cores', None, cores, lower_bound=1, flag_values=flag_values)
    devices = 'accelerators of each worker, of a cluster'
    flags.DEFINE_integer('accelerators', 0, devices, lower_bound=0, flag_values=flag_values)
    tries = 'attempts at a cohort after which it is given up'
    flags.DEFINE_integer('attempts', 3, tries, lower_bound=1, flag_values=flag_values)
    lost = 'seconds without a sign of life after which a worker on another host is lost'
    flags.DEFINE_float('lost', 120.0, lost, lower_bound=1.0, flag_values=flag_values)
    trust = (
        'let report run what the workdir names outside lbexp: a workdir is data, and may be '
        "anybody's"
    )
    flags.DEFINE_bool('trust_workdir', False, trust, flag_values=flag_values)
    restart = 'train from the start the cohorts whose checkpoints or rows are lost'
    flags.DEFINE_bool('restart_lost', False, restart, flag_values=flag_values)
    return flag_values


def _of_config(flag_values, overrides, word, stop):
    config, problems = command.read(flag_values, overrides)
    if config is None or problems:
        return command.refuse(problems)
    if word == 'run':
        workdir = finished.finished(flag_values, config)
        if workdir is not None:
            print(f'nothing to do: trained and reported; report: {workdir / "report.html"}')
            return finished.status(workdir)
    return _of_checked(flag_values, config, overrides, word, stop)


def _of_checked(flag_values, config, overrides, word, stop):
    """From a configuration whose fields are right."""
    from lbexp.engine.quiet import quiet

    executor = _executor(flag_values) if word == 'run' else None
    if executor:
        stop.listen()  # Ray takes signals for itself
    _plan_on_cpu()
    quiet()
    command.prepare(config)
    problems = command.checked(config, flag_values.trackers if executor else ())
    if problems:
        return command.refuse(problems)
    study = lookup.build('study', configs.plain(config.study))
    first_trials = study.trials(config)
    workdir = _workdir_of(flag_values, config, first_trials)
    if executor is None:
        return _of_workdir(workdir, word, command.trusted(flag_values, overrides), flag_values)
    outcome = _train(flag_values, study, config, workdir, first_trials, executor, stop)
    if outcome.stopped:
        print(
            f'stopped by {stop.name}; saved in {workdir}. To go on, run the same command again.',
            flush=True,
        )
        return STOPPED
    if outcome.failed:
        from lbexp.sweep import status

        status.report(workdir, None, outcome.failed, flag_values.figures, flag_values.lost)
        return _tell_failed(outcome.failed, flag_values.attempts)
    with lookup.trusting(None):  # the workdir has the names of this configuration, and no others
        if study.measure is not None:
            study.measure(config, workdir)
        print('writing the report', flush=True)  # which takes seconds
        exit_status = command.report(study.analyse(workdir), workdir, flag_values.figures)
    finished.keep(flag_values, config, workdir)
    return exit_status


def _workdir_of(flag_values, config, first_trials):
    """The workdir, once what the trials begin from is there."""
    from lbexp.trained.initial_weights import gather

    resolved = [configs.resolve(config, trial.overrides) for trial in first_trials]
    chosen = local_path(flag_values.workdir, '--workdir') if flag_values.workdir else None
    gather(resolved, chosen)
    fingerprint = workdirs.fingerprint_of(flag_values, resolved)
    overrides = [trial.overrides for trial in first_trials]
    digest = functools.partial(configs.digest, config, overrides)
    return workdirs.workdir_of(flag_values, digest, fingerprint)


def _train(flag_values, study, config, workdir, first_trials, executor, stop):
    """Returns the Outcome; where an earlier command had trained everything, it says so."""
    from lbexp.engine import record
    from lbexp.sweep.run import run
    from lbexp.sweep.schedule import SchedulerOptions

    options = SchedulerOptions(
        executor,
        max_attempts=flag_values.attempts,
        heartbeat_timeout=flag_values.lost,
        should_stop=stop,
        log=functools.partial(print, flush=True),
        fingerprint=functools.partial(workdirs.fingerprint_of, flag_values),
        restart_lost=flag_values.restart_lost,
        docstring=configs.docstring(flag_values.config),
        trackers=flag_values.trackers,
    )
    finished = record.nothing_to_train(workdir)
    outcome = run(study, config, workdir, first_trials, options)
    if finished and finished == record.nothing_to_train(workdir):
        options.log(finished)
    return outcome


def _executor(flag_values):
    from lbexp.sweep.executors import Resources

    make = lookup.find('executor', flag_values.executor)
    return make(Resources(flag_values.workers, flag_values.cores, flag_values.accelerators))


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


def _of_workdir(workdir, word, trusted, flag_values):
    from lbexp.sweep import status

    if not (workdir / documents.COHORTS).exists():
        raise Refusal(
            f'--workdir: found no cohorts in {str(workdir)!r}; allowed: the workdir of a run of '
            'lbexp.sweep'
        )
    if word == 'status':
        # Where the user says nothing a worker counts as lost when it was told that it would.
        heartbeat_timeout = flag_values.lost if flag_values['lost'].present else None
        return status.show(workdir, heartbeat_timeout)
    return status.report(
        workdir, trusted, figure_formats=flag_values.figures, heartbeat_timeout=flag_values.lost
    )


if __name__ == '__main__':
    outlive_readers()
    sys.exit(main(sys.argv))
