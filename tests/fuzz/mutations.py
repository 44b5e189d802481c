"""Experiment files with one or two fields changed to what nobody should write there: a function of
seed and number."""

import copy
import math
import pathlib
import random
from typing import Any, NamedTuple

import numpy as np
from ml_collections import ConfigDict

from lbexp.config import fields, load, lookup

ROOT = pathlib.Path(__file__).parent.parent.parent
# Their data has to be prepared, which no test does.
_OF_PREPARED_DATA = (
    'blue_marble_cnn.py',
    'cifar10_resnet.py',
    'ctr.py',
    'ctr_large_batch.py',
    'fashion_asl_cnn.py',
    'fashion_simclr.py',
    'feature_bagging.py',
    'photos_transfer.py',
    'reviews_bert.py',
    'sotu_lm.py',
    'titles_lstm.py',
)
_FILES = sorted(path.name for path in (ROOT / 'experiments').glob('*.py'))
EXPERIMENTS = [name for name in _FILES if name not in _OF_PREPARED_DATA]

# Studies whose trials take seconds to make, made of few.
# rarer: their studies solve and compile for seconds
_SOLVED = ('quadratic_convergence.py', 'steady_state.py')
_SMALL = {
    'quadratic_convergence.py': {'conditions': (10.0,), 'momenta': (0.9,), 'k': 5},
    'steady_state.py': {
        'learning_rates': (0.5,),
        'momenta': (0.5,),
        'ks': (5,),
        'slow_step_sizes': (0.5,),
        'batch_sizes': (1,),
        'updates': 100,
    },
    'async_lookahead.py': {'updates': 100, 'workers': (1, 2), 'servers': ('sgd',)},
    'steps_to_target.py': {'optimizers': ('sgd',), 'tunings': 1},
}

_NUMBERS = (
    0,
    1,
    2,
    3,
    7,
    16,
    64,
    -1,
    1.0,
    0.5,
    0.0,
    -0.5,
    1e-9,
    1e9,
    2**31,
    2**40,
    1e308,
    math.inf,
    -math.inf,
    math.nan,
)
_NUMPY = (
    np.int64(8),
    np.float32(0.5),
    np.float64(math.nan),
    np.arange(3),
    np.ones((2, 2)),
    np.bool_(True),
)
_TEXTS = (
    '',
    'None',
    'sgd',
    'lamb',
    'momentum',
    'all',
    'none',
    '[',
    '(',
    '*',
    'foo',
    'float32',
    '1',
    'é',
    '.a:b',
    'os:getcwd',
)
_NAMES = (
    'optax:sgd',
    'optax:adamw',
    'optax:lbfgs',
    'optax:constant_schedule',
    'optax:nothing',
    'os:getcwd',
    'nowhere:x',
    ':',
    'a:',
    'layers',
    'norms',
    'diagnostics',
    'training',
    'digits_mlp',
    'constant',
)
_JUNK = (
    None,
    True,
    False,
    (),
    [],
    {},
    (1,),
    (1, 2),
    [0.5, None],
    ('a',),
    (0.0, math.inf),
    (5, 1),
    {'name': 'sgd'},
    {'name': 'sgd', 'learning_rate': 0.1},
    {'name': 3},
    {'name': 'lookahead', 'inner': {'name': 'momentum', 'learning_rate': 0.1}},
    {'a': {'b': [{'c': None}]}},
    [{'name': 'distance'}],
    ({'name': 'optax:clip_by_global_norm', 'max_norm': '1'},),
    (('seed', (0, 1)),),
    (('optimizer.learning_rate', (0.1, np.float64(0.2))),),
    {'trials': 2, 'space': (('batch_size', 'linear', 8, 64),)},
    {'trials': 2, 'space': (('optimizer.learning_rate', 'log', 0.01, 1.0),)},
    object(),
    max,
    np.float32,
    np.dtype('float32'),
    pathlib.Path('x'),
    b'bytes',
    1j,
    {1, 2},
    range(3),
)
POOL = (*_NUMBERS, *_NUMPY, *_TEXTS, *_NAMES, *_JUNK)


class Case(NamedTuple):
    """A mutated configuration."""

    experiment: str
    how: str  # 'file', 'command line' or 'sweep'
    changes: dict[str, Any]

    def __str__(self):
        return f'{self.experiment}, by {self.how}: {self.changes}'


def case(seed: int, number: int) -> Case:
    """The `number`-th case of `seed`: every experiment in turn, then fields at random; every third
    changes two."""
    draw = random.Random(f'{seed} {number}')
    names = _SOLVED if number % 50 == 49 else [name for name in EXPERIMENTS if name not in _SOLVED]
    experiment = (
        names[number // 50 % len(names)] if names is _SOLVED else names[number % len(names)]
    )
    paths = _paths(experiment)
    chosen = draw.sample(paths, 2 if number % 3 == 0 else 1)
    how = draw.choice(('file', 'file', 'command line', 'sweep'))
    return Case(experiment, how, {path: draw.choice(POOL) for path in chosen})


def read(experiment: str) -> ConfigDict:
    """The configuration of an experiment file, unlocked, its study small."""
    if experiment not in _LOADED:
        config = load(str(ROOT / 'experiments' / experiment)).unlock()
        for name, value in _SMALL.get(experiment, {}).items():
            config.study[name] = value
        _LOADED[experiment] = config
    return copy.deepcopy(_LOADED[experiment])


_LOADED, _KNOWN_PATHS = {}, {}


def _paths(experiment):
    """Every field, and every argument of every part, whether the file sets it or not."""
    if experiment not in _KNOWN_PATHS:
        config = read(experiment)
        paths = dict.fromkeys([*fields.BY_NAME, *(f'{name}.name' for name in fields.PARTS)])
        for name, place in fields.PARTS.items():
            part = config[name]
            if isinstance(part, ConfigDict) and 'name' in part:
                known = lookup.parameters(lookup.find(place.kind, part['name']))
                paths |= dict.fromkeys(f'{name}.{argument}' for argument in {**part, **known})
        _KNOWN_PATHS[experiment] = [
            path for path in paths if path not in ('transforms.name', 'probes.name')
        ]
    return _KNOWN_PATHS[experiment]
