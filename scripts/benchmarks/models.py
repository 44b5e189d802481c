"""One trial through the engine against PyTorch and the usual loop: a convolutional network, an
LSTM, a transformer, a deep and cross network. Forward, backward and update.

    pip install torch
    python -m lbexp.data.prepare fashion_mnist      # and debian_titles, sotu, adult
    python scripts/benchmark.py models

PyTorch is eager, with its default threads, and the convolutions also with channels last; the usual
loop is one jitted step per batch, called from Python. All have their data in memory as NumPy
arrays. The engine also computes what a row says of training, such as the accuracy. Printed are
updates per second, medians over the rounds, the ratio of the engine to each with its 95 % bootstrap
interval, and the engine's FLOP/s beside those of a product of matrices on this machine.
"""

import argparse
import functools
import statistics
import time

import _side_by_side
import jax
import jax.numpy as jnp

from lbexp import analysis
from lbexp.config import lookup
from lbexp.engine.flops import flops_per_example

_WORKLOADS = {
    'cnn': dict(name='fashion_cnn'),
    'lstm': dict(name='titles_lstm'),
    'transformer': dict(name='sotu_lm'),
    'dcn': dict(name='binary', data=dict(name='adult'), model=dict(name='dcn')),
}
_BATCH_SIZES = {'cnn': (32, 128, 512), 'lstm': (64,), 'transformer': (32,), 'dcn': (512,)}


def main(argv):
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument('--models', nargs='+', choices=_WORKLOADS, default=list(_WORKLOADS))
    options.add_argument('--batch_sizes', type=int, nargs='+', help='default: by model')
    options.add_argument('--rounds', type=int, default=9)
    options.add_argument('--seconds', type=float, default=1.0, help='aimed at for each measurement')
    options = options.parse_args(argv)
    import torch

    print(
        f'{_side_by_side.machine()}, torch {torch.__version__}, {torch.get_num_threads()} threads'
    )
    measurements = []
    for model in options.models:
        for size in options.batch_sizes or _BATCH_SIZES[model]:
            measurements += _compared(model, size, options)
    return measurements


def _compared(model, size, options):
    workload = _WORKLOADS[model]
    ways = {
        'engine': _side_by_side.engine(workload, size),
        'usual loop': _side_by_side.usual_loop(workload, size),
        **_peers(model, size),
    }
    rates = _side_by_side.rates(ways, options.rounds, options.seconds)
    speed = statistics.median(rates['engine']) * size * flops_per_example(workload, size)
    print(
        f'{model}, batch {size}: engine {statistics.median(rates["engine"]):.1f} updates/s, '
        f'{speed / 1e9:.1f} GFLOP/s of {_matmul_speed() / 1e9:.0f} of a product of matrices'
    )
    measurements = []
    for name in list(rates)[1:]:
        ratios = [a / b for a, b in zip(rates['engine'], rates[name], strict=True)]
        median = statistics.median(rates[name])
        print(f'  {name} {median:.1f}: {analysis.format_interval(ratios)}', flush=True)
        value, low, high = analysis.interval(ratios)
        case = {'case': f'{model}, batch {size}', 'quantity': f'speed / {name}'}
        measurements.append({**case, 'value': value, 'low': low, 'high': high})
    return measurements


def _peers(model, size):
    import _torch_peers as peers
    import torch

    arrays = lookup.build('workload', _WORKLOADS[model]).train.arrays
    if model == 'cnn':
        ways = {}
        for name, channels_last in {'PyTorch': False, 'PyTorch, channels last': True}.items():
            network = peers.Convolutions(channels_last)
            ways[name] = peers.way(network, peers.of_pictures, arrays, size)
        return ways
    if model == 'dcn':
        sizes = torch.from_numpy(jax.device_get(arrays['categorical']).max(0) + 1)
        network, loss = peers.DeepAndCross(sizes), peers.of_clicks
    else:
        loss, tokens = peers.of_texts, int(arrays['tokens'].max()) + 1
        if model == 'lstm':
            network = peers.LongShortTermMemory(tokens)
        else:
            network = peers.Transformer(tokens, positions=arrays['tokens'].shape[1])
    return {'PyTorch': peers.way(network, loss, arrays, size)}


@functools.cache
def _matmul_speed():
    """FLOP/s of a product of two matrices of 2048 x 2048, the best of ten."""
    x = jnp.ones((2048, 2048))
    product = jax.jit(jnp.matmul)
    jax.block_until_ready(product(x, x))
    times = []
    for _ in range(10):
        began = time.perf_counter()
        jax.block_until_ready(product(x, x))
        times.append(time.perf_counter() - began)
    return 2 * 2048**3 / min(times)
