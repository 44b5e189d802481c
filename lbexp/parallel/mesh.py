"""Where trials and batches lie: meshes with the axes ('trial', 'data'), over the devices of all
processes."""

import functools
import math
import operator
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from lbexp.errors import Refusal

_LARGE = 4096  # elements


def mesh(trials: int, data: int) -> Mesh:
    """trials * data devices as a mesh of axes 'trial' (independent runs) and 'data' (shards of a
    batch).

    They are the first of each process, as many of every one: a program runs on the processes that
    have a part in it. The axes are Auto: explicit axes, the default of jax.make_mesh, refuse the
    reshape of a sharded batch into ghost batches.
    """
    processes = jax.process_count()
    each = trials * data // processes
    # A backend may list the devices in the order of its network.
    devices = sorted(jax.devices(), key=operator.attrgetter('process_index'))
    by_process = np.asarray(devices).reshape(processes, -1)
    chosen = by_process[:, :each].reshape(trials, data)
    return Mesh(chosen, ('trial', 'data'), axis_types=(AxisType.Auto, AxisType.Auto))


def mesh_shape(
    layout: str,
    trials: int,
    parts: int,
    data_parallel: int | None,
    of: str = 'examples per microbatch',
) -> tuple[str, int, int]:
    """(layout, devices along 'trial', devices along 'data') for a cohort on the devices that there
    are.

    'map' runs the trials of a device one after another, each as it would run alone; 'vmap' runs
    them as one batched program. On CPU one device per core and 'map' is fastest (MLP
    784-512-512-10, batch 32, 2 cores: 772 updates/s against 605 for two devices with vmap, 443 for
    one) and repeats a lone trial bit by bit; an accelerator has one queue per device and fills it
    by vmap. A lone trial takes all devices of an accelerator for its batch, and those of all
    processes: each process has a part in every program, if only with a trial that trains for no
    tick.

    Args:
        parts: what devices may share of a batch: its examples; with replicas, whole workers.
        of: what they are, for messages.

    Raises:
        Refusal: `data_parallel` does not divide the parts or the number of devices, or those of a
            lone trial cannot be shared by the processes.
    """
    count, processes = jax.device_count(), jax.process_count()
    is_accelerator = jax.default_backend() != 'cpu'
    if layout == 'auto':
        layout = 'vmap' if is_accelerator and trials > 1 else 'map'
    if data_parallel is None:
        data_parallel = 1
        if trials == 1 and (is_accelerator or processes > 1):
            data_parallel = _most_that_share(count, parts, processes)
    if data_parallel is None or count % data_parallel or parts % data_parallel:
        raise Refusal(
            f'data_parallel: found {data_parallel} with {count} devices of {processes} processes '
            f'and {parts} {of}; allowed: a divisor of both, and for a lone trial a multiple of '
            'the processes'
        )
    # A mapped loop over trials is the same on every device that shares a batch: it cannot split the
    # trials too.
    is_shared_loop = layout == 'map' and data_parallel > 1
    across = 1 if is_shared_loop else min(count // data_parallel, trials)
    if across * data_parallel % processes:
        # As many devices of each process: the next multiple of the processes.
        across = -(-across // processes) * processes
    if across * data_parallel > count or (is_shared_loop and across > 1):
        raise Refusal(
            f'data_parallel: found {data_parallel} with {count} devices of {processes} '
            'processes; allowed: 1, or a multiple of the processes'
        )
    return layout, across, data_parallel


def _most_that_share(count, parts, processes) -> int | None:
    """The most devices that can share a lone trial's batch, as many of every process."""
    for devices in range(count, 0, -1):
        if count % devices == parts % devices == devices % processes == 0:
            return devices
    return None


def named_sharding(mesh: Mesh, *axes: str) -> NamedSharding:
    """The placement whose leading array axes lie along the mesh axes named; none: a copy on every
    device."""
    return NamedSharding(mesh, PartitionSpec(*axes))


def state_sharding(mesh: Mesh, tree: Any, sharding: str, *before: str) -> Any:
    """The placement of each array of a state over the devices that share a batch, as a tree.

    'replicated': each has all of it. 'fsdp': each has its share of an array of 4,096 elements or
    more, along the longest axis that 'data' divides (Rajbhandari et al. 2020, arXiv:1910.02054,
    stage 3: parameters, gradients and optimizer state). What has the same shape lies in the same
    way, so that what an optimizer keeps of a parameter lies where the parameter does. Below that
    size an all-gather costs more than the memory is worth.

    Args:
        before: mesh axes of the leading axes.
    """

    def place(leaf):
        trial_shape = leaf.shape[len(before) :]
        divisible = [length for length in trial_shape if length % mesh.shape['data'] == 0]
        if sharding == 'replicated' or math.prod(trial_shape) < _LARGE or not divisible:
            return named_sharding(mesh, *before)
        longest = trial_shape.index(max(divisible))
        return named_sharding(mesh, *before, *[None] * longest, 'data')

    return jax.tree.map(place, tree)


def put(tree: Any, placement: Any) -> Any:
    """Arrays of the host, the same on every process, on the devices; one placement for all, or a
    tree of them."""
    if jax.process_count() == 1:
        return jax.device_put(tree, placement)
    if isinstance(placement, NamedSharding):
        return jax.tree.map(lambda leaf: _put(leaf, placement), tree)
    return jax.tree.map(_put, tree, placement)


def _put(leaf, placement):
    if hasattr(leaf, 'dtype') and jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        numbers = _put(jax.random.key_data(leaf), placement)
        return jax.random.wrap_key_data(numbers, impl=jax.random.key_impl(leaf))
    # Not device_put, which would compare the values over all processes first.
    whole = np.asarray(leaf)
    return jax.make_array_from_callback(whole.shape, placement, lambda index: whole[index])


def fetch(tree: Any) -> Any:
    """Arrays of the devices, whole, on the host of every process: all must ask for them together.

    One after another: on a device there is room for one array more, not for the whole state.
    """
    if jax.process_count() == 1:
        return jax.device_get(tree)

    def fetched(leaf):
        whole = _gather(leaf.sharding.mesh)(leaf)
        return jax.device_get(whole)

    return jax.tree.map(fetched, tree)


@functools.cache
def _gather(mesh):
    """A program that puts an array whole on every device; one for each mesh, which JAX keeps."""
    return jax.jit(lambda leaf: leaf, out_shardings=NamedSharding(mesh, PartitionSpec()))
