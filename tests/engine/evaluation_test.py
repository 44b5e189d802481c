"""What is computed of an evaluation set: means, ratios of sums, metrics of the whole set, and the
values of each example that are kept."""

import json
import shutil

import evaluated
import numpy as np
import pytest
from networks import trained
from sweeps import command
from training import of_trial, rows, tiny, train

import lbexp
from lbexp import config as configs
from lbexp import results
from lbexp.engine.plan import plan
from lbexp.errors import Damaged, Refusal, describe

pytestmark = pytest.mark.usefixtures('shared_programs')

CLICKS = dict(name='evaluated:clicks')
KEPT = ('loss', 'token_loss', 'score', 'label')


def clicks(**fields):
    return tiny(workload=CLICKS, optimizer=dict(name='sgd', learning_rate=0.3), **fields)


def opened(workdir):
    return lbexp.open(workdir, trust_workdir=True)


def pairs(scores, labels):
    positive, negative = scores[labels == 1], scores[labels == 0]
    above = positive[:, None] > negative[None]
    return (above + (positive[:, None] == negative[None]) / 2).mean()


def last(workdir, config):
    return train(config, workdir)[-1]


def test_metrics_are_those_of_the_whole_set(tmp_path):
    """1,500 examples in two chunks, the second one padded, against all pairs in NumPy."""
    row = last(tmp_path, clicks(keep_examples=KEPT, evaluate_train=70))
    _, scores = results.per_example(tmp_path, 'score')
    test = evaluated.arrays(1500, 1)
    assert scores.shape == (1, 1500)
    loss = np.logaddexp(0, scores[0]) - test['y'] * scores[0]
    by_token = (loss * test['tokens']).sum() / test['tokens'].sum()
    assert row['test_auc'] == pytest.approx(pairs(scores[0], test['y']), abs=2e-7)
    assert row['test_loss'] == pytest.approx(loss.mean(), rel=1e-5)
    assert row['test_token_loss'] == pytest.approx(by_token, rel=1e-5)
    assert abs(by_token - loss.mean()) > 1e-3  # the mean over examples is another number
    assert {'validation_auc', 'train_auc', 'train_token_loss'} <= row.keys()


@pytest.mark.long
def test_values_of_each_example_are_kept(tmp_path):
    config = clicks(keep_examples=KEPT, sweep=(('optimizer.learning_rate', (0.3, 3.4e38, 0.1)),))
    history = train(config, tmp_path)
    test = evaluated.arrays(1500, 1)
    trials, losses = results.per_example(tmp_path, 'loss')
    assert trials.tolist() == [0, 2]  # trial 1 diverged
    ends = [of_trial(history, trial)[-1] for trial in trials]
    assert losses.dtype == np.float32
    np.testing.assert_allclose(losses.mean(1), [end['test_loss'] for end in ends], rtol=1e-6)
    _, labels = results.per_example(tmp_path, 'label')
    np.testing.assert_array_equal(labels, [test['y'], test['y']])
    _, parts = results.per_example(tmp_path, 'token_loss')
    np.testing.assert_array_equal(parts[0, :, 1], test['tokens'])
    np.testing.assert_allclose(parts[0, :, 0], losses[0] * test['tokens'], rtol=1e-6)
    _, validation = results.per_example(tmp_path, 'loss', part='validation')
    assert validation.shape == (2, 30)


def test_a_training_column_is_a_ratio_of_sums(tmp_path):
    """One batch a row, the whole training set: at a rate of 0 it is that of the initial weights."""
    config = clicks(batch_size=100, steps=2, num_rows=2, num_evaluations=2, evaluate_train=100)
    config.optimizer.learning_rate = 0.0
    row = train(config, tmp_path)[0]
    assert row['token_loss'] == pytest.approx(row['train_token_loss'], rel=1e-6)
    assert row['token_loss'] != pytest.approx(row['loss'], rel=1e-4)


@pytest.mark.long
@pytest.mark.parametrize('microbatch, replicas', [(10, {}), (None, dict(name='local_sgd'))])
def test_a_ratio_does_not_depend_on_how_a_batch_is_cut(tmp_path, microbatch, replicas):
    """Sums over microbatches, over workers and over the updates of a row."""
    fields = dict(batch_size=20, steps=10, num_rows=1, num_evaluations=0)
    whole = clicks(**fields)
    cut = clicks(microbatch=microbatch, **fields)
    if replicas:
        cut.replicas = {**replicas, 'workers': 2, 'k': 1}
    for config in (whole, cut):
        config.optimizer.learning_rate = 0.0
    row, other = last(tmp_path / 'whole', whole), last(tmp_path / 'cut', cut)
    assert row['token_loss'] == pytest.approx(other['token_loss'], rel=1e-6)


