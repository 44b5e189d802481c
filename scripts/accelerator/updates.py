"""GB/s of one update of BERT-base's parameters, ours and optax's, beside a copy of as many bytes.

What must move, in float32 numbers a parameter, if nothing stays in cache (w weights, g gradient, b
momentum, m and v moments, s slow weights; a trust ratio needs norms before anything is written, so
that what they are of is read twice):

    momentum    reads g b w, writes b w                                       5 x 4 = 20 bytes
    LARS        reads g w for the norms; then as momentum                     7 x 4 = 28 bytes
    LAMB        reads g m v w, writes m v; reads m v w, writes w             10 x 4 = 40 bytes
    Lookahead   as momentum, and every k = 5 updates reads and writes s   20 + 8/5 = 21.6 bytes

Without a branch, as our updates are written for accelerators, Lookahead moves s each time: 28.
"""

import concurrent.futures
import importlib.util
import math
import pathlib
import statistics
import time
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from accelerator.record import Record

# (optimizer, whether looped), the most valuable first; LAMB tells what a call costs.
_CASES = (
    ('lamb', True),
    ('lars', True),
    ('momentum', True),
    ('lookahead', True),
    ('lamb', False),
)
_QUICK = (('lamb', True), ('momentum', False))
_UPDATES = 10  # in a row, in one measurement


class Way(NamedTuple):
    """One optimizer in one of two ways: `looped`, all updates in one program, as the engine has
    them; or called from Python one by one."""

    name: str
    who: str
    looped: bool
    compiled: concurrent.futures.Future
    init: object  # () -> (params, state)


def measure(record: Record, quick: bool, deadline: float) -> None:
    benchmark = _benchmark()
    shapes = benchmark.bert_base()
    shapes = shapes[1:12] if quick else shapes
    cases = _QUICK if quick else _CASES
    size = sum(map(math.prod, shapes))
    record.add('parameters', size, '', f'{len(shapes)} tensors, float32')
    with concurrent.futures.ThreadPoolExecutor(2 if quick else 8) as pool:
        # Lowered all at once, so that XLA compiles side by side.
        pairs = []
        for name, looped in cases:
            pair = []
            for who, tx in zip(('ours', 'optax'), benchmark.PAIRS[name][:2], strict=True):
                with record.trying(f'{name}, {who}'):
                    pair.append(_way(name, who, looped, tx(), shapes, pool))
            pairs.append(pair)
        record.add('lowering', record.seconds(), 's', 'start included')
        for (name, _), pair in zip(cases, pairs, strict=True):
            if time.monotonic() > deadline - 5:
                record.failed('no time was left', name)
            elif pair:
                with record.trying(name):
                    minimum = benchmark.PAIRS[name][2]
                    _compare(record, pair, minimum, size, shapes, 3 if quick else 7)


def _benchmark():
    path = pathlib.Path(__file__).parent.parent / 'benchmarks' / 'optimizers.py'
    spec = importlib.util.spec_from_file_location('optimizers_benchmark', path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _way(name, who, looped, tx, shapes, pool):
    def init():
        params = [0.05 * each for each in _draw(shapes, 0)]
        if who == 'optax' and name == 'lookahead':  # it has parameters of its own
            params = optax.LookaheadParams.init_synced(params)
            params = jax.tree.map(jnp.copy, params)
        return params, jax.tree.map(jnp.copy, tx.init(params))

    def update(params, state, gradients):
        updates, state = tx.update(gradients, state, params)
        return optax.apply_updates(params, updates), state

    def loop(params, state, gradients, one):
        def body(_, carried):
            params, state, scale = carried
            # Without a factor that the compiler does not know, the gradients' norms would be
            # computed once, before the loop. It rides along where the gradients are read.
            scaled = jax.tree.map(lambda g: scale * g, gradients)
            return *update(params, state, scaled), scale * one

        return jax.lax.fori_loop(0, _UPDATES, body, (params, state, one))[:2]

    params, state = jax.eval_shape(init)
    gradients = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in shapes]
    one = jax.ShapeDtypeStruct((), jnp.float32)
    function = jax.jit(loop if looped else update, donate_argnums=(0, 1))
    lowered = function.lower(params, state, gradients, *([one] if looped else []))
    return Way(name, who, looped, pool.submit(lowered.compile), init)


def _draw(shapes, seed):
    keys = jax.random.split(jax.random.key(seed), len(shapes))
    return [jax.random.normal(key, shape) for key, shape in zip(keys, shapes, strict=True)]


def _compare(record, ways, minimum, size, shapes, rounds):
    """Alternating rounds of ours, optax's and a copy that reads and writes the minimum."""
    gradients = [0.01 * each for each in _draw(shapes, 1)]
    runners = {}
    for way in ways:
        runners[way.who] = _runner(way, gradients)
    runners['copy'] = _copy(int(minimum * size) // 2)
    seconds = {who: [] for who in runners}
    for _ in range(rounds):
        for who, runner in runners.items():
            seconds[who].append(runner())
    how = 'looped' if ways[0].looped else 'called'
    medians = {who: statistics.median(each) for who, each in seconds.items()}
    moved = minimum * size
    for who, median in medians.items():
        ratios = [b / a for a, b in zip(seconds[who], seconds['copy'], strict=True)]
        share = statistics.median(ratios)
        note = (
            f'{1e3 * median:.3f} ms; {share:.0%} of the copy; least bytes {minimum:g} a parameter'
        )
        if who != 'copy':
            way = next(way for way in ways if way.who == who)
            note += f'; {_counted(way, size)}; {_bound(share, ways[0].looped)}'
        record.add(f'{ways[0].name}, {who}, {how}', moved / median / 1e9, 'GB/s', note)


def _bound(share, looped):
    if share >= 0.8:
        return 'bound by memory'
    if looped:
        return 'bound by more bytes than the least, by launches, or by kernels that use less of it'
    return 'bound by the same, or by the call: hundreds of buffers are handed over'


def _counted(way, size):
    """What XLA says of the program: bytes accessed by an update, and temporaries, a parameter."""
    compiled = way.compiled.result()
    cost = compiled.cost_analysis() or {}
    cost = cost[0] if isinstance(cost, list) else cost
    memory = compiled.memory_analysis()
    temporary = getattr(memory, 'temp_size_in_bytes', float('nan')) / size
    # Of a loop XLA may count the body once or each time.
    accessed = (
        '' if way.looped else f'XLA counts {cost.get("bytes accessed", 0) / size:.1f} bytes, '
    )
    return f'{accessed}temporary {temporary:.1f} bytes a parameter'


def _runner(way, gradients):
    """() -> seconds of one update, in a row of them."""
    compiled, carried = way.compiled.result(), way.init()
    one, calls = jnp.ones(()), 1 if way.looped else _UPDATES

    def run():
        nonlocal carried
        began = time.perf_counter()
        for _ in range(calls):
            carried = compiled(*carried, gradients, *([one] if way.looped else []))
        jax.block_until_ready(carried)
        return (time.perf_counter() - began) / _UPDATES

    run()
    return run


def _copy(size):
    """() -> seconds of reading and writing `size` bytes each, in place. Called one by one, whose
    cost is small beside that of so many bytes: in a loop XLA may copy the array once more."""
    negative = jax.jit(jnp.negative, donate_argnums=0)
    array = jax.block_until_ready(negative(jnp.ones(size // 4, jnp.float32)))

    def run():
        nonlocal array
        began = time.perf_counter()
        for _ in range(_UPDATES):
            array = negative(array)
        jax.block_until_ready(array)
        return (time.perf_counter() - began) / _UPDATES

    run()
    return run
