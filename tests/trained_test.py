"""The trained network of a workdir: the weights that were evaluated, what they predict, and files
of them that other programs read."""

import json
import shutil
import struct
import subprocess
import sys

import msgpack
import numpy as np
import orbax.checkpoint as legacy_orbax
import pytest
from jobs import ROOT
from training import tiny

import lbexp
from lbexp import config as configs
from lbexp import evaluate, export
from lbexp.config import lookup
from lbexp.data.load import load
from lbexp.engine import record, run
from lbexp.engine.fingerprint import fingerprint
from lbexp.engine.plan import run_length
from lbexp.errors import Damaged, Refusal
from lbexp.optimizers import evaluation_params

# Trials of one program, whose lanes are dealt out by their lengths; the last one diverges.
NETWORKS = tiny(
    workload=dict(name='digits_mlp', hidden=(16,), batch_norm=True),
    optimizer=dict(
        name='lookahead', k=3, inner=dict(name='momentum', learning_rate=0.1, momentum=0.9)
    ),
    sweep=(
        (
            ('optimizer.inner.learning_rate', 'steps', 'seed'),
            ((0.1, 8, 0), (0.2, 31, 1), (0.05, 17, 2), (1e38, 31, 3)),
        ),
    ),
)
DIVERGED = 3
BACKEND = dict(name='linear_regression', size=100)

MINE = """
import os, pathlib
from lbexp.config import lookup
from lbexp.workloads import Workload
pathlib.Path(__file__).with_name('executed').touch()
def net(size=64) -> Workload:
    return lookup.build('workload', {'name': 'linear_regression', 'size': size})
def silent(size=64) -> Workload:
    return net(size)._replace(predict=None)
def wrong(size=64) -> Workload:
    return net(size)._replace(predict=lambda params, state, examples: examples['x'].sum())
"""


def trained(config, workdir, **how):
    """A workdir as the command leaves it, without the report."""
    overrides = configs.trials(config)
    trials = [configs.resolve(config, each) for each in overrides]
    code = fingerprint(trials)
    record.record(workdir, configs.plain(config), overrides, code=code)
    run.run(trials, workdir, **how)
    return workdir


@pytest.fixture(scope='module')
def workdir(tmp_path_factory):
    return trained(NETWORKS, tmp_path_factory.mktemp('networks') / 'run')


@pytest.fixture(scope='module')
def network(workdir):
    return lbexp.open(workdir).trial(2)


@pytest.fixture(scope='module')
def small(tmp_path_factory):
    """Two quick trials, to be copied and damaged."""
    config = tiny(sweep=(('seed', (0, 1)),), workload=BACKEND)
    return trained(config, tmp_path_factory.mktemp('small') / 'run')


@pytest.fixture
def copied(small, tmp_path):
    return shutil.copytree(small, tmp_path / 'copy')


@pytest.fixture
def mine(tmp_path, monkeypatch):
    """A module of the user's; the file `executed` says that it was imported."""
    (tmp_path / 'mine.py').write_text(MINE)
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    sys.modules.pop('mine', None)


def set_config(workdir, change):
    path = workdir / 'config.json'
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))


def one_line(capsys):
    (line,) = capsys.readouterr().err.splitlines()
    return line


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


def files_of(folder):
    return {path: path.read_bytes() for path in sorted(folder.rglob('*')) if path.is_file()}


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


def test_the_command_evaluates(workdir, tmp_path, capsys):
    assert evaluate.main(['', f'--workdir={workdir}']) == 0
    printed = capsys.readouterr()
    assert printed.err.count('\n') == 1 and 'trial 3' in printed.err
    lines = [line.split() for line in printed.out.splitlines()]
    metrics = lbexp.open(workdir).trial(1).metrics
    expected = [f'{metrics[name]:.5g}' for name in ('test_accuracy', 'test_loss')]
    assert ['1', '31', *expected] in lines
    assert ['trial', 'step', 'accuracy', 'loss'] in lines
    np.savez(tmp_path / 'some.npz', **load('digits', 'test'))
    arguments = ['', f'--workdir={workdir}', '--trial=1', f'--data={tmp_path}/some.npz']
    assert evaluate.main(arguments) == 0
    assert ['1', '31', *expected] in [line.split() for line in capsys.readouterr().out.splitlines()]


