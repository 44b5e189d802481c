"""Which part of LARS and LAMB does the work: the trust ratio, where it acts, its clipping, or the
bias correction?"""

from typing import Any

import jax
from ml_collections import ConfigDict

from lbexp import config as configs
from lbexp.analysis import above, within
from lbexp.config import lookup
from lbexp.errors import Refusal
from lbexp.optimizers import masks
from lbexp.ranges import Draws, Positive, PositiveInteger, Trials
from lbexp.studies import Study, Trial
from lbexp.studies import _questions as questions
from lbexp.studies._comparison import arms, compare
from lbexp.studies._comparison.comparison import comparison
from lbexp.studies._comparison.stopping import tuning_of
from lbexp.studies._questions import Question

LARS, LAMB = 'LARS', 'LAMB'
OFF, ALL, HEADLESS = 'no trust ratio', 'biases too', 'but the last layer'
CLIPPED, UNCORRECTED = 'clipped', 'no bias correction'

_LARS: dict[str, Any] = dict(name='lars', trust_coefficient=1.0, momentum=0.9)
_LAMB: dict[str, Any] = dict(name='lamb')
# where the ratio acts: the matrices, if nothing is said
_ADAPTED = {OFF: 'none', ALL: 'all'}
# Learning rates, as wide in decades for each: a ratio makes of them fractions of the weights.
_RATES = {'lars': (1e-4, 1e0), 'lamb': (1e-4, 1e0), 'larc': (1e-3, 1e1)}
_RATES_OFF = {'lars': (1e-3, 1e1), 'lamb': (1e-5, 1e-1)}  # momentum and AdamW
_DECAY = ('log', 1e-5, 1e-1)

_RATIO = {
    LARS: 'You et al. 2017 (arXiv:1708.03888, abstract): AlexNet at batch 8k and ResNet-50 at 32k '
    'without loss of accuracy, where the recipe before, linear scaling with warm-up, may diverge',
    LAMB: 'You et al. 2020 (arXiv:1904.00962, abstract): better than earlier large-batch methods '
    'for BERT, at batch 32,868, and ResNet-50 on ImageNet; the numbers were not verified',
}
_CLIPPING = (
    'Fong et al. 2020 (arXiv:2011.13584, abstract): "promising improvements across different batch '
    'sizes" on ImageNet and CIFAR-10, of LAMB with its ratio clipped (LAMBC); no number'
)
_CORRECTION = (
    'You et al. 2020 (arXiv:1904.00962, appendix E): "We can remove adam-correction from LAMB", as '
    'an implementation quotes it; the appendix was not verified'
)


def layerwise_ablation(
    batch_size: PositiveInteger = 512,
    last: str = 'Dense_2',
    budget: Trials = 8,
    seeds: Draws = 6,
    tunings: Draws = 1,
    margin: Positive = 0.01,
) -> Study:
    """LARS and LAMB, and each with one part changed, tuned alike: learning rate and weight decay.

    The trust ratio nowhere (momentum, AdamW), on biases too, on all matrices but those of the last
    layer; clipped: LARC, whose layer rate never exceeds the learning rate, and LAMB with a ratio of
    1 at most; and LAMB without bias correction. Schedule and length of the run are the
    configuration's. No space is extended, so that budgets are equal.

    Args:
        batch_size: [examples per update].
        last: a regular expression that the paths of the last layer's parameters match.
        budget: points tried for each arm.
        seeds: trials reported for each arm, and each tuning; 'auto': of one tuning, until decided.
        tunings: times that each is tuned, with other points and seeds; with several, intervals are
            over tunings; 'auto': until decided.
        margin: difference of test error that counts as none, > 0.

    Source: You et al. 2017, arXiv:1708.03888; You et al. 2020, arXiv:1904.00962; Fong et al. 2020,
        arXiv:2011.13584.
    """
    if not last:
        raise Refusal("last: found ''; allowed: a part of the names of a layer's parameters")
    compared_arms = []
    for name, optimizer in _optimizers(last).items():
        rates = _RATES_OFF if name.endswith(OFF) else _RATES
        space = {
            'optimizer.learning_rate': ('log', *rates[optimizer['name']]),
            'optimizer.weight_decay': _DECAY,
        }
        overrides = {'optimizer': optimizer, 'batch_size': batch_size}
        compared_arms.append(arms.Arm(name, overrides, space))
    tuning = tuning_of(budget, seeds, tunings, arms.validation_error, extensions=0)

    def analyse(compared):
        measured = compare.measure(compared.workdir, *compared.tunings)
        claims = questions.answers(_questions(batch_size, float(margin)), measured)
        title = 'Parts of LARS and LAMB'
        return questions.analysis(title, compared, measured, claims, LARS)

    study = comparison(lambda config: compared_arms, tuning, analyse, margin=float(margin))

    def trials(config: ConfigDict) -> list[Trial]:
        _require_layer(config, last)
        return study.trials(config)

    return study._replace(trials=trials)


def _require_layer(config, last):
    """Refuses a name that no parameter of the network has, as its arms do once they are traced."""
    workload = lookup.build('workload', configs.plain(config.workload))
    params, _ = jax.eval_shape(workload.init, jax.random.key(0))
    masks([last], params, argument='last')


def _optimizers(last):
    """{name of the arm: optimizer}."""
    headless = ['kernel', f'!{last}']
    optimizers = {}
    for base, optimizer in ((LARS, _LARS), (LAMB, _LAMB)):
        optimizers[base] = optimizer
        for part, adapt in _ADAPTED.items():
            optimizers[f'{base}, {part}'] = dict(optimizer, adapt=adapt)
        optimizers[f'{base}, {HEADLESS}'] = dict(optimizer, adapt=headless)
    optimizers[f'{LARS}, {CLIPPED}'] = dict(name='larc', mode='clip', momentum=0.9)
    optimizers[f'{LAMB}, {CLIPPED}'] = dict(_LAMB, ratio_bounds=(0.0, 1.0))
    optimizers[f'{LAMB}, {UNCORRECTED}'] = dict(_LAMB, bias_correction=False)
    return optimizers


def _questions(batch_size, margin):
    at = f'at batch size {batch_size}, each tuned'
    same = f'changes its test error by {margin:g} at most {at}'
    asked = []
    for base in (LARS, LAMB):
        lower = f'The trust ratio lowers the test error of {base} {at}'
        asked.append(Question(lower, f'{base}, {OFF}', base, test=above, paper=_RATIO[base]))
        for part, words in (
            (ALL, 'Adapting biases, too,'),
            (HEADLESS, 'Leaving the last layer without a trust ratio'),
        ):
            claim = f'{base}: {words} {same} (ours)'
            asked.append(Question(claim, f'{base}, {part}', base, margin, within))
    claim = f'{LARS}: Limiting the rate of a layer to the learning rate (LARC) {same} (ours)'
    asked.append(Question(claim, f'{LARS}, {CLIPPED}', LARS, margin, within))
    claim = f'{LAMB}: Clipping the trust ratio at 1 lowers its test error {at}'
    asked.append(Question(claim, LAMB, f'{LAMB}, {CLIPPED}', test=above, paper=_CLIPPING))
    claim = f'{LAMB}: Leaving out the bias correction {same}'
    other = f'{LAMB}, {UNCORRECTED}'
    asked.append(Question(claim, other, LAMB, margin, within, _CORRECTION))
    return asked
