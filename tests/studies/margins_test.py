"""A margin that the test set does not resolve is refused, before anything runs."""

import pathlib

import pytest

from lbexp import config as configs
from lbexp.analysis import Analysis
from lbexp.config import lookup
from lbexp.errors import Refusal
from lbexp.studies._comparison import arms
from lbexp.studies._comparison.comparison import comparison

ROOT = pathlib.Path(__file__).parents[2]


def test_a_margin_below_the_resolution_of_the_test_set_is_refused():
    arm = arms.Arm('one', {}, {'optimizer.learning_rate': ('log', 0.01, 1.0)})
    tuning = arms.Tuning(2, 1, arms.validation_error)

    def study(margin):
        return comparison(
            lambda config: [arm], tuning, lambda of: Analysis('', '', [], []), margin=margin
        )

    config = configs.load(str(ROOT / 'experiments' / 'generalization_gap.py') + ':digits')
    size = lookup.build('workload', configs.plain(config.workload)).test.size
    assert study(2 / size).trials(config) and study(None).trials(config)
    with pytest.raises(Refusal, match=rf'margin: found .* of {size} test examples'):
        study(1.9 / size).trials(config)


@pytest.mark.parametrize(
    'name',
    [
        'batch_growth',
        'beta2_half_life',
        'generalization_gap',
        'layerwise_ablation',
        'local_sgd',
        'reality_check',
        'remedies',
    ],
)
def test_a_margin_that_the_test_set_does_not_resolve_is_refused(name):
    config = configs.load(str(ROOT / 'experiments' / f'{name}.py'))
    study = lookup.build('study', {**configs.plain(config.study), 'margin': 1e-4})
    with pytest.raises(Refusal, match='margin'):
        study.trials(config)
