"""Runs that do not reach the target in time: neither reached nor dropped."""

import math

import pytest
from rounds import analysis, rounds
from targets import SIZES, critical_of, experiment, hyperbola, made_up, numbers

from lbexp import analysis as words
from lbexp import results
from lbexp.studies import _scaling_claims as claims
from lbexp.studies._comparison import scaling_fits
from lbexp.studies._comparison.scaling_fits import scaling_fit
from lbexp.studies._targets import first_reached


@pytest.fixture(autouse=True)
def few_resamples(monkeypatch):
    """Intervals of 200 resamples are rougher, and cover as they should."""
    monkeypatch.setattr(scaling_fits, 'RESAMPLES', 200)


@pytest.mark.long
def test_censored_runs_are_neither_reached_nor_dropped(tmp_path):
    """3 of 7 seeds: the median rises to that of the longest; 4 of 7: it is censored, and the fit
    knows it."""
    steps = hyperbola(dict(sgd=60.0, momentum=240.0))
    plain, some, most = experiment(), experiment(), experiment()

    def lost(count):
        return {('sgd', 32, seed) for seed in range(1, count + 1)}

    tables, critical = {}, {}
    for config, name, censored in (
        (plain, 'none', ()),
        (some, 'some', lost(3)),
        (most, 'most', lost(4)),
    ):
        rounds(config, tmp_path / name, made_up(steps, censored=censored))
        found = analysis(config, tmp_path / name)
        tables[name] = {tuple(row[:2]): row for row in found.tables[1].rows}
        if name != 'some':
            critical[name] = critical_of(found)
        assert f'{len(censored)} of 70 reported runs censored' in found.verdict
    middle = {name: table['sgd', 32][5] for name, table in tables.items()}
    assert [tables[name]['sgd', 32][4] for name in ('some', 'most')] == ['4 of 7', '3 of 7']
    assert float(middle['some'].split()[0]) > numbers(middle['none'])[0] and middle[
        'some'
    ].endswith('> 1650]')
    assert middle['most'].startswith('> 1650') and tables['most']['sgd', 32][6] == 'censored'
    assert critical['none'][1] <= 60 <= critical['none'][2] < critical['most'][0]


@pytest.mark.parametrize(
    'censored, outcome', [(3, words.UNDECIDED), (2, words.UNDECIDED), (1, words.REPRODUCED)]
)
def test_a_curve_of_two_parameters_is_not_judged_by_two_batch_sizes(censored, outcome):
    """Steps that lie on the curve, of 4 batch sizes of which the first are censored."""
    sizes = (4, 16, 64, 256)
    limits = [400 + 4000 // size for size in sizes]
    steps = []
    for place, size in enumerate(sizes):
        of_size = 100 + 2000 / size
        steps.append([math.inf if place < censored else of_size] * 6)
    claim = claims.hyperbola('sgd', scaling_fit(sizes, steps, limits), 0.2)
    assert claim.outcome == outcome
    assert ('two batch sizes or fewer' in claim.measured) == (outcome == words.UNDECIDED)


def test_what_diverged_has_reached_nothing(tmp_path):
    config, diverging = experiment(), ('sgd', 32, 1)
    answer = made_up(hyperbola(dict(sgd=60.0, momentum=240.0)))

    def diverged(trial):
        rows, status = answer(trial)
        place = trial['optimizer']['name'], trial['batch_size'], trial['seed']
        return rows, 'diverged' if place == diverging else status

    rounds(config, tmp_path, diverged)
    finals = results.final(tmp_path)
    lost = set(finals['trial'][finals['status'] == 'diverged'].tolist())
    reached = first_reached(tmp_path, config.study.target)
    assert lost and all(math.isinf(reached[trial]) for trial in lost)
    assert sum(map(math.isinf, reached.values())) < len(reached) / 2


def test_a_bound_that_the_fit_agrees_with_does_not_bend_it():
    """Runs at batch 8 are stopped at 200 of the 850 steps that they need: what is left says all."""
    need = [[100 * (1 + 60 / size)] * 3 for size in SIZES]
    fit = scaling_fit(SIZES, [[math.inf] * 3, *need[1:]], [200] + [1000] * 4)
    assert fit.critical[0] == pytest.approx(60, rel=1e-6) and fit.fewest_steps[0] == pytest.approx(
        100, rel=1e-6
    )
    assert math.isinf(fit.medians[0, 0])


def test_a_target_that_is_never_reached_is_told_in_words(tmp_path):
    config = experiment()
    never = dict(sgd=lambda size: math.inf, momentum=hyperbola(dict(momentum=60.0))['momentum'])
    rounds(config, tmp_path, made_up(never))
    found = analysis(config, tmp_path)
    assert 'at 5 settings no learning rate reached the target' in found.verdict
    assert [row[2] for row in found.tables[1].rows[:5]] == ['none reached'] * 5
    assert found.claims[-1].outcome == words.UNDECIDED and found.passed is None


@pytest.mark.parametrize('tries', [1, 3])
def test_a_lucky_run_decides_only_where_each_point_is_tried_once(tmp_path, tries):
    """With the first tuning seed the rates furthest from the best reach the target at once, with no
    other ever."""
    config = experiment(optimizers=('sgd',), seeds_per_point=tries, extensions=0)
    plain = made_up(hyperbola(dict(sgd=60.0)), best=0.3)

    def answer(trial):
        far = abs(math.log(trial['optimizer']['learning_rate'] / 0.3)) > 1.2
        reached = [dict(step=1, validation_accuracy=0.95)], 'done'
        never = [dict(step=trial['steps'], validation_accuracy=0.5)], 'done'
        return plain(trial) if not far else reached if trial['seed'] == 0 else never

    entries = rounds(config, tmp_path, answer)
    rates = [e['overrides']['optimizer.learning_rate'] for e in entries]
    assert any(abs(math.log(rate / 0.3)) > 1.2 for rate in rates), 'no rate is far'
    verdict = analysis(config, tmp_path).verdict
    assert ('35 of 35 reported runs censored' in verdict) == (tries == 1)
    assert ('0 of 35 reported runs censored' in verdict) == (tries == 3)
