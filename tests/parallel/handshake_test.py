"""Jobs that start wrongly: each process ends in time, with the right status and one line, without a
traceback."""

import contextlib
import json
import re
import signal
import socket
import subprocess
import sys
import threading
from typing import NamedTuple

import pytest
from jobs import ROOT, environment

pytestmark = pytest.mark.processes

EXPERIMENT = """
from lbexp import config
def get_config():
    c = config.base()
    c.workload = dict(name='linear_regression', size=100)
    c.optimizer = dict(name='sgd', learning_rate=0.05)
    c.steps = 10
    return c
"""
FIRST, SECOND = (rf'process {i} \(host \S+, pid \d+\)' for i in range(2))
ABSENT = (2, r'process 0 did not answer at \S+ in [35] s \(Connection refused\); start it there')


class Case(NamedTuple):
    """A job. `{port}` in a flag is that of process 0."""

    own: list[list[str]]  # flags of each process beside those of a job; the last of a name counts
    # status and a pattern of the line of each; '': none, as process 0 says it
    expected: list[tuple[int, str]]
    signal: tuple[int, int] | None = None  # (process, number), when they wait for each other
    environments: list[dict] = ()
    stranger: bytes | None = None  # a program that has the port, and what it answers


def lost(process):
    return 76, rf'process {process} \(host \S+, pid \d+\) ended before it began'


UNKNOWN = '--nosuch=1: not a flag'
UNREAD = 'flag --peer_timeout=abc'
CASES = {
    'port in use by a silent program': Case(
        [[], []],
        [(2, 'port .* is in use; allowed: a free port'), (2, r'no job of lbexp that starts')],
        stranger=b'',
    ),
    'port in use by a program that answers': Case(
        [[], []],
        [(2, 'port .* is in use; allowed: a free port'), (2, r'no job of lbexp that starts')],
        stranger=b'HTTP/1.1 400 Bad Request\r\n\r\n',
    ),
    'process 1 twice': Case(
        [[], [], ['--process_id=1']],
        [
            (
                2,
                (
                    r'--process_id: found 1 on host \S+, pid \d+ and on host \S+, pid \d+; '
                    r'allowed: '
                    r'another'
                ),
            )
        ]
        * 3,
    ),
    'process 0 twice': Case(
        [[], ['--process_id=0']],
        [(2, r'--process_id: found 0 on host \S+, pid \d+ and on host')] * 2,
    ),
    'process 2 never comes': Case(
        [['--num_processes=3']] * 2,
        [(2, 'process 2 of 3 did not come in 3 s; start all of them')] * 2,
    ),
    'process 0 never comes': Case([['--process_id=1', '--num_processes=2']], [ABSENT]),
    'other numbers of processes': Case(
        [['--num_processes=2'], ['--num_processes=3']],
        [(2, f'--num_processes: found 2 on {FIRST} and 3 on {SECOND}; allowed: the same on all')]
        * 2,
    ),
    'other versions of lbexp': Case(
        [[], []],
        [(2, f'version of lbexp: found 0.1 on {FIRST} and 0.2 on {SECOND}; allowed: the same')] * 2,
        environments=[{'TEST_VERSION': '0.1'}, {'TEST_VERSION': '0.2'}],
    ),
    'a name that does not resolve': Case(
        [['--coordinator_address=nowhere.invalid:{port}']] * 2,
        [(2, "--coordinator_address: 'nowhere.invalid' does not resolve"), (2, 'does not resolve')],
    ),
    'an address of another host': Case(
        [['--coordinator_address=192.0.2.1:{port}']] * 2,
        [
            (
                2,
                (
                    "'192.0.2.1' is not an address of host .*, where process 0 runs; allowed: "
                    'one of '
                    'its own'
                ),
            ),
            (2, r'process 0 did not answer at 192.0.2.1:\d+'),
        ],
    ),
    'no port': Case(
        [['--coordinator_address=localhost']] * 2,
        [(2, ("found 'localhost'; allowed: HOST:PORT"))] * 2,
    ),
    'a port in words': Case(
        [['--coordinator_address=localhost:http']] * 2, [(2, 'localhost:http.; allowed: ')] * 2
    ),
    'port 99999': Case(
        [['--coordinator_address=localhost:99999']] * 2, [(2, 'a port of 1 to 65535')] * 2
    ),
    'port 0': Case([['--coordinator_address=localhost:0']] * 2, [(2, 'a port of 1 to 65535')] * 2),
    'IPv6 without brackets': Case(
        [['--coordinator_address=::1:{port}']] * 2, [(2, r'\[HOST\]:PORT for an IPv6')] * 2
    ),
    'a flag of process 1 that cannot be read': Case(
        [[], ['--peer_timeout=abc']], [(2, f'{SECOND}: {UNREAD}'), (2, UNREAD)]
    ),
    'a flag of process 0 that there is not': Case(
        [['--nosuch=1'], []], [(2, UNKNOWN), (2, f'{FIRST}: {UNKNOWN}')]
    ),
    'the same wrong flag on all': Case(
        [['--peer_timeout=abc']] * 3, [(2, UNREAD), (2, ''), (2, '')]
    ),
    'no experiment on process 1': Case(
        [[], ['--config=nowhere.py']],
        [(2, f'{SECOND}: --config: .*nowhere.py'), (2, '--config: .*nowhere.py')],
    ),
    'a wrong field on process 0': Case(
        [['--config.batch_sise=64'], []],
        [(2, 'batch_sise: no such field'), (2, f'{FIRST}: config.batch_sise')],
    ),
    'a process_id beyond num_processes': Case(
        [[], ['--process_id=5']],
        [
            (2, r'process 5 \(.*\): --process_id: found 5'),
            (2, ('found 5 with --num_processes=2; allowed: .* 0 to 1')),
        ],
    ),
    'a process_id that is no number': Case(
        [[], ['--process_id=x']],
        [(2, r'a process \(host \S+, pid \d+\): flag --process_id=x'), (2, '--process_id=x')],
    ),
    'process 1 is killed': Case(
        [['--num_processes=4', '--start_timeout=50']] * 3,
        [lost(1), (-9, ''), lost(1)],
        (1, signal.SIGKILL),
    ),
    'process 0 is killed': Case(
        [['--num_processes=3', '--start_timeout=50']] * 2,
        [(-9, ''), (76, r'process 0 \(127.0.0.1:\d+\) ended before it began')],
        (0, signal.SIGKILL),
    ),
    'process 1 is told to stop': Case(
        [['--num_processes=3', '--start_timeout=50']] * 2,
        [
            (75, f'stopped by SIGTERM to {SECOND} before the job began'),
            (75, ('stopped by SIGTERM before the job began')),
        ],
        (1, signal.SIGTERM),
    ),
    'process 0 is told to stop': Case(
        [['--num_processes=3', '--start_timeout=50']] * 2,
        [
            (75, 'stopped by SIGINT before the job began'),
            (75, (f'stopped by SIGINT to {FIRST} before the job began')),
        ],
        (0, signal.SIGINT),
    ),
}


