"""Arms: what is tried, where a search grows, what is reported; a study that is extended."""

import itertools
import json
import math
import pathlib

import numpy as np
import pytest
from rounds import rounds

from lbexp import config as configs
from lbexp import main
from lbexp.engine import record
from lbexp.studies._comparison import arms, compare, searches
from lbexp.studies._comparison.searches import Point

ROOT = pathlib.Path(__file__).parents[2]
RATE = 'optimizer.learning_rate'


def tuned(
    tmp_path, optimum, extensions=2, budget=8, seeds=3, others=(), optimum_by='fitted', **space
):
    """Rounds until nothing is asked for; a rate's error is its distance from the optimum in
    decades. No training."""
    ends = space.get('low', 0.01), space.get('high', 1.0)
    made = [arms.Arm('one', {'batch_size': 8}, {RATE: ('log', *ends)}), *others]
    entries = []

    def score(workdir):
        rates = {entry['trial']: entry['overrides'][RATE] for entry in entries}
        return {
            trial: abs(math.log10(rate / optimum)) if rate < 30 else math.inf
            for trial, rate in rates.items()
        }

    tuning = arms.Tuning(budget, seeds, score, extensions=extensions, optimum=optimum_by)
    asked, rounds = arms.first_trials(made, tuning), []
    while True:
        before = len(entries)
        entries = record.record(tmp_path, {'study': {'name': 'x'}}, asked, grows=True)
        if len(entries) == before:
            return arms.tuning_results(tmp_path, made, tuning), entries, rounds
        rounds.append(entries[before:])
        asked = arms.next_trials(tmp_path, made, tuning)


def neighbours(rates, optimum):
    """The rates beside the one with the lowest error."""
    ordered = sorted(rates)
    place = ordered.index(min(rates, key=lambda rate: abs(math.log(rate / optimum))))
    return ordered[place - 1], ordered[place + 1]


def test_an_optimum_inside_is_refined_between_its_neighbours(tmp_path):
    found, entries, rounds = tuned(tmp_path, 0.1)
    assert [len(r) for r in rounds] == [4, 2, 2, 3]
    assert [entry['round'] for entry in entries] == [0] * 4 + [1] * 2 + [2] * 2 + [3] * 3
    rates = []
    for number, tried in enumerate(rounds[:3]):
        fresh = [entry['overrides'][RATE] for entry in tried]
        if number:
            low, high = neighbours(rates, 0.1)
            assert all(low < rate < high for rate in fresh)
        rates += fresh
        assert {entry['overrides']['seed'] for entry in tried} == {0}
    assert found['one'].edges == {} and found['one'].points == [{RATE: rate} for rate in rates]
    # a parabola through the errors, which are no parabola: near the optimum all the same
    best = found['one'].best[RATE]
    assert abs(math.log10(best / 0.1)) < 0.1 and best not in rates
    assert found['one'].best_point.fitted == best
    # What is reported has seeds that nothing was tuned on.
    assert [entry['overrides'] for entry in rounds[3]] == [
        {'batch_size': 8, RATE: best, 'seed': seed} for seed in (1, 2, 3)
    ]
    assert found['one'].trials == [8, 9, 10]


def test_the_best_point_may_be_reported_instead(tmp_path):
    found, entries, _ = tuned(tmp_path, 0.1, optimum_by='best')
    rates = [entry['overrides'][RATE] for entry in entries[:8]]
    assert found['one'].best[RATE] == min(rates, key=lambda rate: abs(math.log(rate / 0.1)))
    assert found['one'].best_point.fitted is None


@pytest.mark.parametrize('optimum, side, inside', [(5.0, 'high', True), (1e-4, 'low', False)])
def test_a_search_grows_beyond_its_edge(tmp_path, optimum, side, inside):
    found, _, rounds = tuned(tmp_path, optimum, optimum_by='best')
    first, second, third = ([entry['overrides'][RATE] for entry in tried] for tried in rounds[:3])
    assert (len(first), len(second), len(third)) == (4, 2, 2)
    assert all(0.01 <= rate <= 1 for rate in first)
    if side == 'high':
        assert min(second) > max(first) and max(second) > 1
    else:
        assert max(second) < min(first) and min(second) < 0.01
    found = found['one']
    assert found.edges == ({} if inside else {RATE: side})
    if inside:
        assert abs(math.log10(found.best[RATE] / optimum)) < 0.3


