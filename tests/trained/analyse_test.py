"""The command that looks at the loss around trained networks."""

import csv

import numpy as np
import pytest
from networks import files_of, one_line, trained
from training import tiny

import lbexp
from lbexp import analyse


@pytest.fixture(scope='module')
def pair(tmp_path_factory):
    config = tiny(
        workload=dict(name='digits_mlp', hidden=(8,)),
        sweep=((('batch_size', 'seed'), ((16, 0), (64, 1))),),
    )
    return trained(config, tmp_path_factory.mktemp('analyse') / 'run')


def numbers(path):
    with path.open() as file:
        return list(csv.DictReader(file))


def test_interpolation_has_the_losses_of_its_ends(pair, tmp_path, capsys):
    flags = ['--trial=0', '--other=1', f'--to={tmp_path}/a', '--points=2', '--examples=200']
    assert analyse.main(['', 'interpolation', f'--workdir={pair}', *flags]) == 0
    printed = capsys.readouterr().out
    assert 'barrier' in printed and 'interpolation_0_1.png' in printed
    rows = numbers(tmp_path / 'a' / 'interpolation_0_1.csv')
    run = lbexp.open(pair)
    place = next(name for name in rows[0] if name.startswith('place'))
    for number, at in ((0, '0.0'), (1, '1.0')):
        trial = run.trial(number)
        examples = trial.objective('test', 200).examples
        expected = trial.evaluate({name: np.asarray(x) for name, x in examples.items()})['loss']
        (row,) = [row for row in rows if row['series'] == 'test' and row[place] == at]
        assert float(row['loss']) == pytest.approx(expected, rel=1e-6)
    assert len(rows) == 2 * 7


@pytest.mark.long
def test_landscape_and_hessian(pair, tmp_path, capsys):
    common = [f'--workdir={pair}', '--trial=1', f'--to={tmp_path}', '--examples=100']
    assert analyse.main(['', 'landscape', *common, '--points=2']) == 0
    rows = numbers(tmp_path / 'landscape_1_plane.csv')
    assert len(rows) == 25
    centre = [row for row in rows if row['first direction'] == row['second direction'] == '0.0']
    trial = lbexp.open(pair).trial(1)
    loss = float(trial.objective(examples=100).loss(trial.params))
    assert float(centre[0]['loss']) == pytest.approx(loss, rel=1e-6)
    assert analyse.main(['', 'hessian', *common, '--products=8']) == 0
    assert 'smallest eigenvalue' in capsys.readouterr().out
    assert (tmp_path / 'hessian_1_density.png').exists()


WRONG = {
    '--trial=0': 'found no command; allowed: one of hessian, landscape, interpolation',
    'hessian landscape --trial=0': 'found hessian and landscape',
    'hessian': '--trial: not given with 2 trials',
    'interpolation --trial=0': '--other: not given',
    'interpolation --trial=0 --other=0': '--other: found 0, which is --trial',
    'interpolation --trial=0 --other=7': 'trial: found 7',
    'hessian --trial=0 --other=1': "--other: given to hessian; allowed: with 'interpolation'",
    'hessian --trial=0 --examples=100000': '--examples: found 100000',
    'hessian --trial=0 --to=file': '--to: found a file',
    'hessian --tiral=0': '--tiral=0: not a flag',
}


@pytest.mark.parametrize('arguments', WRONG)
def test_what_is_wrong_is_told_in_a_line(pair, tmp_path, monkeypatch, capsys, arguments):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'file').touch()
    before = files_of(tmp_path)
    assert analyse.main(['', *arguments.split(), f'--workdir={pair}']) == 2
    assert WRONG[arguments] in one_line(capsys)
    assert files_of(tmp_path) == before
    assert not (pair / 'analysis').exists()


def test_batch_norm_needs_a_mode(workdir, capsys):
    assert analyse.main(['', 'hessian', f'--workdir={workdir}', '--trial=0']) == 2
    assert '--batch_norm: not given, of a network that has statistics' in one_line(capsys)
