"""A job of several real processes on this machine, as tests start it, disturb it and read its
end."""

import os
import pathlib
import shutil
import socket
import subprocess
import sys
import time

import pytest

ROOT = pathlib.Path(__file__).parent.parent


def environment(**more):
    """That of the user's shell: not the eight devices of these tests."""
    clean = {
        name: value for name, value in os.environ.items() if name not in ('XLA_FLAGS', 'NPROC')
    }
    return {**clean, 'JAX_PLATFORMS': 'cpu', **more}


def needs(*commands, packages=''):
    """The path of the first command. Where one is absent the test is skipped; under CI=true it
    fails."""
    # not on every user's path
    paths = os.environ['PATH'] + os.pathsep + os.pathsep.join(('/usr/sbin', '/sbin'))
    found = {command: shutil.which(command, path=paths) for command in commands}
    if absent := [command for command, path in found.items() if path is None]:
        told = (
            f'{", ".join(absent)}: not on this machine; apt-get install '
            f'--no-install-recommends {packages}'
        )
        (pytest.fail if os.environ.get('CI') == 'true' else pytest.skip)(told)
    return found[commands[0]]


def lines(file):
    """How many a file has that may not be there yet."""
    return file.read_bytes().count(b'\n') if file.exists() else 0


class Job:
    """`processes` of the command at once, without a launcher.

    Args:
        arguments: of lbexp.main, for all.
        own: of one process, by index.
        before: a command that starts the process, by index, as unshare does.
    """

    def __init__(self, processes, *arguments, own=None, before=None, peer_timeout=10):
        with socket.socket() as free:
            free.bind(('127.0.0.1', 0))
            address = f'127.0.0.1:{free.getsockname()[1]}'
        job = [
            f'--coordinator_address={address}',
            f'--num_processes={processes}',
            f'--peer_timeout={peer_timeout}',
        ]
        self.processes = []
        for i in range(processes):
            main = [
                sys.executable,
                '-m',
                'lbexp.main',
                '--figures=',
                *job,
                f'--process_id={i}',
                *arguments,
                *(own or {}).get(i, []),
            ]
            command = [*(before or {}).get(i, []), *main]
            how = dict(
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                env=environment(),
                cwd=ROOT,
            )
            self.processes.append(subprocess.Popen(command, **how))

    def __enter__(self):
        return self

    def __exit__(self, *raised):
        for process in self.processes:
            process.kill()
            process.communicate()

    def wait_for_rows(self, workdir, more=1):
        """Returns when the job has written so many rows of its own; the job must not end before."""
        metrics = workdir / 'metrics.jsonl'
        least, began = lines(metrics), time.monotonic()
        while lines(metrics) < least + more:
            least = min(
                least, lines(metrics)
            )  # a run that goes on drops rows beyond its checkpoint
            assert time.monotonic() - began < 120, 'no rows'
            assert any(process.poll() is None for process in self.processes), self.end()
            time.sleep(0.01)

    def end(self, seconds=300):
        """[(exit status, standard output, standard error)] of the processes, when all have
        ended."""
        told = [process.communicate(timeout=seconds) for process in self.processes]
        return [(process.returncode, *streams) for process, streams in zip(self.processes, told)]