def stand_in(answer: bytes) -> socket.socket:
    """A program that has a port."""
    server = socket.create_server(('127.0.0.1', 0))

    def serve():
        guests = []
        with contextlib.suppress(OSError):
            while True:
                guests.append(server.accept()[0])
                with contextlib.suppress(OSError):  # one that has gone
                    guests[-1].sendall(answer)
        for guest in guests:
            guest.close()

    threading.Thread(target=serve, daemon=True).start()
    return server


@pytest.fixture(scope='module')
def ends(tmp_path_factory):
    """By the name of a case and the number of a process, its status and what it printed. All run at
    once."""
    folder = tmp_path_factory.mktemp('handshake')
    (folder / 'experiment.py').write_text(EXPERIMENT)
    strangers = {
        name: stand_in(case.stranger) for name, case in CASES.items() if case.stranger is not None
    }
    free = [socket.create_server(('127.0.0.1', 0)) for _ in CASES]
    jobs = []
    for (name, case), server in zip(CASES.items(), free, strict=True):
        port = strangers.get(name, server).getsockname()[1]
        count = len(case.own)
        common = [
            f'--config={folder}/experiment.py',
            f'--workdir={folder}/run',
            '--start_timeout=3',
        ]
        common += [f'--coordinator_address=127.0.0.1:{port}', f'--num_processes={count}']
        own = [[flag.format(port=port) for flag in flags] for flags in case.own]
        numbers = [
            [] if '--process_id' in str(flags) else [f'--process_id={i}']
            for i, flags in enumerate(own)
        ]
        processes = [[*common, *numbers[i], *own[i]] for i in range(count)]
        variables = list(case.environments) or [{}] * count
        jobs.append(dict(processes=processes, environments=variables, signal=case.signal))
    for server in free:
        server.close()
    (folder / 'jobs.json').write_text(json.dumps(jobs))
    command = [sys.executable, str(ROOT / 'tests' / 'forked_jobs.py'), str(folder / 'jobs.json')]
    variables = environment(PYTHONPATH=str(ROOT))
    done = subprocess.run(
        command, cwd=ROOT, env=variables, capture_output=True, text=True, timeout=300
    )
    for server in strangers.values():
        server.shutdown(socket.SHUT_RDWR)  # what waits in accept() hears nothing of close()
        server.close()
    assert done.returncode == 0, done.stderr
    assert not (folder / 'run').exists()
    return dict(zip(CASES, json.loads(done.stdout), strict=True))


@pytest.mark.parametrize('name', CASES)
def test_a_job_that_starts_wrongly_ends_in_time_with_one_line_each(ends, name):
    for (status, printed), (expected, pattern) in zip(
        ends[name], CASES[name].expected, strict=True
    ):
        assert status == expected, printed
        assert printed.count('\n') == bool(pattern) and 'Traceback' not in printed, printed
        assert re.search(pattern, printed), printed
        assert printed.startswith('lbexp: ') or not pattern


def test_there_are_cases_enough():
    assert len(CASES) >= 20
