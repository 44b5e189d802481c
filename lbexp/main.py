"""Runs one experiment: trains its trials, writes rows, checkpoints and a report into a workdir.

    python -m lbexp.main --config=experiments/lamb.py
    python -m lbexp.main --config=experiments/lamb.py:fashion_mnist --config.optimizer.learning_rate=0.02
    srun -N2 -n2 python -m lbexp.main --config=experiments/lamb.py --workdir=/shared/lamb

Ctrl-C and SIGTERM, to any process of a job, save and stop; the same command goes on. Exit status: 0 done, 1 the disk
failed, 2 the configuration is wrong, or another process runs in the workdir, 3 no checkpoint is usable, 75 stopped
before the end, 76 another process of the job was lost, 77 hung, 78 every trial diverged. After 75, 76 and 77 the same
command goes on; the launchers in scripts/ do that by themselves.
"""

import contextlib
import hashlib
import json
import pathlib
import re
import signal
import sys
import threading
import traceback

from absl import flags

from lbexp import config as configs
from lbexp import lookup

_PRINTED = 60  # rows of a table in the terminal
_JOB = ('distributed', 'coordinator_address', 'num_processes', 'process_id', 'peer_timeout')

DONE, FAILED, BAD_CONFIG, NO_CHECKPOINT, STOPPED, PEER_LOST, DIVERGED = 0, 1, 2, 3, 75, 76, 78


def main(argv: list[str]) -> int:
    """Parses, checks, runs and reports. Returns the exit status; a process of a job that has several ends with it."""
    if {'--help', '-h', '-help', '--helpfull'} & set(argv):
        print(f'{__doc__}\nFlags:\n{_flags().get_help()}')
        return DONE
    stop = _Stop()
    given = _flags()
    config, problems = _read(given, argv)
    if not given.is_parsed() or (problems and given.distributed == 'off'):
        return _refuse(problems)
    from lbexp.parallel import hosts

    try:
        hosts.start(*(given[name].value for name in _JOB))
    except (ValueError, RuntimeError) as error:
        return _refuse([*problems, str(error)])
    try:
        status = _main(given, config, problems, stop)
    except Exception as error:
        if hosts.count() == 1:
            raise
        status = _told_of(error)
    if hosts.count() > 1:
        hosts.leave(status, together=status not in (FAILED, PEER_LOST))
    return status


def _main(given, config, problems, stop):
    from lbexp.parallel import hosts

    stop.listen()  # jax.distributed takes SIGTERM for itself
    try:
        if config is not None:
            problems += _prepare(config)
        problems = list(dict.fromkeys(problem for said in hosts.exchange(problems) for problem in said))
        if problems:
            return _refuse(problems) if hosts.first() else BAD_CONFIG
        return _run(given, config, stop)
    except ValueError as error:
        heard = isinstance(error, hosts.Agreed) and not hosts.first()  # process 0 says it
        return BAD_CONFIG if heard else _refuse([str(error)])
    except OSError as error:
        print(f'lbexp: {error.strerror or error}: {error.filename or ""}'.rstrip(': '), file=sys.stderr)
        return FAILED


def _told_of(error):
    """Says what ended this process of a job; the status that it ends with."""
    import jax

    from lbexp.parallel import hosts

    lost = isinstance(error, jax.errors.JaxRuntimeError) and 'RESOURCE_EXHAUSTED' not in str(error)
    if not lost:
        traceback.print_exc()
    cause = (str(error).splitlines() or [''])[0][:300]
    told = 'lost another process of the job' if lost else type(error).__name__
    print(f'lbexp: {hosts.name()}: {told}: {cause}', file=sys.stderr)
    return PEER_LOST if lost else FAILED


