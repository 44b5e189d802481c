"""Optimizer updates against optax's own and against an in-place copy: milliseconds, bytes,
all-reduces.

python scripts/benchmark.py optimizers [--quick] [--only lars,lamb] [--rounds 15]
"""

import argparse
import functools
import os
import pathlib
import platform
import re
import statistics
import subprocess
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

from lbexp import optimizers

# (ours, optax's, bytes per parameter that every implementation must move: float32 state, nothing
# stays in cache)
PAIRS = {
    'sgd': (lambda: optimizers.sgd(0.1), lambda: optax.sgd(0.1), 12),
    'momentum': (lambda: optimizers.momentum(0.1, 0.9), lambda: optax.sgd(0.1, 0.9), 20),
    'adamw': (lambda: optimizers.adamw(1e-3), lambda: optax.adamw(1e-3, weight_decay=1e-2), 28),
    'lars': (lambda: optimizers.lars(1.0, 1e-4), lambda: optax.lars(1.0, 1e-4), 28),
    'larc': (lambda: optimizers.larc(0.1, 1e-4), None, 28),
    'lamb': (lambda: optimizers.lamb(1e-3), lambda: optax.lamb(1e-3, weight_decay=1e-2), 40),
    'novograd': (
        lambda: optimizers.novograd(1e-3, decay='all', weight_decay=1e-3),
        lambda: optax.novograd(1e-3, 0.95, 0.98, 1e-8, weight_decay=1e-3),
        24,
    ),
    'lookahead': (
        lambda: optimizers.lookahead(optimizers.momentum(0.1, 0.9), 5, 0.5),
        lambda: optax.lookahead(optax.sgd(0.1, 0.9), 5, 0.5),
        20 + 8 / 5,
    ),
}


def main(argv):
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument('--quick', action='store_true', help='the small tree alone, five rounds')
    options.add_argument('--rounds', type=int, default=None)
    options.add_argument('--only', default=','.join(PAIRS))
    options.add_argument(
        '--all-reduces', action='store_true', help=('count all-reduces on 8 fake devices and stop')
    )
    options = options.parse_args(argv)
    if options.all_reduces:
        return _all_reduces()
    names = options.only.split(',')
    rounds = options.rounds or (5 if options.quick else 15)
    print(_machine())
    trees = {'ResNet-50': resnet50()} | ({} if options.quick else {'BERT-base': bert_base()})
    for title, shapes in trees.items():
        _compare(title, shapes, names, rounds)
    _cohort(names, rounds)
    _diagnostics(trees['ResNet-50'], rounds)
    _imports(rounds)
    environment = {
        **os.environ,
        'JAX_PLATFORMS': 'cpu',
        'NPROC': '16',
        'PYTHONPATH': os.pathsep.join(sys.path),
        'XLA_FLAGS': '--xla_force_host_platform_device_count=8',
    }
    subprocess.run(
        [sys.executable, sys.argv[0], 'optimizers', '--all-reduces'], env=environment, check=True
    )


def _compare(title, shapes, names, rounds):
    size = sum(np.prod(s, dtype=int) for s in shapes)
    print(
        f'\n{title}: {len(shapes)} tensors, {size / 1e6:.1f} M parameters, float32, jitted, donated'
    )
    print(
        f'{"":10} {"ours":>8} {"optax":>8} {"optax/":>7} {"copy of":>8} {"ours in":>8}   bytes '
        'per parameter (XLA)'
    )
    print(
        f'{"":10} {"ms":>8} {"ms":>8} {"ours":>7} {"min., ms":>8} {"GB/s":>8}   ours  optax  '
        'temp ours/optax  min.'
    )
    gradients = _draw(shapes, 1e-2)
    # Twice the bytes of the parameters per run: read and written.
    copy = _Runner(
        jax.jit(lambda w: (jax.tree.map(lambda x: -x, w),), donate_argnums=0),
        (_draw(shapes, 0.05),),
    )
    for name in names:
        ours, theirs, minimum = PAIRS[name]
        runners = [_runner(ours(), shapes, gradients)]
        if theirs:
            runners.append(_runner(theirs(), shapes, gradients))
        seconds = _interleaved([*runners, copy], rounds)
        medians = [statistics.median(s) for s in seconds]
        ratio = (
            statistics.median(b / a for a, b in zip(seconds[0], seconds[1]))
            if theirs
            else float('nan')
        )
        bytes_, temp = zip(*(_traffic(r.compiled, size) for r in runners))
        print(
            f'{name:10} {1e3 * medians[0]:8.1f} '
            f'{1e3 * medians[1] if theirs else float("nan"):8.1f} {ratio:7.2f} '
            f'{1e3 * medians[-1] * minimum / 8:8.1f} {minimum * size / medians[0] / 1e9:8.1f}   '
            f'{bytes_[0]:4.0f}  {bytes_[-1] if theirs else float("nan"):5.0f}  '
            f'{temp[0]:5.1f} /{temp[-1] if theirs else float("nan"):5.1f}   {minimum:7.1f}',
            flush=True,
        )
    print(f'{"copy":10} {1e3 * medians[-1]:8.1f}: {8 * size / medians[-1] / 1e9:.1f} GB/s in place')


