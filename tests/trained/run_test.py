"""The trained network of a workdir: the weights that were evaluated, and what they predict."""

import json
import shutil

import numpy as np
import pytest
from networks import BACKEND, DIVERGED, files_of, one_line, set_config, trained
from training import tiny

import lbexp
from lbexp import evaluate
from lbexp.data.load import load
from lbexp.engine import record
from lbexp.engine.trial_plan import run_length
from lbexp.errors import Damaged, Refusal
from lbexp.optimizers import evaluation_params


def test_predictions_are_those_that_the_evaluation_saw(workdir):
    """Loss and accuracy of the logits, in NumPy, are what each trial recorded last."""
    test = load('digits', 'test')
    networks = lbexp.open(workdir)
    assert len(networks) == 4 and networks.trials == [0, 1, 2, 3]
    for number, steps in ((0, 8), (1, 31), (2, 17)):
        trial = networks.trial(number)
        assert (trial.number, trial.step, trial.status) == (number, steps, 'done')
        assert trial.config['steps'] == steps and trial.config['seed'] == number
        logits = trial.predict(test['image']).astype(np.float64)
        log_p = logits - np.log(np.exp(logits).sum(1, keepdims=True))
        loss = -log_p[np.arange(len(logits)), test['label']].mean()
        assert np.mean(logits.argmax(1) == test['label']) == pytest.approx(
            trial.metrics['test_accuracy'], abs=1e-6
        )
        assert loss == pytest.approx(trial.metrics['test_loss'], rel=1e-6)


def test_the_weights_are_those_to_deploy(workdir):
    trial = lbexp.open(workdir).trial(1)
    slow = evaluation_params(trial.state.opt_state, trial.state.params)
    np.testing.assert_array_equal(
        trial.params['Dense_0']['kernel'], np.asarray(slow['Dense_0']['kernel'])
    )
    assert not np.array_equal(
        trial.params['Dense_0']['kernel'], trial.state.params['Dense_0']['kernel']
    )
    assert trial.model_state['batch_stats']['BatchNorm_0']['mean'].any()


def test_sets_are_evaluated_whole(network):
    trial = network
    test = load('digits', 'test')
    means = trial.evaluate('test')
    assert means.keys() == {'loss', 'accuracy'}
    for name, mean in means.items():
        assert mean == pytest.approx(trial.metrics[f'test_{name}'], rel=1e-6)
    of_arrays = trial.evaluate({**test, 'image': test['image'].astype(np.int64)})
    assert of_arrays == pytest.approx(means, rel=1e-6)
    train = load('digits', 'train')
    right = trial.predict({'image': train['image']}).argmax(1) == train['label']
    assert trial.evaluate('train')['accuracy'] == pytest.approx(right.mean(), abs=1e-6)


def test_the_size_of_the_input_does_not_matter(network):
    images = np.concatenate([load('digits', 'train')['image']] * 2)[:2100]
    logits = network.predict(images)
    for part in (slice(0, 1), slice(0, 3), slice(1020, 1030), slice(2099, 2100)):
        np.testing.assert_allclose(
            network.predict(images[part]), logits[part], rtol=1e-5, atol=1e-5
        )


@pytest.mark.parametrize(
    'inputs, said',
    [
        (np.zeros((2, 8, 8), np.uint8), r'shape (2, 8, 8); allowed: uint8 [n, 8, 8, 1]'),
        (np.zeros((8, 8, 1), np.uint8), r'shape (8, 8, 1)'),
        (np.zeros((2, 8, 8, 1)), 'float64; allowed: uint8'),
        (np.full((1, 8, 8, 1), 256), '256 to 256; allowed: uint8'),
        (np.zeros((0, 8, 8, 1), np.uint8), '0 of image; allowed: one number of examples'),
        ([[1], [2, 3]], 'found no array'),
        ({'picture': np.zeros(3)}, 'found picture; allowed: arrays named image'),
        (np.full((1, 8, 8, 1), 'a'), '<U1; allowed'),
    ],
)
def test_inputs_that_the_model_was_not_trained_on(network, inputs, said):
    with pytest.raises(Refusal) as error:
        network.predict(inputs)
    assert said in str(error.value) and '\n' not in str(error.value)