def _flags():
    given = flags.FlagValues()
    described = {
        'config': 'experiment file, FILE.py or FILE.py:ARGUMENT; --config.FIELD=VALUE overrides a field of it',
        'workdir': 'folder of the run; default: runs/NAME-HASH, the same for the same configuration',
    }
    for name, meaning in described.items():
        flags.DEFINE_string(name, None, meaning, flag_values=given)
    change = 'go on in a workdir with another configuration than it was begun with; the change is recorded there'
    flags.DEFINE_bool('allow_config_change', False, change, flag_values=given)
    several = "join the processes of a job: 'auto' where a launcher started several, 'on', 'off'"
    flags.DEFINE_string('distributed', 'auto', several, flag_values=given)
    address = 'HOST:PORT of process 0; with the next two, where no launcher says'
    flags.DEFINE_string('coordinator_address', None, address, flag_values=given)
    flags.DEFINE_integer('num_processes', None, 'processes of the job', lower_bound=1, flag_values=given)
    flags.DEFINE_integer('process_id', None, 'which of them this one is', lower_bound=0, flag_values=given)
    lost = 'seconds without a sign of life after which a process of the job is lost'
    flags.DEFINE_integer('peer_timeout', 100, lost, lower_bound=1, flag_values=given)
    return given


def _read(given, argv):
    """The configuration with its overrides, and what is wrong with the command line; None where it cannot be read."""
    own, overrides = _split(argv)
    problems = []
    try:
        left = given(own, known_only=True)[1:]
        problems += [f'{token}: not a flag.{lookup.nearest(token, [f"--{name}" for name in given])}' for token in left]
    except flags.Error as error:  # a flag without its value
        problems.append(str(error))
    if not given.is_parsed() or not given.config:
        here = sorted(str(p) for p in pathlib.Path('experiments').glob('*.py'))
        return None, [*problems, f'--config: not given; allowed: an experiment file. There are: {", ".join(here)}']
    try:
        config = configs.load(given.config)
    except ValueError as error:
        return None, [*problems, f'--config: {error}']
    # Names first: which arguments a part takes depends on its name.
    for path, text in sorted(overrides, key=lambda override: not override[0].endswith('.name')):
        try:
            configs.override(config, path, text)
        except ValueError as error:
            problems.append(f'config.{error}')
    return config, problems


def _split(argv):
    """argv without, and (path, text) for, each '--config.PATH=TEXT' or '--config.PATH TEXT'."""
    own, overrides = [], []
    tokens = iter(argv)
    for token in tokens:
        match = re.match(r'--?config\.([^=]+)(=(.*))?$', token, re.DOTALL)
        if not match:
            own.append(token)
        else:
            overrides.append((match[1], match[3] if match[2] else next(tokens, '')))
    return own, overrides


