"""A Slurm of two nodes on this machine, as tests start real jobs: daemons, key and ports of its
own, loopback only."""

import contextlib
import getpass
import os
import pathlib
import platform
import random
import shutil
import socket
import subprocess
import tempfile
import time

from jobs import environment, needs

# JAX finds process 0 of a job by the name of its first node: one that resolves on any machine as it
# is.
NODES = ('127.0.0.1', '127.0.0.2')
_CONFIGURATION = """
ClusterName=lbexp
SlurmctldHost={host}(127.0.0.1)
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
# A requeued job waits until the credentials of its last run have expired.
AuthInfo=socket={folder}/munge.sock,cred_expire=5
CredType=cred/munge
SlurmctldPort={ports[0]}
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.%n.pid
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool.%n
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
MpiDefault=none
PlugStackConfig=/dev/null
ReturnToService=2
KillWait=5
FirstJobId={first_job}
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=sched_interval=1,bf_interval=1,batch_sched_delay=0
NodeName=127.0.0.[1-2] NodeHostname={host} NodeAddr=127.0.0.1 Port=[{ports[1]},{ports[2]}] CPUs={cpus} State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP OverSubscribe=FORCE:12
"""  # noqa: E501


class Slurm:
    """A running one. `environment` is what its commands need, beside what the user's shell has."""

    def __init__(self, folder):
        self.folder, self.environment = folder, environment(SLURM_CONF=str(folder / 'slurm.conf'))

    def run(self, *command, seconds=120, **how):
        """A command to its end, as subprocess.run has it."""
        how = dict(env=self.environment, capture_output=True, text=True, timeout=seconds) | how
        return subprocess.run(command, **how)

    def ask(self, *command):
        """What a command prints; it must succeed."""
        done = self.run(*command)
        assert done.returncode == 0, (command, done.stderr, self.logs())
        return done.stdout.strip()

    def logs(self):
        """The ends of what the daemons said."""
        return {
            log.name: log.read_text(errors='replace')[-2000:] for log in self.folder.glob('*.log')
        }


@contextlib.contextmanager
def slurm(cpus=1):
    """Starts the daemons, waits until both nodes are idle; at the end, cancels all jobs and stops
    them by their pids.

    Several may run at once. Without the tools the test is skipped; under CI=true it fails.

    Args:
        cpus: that each node says it has, whatever the machine has.
    """
    needs(
        'munged',
        'slurmctld',
        'slurmd',
        'srun',
        packages=('slurm-wlm slurmctld slurmd slurm-client munge'),
    )
    # not pytest's: a socket's path must be short
    folder = pathlib.Path(tempfile.mkdtemp(prefix='slurm-'))
    daemons = []
    found = Slurm(folder)
    try:
        _configure(folder, cpus)
        _start(found, daemons)
        yield found
    finally:
        _stop(found, daemons)
        shutil.rmtree(folder, ignore_errors=True)


def _configure(folder, cpus):
    key = folder / 'munge.key'
    key.write_bytes(os.urandom(128))
    key.chmod(0o400)
    (folder / 'state').mkdir()
    with contextlib.ExitStack() as held:
        free = [held.enter_context(socket.socket()) for _ in range(3)]
        for one in free:
            one.bind(('127.0.0.1', 0))
        ports = [one.getsockname()[1] for one in free]
    facts = dict(
        folder=folder, user=getpass.getuser(), host=platform.node().partition('.')[0], ports=ports
    )
    # Two clusters at once must not number their jobs alike.
    facts |= dict(nodes=NODES, cpus=cpus, first_job=random.SystemRandom().randrange(1000, 60000000))
    (folder / 'slurm.conf').write_text(_CONFIGURATION.format(**facts))


def _start(found, daemons):
    folder = found.folder
    munge = {
        'key-file': 'munge.key',
        'socket': 'munge.sock',
        'pid-file': 'munged.pid',
        'seed-file': 'munged.seed',
    }
    munge = [f'--{name}={folder / file}' for name, file in munge.items()]
    _daemon(found, daemons, 'munged', '--force', '--foreground', '--num-threads=1', *munge)
    _until(found, daemons, lambda: (folder / 'munge.sock').exists())
    _daemon(found, daemons, 'slurmctld', '-D', '-c')
    for node in NODES:
        (folder / f'spool.{node}').mkdir()
        _daemon(found, daemons, 'slurmd', '-D', '-c', '-N', node)
    _until(
        found,
        daemons,
        lambda: found.run('sinfo', '-h', '-N', '-o', '%T').stdout.split() == ['idle'] * len(NODES),
    )


def _daemon(found, daemons, name, *arguments):
    """In the foreground, as a child: its pid is known, and it ends with the tests even where these
    are killed."""
    with open(found.folder / f'{len(daemons)}-{name}.log', 'wb') as log:
        command = ['setpriv', '--pdeathsig', 'TERM', needs(name), *arguments]
        daemons.append(subprocess.Popen(command, env=found.environment, stdout=log, stderr=log))


def _until(found, daemons, true, seconds=60):
    began = time.monotonic()
    while not true():
        assert time.monotonic() - began < seconds, found.logs()
        assert all(daemon.poll() is None for daemon in daemons), found.logs()
        time.sleep(0.1)


def _stop(found, daemons):
    if len(daemons) > 1:
        with contextlib.suppress(subprocess.TimeoutExpired):
            found.run('scancel', '--full', '--signal=KILL', '--me', seconds=20)
            found.run('scancel', '--me', seconds=20)
            began = time.monotonic()
            while (
                found.run('squeue', '-h', seconds=20).stdout.strip()
                and time.monotonic() - began < 20
            ):
                time.sleep(0.2)
    for daemon in reversed(daemons):
        daemon.terminate()
        try:
            daemon.wait(10)
        except subprocess.TimeoutExpired:
            daemon.kill()
            daemon.wait()
