"""Cohorts as processes of this machine: the results of a direct run, whatever is killed, stopped,
doubled or broken."""

import json
import os
import re
import signal
import subprocess
import sys
import time

import pytest
from jobs import ROOT, environment
from sweeps import attempts, command, kill_one, same, start
from training import rows

from lbexp.sweep import leases

pytestmark = [pytest.mark.processes, pytest.mark.long]


@pytest.mark.long
def test_the_table_is_that_of_a_direct_run_and_twice_does_nothing(tmp_path, direct):
    file, run = direct
    sweep = ['lbexp.sweep', f'--config={file}', f'--workdir={tmp_path}']
    first = command(*sweep, '--workers=2', 'run', folder=file.parent)
    assert first.returncode == 0, first.stderr
    assert same(tmp_path, run) and (tmp_path / 'report.html').exists()

    def table(text):
        return text[text.index('Final metrics') :]

    told = attempts(tmp_path)
    assert [[one['state'] for one in cohort] for cohort in told] == [['done']] * 3
    # Each worker keeps to its share of the cores, and has the devices of a direct run.
    logs = [log.read_text() for log in tmp_path.glob('cohorts/*/log.txt')]
    cores = sorted(os.sched_getaffinity(0))
    half = max(len(cores) // 2, 1)
    shares = [
        f'cores {share}\n' for share in (cores[:half], cores[half : 2 * half] or cores[:half])
    ]
    assert all(any(share in log for share in shares) for log in logs) and all(
        s in ''.join(logs) for s in shares
    )
    used = json.loads((tmp_path / 'config.json').read_text())['environment']
    assert (
        used['devices'] == json.loads((run / 'config.json').read_text())['environment']['devices']
    )
    assert 'lbexp.sweep --figures= --config' in used['command']
    kept = (tmp_path / 'metrics.jsonl').read_bytes()
    again = command(*sweep, 'run', folder=file.parent)
    assert again.returncode == 0 and '3 of them through' in again.stdout
    assert attempts(tmp_path) == told and (tmp_path / 'metrics.jsonl').read_bytes() == kept
    assert table(again.stdout) == table(first.stdout)
    # The workdir is that of the sweep.
    refused = command('lbexp.main', *sweep[1:], folder=file.parent)
    assert refused.returncode == 2 and 'python -m lbexp.sweep' in refused.stderr


def test_two_at_once_train_no_cohort_twice(tmp_path, direct):
    file, run = direct
    arguments = [f'--config={file}', f'--workdir={tmp_path}', '--workers=2', 'run']
    both = [start(*arguments, folder=file.parent) for _ in range(2)]
    told = [process.communicate(timeout=300)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0], told
    assert [[one['state'] for one in cohort] for cohort in attempts(tmp_path)] == [['done']] * 3
    # Every process that took a cohort says so in its log, also one that had to leave it to another.
    logs = [log.read_text() for log in tmp_path.glob('cohorts/*/log.txt')]
    assert [log.count('attempt 1 on') for log in logs] == [1, 1, 1] and 'attempt 2' not in ''.join(
        logs
    )
    assert same(tmp_path, run)


@pytest.mark.long
def test_killed_then_stopped_it_goes_on_to_the_same_end(tmp_path, direct):
    file, run = direct
    arguments = [f'--config={file}', f'--workdir={tmp_path}', 'run']
    process = start(*arguments, folder=file.parent)
    killed = kill_one(tmp_path, process)
    while len(attempts(tmp_path)[killed]) < 2:  # taken up again at once
        time.sleep(0.05)
    process.send_signal(signal.SIGHUP)
    told, _ = process.communicate(timeout=300)
    assert process.returncode == 75, told
    assert f'cohort {killed}: attempt 1 lost' in told and 'ended by SIGKILL' in told
    assert 'stopped by SIGHUP' in told and 'run the same command again' in told
    table = command(
        'lbexp.sweep', f'--workdir={tmp_path}', 'status', folder=file.parent, env=wide()
    )
    assert table.returncode == 0 and 'preempted' in table.stdout
    early = command('lbexp.sweep', f'--workdir={tmp_path}', 'report', folder=file.parent)
    assert early.returncode == 0 and 'no verdict yet' in early.stdout
    assert 'no verdict yet' in (tmp_path / 'report.html').read_text()
    done = command('lbexp.sweep', *arguments, folder=file.parent)
    assert done.returncode == 0, done.stderr
    assert same(tmp_path, run)
    states = [one['state'] for one in attempts(tmp_path)[killed]]
    assert (
        states[0] == 'running' and states[-1] == 'done' and len(states) in (2, 3)
    )  # stopped before it began, or after


@pytest.mark.long
def test_what_fails_is_tried_again_and_told(tmp_path, direct):
    file, run = direct
    broken = file.with_name('broken')
    arguments = [f'--config={file}', f'--workdir={tmp_path}', 'run']
    broken.touch()
    try:
        done = command('lbexp.sweep', *arguments, '--attempts=2', folder=file.parent)
    finally:
        broken.unlink()
    assert done.returncode == 1
    failed = attempts(tmp_path)[1]
    assert [one['state'] for one in failed] == ['failed', 'failed']
    assert failed[-1]['cause'].startswith('RuntimeError: broken on purpose (')
    assert 'cohort 1: failed on' in done.stderr and '--attempts=5' in done.stderr
    assert f'see {tmp_path}/cohorts/00001/log.txt' in done.stderr
    assert 'Traceback' in (tmp_path / 'cohorts' / '00001' / 'log.txt').read_text()
    assert [one[-1]['state'] for one in attempts(tmp_path)] == ['done', 'failed', 'done']
    table = command(
        'lbexp.sweep', f'--workdir={tmp_path}', 'status', folder=file.parent, env=wide()
    ).stdout
    assert re.search(r'1 +0 +2 +failed +2 .*broken on purpose', table), table
    assert '2 done, 1 failed' in table
    states = json.loads((tmp_path / 'status.json').read_text())['trials']
    assert [states[str(trial)]['status'] for trial in range(6)] == [
        'done',
        'done',
        'failed',
        'failed',
        'done',
        'done',
    ]
    again = command('lbexp.sweep', *arguments, '--attempts=5', folder=file.parent)
    assert again.returncode == 0, again.stderr
    assert same(tmp_path, run)


SEARCH = """
from lbexp import config
def get_config():
    c = config.base()
    c.workload = dict(name='linear_regression', size=100)
    c.optimizer = dict(name='momentum', learning_rate=0.05, momentum=0.9)
    c.steps, c.batch_size = 24, 16
    c.num_rows, c.num_evaluations, c.num_checkpoints = 4, 2, 1
    c.search = dict(kind='halton', trials=8, space=(('optimizer.learning_rate', 'log', 1e-3, 0.1),))
    return c
"""


@pytest.mark.long
def test_a_search_is_extended(tmp_path):
    """From 8 points to 16, in the workdir: the first keep their rows, and only the others are
    trained."""
    file = tmp_path / 'search.py'
    file.write_text(SEARCH)
    arguments = [
        'lbexp.sweep',
        f'--config={file}',
        f'--workdir={tmp_path}/run',
        'run',
    ]
    assert command(*arguments, folder=tmp_path).returncode == 0
    before, told = rows(tmp_path / 'run'), attempts(tmp_path / 'run')
    assert len(before) == 8 * 4
    done = command(*arguments, '--config.search.trials=16', folder=tmp_path)
    assert done.returncode == 0, done.stderr
    after = rows(tmp_path / 'run')
    assert after[: len(before)] == before and {row['trial'] for row in after} == set(range(16))
    assert attempts(tmp_path / 'run')[:1] == told and len(attempts(tmp_path / 'run')) == 2
    entries = json.loads((tmp_path / 'run' / 'cohorts' / '00001' / 'config.json').read_text())[
        'trials'
    ]
    assert [entry['trial'] for entry in entries] == list(range(8, 16))
    rates = {row['trial']: row['learning_rate'] for row in after}
    assert len(set(rates.values())) == 16
    # Another space is another workdir.
    moved = command(
        *arguments,
        "--config.search.space=(('optimizer.learning_rate', 'log', 1e-3, 1.0),)",
        folder=tmp_path,
    )
    assert (
        moved.returncode == 2
        and 'another configuration' in moved.stderr
        and 'Choose another' in moved.stderr
    )


@pytest.mark.long
def test_a_study_that_asks_for_more_gets_its_rounds(tmp_path):
    study = [
        '--config=experiments/generalization_gap.py:digits',
        '--config.study.batch_sizes=(64, 256)',
    ]
    study += ['--config.study.budget=2', '--config.study.extensions=0', '--config.study.seeds=1']
    study += [
        '--config.epochs=1.0',
        '--config.microbatch=64',
        '--config.num_rows=4',
        '--config.num_evaluations=2',
    ]
    alone = command('lbexp.main', *study, f'--workdir={tmp_path}/direct', folder=tmp_path)
    done = command('lbexp.sweep', *study, f'--workdir={tmp_path}/sweep', 'run', folder=tmp_path)
    assert (alone.returncode, done.returncode) == (0, 0), done.stderr
    entries = json.loads((tmp_path / 'sweep' / 'config.json').read_text())['trials']
    assert entries == json.loads((tmp_path / 'direct' / 'config.json').read_text())['trials']
    assert {entry['round'] for entry in entries} == {0, 1}
    assert rows(tmp_path / 'sweep') == rows(tmp_path / 'direct')
    assert (tmp_path / 'sweep' / 'claims.md').read_text() == (
        tmp_path / 'direct' / 'claims.md'
    ).read_text()


def test_a_lease_is_taken_once(tmp_path):
    """Four processes at once take what they can of a hundred attempts at one piece of work, and
    give it up at once."""
    code = (
        'import pathlib, sys\nfrom lbexp.sweep import leases\nfolder = '
        'pathlib.Path(sys.argv[1])\n'
        'print("here", flush=True)\nsys.stdin.readline()\n'
        'while (last := leases.latest(folder)).number < 100:\n'
        '    held = leases.take(folder, last, "", 60.0) if last.state != "running" else None\n'
        '    if held:\n        print(held.attempt.number)\n        held.end("preempted")\n'
    )
    streams = dict(stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    how = dict(env={**environment(), 'PYTHONPATH': str(ROOT)}, **streams)
    processes = [
        subprocess.Popen([sys.executable, '-c', code, str(tmp_path)], **how) for _ in range(4)
    ]
    assert [process.stdout.readline() for process in processes] == ['here\n'] * 4
    for process in processes:
        process.stdin.write('go\n')
        process.stdin.flush()
    taken = [
        [int(number) for number in process.communicate(timeout=300)[0].split()]
        for process in processes
    ]
    assert sorted(number for numbers in taken for number in numbers) == list(range(1, 101))
    assert sum(bool(numbers) for numbers in taken) > 1


def test_without_a_sign_of_life_an_attempt_is_lost_and_its_process_ends(tmp_path):
    """By the observer's clock alone, as on another host; the one that comes back sees the next
    attempt and ends."""
    code = (
        'import pathlib, sys, time\nfrom lbexp.sweep import leases\n'
        'folder = pathlib.Path(sys.argv[1])\nheld = leases.take(folder, '
        'leases.latest(folder), "one", 1.0)\n'
        'print("taken", flush=True)\ntime.sleep(100)'
    )
    how = dict(stdout=subprocess.PIPE, text=True, env={**environment(), 'PYTHONPATH': str(ROOT)})
    process = subprocess.Popen([sys.executable, '-c', code, str(tmp_path)], **how)
    try:
        assert process.stdout.readline() == 'taken\n'

        def elsewhere():
            return leases.latest(tmp_path)._replace(place='another host')

        watch, seen = leases.HeartbeatMonitor(1.0), elsewhere()
        until = time.monotonic() + 2
        while time.monotonic() < until:
            assert not watch.is_lost(tmp_path, elsewhere())
            time.sleep(0.05)
        assert leases.take(tmp_path, seen, 'two', 1.0) is None  # it has given signs of life since
        process.send_signal(signal.SIGSTOP)
        began = time.monotonic()
        while not watch.is_lost(tmp_path, elsewhere()):
            time.sleep(0.05)
        assert time.monotonic() - began > 0.5
        held = leases.take(tmp_path, leases.latest(tmp_path), 'two', 60.0)
        assert held.attempt.number == 2
        process.send_signal(signal.SIGCONT)
        assert process.wait(30) == 1 and 'another has begun' in process.stdout.read()
        held.end('done')
    finally:
        process.kill()
        process.communicate()
    assert [one.state for one in leases.history(tmp_path)] == ['running', 'done']
    assert leases.dead(leases.history(tmp_path)[0])


@pytest.mark.parametrize(
    'arguments, told',
    [
        (
            ['--executor=lokal', 'run'],
            "no executor is named 'lokal'. Did you mean 'local'? There are: local, ray, slurm",
        ),
        ([], 'found no command; allowed: one of run, status, report'),
        (['rn'], "rn: not a flag. Did you mean 'run'?"),
        (['--workdir=nowhere', 'status'], "--workdir: found no cohorts in 'nowhere'"),
        (['--config.optimizer.momentun=1', 'run'], "Did you mean 'momentum'?"),
        (['--cores=1000', 'run'], '--cores: found 1000; allowed: at most the'),
        (['--attempts=0', 'run'], 'attempts'),
    ],
)
def test_bad_input_is_one_line(capsys, direct, arguments, told):
    from lbexp.sweep.__main__ import main

    assert main(['sweep', f'--config={direct[0]}', *arguments]) == 2
    assert told in capsys.readouterr().err


@pytest.mark.parametrize('name', ['ray', 'slurm'])
def test_schedulers_are_imported_when_asked_for(direct, name):
    package = {'ray': 'ray', 'slurm': 'submitit'}[name]
    code = (
        'import sys\nimport lbexp.sweep.__main__ as sweep\nfrom lbexp.config import lookup\n'
        "lookup.names('executor')\nassert not {'ray', 'submitit'} & set(sys.modules)\n"
        f'sys.modules[{package!r}] = None\n'
        f"sys.exit(sweep.main(['sweep', '--config={direct[0]}', '--executor={name}', 'run']))"
    )
    how = dict(cwd=ROOT, env=environment(), capture_output=True, text=True)
    done = subprocess.run([sys.executable, '-c', code], **how)
    assert done.returncode == 2 and done.stderr.count('\n') == 1
    assert f"pip install '.[{name}]'" in done.stderr


def wide():
    """A terminal in which a table has room."""
    return environment(COLUMNS='250')