def _prepare(config):
    """Sets JAX up for this run, before it starts; returns what is wrong with the configuration."""
    from lbexp import check
    from lbexp.parallel import hosts
    from lbexp.parallel.devices import devices

    if config.data.partition == 'independent' and config.data.hosts is None:
        config.data.hosts = hosts.count()  # a run that goes on with other processes goes on with these orders
    devices(-(-(config.data_parallel or 1) // hosts.count()), bool(config.sweep) or _is_study(config))
    return [f'config.{problem}' for problem in check.check(config)]


def _is_study(config):
    return config.study.name != 'training'


def _run(given, config, stop):
    threading.Thread(target=_import_ahead, daemon=True).start()
    from lbexp.engine import record, run
    from lbexp.engine.checkpoint import Damaged
    from lbexp.engine.lock import lock
    from lbexp.parallel import hosts

    study = lookup.build('lbexp.studies', configs.plain(config.study))
    wanted = study.trials(config)
    workdir = _workdir(given, config, wanted)
    if hosts.count() > 1:
        hosts.check_devices()
        print(hosts.described(), flush=True)
        hosts.agree({**record.facts(configs.plain(config), wanted), 'workdir': str(workdir), **record.code()})
        hosts.check_shared(workdir)
    hosts.together(lambda: run.build_once([configs.resolve(config, overrides) for overrides in wanted]))
    try:
        with contextlib.ExitStack() as held:
            hosts.lead(lambda: held.enter_context(lock(workdir)))
            if not _train(study, config, workdir, wanted, stop, given.allow_config_change):
                by = stop.name or 'a signal to another process'
                _tell(f'stopped by {by}; saved in {workdir}. To go on, run the same command again.')
                return STOPPED
            return _report(study, workdir)
    except Damaged as error:
        print(f'lbexp: {error}', file=sys.stderr)
        return NO_CHECKPOINT


def _train(study, config, workdir, wanted, stop, may_change):
    """Runs the trials wanted, and those that their results ask for, until there are none. False: told to stop."""
    from lbexp.engine import record, run
    from lbexp.parallel import hosts
    from lbexp.report.progress import progress

    before, plain = 0, configs.plain(config)
    while True:
        begun = lambda wanted=wanted: record.record(workdir, plain, wanted, study.more is not None, may_change, _tell)
        entries = hosts.lead(begun)
        if len(entries) == before:
            return True
        before = len(entries)
        _tell(f'{before} trials; workdir {workdir}' if before > 1 else f'workdir {workdir}')
        trials = [configs.resolve(config, entry['overrides']) for entry in entries]
        with progress() if hosts.first() else contextlib.nullcontext() as bar:
            show = lambda p: bar.update(p.step, p.steps, p.examples, p.metrics.get('loss'), p.metrics.get('accuracy'))
            watched = show if hosts.first() else lambda progress: None
            if run.run(trials, workdir, watched, _tell, stop, [entry['round'] for entry in entries]) == 'preempted':
                return False
        if study.more is None:
            return True
        wanted = hosts.lead(lambda: study.more(config, workdir))
        hosts.together(lambda wanted=wanted: run.build_once([configs.resolve(config, more) for more in wanted]))


def _tell(line):
    from lbexp.parallel import hosts

    if hosts.first():
        print(line, flush=True)


def _report(study, workdir):
    """Analyses, writes and prints; returns the exit status."""
    from lbexp import results
    from lbexp.parallel import hosts
    from lbexp.report import claims, page, table

    hosts.exchange('all rows are written')
    analysis = study.analyse(workdir)
    diverged = (results.final(workdir)['status'] == 'diverged').all()
    if not hosts.first():
        return DIVERGED if diverged else DONE
    path = page.page(workdir, analysis)
    claims.write(workdir, analysis)
    # A study that has tables of its own says in them what its trials are.
    for content in [*claims.claims(analysis), *(analysis.tables or [table.table(results.final(workdir))])]:
        if len(content.rows) <= _PRINTED:
            table.show(content)
        else:
            print(f'{content.title}: {len(content.rows)} rows, in the report')
    print(f'{analysis.verdict}\nreport: {path}'.lstrip(), flush=True)
    return DIVERGED if diverged else DONE


def _import_ahead():
    """What is needed only after training has begun is imported while XLA compiles."""
    import tensorboardX
    from orbax.checkpoint import v1


def _workdir(given, config, overrides):
    """runs/NAME-HASH: the same command finds its workdir again, another configuration gets another."""
    if given.workdir:
        return pathlib.Path(given.workdir)
    file, _, argument = given.config.partition(':')
    content = json.dumps([configs.plain(config), overrides], sort_keys=True)
    name = '-'.join(filter(None, [pathlib.Path(file).stem, re.sub(r'\W+', '_', argument)]))
    return pathlib.Path('runs') / f'{name}-{hashlib.sha256(content.encode()).hexdigest()[:8]}'


class _Stop:
    """Becomes true at SIGTERM or Ctrl-C, also while the run is still being set up. A second Ctrl-C ends the process."""

    def __init__(self):
        self.name = None
        self.listen()

    def listen(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)

    def _stop(self, number, frame):
        self.name = signal.Signals(number).name
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    def __call__(self):
        return self.name is not None


def _refuse(problems):
    for problem in problems:
        print(f'lbexp: {" ".join(problem.split())}', file=sys.stderr)  # each is one line
    return BAD_CONFIG


if __name__ == '__main__':
    sys.exit(main(sys.argv))
