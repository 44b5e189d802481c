"""Two networks of one shape with their hidden units in one order."""

import itertools
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy.optimize import linear_sum_assignment

_SWEEPS = 100  # over the layers; the fit rises with each, and few are needed


def dense_layers(params: Any) -> list[str]:
    """Names of the layers of a network that has dense layers alone, in order, for `match_units`.

    The order is that of the numbers that names end in, as Flax has it: Dense_0, Dense_1, ... Names
    and shapes do not say that each layer feeds the next alone, through an activation of each unit
    by itself: compare the outputs of the matched network with those before.

    Raises:
        ValueError: something else than numbered dense layers.
    """
    if not isinstance(params, Mapping):
        raise ValueError('layers: found parameters without names; allowed: dense layers by name')
    places = {}
    for name, layer in params.items():
        number = re.search(r'\d+$', name)
        if number is None or not _is_dense(layer):
            raise ValueError(f'layers: found {name!r}; allowed: dense layers with numbers alone')
        places[name] = int(number.group())
    return sorted(places, key=places.__getitem__)


def _is_dense(layer):
    if not isinstance(layer, Mapping) or not {'kernel'} <= set(layer) <= {'kernel', 'bias'}:
        return False
    return np.ndim(layer['kernel']) == 2


def match_units(reference: Any, network: Any, layers: Sequence[str]) -> Any:
    """The network with the hidden units of each layer in the order in which its weights are nearest
    to the reference's: the same function (Ainsworth, Hayase, Srinivasa 2023, arXiv:2209.04836,
    algorithm 1, weight matching).

        maximise  sum_l <W_l^ref, P_{l-1}^T W_l P_l> + <b_l^ref, P_l^T b_l>

    one layer's permutation after another, an assignment problem each, until none improves: a local
    maximum. Without it the line between networks of two seeds mostly shows that their units are
    shuffled.

    Args:
        reference, network: {layer: {'kernel': [in, out], 'bias': [out]}}, 'bias' where there is
            one; other leaves are left alone. Runs on the host.
        layers: names of all dense layers, in order: each one's outputs feed the next alone.

    Raises:
        ValueError: fewer than two layers, or kernels that do not follow on one another.
    """
    kernels = [np.asarray(network[name]['kernel']) for name in layers]
    for before, after in itertools.pairwise(kernels):
        if before.ndim != 2 or after.ndim != 2 or before.shape[1] != after.shape[0]:
            raise ValueError(
                f'layers: found kernels of shapes {before.shape} and {after.shape}; allowed: '
                'dense layers that feed one another'
            )
    if len(kernels) < 2:
        raise ValueError(f'layers: found {len(kernels)}; allowed: two or more')
    orders = [np.arange(kernel.shape[1]) for kernel in kernels[:-1]]
    for _ in range(_SWEEPS):
        is_better = False
        for place in range(len(orders)):
            gains = _gains(reference, network, layers, orders, place)
            _, order = linear_sum_assignment(gains, maximize=True)
            units = np.arange(len(order))
            before, after = gains[units, orders[place]].sum(), gains[units, order].sum()
            if after > before + 1e-6 * abs(before):
                orders[place], is_better = order, True
        if not is_better:
            break
    return _permuted(network, layers, orders)


def _gains(reference, network, layers, orders, place):
    """[i, j]: what unit j of the network at place i adds to the sum."""
    aim, layer = reference[layers[place]], network[layers[place]]
    kernel = np.asarray(layer['kernel'])
    if place:
        kernel = kernel[orders[place - 1]]
    gains = np.asarray(aim['kernel']).T @ kernel
    if 'bias' in layer:
        gains = gains + np.outer(aim['bias'], layer['bias'])
    following = np.asarray(network[layers[place + 1]]['kernel'])
    if place + 1 < len(orders):
        following = following[:, orders[place + 1]]
    return gains + np.asarray(reference[layers[place + 1]]['kernel']) @ following.T


def _permuted(network, layers, orders):
    permuted = dict(network)
    for place, name in enumerate(layers):
        layer = {key: np.asarray(leaf) for key, leaf in network[name].items()}
        if place:
            layer['kernel'] = layer['kernel'][orders[place - 1]]
        if place < len(orders):
            for key in layer:
                layer[key] = layer[key][..., orders[place]]
        permuted[name] = layer
    return permuted
