"""Runs one experiment: trains its trials, writes rows, checkpoints and a report into a workdir.

    python -m lbexp.main --config=experiments/lamb.py
    python -m lbexp.main --config=experiments/lamb.py:fashion_mnist --config.optimizer.learning_rate=0.02

Ctrl-C and SIGTERM save and stop; the same command goes on. Exit status: 0 done, 1 the disk failed, 2 the configuration
is wrong, or another process runs in the workdir, 3 no checkpoint is usable, 75 stopped before the end, 78 every trial
diverged.
"""

import hashlib
import json
import os
import pathlib
import re
import signal
import sys
import threading

from absl import flags

from lbexp import config as configs
from lbexp import lookup

_PRINTED = 60  # rows of a table in the terminal

DONE, FAILED, BAD_CONFIG, NO_CHECKPOINT, STOPPED, DIVERGED = 0, 1, 2, 3, 75, 78


def main(argv: list[str]) -> int:
    """Parses, checks, runs and reports. Returns the exit status."""
    if {'--help', '-h', '-help', '--helpfull'} & set(argv):
        print(f'{__doc__}\nFlags:\n{_flags().get_help()}')
        return DONE
    given = _flags()
    config, problems = _read(given, argv)
    stop = _Stop()
    try:
        if config is not None:
            problems += _prepare(config)
        if problems:
            return _refuse(problems)
        return _run(given, config, stop)
    except ValueError as error:
        return _refuse([str(error)])
    except OSError as error:
        print(f'lbexp: {error.strerror or error}: {error.filename or ""}'.rstrip(': '), file=sys.stderr)
        return FAILED


def _flags():
    given = flags.FlagValues()
    described = {
        'config': 'experiment file, FILE.py or FILE.py:ARGUMENT; --config.FIELD=VALUE overrides a field of it',
        'workdir': 'folder of the run; default: runs/NAME-HASH, the same for the same configuration',
    }
    for name, meaning in described.items():
        flags.DEFINE_string(name, None, meaning, flag_values=given)
    return given


def _read(given, argv):
    """The configuration with its overrides, and what is wrong with the command line; None where it cannot be read."""
    own, overrides = _split(argv)
    problems = []
    try:
        left = given(own, known_only=True)[1:]
        problems += [f'{token}: not a flag.{lookup.nearest(token, ["--config", "--workdir"])}' for token in left]
    except flags.Error as error:  # a flag without its value
        problems.append(str(error))
    if not given.is_parsed() or not given.config:
        here = sorted(str(p) for p in pathlib.Path('experiments').glob('*.py'))
        return None, [*problems, f'--config: not given; allowed: an experiment file. There are: {", ".join(here)}']
    try:
        config = configs.load(given.config)
    except ValueError as error:
        return None, [*problems, f'--config: {error}']
    for path, text in overrides:
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
    import jax

    from lbexp import check

    cores = len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count()
    shards = config.data_parallel or 1
    if 'xla_force_host_platform_device_count' not in os.environ.get('XLA_FLAGS', ''):
        # One CPU device per core for the trials of a cohort; a lone trial's operations use all cores themselves.
        jax.config.update('jax_num_cpu_devices', max(shards, cores if config.sweep or _is_study(config) else 1))
    if shards > cores:
        # XLA:CPU's pool has a thread per core; an all-reduce over more devices waits for threads that never come.
        os.environ.setdefault('NPROC', str(2 * shards))
    if not jax.config.jax_compilation_cache_dir:
        cache = pathlib.Path(os.environ.get('XDG_CACHE_HOME', '~/.cache')).expanduser() / 'lbexp' / 'jax'
        jax.config.update('jax_compilation_cache_dir', str(cache))
        jax.config.update('jax_persistent_cache_min_compile_time_secs', 0.1)
        jax.config.update('jax_persistent_cache_min_entry_size_bytes', -1)
    return [f'config.{problem}' for problem in check.check(config)]


def _is_study(config):
    return config.study.name != 'training'


def _run(given, config, stop):
    threading.Thread(target=_import_ahead, daemon=True).start()
    from lbexp.engine import run
    from lbexp.engine.checkpoint import Damaged
    from lbexp.engine.lock import lock

    study = lookup.build('lbexp.studies', configs.plain(config.study))
    wanted = study.trials(config)
    workdir = _workdir(given, config, wanted)
    run.build_once([configs.resolve(config, overrides) for overrides in wanted])
    try:
        with lock(workdir):
            if not _train(study, config, workdir, wanted, stop):
                print(f'stopped by {stop.name}; saved in {workdir}. To go on, run the same command again.', flush=True)
                return STOPPED
            return _report(study, workdir)
    except Damaged as error:
        print(f'lbexp: {error}', file=sys.stderr)
        return NO_CHECKPOINT


def _train(study, config, workdir, wanted, stop):
    """Runs the trials wanted, and those that their results ask for, until there are none. False: told to stop."""
    from lbexp.engine import record, run
    from lbexp.report.progress import progress

    tell = lambda line: print(line, flush=True)
    before = 0
    while True:
        entries = record.record(workdir, configs.plain(config), wanted, study.more is not None)
        if len(entries) == before:
            return True
        before = len(entries)
        tell(f'{before} trials; workdir {workdir}' if before > 1 else f'workdir {workdir}')
        trials = [configs.resolve(config, entry['overrides']) for entry in entries]
        with progress() as bar:
            show = lambda p: bar.update(p.step, p.steps, p.examples, p.metrics.get('loss'), p.metrics.get('accuracy'))
            if run.run(trials, workdir, show, tell, stop, [entry['round'] for entry in entries]) == 'preempted':
                return False
        if study.more is None:
            return True
        wanted = study.more(config, workdir)
        run.build_once([configs.resolve(config, overrides) for overrides in wanted])


def _report(study, workdir):
    """Analyses, writes and prints; returns the exit status."""
    from lbexp import results
    from lbexp.report import claims, page, table

    analysis = study.analyse(workdir)
    path = page.page(workdir, analysis)
    claims.write(workdir, analysis)
    # A study that has tables of its own says in them what its trials are.
    for content in [*claims.claims(analysis), *(analysis.tables or [table.table(results.final(workdir))])]:
        if len(content.rows) <= _PRINTED:
            table.show(content)
        else:
            print(f'{content.title}: {len(content.rows)} rows, in the report')
    print(f'{analysis.verdict}\nreport: {path}'.lstrip(), flush=True)
    return DIVERGED if (results.final(workdir)['status'] == 'diverged').all() else DONE


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
    """Becomes true at SIGTERM or Ctrl-C. A second Ctrl-C ends the process at once."""

    def __init__(self):
        self.name = None
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)

    def _stop(self, number, frame):
        self.name = signal.Signals(number).name
        signal.signal(signal.SIGINT, signal.default_int_handler)

    def __call__(self):
        return self.name is not None


def _refuse(problems):
    for problem in problems:
        print(f'lbexp: {problem}', file=sys.stderr)
    return BAD_CONFIG


if __name__ == '__main__':
    sys.exit(main(sys.argv))
