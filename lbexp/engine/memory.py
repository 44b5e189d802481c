"""Whether a cohort fits into memory: known from shapes, before anything of it is allocated or
compiled."""

import math
import os
import pathlib
from typing import Any

import jax

from lbexp.engine.state import TrialState
from lbexp.errors import Refusal

_UNITS = ('B', 'kB', 'MB', 'GB', 'TB', 'PB', 'EB')
_CGROUP_LIMITS = ('/sys/fs/cgroup/memory.max', '/sys/fs/cgroup/memory/memory.limit_in_bytes')


def check_memory(states: TrialState, data: Any, at_once: int, trials: int):
    """Raises Refusal where a cohort cannot fit: its states, one set of gradients for each trial
    that trains at once on a device, and its data take more than the memory that there is.

    That is a lower bound: activations and what the compiler copies come on top.

    Args:
        states: shapes and shardings of the states of all trials.
        data: the arrays of the workload, of which every device holds a copy.
        at_once: trials that a device trains at the same time.
        trials: in the cohort, for the message.
    """
    devices = list(states.tick.sharding.addressable_devices)
    if devices[0].platform == 'cpu':  # whose devices share the memory of one host
        share, available, holder = len(devices), _host_memory(), 'this host'
    else:
        share, available, holder = 1, _device_memory(devices[0]), 'a device'
    parameters = share * _on_a_device(states.params)
    gradients = share * _on_a_device(states.params, at_once)
    others = share * _on_a_device(states) - parameters
    examples = share * sum(_size(leaf.shape, leaf.dtype) for leaf in jax.tree.leaves(data))
    needed = parameters + gradients + others + examples
    if available is None or needed <= available:
        return
    cohort = 'trial' if trials == 1 else f'{trials} trials of a cohort'
    raise Refusal(
        f'memory: found {_in_words(needed)} ({needed} bytes) for the {cohort}: '
        f'parameters {_in_words(parameters)}, gradients {_in_words(gradients)}, '
        f'optimizer and other state {_in_words(others)}, data {_in_words(examples)}; '
        f'allowed: at most {_in_words(available)}, what {holder} has. '
        "A smaller model, fewer trials in the sweep, or sharding='fsdp' over more devices takes "
        'less'
    )


def _on_a_device(tree, at_once=None):
    """Bytes of the arrays of a tree on one device; of so many of its trials, where that is
    fewer."""
    total = 0
    for leaf in jax.tree.leaves(tree):
        count, *shape = leaf.sharding.shard_shape(leaf.shape)
        if at_once is not None:
            count = min(at_once, count)
        total += _size((count, *shape), leaf.dtype)
    return total


def _size(shape, dtype):
    return math.prod(shape) * dtype.itemsize


def _host_memory():
    """Bytes of this machine, or of what its container may use; None: nobody says."""
    try:
        limits = [os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE')]
    except (AttributeError, ValueError, OSError):
        return None
    # A container is ended at its own limit, not at the machine's.
    for path in map(pathlib.Path, _CGROUP_LIMITS):
        if path.is_file():
            text = path.read_text().strip()
            if text.isdigit():  # 'max': no limit
                limits.append(int(text))
    return min(limits)


def _device_memory(device):
    """Bytes of an accelerator; None: it does not say."""
    return (device.memory_stats() or {}).get('bytes_limit')


def _in_words(count):
    """'24.0 TB'."""
    # 10 bits are a little more than three digits: what comes out below 1 takes the smaller unit.
    power = min(max(count, 1).bit_length() // 10, len(_UNITS) - 1)
    scaled = count / 1000**power
    if scaled < 1 and power:
        power, scaled = power - 1, scaled * 1000
    return f'{scaled:.1f} {_UNITS[power]}'
