"""The planner: how long runs are, how work is shared out, what shares a program, and what it says
of that."""

import pytest
from training import tiny, train

from lbexp import config as configs
from lbexp.engine.plan import explain, plan, shared_microbatch


def test_every_share_of_the_trials_has_about_the_same_work():
    """Work from 1 to 64: halves, quarters and eighths of the trial axis."""
    sweep = (('batch_size', tuple(range(1, 65))),)
    config = tiny(microbatch=1, sweep=sweep)
    (cohort,) = plan([configs.resolve(config, overrides) for overrides in configs.trials(config)])
    assert sorted(cohort.trials) == list(range(64))
    work = cohort.steps * cohort.accumulation
    assert work.tolist() == [24 * (trial + 1) for trial in cohort.trials]
    for shares in (2, 4, 8):
        sums = work.reshape(shares, -1).sum(axis=1)
        assert sums.max() < 1.3 * sums.min()  # in the order given: 2.9, 6, 13


@pytest.mark.parametrize(
    'fields, told',
    [
        (dict(microbatch=8), ['batch sizes 8 to 32 in microbatches of 8']),
        (
            dict(),
            [
                'batch size 8, apart: no microbatch is set',
                ('batch size 32, apart: no microbatch is set'),
            ],
        ),
        (
            dict(workload=dict(name='digits_mlp', hidden=(8,), batch_norm=True)),
            [
                'batch size 8, apart: batch norm takes the whole batch',
                'batch size 32, apart: batch norm takes the whole batch',
            ],
        ),
        (
            dict(sweep=(('batch_size', (8, 9)),)),
            [
                f'batch size {size}, apart: a common microbatch of 1 would be slower'
                for size in (8, 9)
            ],
        ),
    ],
)
def test_the_planner_says_what_it_chose_and_why(fields, told):
    config = tiny(**{'sweep': (('batch_size', (8, 32)),), **fields})
    cohorts = plan([configs.resolve(config, overrides) for overrides in configs.trials(config)])
    assert [explain(cohort, cohorts) for cohort in cohorts] == told


def test_what_may_share_a_microbatch():
    def part(**given):
        return dict(name='digits_mlp', **given)

    assert shared_microbatch(part(), (48, 96, 144)) == 48
    assert shared_microbatch(part(batch_norm=True, ghost=16), (48, 96)) == 48
    # a ghost and a half
    assert shared_microbatch(part(batch_norm=True, ghost=32), (48, 96)) is None
    assert shared_microbatch(part(batch_norm=True), (48, 96)) is None
    # Slivers of all batches are slower than programs of their own; the smallest batch itself is no
    # sliver.
    assert [
        shared_microbatch(part(), sizes) for sizes in ((50, 64), (28, 32), (4, 8), (16, 24))
    ] == [None, None, 4, 8]


def test_regime_adaptation_makes_as_many_updates_as_the_reference():
    """100 examples, 3 epochs: 30 updates of 10; with more examples for larger batches, and a
    schedule to match."""
    sweep = (('batch_size', (10, 20, 50)),)
    c = tiny(steps=None, epochs=3.0, sweep=sweep, microbatch=10, regime_adaptation=10)
    (cohort,) = plan([configs.resolve(c, overrides) for overrides in configs.trials(c)])
    assert cohort.steps.tolist() == [30, 30, 30]
    assert sorted((cohort.steps * cohort.accumulation * 10).tolist()) == [300, 600, 1500]


def test_what_cannot_be_traced_in_a_row_is_not_traced(tmp_path):
    """`coordinates` decides what a row holds: Python has to see it, where the row is made and
    nowhere before."""
    part = dict(name='stationary_moments', population=True, burn_in=2, coordinates=2)
    workload = dict(name='noisy_quadratic', replicas=10, dimension=3)
    for count, given in ((2, False), (3, True)):
        config = tiny(
            workload=workload, steps=8, num_rows=2, probes=(dict(part, coordinates=count),)
        )
        rows = train(config, tmp_path / str(count))
        assert ('fast_coordinate_variance' in rows[-1]) is given
    (cohort,) = plan([configs.resolve(tiny(workload=workload, probes=(part,)), {})])
    assert 'probes.0.coordinates' not in cohort.numbers


@pytest.mark.parametrize(
    'path, fields',
    [
        ('optimizer.zero_ratio', dict(optimizer=dict(name='lars', learning_rate=0.1))),
        (
            'batch_growth.largest',
            dict(microbatch=8, batch_growth=dict(boundaries=(0.5,), factor=2.0, largest=16)),
        ),
    ],
)
@pytest.mark.parametrize('values', [(16, None), (None, 16)])
def test_a_number_and_none_share_no_program(path, fields, values):
    """What is not set has no number to trace beside those of the others."""
    config = tiny(sweep=((path, values),), **fields)
    cohorts = plan([configs.resolve(config, overrides) for overrides in configs.trials(config)])
    assert [cohort.trials for cohort in cohorts] == [[0], [1]]
    assert [path in cohort.numbers for cohort in cohorts] == [value == 16 for value in values]
