"""The command that looks at the loss around trained networks."""

import csv

import jax
import numpy as np
import pytest
from networks import files_of, one_line, trained
from training import tiny

import lbexp
from lbexp import analyse


@pytest.fixture(scope='module')
def three(tmp_path_factory):
    config = tiny(
        workload=dict(name='digits_mlp', hidden=(8,)),
        sweep=(
            (
                ('batch_size', 'seed', 'workload.hidden'),
                ((16, 0, (8,)), (64, 1, (8,)), (16, 0, (4,))),
            ),
        ),
    )
    return trained(config, tmp_path_factory.mktemp('analyse') / 'run')


def numbers(path):
    with path.open() as file:
        return list(csv.DictReader(file))


def test_interpolation_has_the_losses_of_its_ends(three, tmp_path, capsys):
    flags = ['--trial=0', '--other=1', f'--to={tmp_path}/a', '--points=2', '--examples=200']
    assert analyse.main(['', 'interpolation', f'--workdir={three}', *flags]) == 0
    printed = capsys.readouterr().out
    assert 'barrier' in printed and 'interpolation_0_1.png' in printed
    rows = numbers(tmp_path / 'a' / 'interpolation_0_1.csv')
    run = lbexp.open(three)
    place = next(name for name in rows[0] if name.startswith('place'))
    for number, at in ((0, '0.0'), (1, '1.0')):
        trial = run.trial(number)
        examples = trial.objective('test', 200).examples
        expected = trial.evaluate({name: np.asarray(x) for name, x in examples.items()})['loss']
        (row,) = [row for row in rows if row['series'] == 'test' and row[place] == at]
        assert float(row['loss']) == pytest.approx(expected, rel=1e-6)
    assert len(rows) == 2 * 7


@pytest.mark.long
def test_connectivity(three, tmp_path, capsys):
    flags = ['--trial=0', '--other=1', '--points=4', '--examples=200', '--updates=60']
    assert analyse.main(['', 'connectivity', f'--workdir={three}', f'--to={tmp_path}', *flags]) == 0
    assert 'connectivity_0_1.png' in capsys.readouterr().out
    rows = numbers(tmp_path / 'connectivity_0_1.csv')
    assert len(rows) == 6 * 5
    trials = [lbexp.open(three).trial(number) for number in (0, 1)]
    barriers = numbers(tmp_path / 'connectivity_0_1_barriers.csv')
    assert [row['path'] for row in barriers] == ['line', 'line, units matched', 'curve'] * 2
    for row in barriers:
        name = f'{row["set"]}: {row["path"]}'
        losses = np.array([float(each['loss']) for each in rows if each['series'] == name])
        loss = trials[0].objective(row['set'], 200).loss
        expected = [float(loss(trial.params)) for trial in trials]
        np.testing.assert_allclose(losses[[0, -1]], expected, rtol=1e-5)
        above = losses - np.interp(np.linspace(0, 1, 5), [0, 1], losses[[0, -1]])
        assert float(row['barrier']) == pytest.approx(above.max(), abs=1e-6)
        assert float(row['at']) == np.linspace(0, 1, 5)[above.argmax()]


@pytest.mark.long
def test_connectivity_with_the_statistics_at_each_point(workdir, tmp_path, capsys):
    flags = ['--trial=0', '--other=1', '--points=2', '--examples=64', '--updates=2']
    common = [f'--workdir={workdir}', f'--to={tmp_path}', '--batch_norm=batch']
    assert analyse.main(['', 'connectivity', *common, *flags]) == 0
    told = "Units are not matched: layers: found 'BatchNorm_0'; allowed: dense layers with"
    assert told in capsys.readouterr().out
    rows = numbers(tmp_path / 'connectivity_0_1_barriers.csv')
    assert [row['path'] for row in rows] == ['line', 'curve'] * 2
    last = lbexp.open(workdir).trial(1)
    # at the end it is the other network with statistics of these examples, not of the first one
    expected = float(last.objective('test', 64, 'batch').loss(last.params))
    assert float(rows[-1]['loss at 1']) == pytest.approx(expected, rel=1e-5)


