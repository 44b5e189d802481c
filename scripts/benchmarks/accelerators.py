"""What XLA makes of lbexp for an accelerator that is not here: kernels, bytes, collectives; nothing
runs.

python scripts/benchmark.py accelerators [--target h100|tpu] [--only lars,lamb] [--programs]

XLA compiles for a described machine. It needs the plugin, not the device: pip install 'jax[cuda12]'
or 'jax[tpu]'. The printed time on a GPU is a model, not a measurement: each kernel takes its bytes
at the memory's bandwidth, 2.5 us at least. It says what launches and bytes allow, and nothing of
how well a kernel uses the memory; scripts/accelerator_check.py measures that, on a GPU.
"""

import argparse
import collections
import concurrent.futures
import importlib.util
import math
import os
import pathlib
import re
import sys
import unittest.mock
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.experimental import topologies
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from lbexp import config as configs
from lbexp.engine import program as programs
from lbexp.engine.plan import plan
from lbexp.parallel import mesh as meshes

_BANDWIDTH, _LAUNCH = 3.35e12, 2.5e-6  # bytes/s of an H100 SXM5 (its data sheet); s, an assumption
_H100 = """
platform_name: "CUDA"
device_description_str: "NVIDIA H100 80GB HBM3"
dnn_version_info { major: 9 minor: 10 }
gpu_device_info {
  cuda_compute_capability { major: 9 }
  core_count: 132 fpus_per_core: 128 clock_rate_ghz: 1.98 threads_per_warp: 32
  threads_per_block_limit: 1024 threads_per_core_limit: 2048
  block_dim_limit_x: 2147483647 block_dim_limit_y: 65535 block_dim_limit_z: 65535
  registers_per_core_limit: 65536 registers_per_block_limit: 65536
  shared_memory_per_block: 49152 shared_memory_per_block_optin: 232448 shared_memory_per_core: 233472
  l2_cache_size: 52428800 memory_bandwidth: 3352320000000 device_memory_size: 84942979072
}
"""  # noqa: E501
_MLP = {
    'workload': {'name': 'digits_mlp'},
    'optimizer': {'name': 'lamb', 'learning_rate': 0.01},
    'batch_size': 256,
}
_PROGRAMS = {
    'one trial': _MLP,
    'fsdp': _MLP | {'sharding': 'fsdp'},
    '16 trials': _MLP
    | {'sweep': (('optimizer.learning_rate', (0.01, 0.02, 0.05, 0.1)), ('seed', (0, 1, 2, 3)))},
    'accumulation': _MLP | {'batch_size': 512, 'microbatch': 128},
    'lookahead': _MLP
    | {
        'optimizer': {
            'name': 'lookahead',
            'k': 5,
            'inner': {'name': 'momentum', 'learning_rate': 0.1},
        },
    },
    'batch norm, CNN': {
        'workload': {'name': 'fashion_cnn'},
        'optimizer': {'name': 'lars', 'learning_rate': 1.0},
        'batch_size': 1024,
    },
}
_NO_KERNEL = {'parameter', 'get-tuple-element', 'tuple', 'bitcast', 'constant', 'partition-id'}
_COLLECTIVES = ('all-reduce', 'all-gather', 'reduce-scatter', 'all-to-all', 'collective-permute')


def main(argv: list[str]) -> int:
    plain = argparse.RawDescriptionHelpFormatter
    options = argparse.ArgumentParser(description=__doc__, formatter_class=plain)
    options.add_argument('--target', choices=('h100', 'tpu'), default='h100')
    options.add_argument('--only', help='these optimizers')
    options.add_argument('--programs', action='store_true', help="the engine's programs alone")
    options = options.parse_args(argv)
    jax.config.update('jax_platforms', 'cpu')
    try:
        devices = _devices(options.target)
    except (NotImplementedError, RuntimeError) as error:
        reason = str(error).partition('. See')[0]
        remedy = "it needs the plugin, not the device: pip install 'jax[cuda12]' or 'jax[tpu]'"
        print(f'{reason}: {remedy}', file=sys.stderr)
        return 2
    print(
        f'for {len(devices)} x {devices[0].device_kind}, jax {jax.__version__}, optax '
        f'{optax.__version__}'
    )
    platform = 'gpu' if options.target == 'h100' else 'tpu'
    with unittest.mock.patch.object(jax, 'default_backend', lambda: platform):
        if options.target == 'h100' and not options.programs:
            _updates(devices, options.only)
        _engine(devices)
    return 0


