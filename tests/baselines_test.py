"""What networks on tables are judged by."""

import csv
import json
import pathlib
import shutil

import numpy as np
import pytest
from networks import one_line, trained
from scipy import stats
from training import tiny

import lbexp
from lbexp import baselines, metrics, resampling
from lbexp.baselines import compared
from lbexp.errors import Refusal
from lbexp.metrics import average_precision
from lbexp.reference_models import boosted_trees, labels_of, logistic_regression
from lbexp.score_table import scores


@pytest.fixture(autouse=True)
def rows(tmp_path, monkeypatch):
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
    monkeypatch.chdir(tmp_path)
    write_rows(tmp_path)


def write_rows(folder):
    """1,000 rows: the label depends on a number beyond a threshold, and on a category."""
    generator = np.random.default_rng(0)
    x, colours = generator.normal(size=1000), generator.choice(['red', 'green', 'blue'], 1000)
    logits = 4 * (abs(x) > 1) - 2 + 3 * (colours == 'red')
    labels = generator.random(1000) < 1 / (1 + np.exp(-logits))
    lines = [f'{a},{b},{c:d}' for a, b, c in zip(x.tolist(), colours, labels)]
    (folder / 't.csv').write_text('\n'.join(['x,colour,label', *lines]))


def workload(**data):
    return dict(name='binary', data=dict(name='file', path='t.csv', validation=100, **data))


def data(**options):
    return baselines._data(workload(**options))


def test_scores_are_those_of_the_whole_set_with_intervals():
    generator = np.random.default_rng(1)
    labels = generator.integers(0, 2, 400)
    logits = np.round(generator.normal(labels, 1), 1)  # with ties
    measured = scores(logits, labels, draws=400)
    u = stats.mannwhitneyu(logits[labels == 1], logits[labels == 0]).statistic
    area = u / ((labels == 1).sum() * (labels == 0).sum())
    assert np.isclose(measured.auc.value, area)
    p = 1 / (1 + np.exp(-logits))
    losses = -np.where(labels, np.log(p), np.log(1 - p))
    assert np.isclose(measured.loss.value, losses.mean())
    # as wide as a normal interval of the mean
    width = measured.loss.high - measured.loss.low
    assert np.isclose(width, 2 * 1.96 * losses.std() / 20, rtol=0.15)
    # Hanley and McNeil (1982): the standard error of an AUC
    a, n = area, 200
    spread = (a / (2 - a) - a**2) + (2 * a**2 / (1 + a) - a**2)
    error = ((a * (1 - a) + (n - 1) * spread) / n**2) ** 0.5
    assert np.isclose(measured.auc.high - measured.auc.low, 2 * 1.96 * error, rtol=0.2)


def test_average_precision_of_a_resample_is_that_of_its_examples():
    """Rare positives and ties, beside the metric of workloads on the examples themselves."""
    generator = np.random.default_rng(2)
    labels = (generator.random(300) < 0.1).astype(int)
    logits = np.round(generator.normal(2 * labels, 1), 1)
    value = scores(logits, labels, draws=50).average_precision.value
    assert np.isclose(value, average_precision(logits, labels), rtol=1e-6)
    places = generator.integers(0, 300, 300)
    counts = np.bincount(places, minlength=300).astype(float)
    ranks = np.unique(logits, return_inverse=True)[1]
    again = resampling._average_precision(ranks, labels, counts)
    assert np.isclose(again, average_precision(logits[places], labels[places]), rtol=1e-6)


def test_logistic_regression_on_intervals_finds_what_a_line_cannot():
    labels = labels_of(data(), data().test)
    line = scores(logistic_regression(data()), labels, 10)
    cut = scores(logistic_regression(data(bins=8)), labels, 10)
    assert line.auc.value > 0.6
    assert cut.auc.value > line.auc.value + 0.1
    assert cut.loss.value < line.loss.value


@pytest.mark.long
def test_trees_are_given_the_numbers():
    pytest.importorskip('xgboost')
    labels = labels_of(data(), data().test)
    measured = scores(boosted_trees(data()), labels, 10)
    assert measured.auc.value > 0.85
    table = compared(workload(bins=3))
    assert [row[0] for row in table.rows] == ['logistic regression', 'boosted trees']


@pytest.mark.long
def test_trees_are_given_missing_numbers():
    pytest.importorskip('xgboost')
    header, *lines = pathlib.Path('t.csv').read_text().splitlines()
    lines[::7] = [',' + line.partition(',')[2] for line in lines[::7]]
    pathlib.Path('t.csv').write_text('\n'.join([header, *lines]))
    table = compared(workload(bins=4))
    assert [row[0] for row in table.rows] == ['logistic regression', 'boosted trees']


@pytest.mark.parametrize(
    ('part', 'problem'),
    [
        (dict(name='classification', data='digits'), "workload: found 'classification'; allowed"),
        (dict(name='binary', data=dict(name='file', path='t.csv')), 'found no test or no validat'),
        (dict(name='binary', data='digits'), 'found no test or no validation'),
        (dict(name='binary', data=dict(name='digits', validation=9)), 'data: found image; allowed'),
    ],
)
def test_what_has_no_baseline(part, problem):
    with pytest.raises(Refusal, match=problem):
        compared(part)


