"""What the tests of steps to a target share: made-up trials of a known critical batch size."""

import math
import pathlib

import numpy as np

from lbexp import config as configs

ROOT = pathlib.Path(__file__).parents[1]


SIZES = (8, 32, 128, 512, 2048)


def experiment(**study):
    config = configs.load(str(ROOT / 'experiments' / 'steps_to_target.py'))
    small = dict(
        optimizers=('sgd', 'momentum'),
        batch_sizes=SIZES,
        examples=40000,
        updates=400,
        budget=3,
        seeds=7,
        seeds_per_point=1,
        tunings=1,
    )
    with config.unlocked():
        config.study = {**configs.plain(config.study), **small, 'target': 0.1, **study}
    return config


def hyperbola(critical, fewest=100.0):
    return {name: lambda size, own=own: fewest * (1 + own / size) for name, own in critical.items()}


def made_up(steps, best=0.1, noise=0.03, censored=()):
    """Trials that reach the target after steps[optimizer](batch size), longer away from the best
    learning rate."""

    def answer(trial):
        name, size, seed = trial['optimizer']['name'], trial['batch_size'], trial['seed']
        rate = trial['optimizer']['learning_rate']
        generator = np.random.default_rng([seed, size, len(name)])
        until = steps[name](size) * math.exp(
            noise * generator.standard_normal() + 0.1 * abs(math.log(rate / best))
        )
        if (name, size, seed) in censored:
            until = math.inf
        marks = np.unique(np.linspace(1, trial['steps'], 1000).astype(int))
        shown = [marks[0], *marks[(marks > 0.9 * until) & (marks < 1.2 * until)], marks[-1]]

        def accuracy(step):
            return 0.95 if step >= until else 0.5

        return [
            dict(step=int(s), validation_accuracy=accuracy(s)) for s in dict.fromkeys(shown)
        ], 'done'

    return answer


def numbers(text):
    """'3.1 [2.9, 3.4]...' as three numbers."""
    middle, _, ends = text.partition(' [')
    low, high = ends.partition(']')[0].split(', ')
    return float(middle), float(low), float(high)


def critical_of(found):
    """Of SGD."""
    return numbers(found.tables[0].rows[0][1])