def _devices(target):
    if target == 'h100':
        return topologies.get_topology_desc(
            'h100', 'cuda', target_config=_H100, topology='1x1x8'
        ).devices
    os.environ['TPU_SKIP_MDS_QUERY'] = '1'  # there is no machine to ask
    return topologies.get_topology_desc('v5e:2x2', 'tpu').devices  # one host


def _updates(devices, only):
    """Each optimizer's update, ours and optax's, on one device; then with everything sharded over
    all."""
    spec = importlib.util.spec_from_file_location(
        'optimizers', pathlib.Path(__file__).with_name('optimizers.py')
    )
    benchmark = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(benchmark)
    names = only.split(',') if only else list(benchmark.PAIRS)
    alone = Mesh(np.array(devices[:1]), ('data',), axis_types=(AxisType.Auto,))
    shared = Mesh(np.array(devices), ('data',), axis_types=(AxisType.Auto,))
    for title, shapes in {
        'ResNet-50': benchmark.resnet50(),
        'BERT-base': benchmark.bert_base(),
    }.items():
        size = sum(map(math.prod, shapes))
        print(
            f'\n{title}: {len(shapes)} tensors, {size / 1e6:.1f} M parameters, float32; ours / '
            'optax'
        )
        print(
            f'{"":10} {"kernels":>12} {"bytes a parameter":>18} {"min.":>5} {"temporary":>10} '
            f'{"model, us":>12} of min.'
        )
        for name in names:
            ours, theirs, minimum = benchmark.PAIRS[name]
            counts = [_counts(_update(tx(), shapes, alone), size) for tx in (ours, theirs) if tx]
            kernels = ' /'.join(f'{count.kernels:6.0f}' for count in counts)
            moved = ' /'.join(f'{count.moved:5.1f}' for count in counts)
            temporary = ' /'.join(f'{count.temporary:5.1f}' for count in counts)
            seconds = ' /'.join(f'{1e6 * count.seconds:6.0f}' for count in counts)
            share = minimum * size / _BANDWIDTH / counts[0].seconds
            print(
                f'{name:10} {kernels:>12} {moved:>18} {minimum:5.1f} {temporary:>10} '
                f'{seconds:>12} {share:6.2f}'
            )
        for name in names:
            text = _update(benchmark.PAIRS[name][0](), shapes, shared).as_text()
            collectives = _collectives(_kernels(text)) or 'no collective'
            print(f'{name:10} sharded over {len(devices)}: {collectives}')


def _update(tx, shapes, mesh):
    """The compiled update; leaves lie along the last axis that the devices divide."""

    def placed(shape):
        along = [i for i, n in enumerate(shape) if n % mesh.size == 0 and mesh.size > 1]
        spec = P(*[None] * along[-1], 'data') if along else P()
        return jax.ShapeDtypeStruct(shape, jnp.float32, sharding=NamedSharding(mesh, spec))

    def whole(leaf):
        return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=NamedSharding(mesh, P()))

    def as_param(leaf, param):
        return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=param.sharding)

    params = gradients = [placed(shape) for shape in shapes]
    try:
        state = jax.eval_shape(tx.init, params)
        jax.eval_shape(tx.update, params, state, params)
        state = optax.tree.map_params(tx, as_param, state, params, transform_non_params=whole)
    except AttributeError:  # optax's lookahead has parameters of its own
        params = jax.tree.map(whole, jax.eval_shape(optax.LookaheadParams.init_synced, params))
        state = jax.tree.map(whole, jax.eval_shape(tx.init, params))

    def step(params, state, gradients):
        updates, state = tx.update(gradients, state, params)
        return optax.apply_updates(params, updates), state

    return jax.jit(step, donate_argnums=(0, 1)).lower(params, state, gradients).compile()


class _Counts(NamedTuple):
    kernels: int
    moved: float  # bytes a parameter
    temporary: float  # bytes a parameter
    seconds: float  # by the model