@pytest.mark.long
def test_a_trained_network_gives_them_too(tmp_path):
    row = rows(trained(clicks(data_parallel=1), tmp_path))[-1]
    trial = opened(tmp_path).trial(0)
    there = trial.evaluate('test')
    assert there.keys() == {'loss', 'token_loss', 'auc'}
    for name, value in there.items():
        assert np.float32(value) == np.float32(row[f'test_{name}'])
    few = {name: values[:40] for name, values in evaluated.arrays(1500, 1).items()}
    scores = trial.predict(few['x'])
    assert trial.evaluate(few)['auc'] == pytest.approx(pairs(scores, few['y']), abs=1e-7)


@pytest.mark.long
def test_alone_is_as_in_company(tmp_path):
    rates = (0.3, 0.1, 0.03)
    together = train(
        clicks(keep_examples=KEPT, sweep=(('optimizer.learning_rate', rates),)), tmp_path / 'all'
    )
    alone = clicks(keep_examples=KEPT)
    alone.optimizer.learning_rate = 0.1
    single = train(alone, tmp_path / 'alone')
    assert of_trial(single, 0) == of_trial(together, 1)
    for metric in KEPT:
        _, whole = results.per_example(tmp_path / 'all', metric)
        _, lone = results.per_example(tmp_path / 'alone', metric)
        np.testing.assert_array_equal(whole[1], lone[0])


@pytest.mark.long
@pytest.mark.parametrize('devices', [2, 8])
def test_devices_do_not_change_them(tmp_path, devices):
    alone = last(tmp_path / '1', clicks(batch_size=32, data_parallel=1, keep_examples=KEPT))
    shared = clicks(batch_size=32, data_parallel=devices, keep_examples=KEPT)
    row = last(tmp_path / 'n', shared)
    for name in ('test_loss', 'test_token_loss', 'test_auc', 'validation_auc'):
        assert row[name] == pytest.approx(alone[name], rel=1e-5)
    _, scores = results.per_example(tmp_path / 'n', 'score')
    _, expected = results.per_example(tmp_path / '1', 'score')
    np.testing.assert_allclose(scores, expected, rtol=1e-4, atol=1e-5)


def stopped(config, workdir, dispatches):
    """Told to stop after so many dispatches, again and again until it is done."""
    for _ in range(50):
        left = iter([False] * (dispatches - 1))
        train(config, workdir, should_stop=lambda left=left: next(left, True))
        if json.loads((workdir / 'status.json').read_text())['status'] == 'done':
            return
    raise AssertionError('it never ends')


@pytest.mark.long
def test_what_is_stopped_keeps_the_same(tmp_path):
    config = clicks(keep_examples=KEPT)
    train(config, tmp_path / 'whole')
    stopped(config, tmp_path / 'cut', 2)
    for metric in KEPT:
        whole = results.per_example(tmp_path / 'whole', metric)
        cut = results.per_example(tmp_path / 'cut', metric)
        np.testing.assert_array_equal(whole[1], cut[1])


def test_what_is_killed_between_values_and_rows_keeps_the_same(tmp_path, monkeypatch):
    config = clicks(keep_examples=KEPT, num_checkpoints=1, steps=12)
    whole = train(config, tmp_path / 'whole')

    def killed(path, content):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr('lbexp.engine.kept_examples.replace', killed)
        with pytest.raises(KeyboardInterrupt):
            train(config, tmp_path / 'cut')
    assert train(config, tmp_path / 'cut') == whole
    assert len(results.per_example(tmp_path / 'cut', 'loss')[0]) == 1


DIGITS = dict(name='digits_mlp', hidden=(16,))


def test_by_default_accuracies_are_kept_in_bits(tmp_path):
    history = train(tiny(workload=DIGITS, steps=6, sweep=(('seed', tuple(range(8))),)), tmp_path)
    trials, right = results.per_example(tmp_path, 'accuracy')
    assert trials.tolist() == list(range(8)) and right.shape == (8, 359)
    ends = [of_trial(history, trial)[-1]['test_accuracy'] for trial in trials]
    np.testing.assert_allclose(right.mean(1), ends, rtol=1e-6)
    (file,) = (tmp_path / 'examples').iterdir()
    assert file.stat().st_size < 8 * 359 / 8 + 1500  # and the names of arrays


@pytest.mark.long
@pytest.mark.parametrize(
    'fields',
    [
        dict(keep_examples=()),
        dict(num_evaluations=0),
        dict(workload=dict(name='linear_regression', size=100)),
    ],
)
def test_where_there_is_nothing_to_keep_there_is_no_file(tmp_path, fields):
    train(tiny(**{'workload': DIGITS, 'steps': 6, **fields}), tmp_path)
    assert not (tmp_path / 'examples').exists()
    with pytest.raises(Refusal, match='kept is nothing'):
        results.per_example(tmp_path, 'accuracy')


