"""Every test sees eight CPU devices, strict shapes, and warnings as errors.

LBEXP_TEST_PLATFORM=cuda shows them an accelerator instead.
"""

import os
import pathlib
import signal

# Both must be set before JAX starts. XLA's CPU thread pool has one thread per core by default, and
# an all-reduce over eight devices then waits for threads that never come: NPROC sizes the pool.
os.environ['XLA_FLAGS'] = (
    os.environ.get('XLA_FLAGS', '') + ' --xla_force_host_platform_device_count=8'
)
os.environ['NPROC'] = '16'
os.environ['JAX_PLATFORMS'] = os.environ.get('LBEXP_TEST_PLATFORM', 'cpu')

# Under nohup the processes of tests would inherit that SIGHUP is ignored, and would not stop at it.
signal.signal(signal.SIGHUP, signal.SIG_DFL)
# In the background of a script that SIGINT is, likewise.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

import jax
import pytest

pytest_plugins = [  # whose fixtures several files use
    'accuracy',
    'experiment_files',
    'launched',
    'light_jobs',
    'marks',
    'networks',
    'sweeps',
    'workdirs',
]

jax.config.update('jax_numpy_rank_promotion', 'raise')
# Many tests train the same program twice: the second time it is read, not compiled.
cache = pathlib.Path(os.environ.get('XDG_CACHE_HOME', '~/.cache')).expanduser() / 'lbexp' / 'jax'
jax.config.update('jax_compilation_cache_dir', str(cache))
jax.config.update('jax_persistent_cache_min_compile_time_secs', 0.1)
jax.config.update('jax_persistent_cache_min_entry_size_bytes', -1)


@pytest.fixture
def quick_compilation():
    """For tests that compile much and compute little, and compare within tolerances, not bits."""
    jax.config.update('jax_disable_most_optimizations', True)
    yield
    jax.config.update('jax_disable_most_optimizations', False)


@pytest.fixture(params=['cpu', 'gpu'])
def backend(request, monkeypatch):
    """What is written for this backend, run here."""
    monkeypatch.setattr(jax, 'default_backend', lambda: request.param)
    return request.param
