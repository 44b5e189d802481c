"""JAX set up for a run, before it starts: CPU devices and the compilation cache."""

import os
import pathlib

import jax

from lbexp.errors import Refusal


def devices(shards: int, many_trials: bool):
    """Sets how many devices a CPU is taken for, and where compiled programs are kept, unless the
    user has.

    Args:
        shards: devices of this process that share a batch.
        many_trials: whether there is work for a device on every core.
    """
    cores = os.cpu_count() or 1
    if hasattr(os, 'sched_getaffinity'):
        cores = len(os.sched_getaffinity(0))
    if 'xla_force_host_platform_device_count' not in os.environ.get('XLA_FLAGS', ''):
        # One CPU device per core for the trials of a cohort; a lone trial's operations use all
        # cores themselves.
        count = shards
        if many_trials:
            count = max(shards, cores)
        _set_cpu_devices(count, shards)
    if shards > cores:
        # XLA:CPU's pool has a thread per core; an all-reduce over more devices waits for threads
        # that never come.
        os.environ.setdefault('NPROC', str(2 * shards))
    cache = _cache()
    is_set = jax.config.jax_compilation_cache_dir  # pyrefly: ignore[missing-attribute]: of JAX
    if cache is not None and not is_set:
        # By default JAX keeps only what took a second to compile: small programs take less.
        jax.config.update('jax_compilation_cache_dir', str(cache))
        jax.config.update('jax_persistent_cache_min_compile_time_secs', 0.1)
        jax.config.update('jax_persistent_cache_min_entry_size_bytes', -1)


def _set_cpu_devices(count, needed):
    """Where an experiment file or a notebook has started JAX already, its devices stay as they
    are."""
    try:
        jax.config.update('jax_num_cpu_devices', count)
    except RuntimeError as error:
        if needed > jax.local_device_count():
            problem = f'data_parallel: found {needed} with {jax.local_device_count()} devices'
            allowed = 'as many as there are, which the experiment file settled when it used JAX'
            raise Refusal(f'{problem}; allowed: {allowed}') from error


def _cache():
    """The folder of compiled programs; None where there is no home folder."""
    caches = pathlib.Path(os.environ.get('XDG_CACHE_HOME', '~/.cache'))
    try:
        return caches.expanduser() / 'lbexp' / 'jax'
    except RuntimeError:
        return None
