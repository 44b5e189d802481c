"""lbexp.run: what the command does, in somebody's process, which it leaves as it was."""

import importlib.util
import json
import logging
import os
import pickle
import signal
import subprocess
import sys
import threading

import numpy as np
import pytest
from experiment_files import BASE
from training import rows, tiny

import lbexp
from lbexp import main
from lbexp.engine import loop
from lbexp.errors import Refusal

SEEDS = {'sweep': [('seed', (0, 1))]}


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'experiment.py').write_text(BASE)
    return tmp_path


def run(config, *arguments, **options):
    return lbexp.run(config, *arguments, **{'figures': (), 'show': False, **options})


def files(folder):
    """{path: when it was written}, but for what says that a process is there."""
    return {path: path.stat().st_mtime_ns for path in folder.rglob('*') if path.is_file()}


def test_a_file_is_the_command(here, capsys):
    """The same workdir, and what the one has trained the other does not train again."""
    assert main.main(['', '--config=experiment.py', '--config.steps=12', '--figures=']) == 0
    (workdir,) = (here / 'runs').iterdir()
    assert 'writing the report\n' in capsys.readouterr().out
    before = (workdir / 'metrics.jsonl').stat().st_mtime_ns
    result = run('experiment.py', {'steps': 12})
    assert result.workdir.resolve() == workdir and result.status == 'done'
    assert (workdir / 'metrics.jsonl').stat().st_mtime_ns == before
    capsys.readouterr()
    other = run(here / 'experiment.py', {'steps': 12}, here / 'other')
    assert rows(other.workdir) == rows(workdir)
    assert capsys.readouterr().out == ''
    assert other.report == here / 'other' / 'report.html' and other.report.exists()


@pytest.mark.long
def test_a_configuration_is_given_as_it_is_and_stays_so(here):
    config = tiny()
    before = config.to_json()
    first = run(config, SEEDS)
    assert config.to_json() == before
    fields = json.loads(before)
    again = run(fields, SEEDS)
    assert again.workdir == first.workdir and first.workdir.parent.name == 'runs'
    assert len(list((here / 'runs').iterdir())) == 1


@pytest.mark.parametrize(
    'overrides, flags',
    [
        ({'optimizer.learning_rat': 0.1}, ['--config.optimizer.learning_rat=0.1']),
        ({'steps': 'many'}, ['--config.steps=many']),
        ({'steps': None, 'epochs': None}, ['--config.steps=None', '--config.epochs=None']),
        ({'optimizer.momentum': 2.0}, ['--config.optimizer.momentum=2.0']),
        (
            {'batch_size': 0, 'num_rows': -1, 'workload.name': 'digts_mlp'},
            ['--config.batch_size=0', '--config.num_rows=-1', '--config.workload.name=digts_mlp'],
        ),
        ({'optimizer': {'name': 'mine:breaks'}}, ["--config.optimizer={'name': 'mine:breaks'}"]),
    ],
)
def test_what_is_wrong_is_told_in_the_lines_of_the_command(
    here, capsys, monkeypatch, overrides, flags
):
    (here / 'mine.py').write_text('def breaks():\n    return {}[1]\n')
    monkeypatch.syspath_prepend(str(here))
    sys.modules.pop('mine', None)
    status = main.main(['', '--config=experiment.py', '--workdir=run', *flags])
    printed = capsys.readouterr().err.splitlines()
    with pytest.raises(lbexp.RunFailed) as error:
        run('experiment.py', overrides, 'run')
    assert [f'lbexp: {line}' for line in error.value.lines] == printed and printed
    assert error.value.status == status != 0
    assert str(error.value) == '\n'.join(error.value.lines)
    assert not (here / 'run').exists()
    kept = pickle.loads(pickle.dumps(error.value))
    assert (kept.lines, kept.status) == (error.value.lines, status)


@pytest.mark.parametrize(
    'config, words',
    [
        ('absent.py', "--config: no file 'absent.py'"),
        (3, 'config: found int; allowed: lbexp.config.base()'),
        (
            {'steps': 1, 'workloads': {'name': 'digits_mlp'}},
            'config.workloads: no such field. Did you',
        ),
        (
            {'steps': 1, 'optimizer': {'name': 'sgd', 'learning_rate': len}},
            'config.optimizer.learning_rate: found <b',
        ),
    ],
)
def test_no_configuration(here, config, words):
    with pytest.raises(lbexp.RunFailed) as error:
        run(config)
    assert words in error.value.lines[0] and len(error.value.lines) == 1
    assert not (here / 'runs').exists()


@pytest.mark.parametrize('name', ['SLURM_STEP_NUM_TASKS', 'OMPI_COMM_WORLD_SIZE'])
def test_one_of_several_processes_is_told_what_to_use(here, monkeypatch, name):
    monkeypatch.setenv(name, '4')
    with pytest.raises(
        lbexp.RunFailed, match=rf'found 4 processes.*{name}.*lbexp\.main'
    ) as refused:
        lbexp.run({'steps': 0})
    assert refused.value.status == 2 and len(refused.value.lines) == 1
    for how in (dict(alone=True), {}):
        if not how:
            monkeypatch.setenv(name, '1')
        with pytest.raises(lbexp.RunFailed, match='steps'):  # as far as its configuration
            lbexp.run({'steps': 0}, **how)