@pytest.mark.parametrize('budget', [1, 2, 3, 4, 7, 8, 16])
@pytest.mark.parametrize('extensions', [0, 1, 2])
def test_arms_at_an_edge_and_inside_and_with_nothing_are_tried_alike(tmp_path, budget, extensions):
    spaces = {'edge': (0.001, 0.01), 'inside': (0.01, 1.0), 'nowhere': (100.0, 1000.0)}
    others = [
        arms.Arm(name, {'batch_size': size}, {RATE: ('log', *ends)})
        for size, (name, ends) in enumerate(spaces.items(), 16)
    ]
    found, _, _ = tuned(tmp_path, 0.1, budget=budget, extensions=extensions, others=others)
    assert [len(result.points) for result in found.values()] == [budget] * 4
    assert found['nowhere'].best is None
    assert all(None not in result.tried for result in found.values())


def test_several_numbers_are_refined_around_the_best():
    space = {'a': ('log', 0.01, 1.0), 'b': ('linear', 0.0, 1.0), 'c': ('whole', 0, 8)}
    tried = [
        Point({'a': a, 'b': b, 'c': c})
        for a, b, c in itertools.product((0.02, 0.1, 0.5), (0.2, 0.5, 0.8), (1, 4, 7))
    ]
    ranges = searches.onward(space, tried, Point({'a': 0.1, 'b': 0.5, 'c': 4}))
    # 27 points of three numbers: a third of the width to either side
    ratio = 100 ** (1 / 3)
    assert ranges['a'][0] == 'log' and ranges['a'][1:] == pytest.approx((0.1 / ratio, 0.1 * ratio))
    assert ranges['b'] == ('linear', pytest.approx(0.5 - 1 / 3), pytest.approx(0.5 + 1 / 3))
    assert ranges['c'] == ('whole', 1, 7)
    beyond = searches.onward(space, tried, Point({'a': 0.5, 'b': 0.5, 'c': 4}))
    assert beyond == {**space, 'a': ('log', 0.5, 5.0)}


def test_no_extension_leaves_the_flag(tmp_path):
    found, _, rounds = tuned(tmp_path, 5.0, extensions=0)
    assert [len(r) for r in rounds] == [8, 3] and found['one'].edges == {RATE: 'high'}


def test_an_arm_where_everything_diverged_has_no_best(tmp_path):
    found, entries, _ = tuned(tmp_path, 50.0, low=100.0, high=1000.0)
    assert found['one'].best is None and found['one'].trials == [] and len(entries) == 8


def test_an_arm_like_another_takes_its_best_point(tmp_path):
    found, _, rounds = tuned(
        tmp_path, 0.1, others=[arms.Arm('two', {'batch_size': 64}, {}, tuned_as='one')]
    )
    assert found['two'].best == found['one'].best
    assert [entry['overrides']['batch_size'] for entry in rounds[-1]] == [8] * 3 + [64] * 3


def test_what_cannot_be_tuned():
    with pytest.raises(ValueError, match="tuned as 'three'; allowed: one"):
        tuning = arms.Tuning(2, 1, lambda workdir: {})
        arms.validate([arms.Arm('one', {}, {}), arms.Arm('two', {}, {}, tuned_as='three')], tuning)
    with pytest.raises(ValueError, match='budget, seeds, extensions: found 0, 1, 2'):
        arms.validate([], arms.Tuning(0, 1, lambda workdir: {}))


def test_the_share_of_a_gap_that_is_closed():
    generator = np.random.default_rng(0)

    def values(mean):
        return {'test_error': mean + 0.001 * generator.standard_normal(9)}

    measured = {
        'large': values(0.20),
        'small': values(0.10),
        'half': values(0.15),
        'all': values(0.10),
    }
    for arm, share in (('half', 0.5), ('all', 1.0), ('large', 0.0)):
        middle, low, high = compare.gap_closed(measured, arm, 'large', 'small')
        assert (
            middle == pytest.approx(share, abs=0.05) and low <= middle <= high and high - low < 0.1
        )
    # no gap, no share of it
    assert math.isnan(compare.gap_closed(measured, 'half', 'small', 'large')[0])
    one = {name: {'test_error': v['test_error'][:1]} for name, v in measured.items()}
    assert math.isnan(compare.gap_closed(one, 'half', 'large', 'small')[1])


def test_pairs_are_by_seed_and_without_the_diverged():
    measured = {
        'a': {'test_error': np.array([3.0, np.nan, 5.0, 9.0])},
        'b': {'test_error': np.array([4.0, 1.0, 2.0])},
    }
    assert compare.paired(measured, 'a', 'b').tolist() == [-1.0, 3.0]


