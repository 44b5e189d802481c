"""Runs one experiment: trains its trials, writes rows, checkpoints and a report into a workdir.

    python -m lbexp.main --config=experiments/lamb.py
    python -m lbexp.main --config=lamb:fashion_mnist --config.optimizer.learning_rate=0.02
    srun -N2 -n2 python -m lbexp.main --config=experiments/lamb.py --workdir=/shared/lamb

Ctrl-C, SIGTERM and SIGHUP, to any process of a job, save and stop; the same command goes on. Exit
status: 0 done, 1 the disk failed, or a part raised an exception (told with its place in your code;
--traceback shows all), 2 the configuration is wrong, another process runs in the workdir, or the
processes of a job did not find together, 3 checkpoints or rows are lost, 75 stopped before the end,
76 another process of the job was lost, 77 hung, 78 every trial diverged. After 75, 76 and 77 the
same command goes on; the launchers in scripts/ do that by themselves.
"""

import contextlib
import itertools
import os
import sys
import time
import traceback
from typing import Any

from absl import flags

from lbexp import command
from lbexp.errors import refused, user_frame
from lbexp.exit_status import BAD_CONFIG, DONE, FAILED, PEER_LOST, STOPPED
from lbexp.flag_command import HELP
from lbexp.output import outlive_readers
from lbexp.settings import Settings

# By flag, the argument of hosts.start.
_JOB = {
    'distributed': 'mode',
    'coordinator_address': 'address',
    'num_processes': 'processes',
    'process_id': 'index',
    'peer_timeout': 'peer_timeout',
    'start_timeout': 'start_timeout',
}
_WORD = 3.0  # s in which whoever watches over the job ends this process, with what it knows


def main(argv: list[str]) -> int:
    """Parses, checks, runs and reports. Returns the exit status; a process of a job that has
    several ends with it."""
    if HELP & set(argv):
        print(f'{__doc__}\nFlags:\n{_flags().get_help()}\n\n{command.fields_help()}')
        return DONE
    stop = command.Stop()
    flag_values = _flags()
    overrides, _, problems = command.parse(flag_values, argv)
    job = _job(argv)
    config, wrong_status = None, BAD_CONFIG
    if flag_values.is_parsed():
        config, problems_of_config, wrong_status = _read(flag_values, overrides)
        problems += problems_of_config
    # A process of a job tells the others first: they wait for it.
    if problems and job['mode'] == 'off':
        command.refuse(problems)
        return wrong_status
    from lbexp.parallel import hosts

    try:
        hosts.start(**job, problems=problems, stopping=lambda: stop.name)
    except hosts.NotStarted as error:
        command.refuse(error.lines)
        return wrong_status if problems else error.status
    except (ValueError, RuntimeError) as error:
        return command.refuse([*problems, str(error)])
    cause = ''
    try:
        status = _main(flag_values, config, problems, stop, wrong_status)
    except Exception as error:
        status, cause = _told_of(error, flag_values.traceback)
    if hosts.count() > 1:
        hosts.shutdown(status, cause)
    return status


def _job(argv: list[str]) -> dict[str, Any]:
    """The flags of the job; of a command line that cannot be parsed, those that can: the others are
    waiting."""
    flag_values = _flags()
    for i in range(1, len(argv)):
        for length in (2, 1):  # '--process_id 1', '--process_id=1'
            with contextlib.suppress(flags.Error):
                flag_values([argv[0], *argv[i : i + length]], known_only=True)
                break
    flag_values.mark_as_parsed()
    return {argument: flag_values[name].value for name, argument in _JOB.items()}


def _read(flag_values, overrides):
    """The configuration, what is wrong with it, and the status that a command ends with for
    that."""
    try:
        return *command.read(flag_values, overrides), BAD_CONFIG
    # in the experiment file; the other processes of a job hear of it first
    except Exception as error:
        if flag_values.traceback:
            traceback.print_exception(error)
        status = BAD_CONFIG if refused(error) else FAILED
        return None, [command.in_words(error)], status


