"""What is told of cohorts that train: how far they are, who is lost, and where to read more."""

import json
import os
import platform
import subprocess
import sys
import time

import pytest

from lbexp import owner
from lbexp.sweep import cohorts, leases, schedule, status
from lbexp.sweep.executors import Executor

pytestmark = pytest.mark.processes


@pytest.fixture
def workdir(tmp_path, monkeypatch):
    """Cohorts of a trial each: 0 at 30 of 60 in this process, 1 of a process that has ended, 2 on
    another host."""
    (tmp_path / 'cohorts.json').write_text(
        json.dumps([{'round': 0, 'trials': [i]} for i in range(4)])
    )
    folders = [work.folder for work in cohorts.cohort_tasks(tmp_path)]
    monkeypatch.setattr(leases, '_PROGRESS', 0.0)
    lease = leases.take(folders[0], leases.latest(folders[0]), 'here', 60.0)
    lease.progress(30, 60)
    ended = subprocess.run(
        [sys.executable, '-c', 'import os; print(os.getpid())'], capture_output=True, text=True
    )
    write(folders[1], host=platform.node(), place=owner.place(), pid=int(ended.stdout), started='1')
    write(folders[2], host='elsewhere', place='another', at=time.time() - 50, step=10, steps=40)
    yield tmp_path
    lease.end('done')


def write(folder, **fields):
    folder.mkdir(parents=True)
    attempt = leases.Attempt(1, token='x', heartbeat=1)._replace(**fields)
    (folder / 'attempt-0001.json').write_text(json.dumps(attempt._asdict()))


@pytest.mark.parametrize('lost, elsewhere', [(None, 'running'), (30.0, 'lost'), (200.0, 'running')])
def test_status_tells_progress_and_who_is_lost(workdir, capsys, monkeypatch, lost, elsewhere):
    monkeypatch.setenv('COLUMNS', '400')
    assert status.show(workdir, lost) == 0
    table = capsys.readouterr().out
    rows = {
        line.split()[0]: line.split() for line in table.splitlines() if line.strip()[:1].isdigit()
    }
    states = [rows[str(number)][3] for number in range(4)]
    assert states == ['running', 'lost', elsewhere, 'pending']
    assert '50%' in rows['0'] and '25%' in rows['2'] and str(os.getpid()) in rows['0']
    assert f'see {workdir}/cohorts/00001/log.txt' in table


def test_what_a_worker_was_told_counts(workdir, capsys, monkeypatch):
    """One that gives a sign of life each five minutes is not lost after two."""
    monkeypatch.setenv('COLUMNS', '400')
    folder = cohorts.cohort_tasks(workdir)[3].folder
    write(folder, host='elsewhere', place='another', at=time.time() - 500, heartbeat_timeout=1800.0)
    status.show(workdir)
    assert '3 running, 1 lost' in capsys.readouterr().out


def test_a_sweep_tells_how_far_its_cohorts_are(workdir, monkeypatch):
    """Also those that another sweep trains, and those that have not begun to count."""
    monkeypatch.setattr(schedule, '_REPORTED', 0.0)
    works = cohorts.cohort_tasks(workdir)
    write(works[3].folder, host='elsewhere', place='another', at=time.time())
    lines, looks = [], iter([False] * 3)
    executor = Executor(
        lambda count: 0, lambda tasks: [], lambda handle: None, lambda *how: None, 0.0
    )
    how = schedule.SchedulerOptions(executor, 3, 60.0, lambda: next(looks, True), lines.append)
    assert schedule.schedule(workdir, works, how).stopped
    assert '0/4 cohorts through; running: 0 (50%), 2 (25%), 3 (starting)' in lines


def test_progress_is_said_at_once_and_not_too_often(tmp_path, monkeypatch):
    lease = leases.take(tmp_path, leases.latest(tmp_path), 'here', 600.0)
    begun = leases.latest(tmp_path)
    lease.progress(1, 10)
    lease.progress(2, 10)
    assert leases.latest(tmp_path) == begun  # it has just given a sign of life
    monkeypatch.setattr(leases, '_PROGRESS', 0.0)
    lease.progress(3, 10)
    assert (leases.latest(tmp_path).step, leases.latest(tmp_path).steps) == (3, 10)
    assert leases.latest(tmp_path).heartbeat == begun.heartbeat + 1
    lease.end('failed', 'on purpose')
    told = schedule.describe_failure(leases.latest(tmp_path), tmp_path)
    assert told.endswith(f'on purpose; see {tmp_path}/log.txt')