WRONG = {
    'evaluate --trial=3': 'diverged',
    'evaluate --trial=9': 'trial: found 9',
    'evaluate --data=tests --trial=0': "--data: found 'tests'",
    'evaluate --data=torn.npz --trial=0': '--data: torn.npz cannot be read',
    'evaluate --data=pickled.npz --trial=0': '--data: pickled.npz cannot be read',
    'evaluate --data=other.npz --trial=0': 'data: found x; allowed: arrays named image, label',
    'evaluate --tral=0': '--tral=0: not a flag',
    'export --to=a': '--trial: not given with 4 trials',
    'export --trial=0': '--to: not given',
    'export --trial=0 --to=a --format=onnx': "format: found 'onnx'; allowed: safetensors, orbax",
    'export --trial=0 --to=none/a': 'found no folder none',
    'export --trial=0 --to=folder': 'found a folder; allowed: a file',
    'export --trial=0 --to=folder --format=orbax': 'it is there already',
    'export --trial=0 --to=gs://bucket/a': 'allowed: a folder or file of this machine',
    'export --trial=3 --to=a': 'diverged',
    'evaluate --config.seed=1': '--config.seed: given without --config',
}


@pytest.mark.parametrize('arguments', WRONG)
def test_what_is_wrong_is_told_in_a_line(workdir, tmp_path, monkeypatch, capsys, arguments):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'folder').mkdir()
    (tmp_path / 'torn.npz').write_bytes(b'PK\x03\x04 and no more')
    np.savez(tmp_path / 'pickled.npz', image=np.array([{}], object))
    np.savez(tmp_path / 'other.npz', x=np.zeros(3))
    before = files_of(tmp_path)
    name, *flags = arguments.split()
    command = {'evaluate': evaluate, 'export': export}[name]
    assert command.main(['', f'--workdir={workdir}', *flags]) == 2
    assert WRONG[arguments] in one_line(capsys)
    assert files_of(tmp_path) == before


def by_name(tree, path=()):
    """{'a/b': array} of nested dicts."""
    if not isinstance(tree, dict):
        return {'/'.join(path): np.asarray(tree)}
    arrays = {}
    for name, inner in tree.items():
        arrays |= by_name(inner, (*path, name))
    return arrays


def read_safetensors(path):
    """The format as it is specified: the length of a JSON header, the header, the bytes."""
    content = path.read_bytes()
    (length,) = struct.unpack('<Q', content[:8])
    header = json.loads(content[8 : 8 + length])
    metadata = header.pop('__metadata__')
    arrays = {}
    for name, entry in header.items():
        first, last = entry['data_offsets']
        assert entry['dtype'] == 'F32'
        values = np.frombuffer(content[8 + length :][first:last], '<f4')
        arrays[name] = values.reshape(entry['shape'])
    described = {'config': json.loads(metadata['config'])}
    described['metrics'] = json.loads(metadata['metrics'])
    return arrays, described


def read_npz(path):
    with np.load(path, allow_pickle=False) as file:
        arrays = dict(file)
    return arrays, json.loads(str(arrays.pop('__metadata__')))


def read_msgpack(path):
    def array(code, content):
        assert code == 1
        shape, dtype, raw = msgpack.unpackb(content)
        return np.frombuffer(raw, dtype).reshape(shape)

    tree = msgpack.unpackb(path.read_bytes(), ext_hook=array)
    described = json.loads(tree.pop('__metadata__'))
    return by_name(tree), described


def read_orbax(path):
    tree = legacy_orbax.PyTreeCheckpointer().restore(path / 'state')
    metadata = json.loads((path / '_CHECKPOINT_METADATA').read_text())
    return by_name(tree), metadata['custom_metadata']


READERS = {
    'safetensors': read_safetensors,
    'npz': read_npz,
    'msgpack': read_msgpack,
    'orbax': read_orbax,
}


@pytest.mark.parametrize('format', READERS)
def test_files_that_others_read(workdir, network, tmp_path, capsys, format):
    target = tmp_path / 'network'
    flags = [f'--workdir={workdir}', '--trial=2', f'--format={format}', f'--to={target}']
    assert export.main(['', *flags]) == 0
    assert capsys.readouterr().out == f'trial 2, weights of step 17: {target}\n'
    expected = by_name({'params': network.params, 'model_state': network.model_state})
    arrays, described = READERS[format](target)
    assert arrays.keys() == expected.keys() and 'params/Dense_0/kernel' in arrays
    for name, values in arrays.items():
        assert values.dtype == expected[name].dtype and values.shape == expected[name].shape
        assert values.tobytes() == expected[name].tobytes(), name
    assert described['config'] == network.config and described['metrics'] == network.metrics


def test_arrays_that_do_not_lie_row_by_row(tmp_path):
    """safetensors writes memory as it is."""
    from lbexp.trained._formats import export

    columns = np.asfortranarray(np.arange(6, dtype=np.float32).reshape(2, 3))
    tree = {'w': columns, 'scalar': np.float32(3)}
    export(tree, {'config': {}, 'metrics': {}}, tmp_path / 'a', 'safetensors')
    arrays, _ = read_safetensors(tmp_path / 'a')
    assert np.array_equal(arrays['w'], columns) and arrays['scalar'].shape == ()


