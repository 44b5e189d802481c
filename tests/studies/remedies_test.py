"""The ladder of remedies, without training: what is run, what is claimed of known errors, what is
refused."""

import pathlib

import numpy as np
import pytest
from rounds import analysis, rounds

from lbexp import config as configs
from lbexp.engine.trial_plan import run_length

ROOT = pathlib.Path(__file__).parents[2]


def study(**arguments):
    config = configs.load(str(ROOT / 'experiments' / 'remedies.py'))
    config.study.update(seeds=6, budget=4, **arguments)
    return config


def arm(config):
    """The rung that a resolved configuration stands on."""
    if config['batch_size'] == 32:
        return 'small'
    if config['workload']['ghost'] is None:
        return 'scaled' if config['batch_scaling']['rule'] else 'large'
    if config['regime_adaptation']:
        return 'adapted'
    return 'noise' if config['example_weights'] else config['optimizer']['name']


ERRORS = dict(
    small=0.10,
    large=0.20,
    scaled=0.16,
    momentum=0.15,
    adapted=0.10,
    noise=0.25,
    lars=0.15,
    lamb=0.12,
)
ERRORS['lookahead'] = 0.15
TRAINED = dict.fromkeys(ERRORS, 0.02)  # training errors


def answer(errors, training=TRAINED):
    """Rows of a trial: its rung's error, a little worse away from the best learning rate, with
    noise by seed."""

    def rows(config):
        optimizer = config['optimizer'].get('inner', config['optimizer'])
        best = {'lars': 10.0, 'lamb': 0.02}.get(optimizer['name'], 0.2)
        off = (
            0.02 * abs(np.log10(optimizer['learning_rate'] / best)) if config['seed'] == 0 else 0.0
        )
        noise = 0.002 * np.random.default_rng((config['seed'], len(arm(config)))).standard_normal()
        error = errors[arm(config)] + off + noise
        row = {f'{part}_accuracy': 1 - error for part in ('test', 'validation')}
        row['train_accuracy'] = 1 - training[arm(config)]
        return [{'step': 10, 'epoch': 1.0, **row}], 'done'

    return rows


def outcomes(tmp_path, errors, training=TRAINED, **arguments):
    config = study(**arguments)
    entries = rounds(config, tmp_path, answer(errors, training))
    found = analysis(config, tmp_path)
    return (
        config,
        entries,
        found,
        {claim.claim.split(' (')[0].split(',')[0]: claim.outcome for claim in found.claims},
    )


def test_the_claims_follow_the_errors(tmp_path):
    config, entries, found, told = outcomes(tmp_path, ERRORS)
    assert (
        told["A large batch with the small batch's learning rate generalizes worse"] == 'reproduced'
    )
    assert told['Square-root scaling of the learning rate closes part of the gap'] == 'reproduced'
    assert told['Regime adaptation closes more'] == 'reproduced'
    assert told['LAMB closes more at equal epochs'] == 'reproduced'
    assert told['Multiplicative noise closes more at equal epochs'] == 'not reproduced'
    # the last rung is judged by what is left of it
    assert told['The whole ladder leaves no gap'] == 'reproduced'
    left = found.claims[-1]
    assert left.contrast == ('test_error', '+ regime adaptation', 'small batch')
    assert all(claim.paper for claim in found.claims)
    assert found.tables[0].columns[-1] == 'gap closed'
    (table,) = found.tables
    # test error, training error, and what generalization costs: their difference
    for row in table.rows:
        test, training, gap = (float(cell.split()[0]) for cell in row[4:7])
        assert training == pytest.approx(0.02, abs=1e-3) and gap == pytest.approx(
            test - training, abs=2e-3
        )
    closed = {row[0]: row[-1] for row in table.rows}
    assert closed['small batch'].startswith('100%') and closed['large batch'].startswith('0%')
    share = float(closed['+ square-root scaling'].split('%')[0])
    assert 30 < share < 50  # 0.04 of 0.10
    # What runs is the ladder: the rate of the small batch, the same number of updates, ghosts of
    # its size.
    trials = [configs.resolve(config, entry['overrides']) for entry in entries]
    reported = {}
    for trial in trials:
        if trial['seed'] == 1:
            reported.setdefault(arm(trial), trial)

    def rate(name):
        return reported[name]['optimizer']['learning_rate']

    assert rate('large') == rate('scaled') == rate('small')
    assert run_length(reported['adapted']) == run_length(reported['small'])
    assert reported['adapted']['workload']['ghost'] == 32
    assert reported['noise']['example_weights']['matched_batch_size'] == 32


def test_without_a_gap_there_is_no_share_of_it(tmp_path):
    _, _, found, told = outcomes(tmp_path, dict.fromkeys(ERRORS, 0.1) | {'large': 0.05})
    assert (
        told["A large batch with the small batch's learning rate generalizes worse"]
        == 'not reproduced'
    )
    assert all(row[-1] == '' for row in found.tables[0].rows)


def test_a_ladder_that_leaves_a_gap(tmp_path):
    _, _, _, told = outcomes(tmp_path, ERRORS | {'adapted': 0.14})
    assert told['The whole ladder leaves no gap'] == 'not reproduced'
    assert told['Regime adaptation closes more'] == 'reproduced'  # it closes a tenth of it


def test_what_is_under_trained_decides_nothing(tmp_path):
    """The large batch has not fitted its training set: what is closed is excess test error."""
    training = TRAINED | dict(large=0.34, noise=0.5, scaled=0.1)
    _, _, found, told = outcomes(tmp_path, ERRORS, training)
    under_trained = {
        "A large batch with the small batch's learning rate generalizes worse",
        'Square-root scaling of the learning rate closes part of the gap',
        'Ghost batch norm closes more',  # than the large batch with its own rate
        'Multiplicative noise closes more at equal epochs',
    }
    assert {claim for claim, outcome in told.items() if outcome == 'under-trained'} == under_trained
    assert told['LAMB closes more at equal epochs'] == 'reproduced'
    (table,) = found.tables
    assert table.columns[-1] == 'excess test error closed'
    titles = {figure.name: figure.title for figure in found.figures}
    assert titles['closed'] == 'Share of the excess test error closed'
    assert 'training error 0.32' in found.verdict and 'that excess test error' in found.verdict
    (ladder,) = [figure for figure in found.figures if figure.name == 'ladder']
    assert [series.name for series in ladder.series] == ['test', 'training', 'gap: test - training']
    _, _, _, wide = outcomes(tmp_path / 'wide', ERRORS, training, fit_margin=0.6)
    assert wide["A large batch with the small batch's learning rate generalizes worse"] == (
        'reproduced'
    )


@pytest.mark.parametrize(
    'arguments, told',
    [
        (dict(large=1000), 'small, large: found 32, 1000'),
        (dict(learning_rates=()), 'learning_rates: found'),
        (dict(lars_rates=(10.0, 1.0)), 'low <= high'),
    ],
)
def test_bad_arguments_are_told_in_one_line(tmp_path, arguments, told):
    with pytest.raises(ValueError, match=told):
        rounds(study(**arguments), tmp_path, answer(ERRORS))


def test_it_needs_batch_norm_and_validation_examples(tmp_path):
    config = study()
    config.workload.batch_norm = False
    with pytest.raises(ValueError, match=r'workload.batch_norm: found None or False'):
        rounds(config, tmp_path, answer(ERRORS))
    config = study()
    config.workload.validation = 0
    with pytest.raises(ValueError, match=r'workload.validation: found none'):
        rounds(config, tmp_path, answer(ERRORS))
