"""Rows in place of training, for studies that compare tuned arms: what is reported of each arm is
planted, and nothing else in a row is like it."""

import math

import numpy as np

NOISE = 0.0005  # of the reported errors, over seeds
BEST_RATE = 0.003


def planted(
    error_of,
    rate=lambda config: config['optimizer']['learning_rate'],
    best=BEST_RATE,
    metric=None,
):
    """answer(resolved configuration) -> (rows, status), for `rounds.rounds`.

    Args:
        error_of: (configuration) -> test error; None: it diverges.
        rate: (configuration) -> the number that is tuned.
        best: (a number, or a function of the configuration) where the validation error is lowest.
        metric: of which less is better, that the errors are planted as; None: 1 - accuracy. With
            one, the accuracy is the same in every arm, and higher where the metric is worse.

    The validation error is 0.4 and more, the training error 0.01: whoever reports one of them is
    far off. Noise is the seed's, and the same in every arm but for a hundredth.
    """

    def answer(config):
        error = error_of(config)
        if error is None:
            return [dict(step=1, loss=None)], 'diverged'
        middle = best(config) if callable(best) else best
        seed = config['seed']
        shared, lone = np.random.default_rng((seed, config['batch_size'])).standard_normal(2)
        test = error + NOISE * (shared + lone / 100)
        row = {'step': 60, 'examples': 60 * config['batch_size'], 'communicated_bytes': 4.0}
        missed = 0.02 * abs(math.log10(rate(config) / middle))
        accuracies = dict(test=1 - test, train=0.99, validation=0.6 - missed)
        if metric is not None:
            accuracies = dict(test=0.5, train=0.5, validation=0.5 + missed)
            row |= {f'test_{metric}': test, f'validation_{metric}': 0.4 + missed}
        row |= {f'{part}_accuracy': value for part, value in accuracies.items()}
        return [row], 'done'

    return answer


def outcomes(analysis):
    return [claim.outcome for claim in analysis.claims]
