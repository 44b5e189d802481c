"""Every test sees eight CPU devices, strict shapes, and warnings as errors."""

import os

# Both must be set before JAX starts. XLA's CPU thread pool has one thread per core by default, and an
# all-reduce over eight devices then waits for threads that never come: NPROC sizes the pool.
os.environ['XLA_FLAGS'] = os.environ.get('XLA_FLAGS', '') + ' --xla_force_host_platform_device_count=8'
os.environ['NPROC'] = '16'
os.environ['JAX_PLATFORMS'] = 'cpu'

import jax

jax.config.update('jax_numpy_rank_promotion', 'raise')
