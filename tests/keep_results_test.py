"""What is kept of a study says enough to compute every interval of it again."""

import csv
import json
import math
import pathlib
import re
import runpy

import numpy as np
import pytest
from rounds import rounds

from lbexp import config as configs
from lbexp.analysis import format_interval
from lbexp.config import lookup
from lbexp.report import claims as report_claims
from lbexp.studies._comparison.scaling_fits import scaling_fit, span
from lbexp.studies._presentation.steps_to_target import format_span

ROOT = pathlib.Path(__file__).parents[1]
KEPT = ROOT / 'experiments' / 'results'
# Folders from before claims.json and trials.csv were kept: their intervals cannot be checked here.
OLD = {'h200'}
# Folders whose claims are no comparison of draws; fits have a check of their own.
EXACT = {'quadratic_convergence', 'steady_state', 'steady_state_seed_1'}
FITS = sorted(folder.name for folder in KEPT.glob('steps_to_target*'))
TABLE = (KEPT / 'critical_batch_sizes.md').read_text()
keep = runpy.run_path(str(ROOT / 'scripts' / 'keep_results.py'))


def numbers(effects):
    return np.array([math.nan if effect is None else effect for effect in effects])


def draws(trials, arm, metric):
    """Of the reported trials of an arm: values by seed or, of several tunings, means by tuning."""
    by_tuning = {}
    for row in trials:
        if row['arm'] == arm and row['phase'] == 'reporting':
            value = float(row[metric]) if row[metric] else math.nan
            of_tuning = by_tuning.setdefault(int(row['tuning'] or 0), {})
            of_tuning[int(row['seed'])] = value
    values = []
    for _, by_seed in sorted(by_tuning.items()):
        values.append([by_seed[seed] for seed in sorted(by_seed)])
    return np.array(values[0] if len(values) == 1 else np.mean(values, axis=1))


def check(folder):
    """Every interval of the claims, from the effects; the effects of pairs, from the trials.

    Returns:
        How many of each.
    """
    claims = json.loads((folder / 'claims.json').read_text())
    with open(folder / 'trials.csv', newline='') as file:
        trials = list(csv.DictReader(file))
    intervals = pairs = 0
    for claim in claims:
        if not claim['effects']:
            continue
        effects = numbers(claim['effects'])
        assert format_interval(effects) in claim['measured'], claim
        intervals += 1
        if claim['contrast']:
            metric, arm, other = claim['contrast']
            again = draws(trials, arm, metric) - draws(trials, other, metric)
            np.testing.assert_allclose(effects, again, atol=1e-7)
            pairs += 1
    return intervals, pairs


def test_every_kept_folder_can_be_checked_or_is_an_old_one():
    for folder in sorted(path for path in KEPT.iterdir() if path.is_dir()):
        has_files = (folder / 'claims.json').exists()
        assert has_files != (folder.name in OLD), folder.name
        if has_files:
            intervals, _ = check(folder)
            assert intervals or folder.name in {*EXACT, *FITS}
    assert {path.name for path in KEPT.iterdir() if path.is_dir()} >= OLD