def test_labels_are_needed_to_evaluate(network):
    image = np.zeros((2, 8, 8, 1), np.uint8)
    with pytest.raises(Refusal, match='found image; allowed: arrays named image, label'):
        network.evaluate({'image': image})
    with pytest.raises(Refusal, match='found 2 of image, 3 of label'):
        network.evaluate({'image': image, 'label': np.zeros(3, int)})
    with pytest.raises(Refusal, match="'validation' of workload digits_mlp; allowed: 'test'"):
        network.evaluate('validation')


def test_what_has_no_network_is_refused_with_the_reason(workdir):
    networks = lbexp.open(workdir)
    with pytest.raises(Refusal, match=r'trial 3 of .* diverged'):
        networks.trial(DIVERGED)
    with pytest.raises(Refusal, match=r'trial: found 7 in .*; allowed: 0, 1, 2, 3'):
        networks.trial(7)


# Ways to train: what differs in them is whose weights are deployed, and where they lay.
WAYS = {
    'a batch that grows': dict(
        workload=BACKEND,
        microbatch=4,
        batch_size=8,
        batch_growth=dict(boundaries=(0.3, 0.7), factor=2.0),
    ),
    'shares of each array': dict(
        workload=dict(name='digits_mlp', hidden=(64,)), sharding='fsdp', data_parallel=8
    ),
    'workers that drift apart': dict(
        workload=dict(name='digits_mlp', hidden=(8,), batch_norm=True),
        replicas=dict(name='local_sgd', workers=4, k=5, slow_step_size=0.5),
        data_parallel=4,
    ),
    'workers that are late': dict(
        workload=BACKEND, replicas=dict(name='asynchronous', workers=3, delay='geometric')
    ),
    'weights that are averaged': dict(
        workload=BACKEND,
        optimizer=dict(
            name='ema', decay=0.9, inner=dict(name='momentum', learning_rate=0.05, momentum=0.9)
        ),
    ),
}


@pytest.mark.long
@pytest.mark.parametrize('way', WAYS)
def test_every_way_to_train(tmp_path, way):
    config = tiny(num_checkpoints=0, **WAYS[way])
    trial = lbexp.open(trained(config, tmp_path / 'run')).trial()
    assert trial.step == run_length(trial.config) and trial.status == 'done'
    recorded = {name: trial.metrics[f'test_{name}'] for name in trial.evaluate()}
    assert trial.evaluate() == pytest.approx(recorded, rel=1e-6)


def test_cohorts_of_a_sweep(small, tmp_path):
    """Their checkpoints, rows and statuses are in folders of their own."""
    workdir = tmp_path / 'sweep'
    cohort = workdir / 'cohorts' / '00000'
    shutil.copytree(small, cohort)
    shutil.copy(small / 'config.json', workdir)
    (workdir / 'cohorts.json').write_text(json.dumps([{'round': 0, 'trials': [0, 1]}]))
    direct, swept = lbexp.open(small).trial(1), lbexp.open(workdir).trial(1)
    assert direct.metrics == swept.metrics
    assert np.array_equal(direct.params['kernel'], swept.params['kernel'])
    set_config(cohort, lambda document: document.update(run='another'))
    with pytest.raises(Refusal, match='the cohort of another run'):
        lbexp.open(workdir).trial(1)


def test_a_run_that_has_not_ended(tmp_path, capsys):
    """The weights of its last checkpoint, and the rows until then."""
    answers = iter([False] * 4)
    config = tiny(workload=BACKEND, sweep=(('seed', (0, 1)),))
    workdir = trained(config, tmp_path / 'run', should_stop=lambda: next(answers, True))
    trial = lbexp.open(workdir).trial(1)
    assert 0 < trial.step < 24
    assert f'weights of trial 1 are those of step {trial.step} of 24' in one_line(capsys)
    rows = [json.loads(line) for line in (workdir / 'metrics.jsonl').read_text().splitlines()]
    later = {**rows[-1], 'trial': 1, 'step': trial.step + 4, 'loss': 99.0}
    with open(workdir / 'metrics.jsonl', 'a') as file:
        file.write(json.dumps(later) + '\n')
    metrics = lbexp.open(workdir).trial(1).metrics
    assert metrics['loss'] == trial.metrics['loss'] != 99.0
    assert metrics['test_loss'] == trial.metrics['test_loss']


