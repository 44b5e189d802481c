"""A piece of work is held by one process at a time, as long as it gives signs of life."""

import signal
import subprocess
import sys
import time

import pytest
from jobs import ROOT, environment

from lbexp.sweep import leases

pytestmark = [pytest.mark.processes, pytest.mark.long]


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