@pytest.mark.parametrize(
    'name', ['generalization_gap', 'remedies', 'batch_growth', 'reality_check']
)
def test_what_is_tuned_never_saw_the_test_set(tmp_path, name):
    """The rate that is best on the test set is the worst on the validation examples, and is not
    reported."""
    config = configs.load(str(ROOT / 'experiments' / f'{name}.py'))
    config.study.update(seeds=1, budget=4)
    config.study.tunings = 1

    def answer(trial):
        optimizer = trial['optimizer'].get('inner', trial['optimizer'])
        # lowest at the lowest rate
        height = 0.1 + 0.02 * abs(math.log10(optimizer['learning_rate'] / 1e-9))
        row = dict(validation_accuracy=1 - height, test_accuracy=height, train_accuracy=1.0)
        return [dict(step=9, epoch=1.0, examples=9, learning_rate=0.1, **row)], 'done'

    entries = rounds(config, tmp_path, answer)
    rates = {}
    for entry in entries:
        optimizer = entry['overrides'].get('optimizer', {})
        path = next(path for path in entry['overrides'] if path.endswith('learning_rate'))
        kind = (path, json.dumps(optimizer), entry['overrides']['seed'] == 0)
        rates.setdefault(kind, []).append(entry['overrides'][path])
    reported = {kind[:2] for kind in rates if not kind[2]}
    assert reported
    for path, optimizer in reported:
        assert set(rates[path, optimizer, False]) == {min(rates[path, optimizer, True])}


STUDY = [
    '--config=experiments/generalization_gap.py:digits',
    '--config.study.batch_sizes=(64, 256)',
    '--config.study.budget=2',
    '--config.study.extensions=0',
    '--config.study.tunings=1',
    '--config.epochs=1.0',
    '--config.num_rows=4',
    '--config.num_evaluations=2',
]


@pytest.mark.long
def test_a_study_end_to_end_and_extended(tmp_path, capsys, monkeypatch):
    """Tuned, reported, claimed; then more seeds in the same workdir, without running anything
    twice."""
    monkeypatch.chdir(ROOT)

    def run(*more):
        return main.main(['main', *STUDY, '--figures=', f'--workdir={tmp_path}', *more])

    assert run('--config.study.seeds=1') == 0
    assert 'one seed: no interval' in (tmp_path / 'claims.md').read_text()
    first = (tmp_path / 'metrics.jsonl').read_text()
    trials = json.loads((tmp_path / 'config.json').read_text())['trials']
    # three arms: the smallest batch is the same at equal epochs and equal updates
    assert len(trials) == 3 * 2 + 3
    capsys.readouterr()
    assert run('--config.study.seeds=3') == 0
    assert (tmp_path / 'metrics.jsonl').read_text().startswith(first)
    assert json.loads((tmp_path / 'config.json').read_text())['trials'][:9] == trials
    claims = (tmp_path / 'claims.md').read_text()
    assert 'one seed' not in claims and 'premise of Keskar' in claims
    assert any(
        word in claims
        for word in ('| reproduced |', '| not reproduced |', '| undecided at this budget |')
    )
    report = (tmp_path / 'report.html').read_text()
    assert 'Claims' in report and 'Best learning rate' in report
    speeds = json.loads((tmp_path / 'speed.json').read_text())
    assert list(speeds) == ['64', '256'] and all(
        len(own) == 5 and min(own) > 0 for own in speeds.values()
    )
    # Nothing is left to do: no cohort is planned, no row written.
    rows = (tmp_path / 'metrics.jsonl').read_text()
    capsys.readouterr()
    assert run('--config.study.seeds=3') == 0
    assert (
        'cohort' not in capsys.readouterr().out and (tmp_path / 'metrics.jsonl').read_text() == rows
    )
    # Another question is another workdir.
    assert run('--config.study.seeds=3', '--config.epochs=2.0') == 2
    assert 'epochs: found 1.0 there, 2.0 now' in capsys.readouterr().err
    assert run('--config.study.seeds=3', '--config.optimizer.momentum=0.8') == 2
    assert 'another configuration' in capsys.readouterr().err


@pytest.mark.parametrize(
    'arguments, told',
    [
        (['--config.study.learning_rates=(1.0, 0.1)'], 'low <= high'),
        (
            ['--config.study.learning_rates=()'],
            ('study.learning_rates: found []; allowed: (a number > 0, a number > 0)'),
        ),
        (['--config.study.batch_sizes=()'], 'allowed: numbers >= 1, and (low, high)'),
        (
            ['--config.study.batch_sizes=(64, 4096)'],
            'batch_size: found 4096 with 1138 training examples',
        ),
        (['--config.microbatch=48'], 'microbatch: found 48 with batch_size 64'),
        (['--config.workload.validation=2000'], 'validation: found 2000; allowed: 0 .. 1437'),
        (['--config.study.seeds=0'], 'study.seeds: found 0; allowed: an integer in'),
    ],
)
def test_bad_input_is_one_line(tmp_path, capsys, monkeypatch, arguments, told):
    monkeypatch.chdir(ROOT)
    assert main.main(['main', *STUDY, f'--workdir={tmp_path}', *arguments]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert told in lines[0]
    assert len(lines) == (2 if 'batch_size 64' in told else 1)  # both batch sizes are told