def _counts(compiled, size):
    """What a compiled update of `size` parameters launches and moves."""
    moved = [moved for _, moved in _kernels(compiled.as_text())]
    return _Counts(
        kernels=len(moved),
        moved=sum(moved) / size,
        temporary=compiled.memory_analysis().temp_size_in_bytes / size,
        seconds=sum(max(each / _BANDWIDTH, _LAUNCH) for each in moved),
    )


def _computations(text):
    """{name: lines}, the program's own as 'ENTRY'."""
    matches = re.finditer(r'\n(ENTRY )?%?([\w.\-]+) \([^\n]*\{\n(.*?)\n\}', text, re.S)
    return {'ENTRY' if m[1] else m[2]: m[3].split('\n') for m in matches}


def _kernels(text, computation='ENTRY'):
    """(operation, bytes of its operands and results) of whatever is launched in a computation."""
    sizes, kernels = {}, []
    for line in _computations(text)[computation]:
        parts = re.match(r'^\s*(?:ROOT )?%([\w.\-]+) = (\(.*?\)|\S+) ([\w\-]+)\((.*)$', line)
        if parts is None:
            continue
        name, shape, operation, rest = parts.groups()
        sizes[name] = _bytes(shape)
        if operation not in _NO_KERNEL:
            operands = re.findall(r'%([\w.\-]+)', rest.split('), ')[0])
            read = sum(sizes.get(operand, 0) for operand in operands)
            kernels.append((operation, sizes[name] + read))
    return kernels


def _bytes(shape):
    """Of an HLO shape such as '(f32[2,3]{1,0}, s32[])'."""
    total = 0
    for kind, dims in re.findall(r'\b(pred|[a-z]+\d+)\[([\d,]*)\]', shape):
        width = 1 if kind == 'pred' else int(re.search(r'\d+', kind)[0]) // 8
        total += width * math.prod(int(n) for n in dims.split(',') if n)
    return total


def _collectives(kernels):
    count = collections.Counter(operation.removesuffix('-start') for operation, _ in kernels)
    return ', '.join(f'{count[each]} {each}' for each in _COLLECTIVES if count[each])


def _engine(devices):
    """The engine's programs as `main` would compile them on these devices: what one step
    launches."""
    print(f"\nThe engine's training programs on {len(devices)} devices, what a step has")
    for title, fields in _PROGRAMS.items():
        c = configs.base()
        for name, value in {'steps': 100, **fields}.items():
            c[name] = value
        (cohort,) = plan([configs.resolve(c, each) for each in configs.trials(c)])
        layout, text = _program(cohort, devices)
        # The loop over steps is the one that has most in it.
        bodies = set(re.findall(r' while\(.*body=%([\w.\-]+)', text))
        step = max((_kernels(text, body) for body in bodies), key=len)
        branches = sum(operation in ('while', 'conditional') for operation, _ in step)
        launched = len(step) - sum(operation.endswith('-done') for operation, _ in step)
        collectives = _collectives(step) or 'no collective'
        print(f'{title:16} {launched:4} operations, {branches} branches, {collectives} ({layout})')


def _program(cohort, devices):
    """(the layout in words, HLO of the training program)."""
    compiled = {}

    def put(tree, placement):
        def like(leaf):
            dtype = jax.dtypes.canonicalize_dtype(leaf.dtype)
            return jax.ShapeDtypeStruct(np.shape(leaf), dtype, sharding=placement)

        return jax.tree.map(like, tree)

    def keep(mesh, function, *arguments, options=None):
        with jax.set_mesh(mesh):
            compiled[len(arguments)] = function.lower(*arguments).compile().as_text()

    patched = unittest.mock.patch.multiple
    with (
        patched(jax, devices=lambda: list(devices), device_count=lambda: len(devices)),
        patched(meshes, put=put),
        patched(programs, _compiled=keep),
        unittest.mock.patch.object(concurrent.futures, 'ThreadPoolExecutor', _AtOnce),
    ):
        layout = programs.program(cohort, 'auto', None).layout
    return layout, compiled[max(compiled)]  # training takes most: data, numbers, states, ticks


class _AtOnce(concurrent.futures.Executor):
    """Runs a function before `submit` returns."""

    def __init__(self, workers):
        del workers

    def submit(self, function, *arguments, **named):
        future = concurrent.futures.Future()
        future.set_result(function(*arguments, **named))
        return future