@pytest.mark.long
def test_noise(three, tmp_path, capsys):
    common = [f'--workdir={three}', f'--to={tmp_path}', '--trial=1']
    assert analyse.main(['', 'noise', *common, '--examples=120', '--groups=12']) == 0
    assert 'noise_1_spectrum.png' in capsys.readouterr().out
    rows = numbers(tmp_path / 'noise_1.csv')
    values = {row['']: row for row in rows}
    trial = lbexp.open(three).trial(1)
    objective = trial.objective(examples=120)
    gradient = jax.grad(objective.loss)(trial.params)
    square = sum(float((leaf**2).sum()) for leaf in jax.tree.leaves(gradient))
    size = trial.workload.train.size
    noise = float(values['tr Sigma']['value'])
    expected = square - noise * (1 / 120 - 1 / size)
    assert float(values['|G|^2']['value']) == pytest.approx(expected, rel=1e-3)
    assert len(numbers(tmp_path / 'noise_1_spectrum.csv')) == 2 * 5


@pytest.mark.long
def test_landscape_and_hessian(three, tmp_path, capsys):
    common = [f'--workdir={three}', '--trial=1', f'--to={tmp_path}', '--examples=100']
    assert analyse.main(['', 'landscape', *common, '--points=2']) == 0
    rows = numbers(tmp_path / 'landscape_1_plane.csv')
    assert len(rows) == 25
    centre = [row for row in rows if row['first direction'] == row['second direction'] == '0.0']
    trial = lbexp.open(three).trial(1)
    loss = float(trial.objective(examples=100).loss(trial.params))
    assert float(centre[0]['loss']) == pytest.approx(loss, rel=1e-6)
    assert analyse.main(['', 'hessian', *common, '--products=8']) == 0
    assert 'smallest eigenvalue' in capsys.readouterr().out
    assert (tmp_path / 'hessian_1_density.png').exists()


WRONG = {
    '--trial=0': 'found no command; allowed: one of hessian, landscape, interpolation, ',
    'hessian landscape --trial=0': 'found hessian and landscape',
    'hessian': '--trial: not given with 3 trials',
    'interpolation --trial=0': '--other: not given',
    'interpolation --trial=0 --other=0': '--other: found 0, which is --trial',
    'interpolation --trial=0 --other=7': 'trial: found 7',
    'interpolation --trial=0 --other=2': '--other: found trial 2, whose parameters have other',
    'connectivity --trial=0': '--other: not given',
    'connectivity --trial=0 --other=0': '--other: found 0, which is --trial',
    'connectivity --trial=0 --other=2': '--other: found trial 2, whose parameters have other',
    'connectivity --trial=0 --other=1 --updates=0': '--updates',
    'hessian --trial=0 --other=1': "--other: given to hessian; allowed: with 'interpolation' and",
    'noise --trial=0 --other=1': "--other: given to noise; allowed: with 'interpolation' and",
    'noise --trial=0 --groups=8': '--groups',
    'noise --trial=0 --examples=30': '--groups: found 64 of 30 examples; allowed: no more',
    'hessian --trial=0 --examples=100000': '--examples: found 100000',
    'hessian --trial=0 --to=file': '--to: found a file',
    'hessian --tiral=0': '--tiral=0: not a flag',
}


@pytest.mark.parametrize('arguments', WRONG)
def test_what_is_wrong_is_told_in_a_line(three, tmp_path, monkeypatch, capsys, arguments):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'file').touch()
    before = files_of(tmp_path)
    assert analyse.main(['', *arguments.split(), f'--workdir={three}']) == 2
    assert WRONG[arguments] in one_line(capsys)
    assert files_of(tmp_path) == before
    assert not (three / 'analysis').exists()


BATCH_NORM = {
    'hessian': '--batch_norm: not given, of a network that has statistics',
    'connectivity --other=1': '--batch_norm: not given, of a network that has statistics',
    'noise': '--batch_norm: not given, of a network that has statistics',
    'interpolation --other=1 --batch_norm=frozen': "--batch_norm: found 'frozen', the running",
    'connectivity --other=1 --batch_norm=frozen': "--batch_norm: found 'frozen', the running",
    'noise --batch_norm=batch': "--batch_norm: found 'batch', with which an example has no",
}


@pytest.mark.parametrize('arguments', BATCH_NORM)
def test_batch_norm_needs_a_mode_that_has_a_meaning(workdir, capsys, arguments):
    flags = [*arguments.split(), f'--workdir={workdir}', '--trial=0']
    assert analyse.main(['', *flags]) == 2
    assert BATCH_NORM[arguments] in one_line(capsys)
    assert not (workdir / 'analysis').exists()