@pytest.fixture(scope='module')
def clicks(tmp_path_factory):
    """A run of two models in two seeds each, one trial of which diverges."""
    folder = tmp_path_factory.mktemp('clicks')
    write_rows(folder)
    models = (dict(name='linear'), dict(name='mlp', hidden=(8,), embedding=2))
    config = tiny(
        workload=workload(bins=4) | dict(model=models[0]),
        optimizer=dict(name='adamw', learning_rate=0.05),
        sweep=(
            (
                ('workload.model', 'seed', 'optimizer.learning_rate'),
                (
                    (models[0], 0, 0.05),
                    (models[0], 1, 0.05),
                    (models[1], 0, 0.05),
                    (models[1], 1, 1e38),
                ),
            ),
        ),
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv('XDG_CACHE_HOME', str(folder / 'cache'))
        trained(config, folder / 'run')
    return folder / 'run'


def test_networks_stand_beside_the_baselines(clicks, tmp_path, capsys):
    assert baselines.main(['', f'--workdir={clicks}', f'--to={tmp_path}/to']) == 0
    printed = capsys.readouterr()
    assert 'trial 3' in printed.err and 'left out' in printed.err
    with open(tmp_path / 'to' / 'baselines.csv') as file:
        rows = list(csv.DictReader(file))
    assert [row['trial'] for row in rows][:3] == ['0', '1', '2']
    linear, mlp = 'linear, learning_rate 0.05', 'mlp, learning_rate 0.05'
    assert [row['model'] for row in rows][:4] == [linear, linear, mlp, 'logistic regression']
    run = lbexp.open(clicks)
    for row in rows[:3]:
        trial = run.trial(int(row['trial']))
        test = trial.workload.test.arrays
        logits = trial.predict({name: test[name] for name in trial.workload.inputs})
        # what the run recorded, to the bit, is of the logits that are resampled
        area = metrics.roc_auc(logits, test['label'])
        assert area == np.float32(trial.metrics['test_auc'])
        for name in ('auc', 'average_precision', 'loss'):
            recorded = trial.metrics[f'test_{name}']
            assert float(row[f'test_{name}']) == pytest.approx(recorded, rel=3e-7)
            assert float(row[f'test_{name}_low']) < recorded < float(row[f'test_{name}_high'])
    mean = np.mean([float(row['test_auc']) for row in rows[:2]])
    assert f'{mean:.4f}' in printed.out
    assert 'By AUC, ' in printed.out and 'By log loss, ' in printed.out


def test_a_trial_by_its_number_goes_to_the_workdir(clicks, tmp_path, capsys):
    run = shutil.copytree(clicks, tmp_path / 'run')
    assert baselines.main(['', f'--workdir={run}', '--trial=2']) == 0
    with open(run / 'analysis' / 'baselines.csv') as file:
        rows = list(csv.DictReader(file))
    assert rows[0]['trial'] == '2' and rows[1]['model'] == 'logistic regression'
    assert str(run / 'analysis' / 'baselines.csv') in capsys.readouterr().out


def test_a_trial_that_is_not_over_is_left_out(clicks, tmp_path, capsys):
    run = shutil.copytree(clicks, tmp_path / 'run')
    status = json.loads((run / 'status.json').read_text())
    status['trials']['2']['status'] = 'running'
    (run / 'status.json').write_text(json.dumps(status))
    assert baselines.main(['', f'--workdir={run}', '--trial=2']) == 2
    assert 'trial 2: found status interrupted; allowed: done' in one_line(capsys)


@pytest.mark.parametrize(
    ('arguments', 'said'),
    [
        (['--trial=0'], '--trial: given without --workdir; allowed: both'),
        (['--to=folder'], '--to: given without --workdir; allowed: both'),
        (['--workdir=RUN', '--trial=3'], 'trial 3 of'),
        (['--workdir=RUN', '--trial=9'], 'trial: found 9'),
        (['--workdir=RUN', '--to=t.csv'], '--to: found a file'),
        (['--workdir=digits'], "workload: found 'digits_mlp'; allowed: 'binary'"),
        (['--workdir=two'], 'which differs from that of trial 0; allowed: one, by --trial'),
    ],
)
def test_what_is_wrong_with_a_workdir_is_told_in_a_line(
    clicks, tmp_path, monkeypatch, capsys, arguments, said
):
    if '--workdir=digits' in arguments:
        trained(tiny(workload=dict(name='digits_mlp', hidden=(4,))), tmp_path / 'digits')
    if '--workdir=two' in arguments:
        config = tiny(
            workload=workload() | dict(model=dict(name='linear')),
            optimizer=dict(name='adamw', learning_rate=0.05),
            sweep=(('workload.data.validation', (100, 200)),),
        )
        trained(config, tmp_path / 'two')
    monkeypatch.chdir(tmp_path)
    flags = [argument.replace('RUN', str(clicks)) for argument in arguments]
    assert baselines.main(['', *flags]) == 2
    assert said in one_line(capsys)