def _cohort(names, rounds, trials=8):
    """One update of 8 trials under vmap, each with a learning rate of its own."""
    shapes = [(784, 512), (512,), (512, 512), (512,), (512, 10), (10,)]
    print(
        f'\nCohort: vmap over {trials} trials of an MLP 784-512-512-10, ms an update (median), '
        'optax/ours'
    )
    for name in names:
        ours, theirs, _ = PAIRS[name]

        def many(draw):
            return jax.tree.map(lambda x: jnp.stack([x] * trials), draw)

        gradients = many(_draw(shapes, 1e-2))
        runners = [
            _runner(tx(), shapes, gradients, many=many)
            for tx in ([ours, theirs] if theirs else [ours])
        ]
        seconds = _interleaved(runners, 3 * rounds)
        line = ' '.join(f'{1e3 * statistics.median(s):8.2f}' for s in seconds)
        ratio = statistics.median(b / a for a, b in zip(seconds[0], seconds[-1]))
        print(f'{name:10} {line}   {ratio:.2f}' if theirs else f'{name:10} {line}', flush=True)


def _diagnostics(shapes, rounds):
    gradients = _draw(shapes, 1e-2)
    plain = _runner(optimizers.lamb(1e-3), shapes, gradients)
    read = _runner(optimizers.lamb(1e-3), shapes, gradients, report=True)
    seconds = _interleaved([plain, read], rounds)
    ratio = statistics.median(b / a for a, b in zip(*seconds))
    print(f'\nReading diagnostics after each LAMB update: {ratio:.3f} of the update without')


def _imports(rounds):
    seconds = {'import optax': [], 'from lbexp import optimizers': []}
    # compiled once
    installed = {k: v for k, v in os.environ.items() if k != 'PYTHONDONTWRITEBYTECODE'}
    for _ in range(rounds):
        for line, found in seconds.items():
            began = time.perf_counter()
            subprocess.run([sys.executable, '-c', line], env=installed, check=True)
            found.append(time.perf_counter() - began)
    ratio = statistics.median(b / a for a, b in zip(*seconds.values()))
    told = ', '.join(f'{line} {statistics.median(found):.2f} s' for line, found in seconds.items())
    print(f'\nA new process: {told}; ratio {ratio:.3f}', flush=True)


def _all_reduces():
    """Collectives that compiled updates of ten sharded leaves contain."""
    mesh = jax.make_mesh((8,), ('data',), axis_types=(AxisType.Auto,))
    params = {f'w{i}': jnp.ones((16, 8)) for i in range(10)}
    spec = jax.tree.map(lambda _: P('data'), params)
    whole = jax.tree.map(lambda x: jax.device_put(x, NamedSharding(mesh, P('data'))), params)
    print(
        '\nAll-reduces in the compiled update of ten sharded leaves, 8 devices (jit / shard_map; '
        '+ in the rescue loop)'
    )
    for name, (ours, theirs, _) in PAIRS.items():
        counts = []
        for tx in [ours, theirs] if theirs else [ours]:
            tx = tx()
            step = jax.jit(lambda g, s, p, tx=tx: tx.update(g, s, p))
            if name == 'lookahead' and tx.init is not None and theirs and len(counts) == 1:
                whole_now = optax.LookaheadParams.init_synced(whole)
            else:
                whole_now = whole
            counts.append(_count(step.lower(whole, tx.init(whole_now), whole_now)))
        line = f'{name:10} ours {counts[0]:>8}' + (f'   optax {counts[1]:>8}' if theirs else '')
        if name in ('lars', 'larc', 'lamb', 'novograd'):
            make = functools.partial(getattr(optimizers, name), 0.1, axis_name='data')
            line += f'   ours in shard_map {_count(_sharded(make(), mesh, spec, params)):>8}'
        print(line)


def _sharded(tx, mesh, spec, params):
    state = jax.eval_shape(tx.init, params)
    state_spec = optax.tree.map_params(
        tx, lambda _: P('data'), state, transform_non_params=lambda _: P()
    )
    update = jax.shard_map(
        tx.update, mesh=mesh, in_specs=(spec, state_spec, spec), out_specs=(spec, state_spec)
    )
    return jax.jit(update).lower(params, state, params)


