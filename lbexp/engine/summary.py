"""What is trained, and how the learning rate is planned: kept in the workdir, so that a report
builds no model."""

import json
import math
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

from lbexp.config import lookup
from lbexp.documents import SUMMARY
from lbexp.engine.components import planned_rate
from lbexp.engine.flops import flops_per_example
from lbexp.engine.metrics_file import replace
from lbexp.engine.sources import sources
from lbexp.engine.trial_plan import run_length, trial_plan

NETWORKS = 8  # different ones that are told of
SCHEDULES = 8  # different ones that are drawn
_POINTS = 200  # of a schedule


def keep_summary(workdir: pathlib.Path, trials: Mapping[int, dict], docstring: str = '') -> None:
    """Writes summary.json: layers, parameters, operations, examples and target of the networks, the
    learning rate as planned, and what the experiment file says of itself.

    Shapes come from `jax.eval_shape` of the workload's `init`: no parameter is drawn. Of more than
    NETWORKS networks and SCHEDULES schedules evenly spaced ones are kept.

    Args:
        trials: of the workdir, by number: resolved configurations.
        docstring: of the experiment file.
    """
    networks, schedules = [], []
    # The process that starts others leaves the accelerators to them.
    with jax.default_device(jax.local_devices(backend='cpu')[0]):
        for numbers in _some(_grouped(trials, _workload), NETWORKS):
            networks.append({'trials': numbers, **_network(trials[numbers[0]])})
        for numbers in _some(_grouped(trials, _apart_from_seed), SCHEDULES):
            schedules.append({'trials': numbers, **_schedule(trials[numbers[0]])})
    content = {'docstring': docstring, 'networks': networks, 'schedules': _distinct(schedules)}
    path = workdir / SUMMARY
    text = json.dumps(content).encode()
    if not path.exists() or path.read_bytes() != text:
        replace(path, text)


def _grouped(trials, key: Callable[[dict], Any]) -> list[list[int]]:
    """Numbers of the trials that have one key together, in order of appearance."""
    groups = {}
    for number, config in trials.items():
        groups.setdefault(json.dumps(key(config), sort_keys=True), []).append(number)
    return list(groups.values())


def _workload(config):
    return config['workload']


def _apart_from_seed(config):
    return {**config, 'seed': 0}


def _some(groups, most):
    if len(groups) <= most:
        return groups
    places = np.linspace(0, len(groups) - 1, most).astype(int)
    return [groups[place] for place in places]


def _network(config):
    workload = lookup.build('workload', config['workload'])
    # Of shapes, too: a key that is drawn would be compiled.
    params, _ = jax.eval_shape(workload.init, jax.eval_shape(jax.random.key, 0))
    layers, parameters = [], 0
    for path, leaf in jax.tree_util.tree_flatten_with_path(params)[0]:
        parameters += math.prod(leaf.shape)
        name = jax.tree_util.keystr(path, simple=True, separator='/')
        layers.append({'path': name, 'shape': list(leaf.shape), 'dtype': str(leaf.dtype)})
    size = config['microbatch'] or config['batch_size']
    target = None
    if workload.target is not None:
        target = [workload.target[0], float(workload.target[1])]
    return {
        'name': config['workload']['name'],
        'layers': layers,
        'parameters': parameters,
        'flops': flops_per_example(config['workload'], size, config['freeze']),
        'examples': {name: int(source.size) for name, source in sources(workload).items()},
        'target': target,
    }


def _schedule(config):
    """The learning rate at evenly spaced updates."""
    plan, length = trial_plan(config), run_length(config)
    steps = np.unique(np.linspace(0, length - 1, min(length, _POINTS)).astype(np.int32))

    # As one program, the schedule's own constants in it: alone, each operation would be compiled.
    @jax.jit
    def at(steps):
        return jax.vmap(planned_rate(*plan))(steps)

    rates = np.asarray(at(steps), np.float64)
    if not np.isfinite(rates).all():  # an optimizer without a learning rate
        return {'steps': [], 'rates': []}
    return {'steps': steps.tolist(), 'rates': [float(f'{value:.6g}') for value in rates]}


def _distinct(schedules):
    """Equal schedules as one, with the trials of all."""
    by_curve = {}
    for schedule in schedules:
        curve = json.dumps([schedule['steps'], schedule['rates']])
        if curve in by_curve:
            by_curve[curve]['trials'] += schedule['trials']
        elif schedule['steps']:
            by_curve[curve] = schedule
    return list(by_curve.values())
