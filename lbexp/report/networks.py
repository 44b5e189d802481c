"""What was trained, as a workdir's summary.json tells it: layers, examples, planned schedule."""

import itertools
import math

import numpy as np

from lbexp import results
from lbexp.analysis import Figure, Series, Table
from lbexp.documents import Network, Summary
from lbexp.quantities import with_prefix
from lbexp.report import curves

LAYERS = 400  # rows of the table of a network


def target(summary: Summary) -> str | None:
    """The metric of the workload's target, which tables show first; None: there is none, or
    networks differ in it."""
    metrics = {network.target[0] if network.target else None for network in summary.networks}
    return metrics.pop() if len(metrics) == 1 else None


def facts(summary: Summary) -> list[str]:
    """'9,930 parameters', '1,437 train and 360 test examples'."""
    if not summary.networks:
        return []
    counts = sorted({network.parameters for network in summary.networks})
    text = f'{counts[0]:,}'
    if len(counts) > 1:
        text = f'{counts[0]:,} to {counts[-1]:,}'
    facts = [f'{text} parameter{"s" * (counts[-1] != 1)}']
    costs = sorted({network.flops for network in summary.networks if network.flops})
    if costs:
        words = dict.fromkeys(with_prefix(cost, 'FLOP') for cost in (costs[0], costs[-1]))
        facts.append(f'{" to ".join(words)} an example, forward and backward')
    examples = summary.networks[0].examples
    if examples and all(network.examples == examples for network in summary.networks):
        facts.append(f'{_sizes(examples)} examples')
    return facts


def _sizes(examples):
    return ', '.join(f'{count:,} {name}' for name, count in examples.items())


def layers(network: Network) -> Table:
    """A row for each array of parameters, and their sum."""
    rows = []
    for layer in network.layers[:LAYERS]:
        shape = ' × '.join(map(str, layer.shape)) or 'number'
        rows.append([layer.path, shape, layer.dtype, f'{math.prod(layer.shape):,}'])
    rows.append(['total', '', '', f'{network.parameters:,}'])
    caption = f'Examples: {_sizes(network.examples)}.'
    if len(network.layers) > LAYERS:
        caption = f'{LAYERS} of {len(network.layers)} arrays. {caption}'
    if network.target:
        metric, level = network.target
        caption += f' Target: test {metric.replace("_", " ")} {level:g}.'
    return Table(network.name, ['array', 'shape', 'type', 'parameters'], rows, caption)


def throughput(summary: Summary, rows: results.Columns) -> Table | None:
    """How fast a trial of each network trained: medians over the rows of its trials; None: no row
    says it.

    Args:
        rows: columns of `results.read`.
    """
    if 'flop_per_second' not in results.numeric(rows):
        return None
    lines = []
    for network in summary.networks:
        speeds = rows['flop_per_second'][np.isin(rows['trial'], network.trials)]
        speeds = speeds[np.isfinite(speeds)]
        if not len(speeds) or not network.flops:
            continue
        speed = float(np.median(speeds))
        cost, reached = with_prefix(network.flops, 'FLOP'), with_prefix(speed, 'FLOP/s')
        examples = f'{speed / network.flops:,.0f}'
        lines.append([network.name, f'{network.parameters:,}', cost, examples, reached])
    if not lines:
        return None
    columns = [
        'network',
        'parameters',
        'FLOP an example',
        'examples/s of a trial',
        'FLOP/s of a trial',
    ]
    caption = (
        'Products of matrices and convolutions, forward and backward; medians over the rows, '
        'without compilation, evaluations and checkpoints. Trials that train side by side share '
        'the devices.'
    )
    return Table('Throughput', columns, lines, caption)


def schedule(summary: Summary, finals: results.Columns) -> list[Figure]:
    """The learning rate as planned, in a figure; none where none is known.

    Args:
        finals: columns of `results.final`, which say how the trials differ.
    """
    place_of = dict(zip(finals['trial'].tolist(), itertools.count()))
    known = []
    for each in summary.schedules:
        if each.steps and each.trials and each.trials[0] in place_of:
            known.append(each)
    places = [place_of[each.trials[0]] for each in known]
    groups = curves.grouping(finals, places)
    series = []
    for each, name, value in zip(known, groups.names, groups.values, strict=True):
        count = min(len(each.steps), len(each.rates))
        x, y = each.steps[:count], each.rates[:count]
        series.append(Series(name or 'learning rate', x, y, value=value))
    if not series:
        return []
    caption = 'From the configuration: at most eight schedules, evenly spaced over the trials.'
    axes = 'step (optimizer updates)', 'learning rate'
    return [Figure('schedule', 'Learning rate as planned', *axes, series, caption=caption)]