def damage(checkpoint):
    path = max(checkpoint.rglob('*'), key=lambda path: path.is_file() and path.stat().st_size)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 255
    path.write_bytes(content)


def test_a_damaged_checkpoint_is_left_out_and_left_alone(copied, capsys):
    folder = copied / 'checkpoints' / 'trial-00000'
    older, newer = sorted(folder.iterdir(), key=lambda path: int(path.name))
    damage(newer)
    being_saved = folder / '99.orbax-checkpoint-tmp'
    being_saved.mkdir()
    before = files_of(copied)
    assert lbexp.open(copied).trial(0).step == 12
    said = capsys.readouterr().err
    assert f'{newer} is damaged' in said and 'step 12 of 24' in said
    assert files_of(copied) == before and being_saved.is_dir()
    damage(older)
    with pytest.raises(Damaged, match='no usable checkpoint'):
        lbexp.open(copied).trial(0)


def test_anothers_checkpoint_is_not_taken(copied, tmp_path):
    set_config(copied, lambda document: document.update(run='another'))
    with pytest.raises(Damaged, match='it is of run'):
        lbexp.open(copied).trial(0)


def older(document):
    """As a version wrote it that knew fewer fields."""
    config = document['config']
    del config['init_from'], config['freeze'], config['watchdog'], config['data']['hosts']


def test_fields_that_an_older_version_did_not_know_take_their_defaults(copied, capsys):
    """Checkpoints are held against what was written."""
    expected = lbexp.open(copied).trial(0)
    stage = record.stage(record.read(copied))
    set_config(copied, older)
    run = lbexp.open(copied)
    said = one_line(capsys)
    assert said.endswith('by default: init_from, freeze, watchdog, data.hosts')
    assert run.config['init_from']['weights'] is None
    with pytest.raises(Damaged, match='no usable checkpoint'):
        run.trial(0)
    set_config(copied, lambda document: document.update(stages=[stage]))
    trial = lbexp.open(copied).trial(0)
    assert trial.config == expected.config
    assert trial.evaluate('test') == expected.evaluate('test')


def without(name):
    def change(document):
        del document[name]

    return change


def renamed(document):
    document['config']['log'] = document['config'].pop('num_rows')


def hidden_of_text(document):
    document['trials'][0]['overrides']['workload'] = {'name': 'digits_mlp', 'hidden': 'wide'}


def with_a_wrong_trial(workdir):
    set_config(workdir, hidden_of_text)


def begun_by_another_version(workdir):
    set_config(workdir, without('run'))


def with_old_names(workdir):
    set_config(workdir, renamed)


def torn(workdir):
    (workdir / 'config.json').write_text('{"config": ')


def without_checkpoints(workdir):
    shutil.rmtree(workdir / 'checkpoints')


def with_a_link(workdir):
    (workdir / 'status.json').unlink()
    (workdir / 'status.json').symlink_to('/etc/hostname')


def nowhere(workdir):
    shutil.rmtree(workdir)


BROKEN = {
    begun_by_another_version: 'found no name of the run',
    with_old_names: 'log: no such field: it is called num_rows',
    torn: 'found a damaged file',
    with_a_wrong_trial: "trial 0: workload.hidden: found 'wide'",
    without_checkpoints: 'found no checkpoint of trial 0 (status: done); allowed',
    with_a_link: 'found a link out of the workdir',
    nowhere: 'found no config.json; allowed: the workdir of a run',
}


@pytest.mark.parametrize('broken', BROKEN, ids=lambda function: function.__name__)
def test_workdirs_that_are_refused(copied, capsys, broken):
    broken(copied)
    assert evaluate.main(['', f'--workdir={copied}', '--trial=0']) == 2
    assert BROKEN[broken] in one_line(capsys)
