"""Memory that training takes on one machine, against the bytes of parameters, one gradient and the
optimizer's state: networks of 25 to 50 million parameters, one example or a few a step.

python scripts/benchmark.py memory [--models mlp ...] [--optimizers lamb ...] [--record]

`compiled` is what XLA says of the engine's training program: arguments + results - what is donated
+ temporary arrays. `steps`, `evaluation`, `checkpoint` are the process's peak of resident memory
in each, over what it held before there was a state. All are divided by the bytes that are needed.
Every case is a process of its own. Temporary arrays under SGD, which has no state, less one
gradient, are what the network takes and no optimizer: its activations.
"""

import argparse
import gc
import json
import pathlib
import subprocess
import sys
import tempfile

import jax
import numpy as np

from lbexp import config as configs
from lbexp.engine.checkpoint import Checkpoints
from lbexp.engine.environment import environment
from lbexp.engine.plan import plan
from lbexp.engine.program import program
from lbexp.parallel import mesh
from lbexp.parallel.devices import devices
from lbexp.parallel.replicas import size

AIM = 1.15
BATCH = 4
_IMAGES = dict(name='classification', data=dict(name='digits'))
_STAGES = [[64, 3], [128, 4], [256, 6], [512, 5]]
_TRANSFORMER = dict(name='transformer', width=640, blocks=6, heads=8)
MODELS = {
    'mlp': dict(**_IMAGES, model=dict(name='mlp', hidden=[5120, 5120, 4608])),
    'resnet': dict(**_IMAGES, model=dict(name='lbexp.models.resnet:ResNet', stages=_STAGES)),
    'transformer': dict(
        name='language_model',
        data=dict(name='sotu', vocabulary=257, length=32),
        model=_TRANSFORMER,
    ),
}
OPTIMIZERS = {
    'sgd': dict(name='sgd', learning_rate=0.01),
    'momentum': dict(name='momentum', learning_rate=0.01, momentum=0.9),
    'adamw': dict(name='adamw', learning_rate=0.001),
    'lars': dict(name='lars', learning_rate=1.0),
    'lamb': dict(name='lamb', learning_rate=0.001),
}


def main(argv):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--models', nargs='+', choices=MODELS, default=list(MODELS))
    parser.add_argument('--optimizers', nargs='+', choices=OPTIMIZERS, default=list(OPTIMIZERS))
    parser.add_argument('--case', help='MODEL/OPTIMIZER: measure it in this process, as JSON')
    parser.add_argument('--steps', type=int, default=3, help='0: compile alone')
    options = parser.parse_args(argv)
    if options.case:
        print(json.dumps(_measured(*options.case.split('/'), options.steps)))
        return None
    facts = environment()
    print(', '.join(f'{name} {facts[name]}' for name in ('processor', 'cores', 'backend', 'jax')))
    print(f'aim: each <= {AIM} x (parameters + gradient + state of the optimizer); batch {BATCH}')
    columns = ('compiled', 'steps', 'evaluation', 'checkpoint')
    print(f'{"":22} {"needed":>8} ' + ' '.join(f'{name:>10}' for name in columns))
    measurements = []
    for model in options.models:
        for optimizer in options.optimizers:
            measurements += _show(f'{model}/{optimizer}', options.steps, columns)
    return measurements


def _show(case, steps, columns):
    """Prints a case; returns it as rows of the history."""
    command = [sys.executable, str(pathlib.Path(__file__).parents[1] / 'benchmark.py'), 'memory']
    answer = subprocess.run(
        [*command, '--case', case, '--steps', str(steps)], stdout=subprocess.PIPE, check=True
    )
    measured = json.loads(answer.stdout.splitlines()[-1])
    cells, measurements = '', []
    for name in columns:
        if name in measured:
            ratio = measured[name] / measured['needed']
            cells += f' {ratio:10.3f}'
            measurements.append({'case': case, 'quantity': f'{name} / needed', 'value': ratio})
        else:
            cells += ' ' * 11
    parts = ', '.join(f'{name} {count / 1e6:.0f}' for name, count in measured['parts'].items())
    print(f'{case:22} {measured["needed"] / 1e6:5.0f} MB{cells}   [MB] {parts}', flush=True)
    return measurements


def _measured(model, optimizer, steps):
    """Bytes, by what they are of."""
    devices(1, many_trials=False)
    config = configs.base()
    config.workload, config.optimizer = MODELS[model], OPTIMIZERS[optimizer]
    config.batch_size, config.steps, config.num_rows = BATCH, 100, 1
    config.evaluate_test = 1024  # that of the texts has ten thousands
    (cohort,) = plan([configs.resolve(config, {})])
    ready = program(cohort, 'auto', None)
    parameters = size(ready.states.params)
    needed = 2 * parameters + size(ready.states.opt_state)
    training = ready.memory()['segment']
    data = training.argument_size_in_bytes - size(ready.states)
    compiled = training.argument_size_in_bytes - data + training.temp_size_in_bytes
    compiled += training.output_size_in_bytes - training.alias_size_in_bytes
    parts = {
        'parameters': parameters,
        'states': size(ready.states),
        'temporary': training.temp_size_in_bytes,
        'data': data,
        'not donated': training.output_size_in_bytes - training.alias_size_in_bytes,
    }
    measured = {'needed': needed, 'compiled': compiled, 'parts': parts}
    if steps:
        measured |= _resident(ready, steps)
    return measured


def _resident(ready, steps):
    gc.collect()
    before = _peak()
    states = ready.init()
    jax.block_until_ready(states)
    _reset_peak()
    for step in range(1, steps + 1):
        tick = np.array([step])
        states, columns = ready.segment(states, tick, np.array([0]), np.array([steps]))
        jax.block_until_ready(columns)
    peaks = {'steps': _peak() - before}
    _reset_peak()
    mesh.fetch(ready.evaluate(states).columns)
    peaks['evaluation'] = _peak() - before
    with tempfile.TemporaryDirectory() as folder:
        checkpoints = Checkpoints(pathlib.Path(folder))
        _reset_peak()
        checkpoints.save(1, mesh.fetch(states))
        checkpoints.wait()
        peaks['checkpoint'] = _peak() - before
        checkpoints.close()
    return peaks


def _reset_peak():
    gc.collect()
    pathlib.Path('/proc/self/clear_refs').write_text('5')


def _peak():
    """Bytes: the most that was resident since the last reset."""
    for line in pathlib.Path('/proc/self/status').read_text().splitlines():
        if line.startswith('VmHWM'):
            return int(line.split()[1]) * 1024
    raise RuntimeError('/proc/self/status: found no VmHWM; allowed: Linux')


if __name__ == '__main__':
    main(sys.argv[1:])
