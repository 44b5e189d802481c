"""What has started the processes of a job, and what it says of them: Slurm, OpenMPI, Kubernetes,
Cloud TPU."""

import os

from jax._src import clusters

from lbexp.errors import Refusal

# How many processes of the present step or job there are.
_PROCESSES = {'srun': 'SLURM_STEP_NUM_TASKS', 'mpirun': 'OMPI_COMM_WORLD_SIZE'}

# JAX offers no public way to ask its detection before it starts.


def launcher() -> type[clusters.ClusterEnv] | None:
    """The launcher that JAX detects; OpenMPI before Slurm, for mpirun inside a Slurm job."""
    kinds = [kind for kind in clusters.ClusterEnv._cluster_types if not kind.opt_in_only_method]
    present = [kind for kind in kinds if kind.is_env_present()]
    return min(present, key=lambda kind: kind.name != 'ompi', default=None)


def settings(
    launcher: type[clusters.ClusterEnv] | None,
    address: str | None,
    processes: int | None,
    index: int | None,
) -> tuple[str | None, int | None, int | None, int | None]:
    """Where process 0 is, how many there are and which this one is, as given or as the launcher
    says; its device.

    The device is that of its host which the launcher means for this process; None: all of them.

    Raises:
        Refusal: the launcher does not say all of it.
    """
    try:
        if address is None and launcher is not None:
            port = os.environ.get('JAX_COORDINATOR_PORT')
            address = launcher.get_coordinator_address(300, port)
            address = os.environ.get('JAX_COORDINATOR_ADDRESS') or address
        if processes is None or index is None:
            from_launcher = _counts(launcher)
            if processes is None:
                processes = from_launcher[0]
            if index is None:
                index = from_launcher[1]
        device = None
        if launcher is not None and not _is_alone_on_host():
            device = launcher.get_local_process_id()
    # each launcher raises what it likes where its variables are not complete
    except Exception as error:
        cause = (str(error).splitlines() or [''])[0]
        # What JAX detects no launcher for can only be the variables of OpenMPI.
        name = launcher.name if launcher else 'OpenMPI'
        raise Refusal(
            f'--distributed: {name} does not say where this process stands '
            f'({type(error).__name__}: {cause}); give --coordinator_address --num_processes '
            '--process_id, or --distributed=off'
        ) from error
    return address, processes, index, device


def refuse_to_train_alone():
    """A batch script, or an MPI that JAX does not know: several processes were meant."""
    tasks = int(os.environ.get('SLURM_NTASKS') or 1)
    ranks = int(os.environ.get('OMPI_COMM_WORLD_SIZE') or 1)
    # srun makes a step of a job; without it this is the batch script itself.
    is_batch_script = 'SLURM_JOB_ID' in os.environ and 'SLURM_STEP_NODELIST' not in os.environ
    if is_batch_script and tasks > 1:
        raise Refusal(
            f'--distributed=auto: found a Slurm job of {tasks} tasks, of which only this process '
            'would train: it was not started by srun. Start it with srun, or give '
            '--distributed=off'
        )
    if ranks > 1 and launcher() is None:
        raise Refusal(
            f'--distributed=auto: found {ranks} MPI processes that would each train alone '
            '(OpenMPI 5 does not tell JAX where process 0 is). Give '
            '--coordinator_address=HOST:PORT, or --distributed=off'
        )


def refuse_a_call_in_each():
    """Raises Refusal in a process of which srun or mpirun started several: each would train alone,
    all of it. Only their variables are asked, as JAX may be in use already."""
    for launcher, name in _PROCESSES.items():
        processes = int(os.environ.get(name) or 1)
        if processes > 1:
            raise Refusal(
                f'lbexp.run: found {processes} processes, which {launcher} started ({name}); '
                'allowed: python -m lbexp.main, which trains one run in all of them, or alone=True '
                'with a workdir for each'
            )


def _counts(launcher):
    """(processes, index) as the launcher says, or as OpenMPI 5 does, which JAX does not detect."""
    if launcher is not None:
        return launcher.get_process_count(), launcher.get_process_id()
    return _of_openmpi('SIZE'), _of_openmpi('RANK')


def _of_openmpi(name):
    value = os.environ.get(f'OMPI_COMM_WORLD_{name}')
    return None if value is None else int(value)


def _is_alone_on_host():
    """Whether the launcher says that each host has one process: '1', or '1(x8)' for eight hosts."""
    of_slurm = os.environ.get('SLURM_STEP_TASKS_PER_NODE', '')
    tasks = os.environ.get('OMPI_COMM_WORLD_LOCAL_SIZE') or of_slurm
    return tasks.partition('(')[0] == '1'
