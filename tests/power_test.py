"""`python -m lbexp.power` on a comparison with known spreads."""

import pathlib

import numpy as np
import pytest
from rounds import rounds

from lbexp import config as configs
from lbexp import power, results
from lbexp.power_analysis import spread_of
from lbexp.studies._comparison.pilot import pilot, reported

ROOT = pathlib.Path(__file__).parents[1]


def errors(batch_size, seed):
    noise = np.random.default_rng((batch_size, seed)).normal(0, 0.01)
    return 0.1 + 0.05 * (batch_size > 100) + noise


@pytest.fixture(scope='module')
def workdir(tmp_path_factory):
    """Two batch sizes, six tunings of two seeds."""
    folder = tmp_path_factory.mktemp('comparison')
    config = configs.load(str(ROOT / 'experiments' / 'generalization_gap.py') + ':digits')
    config.study.update(batch_sizes=(64, 256), budget=2, seeds=2, tunings=6, extensions=0)
    config.study.update(equal_updates=False, speed=False)

    def answer(trial):
        error = errors(trial['batch_size'], trial['seed'])
        row = {f'{part}_accuracy': 1 - error for part in ('test', 'validation', 'train')}
        return [{'step': 1, 'epoch': 1.0, **row}], 'done'

    rounds(config, folder, answer)
    return folder


NAMES = 'equal epochs, B 64', 'equal epochs, B 256'


def test_a_pilot_pairs_reported_trials_by_tuning_and_seed(workdir):
    trials = reported(workdir)
    assert set(trials) == set(NAMES)
    spread, budget = pilot(workdir, trials[NAMES[1]], trials[NAMES[0]])
    assert budget == (6, 2, 0)
    differences = []
    for number in range(6):
        first = 128 * number + 1
        seeds = range(first, first + 2)
        differences.append(np.array([errors(256, seed) - errors(64, seed) for seed in seeds]))
    assert spread[:2] == pytest.approx(spread_of(differences)[:2])
    assert np.isnan(spread.example)


def test_examples_are_those_that_the_run_kept(workdir, monkeypatch):
    trials = reported(workdir)
    numbers = np.array([t for arm in trials.values() for of in arm.values() for t in of.values()])
    wrong = np.random.default_rng(0).integers(2, size=(len(numbers), 50)).astype(float)
    monkeypatch.setattr(results, 'per_example', lambda workdir, metric: (numbers, 1 - wrong))
    spread, budget = pilot(workdir, trials[NAMES[1]], trials[NAMES[0]])
    assert budget.examples == 50 and spread.example >= 0


def test_the_command_prints_what_is_seen_and_what_is_needed(workdir, capsys):
    flags = [f'--workdir={workdir}', '--margin=0.005', '--table']
    assert power.main(['power', *flags]) == 0
    said = ' '.join(capsys.readouterr().out.split())
    for words in ('can see', 'What an effect of 0.005 needs', 'Detectable effect', 'unknown'):
        assert words in said
    assert power.main(['power', f'--workdir={workdir}', f'--reference={NAMES[0]}']) == 0
    assert 'B 256' in capsys.readouterr().out


@pytest.mark.parametrize(
    'arguments, words',
    [
        ([], '--workdir: not given; allowed: the folder of a comparison'),
        (['--workdir=W', '--margin=-1'], '--margin: found -1.0; allowed: a difference'),
        (['--workdir=W', '--reference=nobody'], 'found --reference=nobody with equal epochs'),
        (['--workdir=W', '--magrin=1'], '--magrin=1: not a flag'),
        (['--workdir=W', '--config.seed=1'], '--config.seed: not a flag of this command'),
        (['--workdir=/nowhere'], 'found no trials'),
    ],
)
def test_bad_input_is_one_line(workdir, capsys, arguments, words):
    arguments = [argument.replace('=W', f'={workdir}') for argument in arguments]
    assert power.main(['power', *arguments]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert words in line


def test_help_is_the_manual(capsys):
    assert power.main(['power', '--help']) == 0
    assert '--margin' in capsys.readouterr().out