def _main(flag_values, config, problems, stop, wrong_status):
    from lbexp.engine.quiet import quiet
    from lbexp.parallel import collectives, hosts

    stop.listen()  # jax.distributed takes SIGTERM for itself
    if config is not None:
        quiet()
        command.prepare(config)
        problems += command.checked(config, flag_values.trackers)
    # Each told once, as most are the same on every process.
    by_process = collectives.allgather_object(problems)
    problems = list(dict.fromkeys(itertools.chain.from_iterable(by_process)))
    if problems:
        if hosts.is_primary():
            command.refuse(problems)
        return wrong_status
    # imports what takes a second, which a refusal should not wait for
    from lbexp.job import job, print_line

    outcome = job(Settings.of(flag_values), config, stop, print_line)
    analysis, workdir, page = outcome
    if analysis is None or page is None:
        cause = stop.name or 'a signal to another process'
        words = f'stopped by {cause}; saved in {workdir}'
        print_line(f'{words}. To go on, run the same command again.')
        return STOPPED
    return collectives.run_on_primary(lambda: command.show(analysis, workdir, page))


def _told_of(error, everything):
    """Says what ended this process: its status, and of a job the cause that the others do not know
    of."""
    from lbexp.parallel import hosts
    from lbexp.parallel.collectives import CollectiveError, CollectiveOSError, PrimaryFailed

    who = 'lbexp'
    if hosts.count() > 1:
        who = f'lbexp: {hosts.name()}'
    # What all processes know of, one tells.
    if isinstance(error, (CollectiveError, CollectiveOSError, PrimaryFailed)):
        if hosts.is_primary():
            command.tell(error, everything)
        return BAD_CONFIG if isinstance(error, CollectiveError) else FAILED, ''
    if hosts.count() > 1 and _lost(error):
        time.sleep(_WORD)
        cause = (str(error).splitlines() or [''])[0]
        line = f'lost another process of the job: {cause[:300]}'
        print(f'{who}: {line}', file=sys.stderr)
        return PEER_LOST, line
    return command.tell(error, everything, who), command.in_words(error)


def _lost(error):
    """Whether a collective failed. Some of them JAX waits for where their failure becomes a
    ValueError."""
    import jax

    # a callback's error is the user's
    if user_frame(error) is not None or 'RESOURCE_EXHAUSTED' in str(error):
        return False
    return isinstance(error, jax.errors.JaxRuntimeError) or 'Gloo' in str(error)


def _flags():
    flag_values = command.own_flags()
    change = (
        'go on in a workdir with another configuration, code or data; the change is recorded there'
    )
    flags.DEFINE_bool('allow_config_change', False, change, flag_values=flag_values)
    restart = (
        'train from the start the trials whose checkpoints or rows are lost; it is recorded there'
    )
    flags.DEFINE_bool('restart_lost', False, restart, flag_values=flag_values)
    command.define_trackers(flag_values)
    profile = (
        'START:STOP: the JAX profiler traces the updates from START to STOP, into profile/ of the '
        'workdir; START > 0 leaves out compilation'
    )
    flags.DEFINE_string('profile', None, profile, flag_values=flag_values)
    several = "join the processes of a job: 'auto' where a launcher started several, 'on', 'off'"
    flags.DEFINE_string('distributed', 'auto', several, flag_values=flag_values)
    address = 'HOST:PORT of process 0; with the next two, where no launcher says'
    flags.DEFINE_string('coordinator_address', None, address, flag_values=flag_values)
    flags.DEFINE_integer(
        'num_processes', None, 'processes of the job', lower_bound=1, flag_values=flag_values
    )
    flags.DEFINE_integer(
        'process_id', None, 'which of them this one is', lower_bound=0, flag_values=flag_values
    )
    lost = 'seconds without a sign of life after which a process of the job is lost'
    flags.DEFINE_integer('peer_timeout', 100, lost, lower_bound=1, flag_values=flag_values)
    come = 'seconds in which all processes of the job must come'
    flags.DEFINE_float('start_timeout', 60.0, come, lower_bound=1.0, flag_values=flag_values)
    return flag_values


if __name__ == '__main__':
    outlive_readers()
    status = main(sys.argv)
    if status == FAILED:  # Orbax waits five minutes for what a save that failed has not done
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    sys.exit(status)