def test_formats_of_figures(here):
    with pytest.raises(lbexp.RunFailed, match=r"figures: found \('gif',\); allowed: png, pdf"):
        run(tiny(), figures=('gif',))


@pytest.mark.long
def test_the_process_stays_as_it_was(here):
    """Signals, what uncaught exceptions meet, loggers; and a thread may call it, too."""

    def state():
        handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
        levels = [logging.getLogger(name).level for name in ('', 'absl', 'asyncio')]
        return handlers, levels, sys.excepthook, sys.unraisablehook, dict(os.environ), sys.argv[:]

    before, outcomes = state(), []

    def work(seed):
        outcomes.append(run(tiny(seed=seed), workdir=here / str(seed)))

    threads = [threading.Thread(target=work, args=[seed]) for seed in (1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [outcome.status for outcome in outcomes] == ['done', 'done']
    assert state() == before
    assert rows(here / '1') == rows(run(tiny(seed=1), workdir=here / 'alone').workdir)


def test_a_hanging_step_does_not_end_the_process(here, monkeypatch):
    limits = []

    class Watchdog(loop.Watchdog):
        def __init__(self, seconds):
            limits.append(seconds)
            super().__init__(seconds)

    monkeypatch.setattr(loop, 'Watchdog', Watchdog)
    run(tiny(watchdog=50.0), workdir='run')
    assert limits == [None]


@pytest.mark.long
def test_stopped_it_saves_and_the_same_call_goes_on(here):
    whole = run(tiny(), workdir='whole')
    answers = iter([False] * 2)
    stopped = run(tiny(), workdir=here / 'run', stop=lambda: next(answers, True))
    assert stopped.status == 'stopped' and stopped.report is None and stopped.claims == ()
    assert 0 < len(rows(here / 'run')) < len(rows(whole.workdir))
    assert run(tiny(), workdir=here / 'run').status == 'done'
    assert rows(here / 'run') == rows(whole.workdir)


@pytest.mark.long
def test_ctrl_c_passes_and_the_same_call_goes_on(here):
    whole = run(tiny(num_checkpoints=6), workdir='whole')
    asked = []

    def interrupted():
        asked.append(0)
        if len(asked) == 4:
            raise KeyboardInterrupt
        return False

    with pytest.raises(KeyboardInterrupt):
        run(tiny(num_checkpoints=6), workdir='run', stop=interrupted)
    assert run(tiny(num_checkpoints=6), workdir='run').status == 'done'
    assert rows(here / 'run') == rows(whole.workdir)


@pytest.fixture(scope='module')
def result(tmp_path_factory):
    return run(tiny(), SEEDS, tmp_path_factory.mktemp('result') / 'run')


def test_rows_and_figures(result):
    assert result.rows.filter('trial = 1').shape[0] == 6 == len(rows(result.workdir)) / 2
    assert 'loss' in result.figures and 'test_loss' in result.figures
    figure = result.figure('loss')
    assert figure.axes[0].get_ylabel() == 'loss' and len(figure.axes[0].lines) == 2
    with pytest.raises(Refusal, match=r"found 'los'; allowed: loss, .*Did you mean 'loss'"):
        result.figure('los')
    trial = result.trial(1)
    assert trial.step == 24 and trial.evaluate('test')['loss'] == pytest.approx(
        trial.metrics['test_loss']
    )


@pytest.mark.parametrize('library', ['pandas', 'polars'])
def test_tables_are_frames_of_what_is_installed(result, library, monkeypatch):
    frames = pytest.importorskip(library)
    find = importlib.util.find_spec
    others = {'pandas', 'polars'} - {library}
    monkeypatch.setattr(
        importlib.util, 'find_spec', lambda name: None if name in others else find(name)
    )
    table, finals = result.table(), result.final()
    assert isinstance(table, frames.DataFrame) and isinstance(finals, frames.DataFrame)
    recorded = rows(result.workdir)
    assert table['loss'].to_list() == [row['loss'] for row in recorded]
    assert finals['seed'].to_list() == [0, 1] and finals['status'].to_list() == ['done', 'done']


def test_neither_is_named(result, monkeypatch):
    monkeypatch.setattr(importlib.util, 'find_spec', lambda name: None)
    for frame in (result.table, result.final):
        with pytest.raises(Refusal, match='neither pandas nor polars; allowed: either'):
            frame()


def test_a_result_of_a_run_that_diverged(here):
    result = run(tiny(), {'optimizer.learning_rate': 1e20}, 'run')
    assert result.status == 'diverged' and not np.isfinite(result.rows.fetchnumpy()['loss']).all()


@pytest.mark.processes
@pytest.mark.quick
def test_it_is_imported_in_a_moment():
    code = 'import sys, lbexp; print(sorted(set(sys.modules) & {"jax", "numpy", "ml_collections"}))'
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == '[]'
