# %% [markdown]
# # Many hosts
#
# On a cluster the same command is one job of several processes. Here two of them run on one
# machine, with a CPU device each, as two hosts would: what they train is what one process trains
# on two devices, and a job that loses a process goes on with the same command.

# %%
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time

import numpy as np

# %% [markdown]
# An experiment file, as on one machine. `data_parallel=2` shares each batch among two devices,
# wherever they are; batch norm and dropout do not depend on where.

# %%
pathlib.Path('experiment.py').write_text("""
from lbexp import config


def get_config():
    c = config.base()
    c.workload = dict(name='digits_mlp', batch_norm=True, dropout=0.1)
    c.optimizer = dict(name='lamb', learning_rate=0.02)
    c.batch_size, c.data_parallel, c.steps = 64, 2, 400
    c.num_rows, c.num_evaluations, c.num_checkpoints = 20, 4, 10
    return c
""")

# %% [markdown]
# A launcher (`srun`, `mpirun`, Kubernetes, Cloud TPU) tells each process who it is, and
# `--distributed=auto` reads it. Without one, three flags say it. `XLA_FLAGS` only makes a CPU look
# like several devices.


# %%
def free_port() -> int:
    with socket.socket() as server:
        server.bind(('localhost', 0))
        return server.getsockname()[1]


def start(processes: int, workdir: str, devices_each: int) -> list[subprocess.Popen]:
    """One job: the same command in each process."""
    flag = f'--xla_force_host_platform_device_count={devices_each}'
    environment = {**os.environ, 'XLA_FLAGS': flag}
    command = [sys.executable, '-m', 'lbexp.main', '--config=experiment.py', '--figures=']
    command.append(f'--workdir={workdir}')
    if processes > 1:
        command += [f'--coordinator_address=localhost:{free_port()}']
        command += [f'--num_processes={processes}']
    job = []
    for number in range(processes):
        identity = [f'--process_id={number}'] if processes > 1 else []
        with open(f'{workdir}_{number}.log', 'a') as output:
            process = subprocess.Popen(
                command + identity, env=environment, stdout=output, stderr=subprocess.STDOUT
            )
        job.append(process)
    return job


def statuses(job: list[subprocess.Popen]) -> list[int]:
    return [process.wait() for process in job]


# %% [markdown]
# ## One process, two processes

# %%
print(statuses(start(1, 'one', devices_each=2)), statuses(start(2, 'two', devices_each=1)))

# %% [markdown]
# The first process speaks and writes; the others say where they belong.

# %%
for number in (0, 1):
    print(f'--- process {number}')
    print('\n'.join(pathlib.Path(f'two_{number}.log').read_text().splitlines()[:6]))

# %% [markdown]
# One curve, to the bit: a sum of two is the same either way round. Over more devices the order of
# sums differs between one host and two, in the last digits of a float32, and training slowly
# amplifies them.


# %%
def losses(workdir: str) -> np.ndarray:
    lines = pathlib.Path(workdir, 'metrics.jsonl').read_text().splitlines()
    return np.array([json.loads(line)['loss'] for line in lines])


one, two = losses('one'), losses('two')
print(one[::5], two[::5])
print('the same rows:', np.array_equal(one, two))

# %% [markdown]
# ## A process is lost
#
# One of the two is killed where it can say nothing. The other notices, ends with an exit status
# that is not 0, and says so. A scheduler that starts the job again (`--requeue`, a JobSet, a loop
# in the shell) needs no other command: it goes on from the last checkpoint.

# %%
job = start(2, 'lost', devices_each=1)
rows = pathlib.Path('lost', 'metrics.jsonl')
while not (rows.exists() and rows.read_text().count('\n') >= 5):
    time.sleep(0.05)
job[1].send_signal(signal.SIGKILL)
print('killed:', statuses(job))
print(pathlib.Path('lost_0.log').read_text().splitlines()[-1])
print('again:', statuses(start(2, 'lost', devices_each=1)))

# %% [markdown]
# It ends where it would have, to the bit.

# %%
print('the same rows:', np.array_equal(losses('lost'), two))

# %% [markdown]
# Launchers, one command each: [Train on many devices and hosts](../how_to/many_hosts.md). What an
# exit status means: [Resume](../how_to/resume.md).