@pytest.mark.parametrize('name', FITS)
def test_fits_are_computed_again_from_the_steps_of_each_seed(name):
    """Critical batch sizes, deviations from the hyperbola, and the ratio of momentum to SGD."""
    claims = (KEPT / name / 'claims.md').read_text()
    with open(KEPT / name / 'trials.csv', newline='') as file:
        reported = [row for row in csv.DictReader(file) if row['phase'] == 'reporting']
    steps, limits = {}, {}
    for row in reported:
        optimizer, size = row['arm'].split(', batch ')
        of_tuning = steps.setdefault((optimizer, int(size)), {}).setdefault(
            int(row['tuning'] or 0), []
        )
        of_tuning.append(float(row['reached']))
        limits[int(size)] = json.loads(row['settings'])['steps']
    fits, sizes = {}, sorted(limits)
    for optimizer in {optimizer for optimizer, _ in steps}:
        of_sizes = []
        # each draw is the upper median of a tuning, which without a rate has reached nothing
        for size in sizes:
            of_tunings = steps[optimizer, size]
            reached = [of_tunings.get(tuning, [math.inf]) for tuning in range(6)]
            of_sizes.append([sorted(each)[len(each) // 2] for each in reached])
        fits[optimizer] = scaling_fit(sizes, of_sizes, [limits[size] for size in sizes])
        critical = format_span(span(fits[optimizer].critical, 6))
        deviation = format_span(span(fits[optimizer].deviation, 6))
        assert f'{optimizer}: critical batch size {critical}' in claims
        assert f'deviation, root mean square: {deviation}' in claims
        row = re.search(rf'^\| `{name}` \| [^|]* \| {optimizer} \| .*$', TABLE, re.MULTILINE)
        fit = fits[optimizer]
        for values in (fit.critical, fit.fewest_steps, fit.fewest_examples):
            assert row is not None and format_span(span(values, 6)) in row[0]
    if name not in ('steps_to_target', 'steps_to_target_seed_1'):
        return
    assert len(fits) == 6 and len(reported) == 6 * 8 * 6 * 3
    ratio = span(fits['momentum'].critical / fits['sgd'].critical, 6)
    assert f'momentum over SGD {format_span(ratio)}' in claims


@pytest.mark.parametrize(
    'name', ['noisy_then_clean_reviews', 'noisy_then_clean_reviews_small_rate']
)
def test_two_stages_are_computed_again_from_the_metric_of_each_seed(name):
    folder = KEPT / name
    with open(folder / 'trials.csv', newline='') as file:
        trials = list(csv.DictReader(file))
    ends = {}
    for row in trials:
        if row['stage'] == '2':
            ends.setdefault(row['arm'], {})[int(row['seed'])] = float(row['test_auc'])
    values = {arm: np.array([of[seed] for seed in sorted(of)]) for arm, of in ends.items()}
    claims = json.loads((folder / 'claims.json').read_text())
    others = 'clean alone', 'clean, then noisy'
    for claim, other in zip(claims, others, strict=True):
        again = values['noisy, then clean'] - values[other]
        np.testing.assert_allclose(claim['effects'], again, atol=1e-7)


def test_a_trial_is_kept_as_often_as_it_was_asked_for_and_without_tags_once():
    entries = {0: {'tags': []}, 1: {}, 2: {'tags': [{'arm': 'a'}, {'arm': 'b'}]}}
    expected = [(0, {}), (1, {}), (2, {'arm': 'a'}), (2, {'arm': 'b'})]
    assert keep['_roles'](entries) == expected


def test_no_folder_of_a_machine_is_kept():
    for file in KEPT.glob('*/environment.json'):
        for value in json.loads(file.read_text()).values():
            words = str(value).replace('=', ' ').split()
            assert not any(word.startswith('/') for word in words), file


def test_no_speed_is_kept_that_others_disturbed():
    assert not list(KEPT.glob('*/speed*'))


def answer(trial):
    """Made-up errors of batch growth, with seeds' noise of their own and one that diverged."""
    grown, seed = bool(trial['batch_growth']), trial['seed']
    if grown and seed == 3:
        # what it had reached before is no result
        row = dict(step=1, epoch=10.0, examples=100, learning_rate=0.1, loss=None)
        return [{**row, 'validation_accuracy': 0.5, 'test_accuracy': 0.5}], 'diverged'
    error = 0.02 + 0.01 * grown + np.random.default_rng([seed, grown]).normal(0, 0.001)
    rows = []
    for step in (1, 2, 3):
        ends = dict(validation_accuracy=1 - error, test_accuracy=1 - error, learning_rate=0.1)
        rows.append(dict(step=step, epoch=step * 10.0, examples=step * 100, **ends))
    return rows, 'done'


def kept_folder(tmp_path, **study):
    config = configs.load(str(ROOT / 'experiments' / 'batch_growth.py'))
    config.study.update(**{**dict(seeds=7, tunings=1, budget=2, extensions=0), **study})
    rounds(config, tmp_path / 'run', answer)
    analysis = lookup.build('study', configs.plain(config.study)).analyse(tmp_path / 'run')
    folder = tmp_path / 'kept'
    folder.mkdir()
    keep['keep_claims'](analysis, folder)
    keep['keep_tables'](analysis, folder)
    keep['keep_trials'](tmp_path / 'run', folder, configs.plain(config.study))
    return analysis, folder


@pytest.mark.parametrize('study', [{}, dict(tunings=6, seeds=2)])
def test_intervals_are_recomputed_from_the_files(tmp_path, study):
    _, folder = kept_folder(tmp_path, **study)
    # growth, hybrid, constant against decay; and the curves
    assert check(folder) == (4, 3)
    # the check sees one number that is another
    text = (folder / 'trials.csv').read_text()
    rows = text.splitlines()
    changed = rows[-1].rsplit(',', 3)[0] + ',0.5,,0.5'
    (folder / 'trials.csv').write_text('\n'.join([*rows[:-1], changed]) + '\n')
    with pytest.raises(AssertionError):
        check(folder)


def test_files_tell_rates_edges_and_divergences(tmp_path):
    analysis, folder = kept_folder(tmp_path)
    with open(folder / 'trials.csv', newline='') as file:
        trials = list(csv.DictReader(file))
    assert {row['status'] for row in trials} == {'done', 'diverged'}
    (lost, *_) = [row for row in trials if row['status'] == 'diverged']
    assert lost['test_error'] == '' and lost['seed'] == '3'
    rates = {json.loads(row['settings'])['optimizer.learning_rate'] for row in trials}
    assert len(rates) == 2
    (table,) = folder.glob('table_*.csv')
    assert 'diverged' in table.read_text().splitlines()[0]
    (folder / 'run').mkdir()
    report_claims.write(folder / 'run', analysis)
    page = (folder / 'run' / 'claims.md').read_text()
    assert '| in the paper: Smith, Kindermans, Ying, Le 2018 (arXiv:1711.00489' in page