@pytest.mark.long
@pytest.mark.processes
def test_a_sweep_keeps_what_a_direct_run_keeps(tmp_path):
    (tmp_path / 'experiment.py').write_text(
        'from lbexp import config\n'
        'def get_config():\n'
        '    c = config.base()\n'
        "    c.workload = dict(name='digits_mlp', hidden=(16,))\n"
        "    c.probes = (dict(name='directional_curvature', examples=64),)\n"
        '    c.steps, c.batch_size, c.num_rows, c.num_evaluations = 12, 32, 2, 2\n'
        "    c.sweep = (('optimizer.momentum', (0.9, 0.5)), ('batch_size', (32, 16)))\n"
        '    return c\n'
    )
    config = f'--config={tmp_path / "experiment.py"}'
    for name, words in (('direct', ['lbexp.main']), ('sweep', ['lbexp.sweep', 'run'])):
        workdir = f'--workdir={tmp_path / name}'
        done = command(*words, config, workdir, folder=tmp_path)
        assert done.returncode == 0, done.stderr
    direct = results.per_example(tmp_path / 'direct', 'accuracy')
    swept = results.per_example(tmp_path / 'sweep', 'accuracy')
    assert swept[0].tolist() == [0, 1, 2, 3]
    np.testing.assert_array_equal(direct[1], swept[1])
    columns = [results.final(tmp_path / name) for name in ('direct', 'sweep')]
    np.testing.assert_array_equal(*[column['directional_curvature'] for column in columns])
    assert np.isfinite(columns[0]['directional_curvature']).all()


@pytest.mark.parametrize('damage', ['torn', 'flipped', 'text', 'compressed', 'others'])
def test_a_damaged_file_is_told_in_one_line(tmp_path, damage):
    train(tiny(workload=DIGITS, steps=6), tmp_path)
    (file,) = (tmp_path / 'examples').iterdir()
    content = file.read_bytes()
    at = content.index(b'bits test_accuracy.npy') + 190  # among the bits
    if damage == 'compressed':
        np.savez_compressed(file, trials=np.zeros(1))
    elif damage == 'others':
        np.savez(file, **{'trials': np.arange(2), 'values test_accuracy': np.zeros((1, 3))})
    else:
        flipped = content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]
        file.write_bytes({'torn': content[:-30], 'flipped': flipped, 'text': b'text'}[damage])
    with pytest.raises(Damaged) as caught:
        results.per_example(tmp_path, 'accuracy')
    line = describe(caught.value)
    assert str(file) in line and 'damaged' in line and '\n' not in line


def test_what_was_not_kept_and_what_leads_out_is_refused(tmp_path):
    train(tiny(workload=DIGITS, steps=6), tmp_path / 'run')
    with pytest.raises(Refusal, match=r"found no values of 'test_auc'.*kept is test_accuracy"):
        results.per_example(tmp_path / 'run', 'auc')
    file = tmp_path / 'run' / 'examples' / 'trial-00000.npz'
    shutil.move(file, tmp_path / 'elsewhere.npz')
    file.symlink_to(tmp_path / 'elsewhere.npz')
    with pytest.raises(Refusal, match='a link out of'):
        results.per_example(tmp_path / 'run', 'accuracy')


def trials(**fields):
    config = tiny(**fields)
    return [configs.resolve(config, overrides) for overrides in configs.trials(config)]


@pytest.mark.parametrize(
    'breach, told',
    [
        ('trained on a ratio', ["loss gives 'loss' as a Ratio", 'one value per example']),
        ('half a ratio', ["loss gives 'token_loss.denominator' of shape ()", '(16,)']),
        ('outputs shape', ["outputs gives 'score' of shape ()", 'along the first axis']),
        ('outputs none', ['outputs gives None', 'a dict of arrays']),
        ('summary vector', ["summary gives 'auc' of shape (30,)", 'one number']),
        ('summary none', ['summary gives an array', 'a dict of numbers']),
        ('summary twice', ["'loss' twice"]),
    ],
)
def test_a_breach_is_told(breach, told):
    with pytest.raises(ValueError) as caught:
        plan(trials(workload=dict(CLICKS, breach=breach)))
    line = describe(caught.value)
    assert all(words in line for words in told), line
    assert '\n' not in line and 'Tracer' not in line


def test_a_metric_that_is_not_there_cannot_be_kept():
    with pytest.raises(Refusal, match=r"keep_examples: found 'auc'; allowed: label, loss, score"):
        plan(trials(workload=CLICKS, keep_examples=('auc',)))