def test_types_that_a_format_does_not_hold(tmp_path):
    import ml_dtypes

    from lbexp.trained._formats import export

    half = {'w': np.ones(2, ml_dtypes.bfloat16)}
    with pytest.raises(Refusal, match='npz with w of bfloat16'):
        export(half, {}, tmp_path / 'a', 'npz')
    for format in ('safetensors', 'msgpack', 'orbax'):
        export(half, {}, tmp_path / format, format)


@pytest.mark.parametrize('format', ['npz', 'orbax'])
def test_a_write_that_is_cut_off_leaves_nothing_under_the_name(
    network, tmp_path, monkeypatch, format
):
    def fail(*paths):
        raise OSError(28, 'No space left on device')

    with monkeypatch.context() as patch:
        patch.setattr('os.rename', fail)
        patch.setattr('os.replace', fail)
        with pytest.raises(OSError, match='No space'):
            network.export(tmp_path / 'a', format)
    assert not (tmp_path / 'a').exists()
    assert not list(tmp_path.iterdir())


def test_safetensors_is_an_extra(workdir, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, 'safetensors.numpy', None)
    assert export.main(['', f'--workdir={workdir}', '--trial=0', f'--to={tmp_path}/a']) == 2
    assert "allowed: npz, msgpack, orbax; or pip install '.[export]'" in one_line(capsys)


def named(name):
    def change(document):
        document['config']['workload'] = {'name': name, 'size': 100}

    return change


def test_nothing_that_a_workdir_names_runs(copied, mine, capsys):
    set_config(copied, named('mine:net'))
    for command, flags in ((evaluate, []), (export, [f'--to={mine}/a'])):
        assert command.main(['', f'--workdir={copied}', '--trial=0', *flags]) == 2
        line = one_line(capsys)
        assert 'names a workload outside lbexp' in line and '--trust_workdir' in line
    with pytest.raises(Refusal, match='outside lbexp'):
        lbexp.open(copied).trial(0)
    with pytest.raises(Refusal, match='outside lbexp'):
        lbexp.open(copied, trust_workdir=['other:net']).trial(0)
    assert not (mine / 'executed').exists() and 'mine' not in sys.modules


def test_the_users_own_workload(mine, capsys):
    config = tiny(workload=dict(name='mine:net'), num_checkpoints=0)
    workdir = trained(config, mine / 'run')
    (mine / 'experiment.py').write_text(
        'from lbexp import config\n\n\ndef get_config():\n    c = config.base()\n'
        "    c.workload = dict(name='mine:net')\n    return c\n"
    )
    with pytest.raises(Refusal, match='outside lbexp'):
        lbexp.open(workdir).trial()
    for flag in ('--trust_workdir', f'--config={mine}/experiment.py'):
        assert evaluate.main(['', f'--workdir={workdir}', flag]) == 0
    capsys.readouterr()
    for trust in (True, 'mine:net', ['mine:net']):
        trial = lbexp.open(workdir, trust_workdir=trust).trial()
        assert trial.evaluate()['loss'] == pytest.approx(trial.metrics['test_loss'], rel=1e-6)
        assert trial.predict(np.ones((3, 1), np.float32)).shape == (3,)
    with lookup.trusting(['mine:net']):
        assert lbexp.open(workdir).trial().step == 24
    # code that has changed is told; outputs are asked for where there are some
    (mine / 'mine.py').write_text(MINE + '\n\nMORE = 1\n')
    assert lbexp.open(workdir, trust_workdir=True).trial().step == 24
    assert "code of workload 'mine:net' (mine.py)" in one_line(capsys)
    for name, said in (('mine:silent', 'it has no outputs'), ('mine:wrong', 'predict gives shape')):
        refused = shutil.copytree(workdir, mine / name[5:])
        network = lbexp.open(refused, trust_workdir=True)
        with pytest.raises(Refusal, match=said):
            predict_as(network, name)


def predict_as(run, name):
    """What predict says where the workload is another one; its weights are of the same shapes."""
    from lbexp.engine.components import components
    from lbexp.trained._network import Network

    trial = run.trial()
    parts = components({**trial.config, 'workload': {'name': name}}, 24)
    Network(name, parts).predict(trial.params, trial.model_state, np.ones((3, 1), np.float32))


def test_other_arrays_than_the_code_trains(copied):
    """The model's code was changed since."""
    from lbexp.trained._home import Home

    home = Home(copied)
    from lbexp.engine.components import components

    wide = {**home.config(0), 'workload': {**BACKEND, 'weights': [1.0, 2.0]}}
    with pytest.raises(Refusal, match='other arrays than its configuration trains'):
        home.state(0, components(wide, 24))


@pytest.mark.quick
def test_the_package_is_imported_without_jax():
    code = 'import sys, lbexp; print(sorted({"jax", "numpy", "absl"} & set(sys.modules)))'
    done = subprocess.run(
        [sys.executable, '-c', code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == '[]'