def _count(lowered):
    """'in every update' or 'in every update + in loops'."""
    text = lowered.compile().as_text()
    found = {True: 0, False: 0}
    for computation in re.split(r'\n(?=ENTRY|%)', text):
        found[computation.startswith('ENTRY')] += len(
            re.findall(r' all-reduce(?:-start)?\(', computation)
        )
    return f'{found[True]} + {found[False]}' if found[False] else f'{found[True]}'


class _Runner:
    """A compiled step whose first arguments are donated and come back."""

    def __init__(self, function, carried, constant=()):
        self.carried, self.constant = carried, constant
        self.compiled = function.lower(*carried, *constant).compile()

    def __call__(self):
        began = time.perf_counter()
        self.carried = jax.block_until_ready(self.compiled(*self.carried, *self.constant))[
            : len(self.carried)
        ]
        return time.perf_counter() - began


def _runner(tx, shapes, gradients, many=lambda tree: tree, report=False):
    params = many(_draw(shapes, 0.05))
    batched = jax.tree.leaves(params)[0].ndim > len(shapes[0])
    lift = jax.vmap if batched else (lambda f: f)

    def step(params, state, gradients):
        updates, state = tx.update(gradients, state, params)
        params = optax.apply_updates(params, updates)
        if report:
            found = optimizers.diagnostics(state)
            return params, state, found
        return params, state

    # optax's lookahead has parameters of its own.
    try:
        jax.eval_shape(lift(lambda g, p: tx.update(g, tx.init(p), p)), gradients, params)
    except AttributeError:
        params = optax.LookaheadParams.init_synced(params)
        params = params._replace(slow=jax.tree.map(jnp.copy, params.slow))
    state = jax.jit(lift(tx.init))(params)
    state = jax.tree.map(jnp.copy, state)
    return _Runner(jax.jit(lift(step), donate_argnums=(0, 1)), (params, state), (gradients,))


def _interleaved(runners, rounds):
    """Seconds of each runner, one after another in every round.

    Each runs once before it is timed: temporaries that another has just given back to the system
    cost whoever comes next (LARS on BERT-base after optax's: 93 ms, after itself 53).
    """
    seconds = [[] for _ in runners]
    for _ in range(rounds):
        for runner, found in zip(runners, seconds):
            runner()
            found.append(runner())
    return seconds


def _traffic(compiled, size):
    """XLA's count of bytes accessed and of temporary memory, per parameter."""
    cost = compiled.cost_analysis()
    cost = cost[0] if isinstance(cost, list) else cost
    return cost['bytes accessed'] / size, compiled.memory_analysis().temp_size_in_bytes / size


def _draw(shapes, scale):
    draw = np.random.default_rng(len(shapes))
    return [
        jnp.asarray(np.float32(scale) * draw.standard_normal(shape, np.float32)) for shape in shapes
    ]


def resnet50():
    shapes, width = [(7, 7, 3, 64), (64,), (64,)], 64
    for blocks, inner in ((3, 64), (4, 128), (6, 256), (3, 512)):
        for block in range(blocks):
            kernels = [(1, 1, width, inner), (3, 3, inner, inner), (1, 1, inner, 4 * inner)]
            kernels += [(1, 1, width, 4 * inner)] if block == 0 else []
            shapes += [shape for kernel in kernels for shape in (kernel, kernel[-1:], kernel[-1:])]
            width = 4 * inner
    return [*shapes, (2048, 1000), (1000,)]


def bert_base():
    shapes = [(30522, 768), (512, 768), (2, 768), (768,), (768,)]
    for _ in range(12):
        shapes += [shape for _ in range(4) for shape in ((768, 768), (768,))] + [(768,), (768,)]
        shapes += [(768, 3072), (3072,), (3072, 768), (768,), (768,), (768,)]
    return [*shapes, (768, 768), (768,), (768, 768), (768,), (768,), (768,), (30522,)]


def _machine():
    models = (
        re.findall(r'model name\s*:\s*(.*)', pathlib.Path('/proc/cpuinfo').read_text())
        if os.path.exists('/proc/cpuinfo')
        else []
    )
    device = jax.devices()[0]
    load = os.getloadavg()[0] if hasattr(os, 'getloadavg') else float('nan')
    return (
        f'{models[0] if models else platform.processor()}, {os.cpu_count()} cores, load '
        f'{load:.1f}; '
        f'{device.platform} {device.device_kind}; Python {platform.python_version()}, jax '
        f'{jax.__version__}, '
        f'optax {optax.__version__}'
    )
