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
    (tmp_path / 'report.html').unlink()
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
