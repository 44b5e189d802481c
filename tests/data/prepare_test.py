"""Preparing data sets: original files byte by byte, one-line errors, nothing left behind."""

import gzip
import hashlib
import os
import pathlib
import shutil
import subprocess
import sys

import numpy as np
import pytest

from lbexp.data import prepared
from lbexp.data.prepare import prepare as prepare_here

pytestmark = pytest.mark.processes

ROOT = pathlib.Path(__file__).parents[2]
DEBIAN = pathlib.Path('/usr/share/datasets/fashion-mnist')
NOWHERE = {f'{scheme}_proxy': 'http://127.0.0.1:9' for scheme in ('http', 'https', 'HTTP', 'HTTPS')}


def python(arguments, data_dir, **environment):
    """A process with its own data folder and no network; a minute is far less than TFDS's own
    patience."""
    environment = {**os.environ, **NOWHERE, 'TFDS_DATA_DIR': str(data_dir), **environment}
    command = [sys.executable, *map(str, arguments)]
    return subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300
    )


def prepare(data_dir, *arguments, **environment):
    return python(['-m', 'lbexp.data.prepare', *arguments], data_dir, **environment)


def refused(done, *words):
    """It failed with one line that holds these words."""
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    for word in words:
        assert word in line
    return True


@pytest.fixture(scope='module')
def debian():
    assert DEBIAN.is_dir(), (
        'these tests need the original files: apt-get install dataset-fashion-mnist'
    )
    return DEBIAN


@pytest.fixture(scope='module')
def fashion(tmp_path_factory, debian):
    """Fashion-MNIST prepared from Debian's files by two processes at once, in a folder of this
    test's own."""
    folder = tmp_path_factory.mktemp('data')
    command = [
        sys.executable,
        '-m',
        'lbexp.data.prepare',
        'fashion_mnist',
        f'--from={debian}',
        f'--data_dir={folder}',
    ]
    processes = [
        subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) for _ in range(2)
    ]
    errors = [process.communicate()[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], errors
    return folder


@pytest.mark.long
def test_fashion_mnist_without_tensorflow(fashion):
    """What two processes prepared at once is whole: each original image with its label, in another
    order."""
    code = (
        'import sys, hashlib, numpy as np; from lbexp.data.load import load\n'
        'for split in ("train", "test"):\n'
        '    d = load("fashion_mnist", split)\n'
        '    rows = np.concatenate([d["image"].reshape(-1, 784), d["label"][:, '
        'None].astype(np.uint8)], 1)\n'
        '    rows = hashlib.sha256(b"".join(sorted(row.tobytes() for row in rows))).hexdigest()\n'
        '    print(d["image"].shape, d["image"].dtype, d["label"].dtype, rows)\n'
        'print(sorted({"tensorflow", "torch", "tensorflow_datasets"} & set(sys.modules)))'
    )
    first, again = (python(['-c', code], fashion).stdout.splitlines() for _ in range(2))
    assert first[0] == f'(60000, 28, 28, 1) uint8 int32 {_originals("train")}'
    assert first[1] == f'(10000, 28, 28, 1) uint8 int32 {_originals("t10k")}'
    assert first[2] == "['tensorflow_datasets']"
    assert again == [*first[:2], '[]']  # the decoded copy needs no TFDS
    # no downloads left
    assert {path.name for path in fashion.iterdir()} <= {'fashion_mnist', '.fashion_mnist.lock'}


def _originals(part):
    images, labels = (
        np.frombuffer(
            gzip.decompress((DEBIAN / f'{part}-{file}-ubyte.gz').read_bytes()),
            np.uint8,
            offset=offset,
        )
        for file, offset in (('images-idx3', 16), ('labels-idx1', 8))
    )
    rows = np.concatenate([images.reshape(-1, 784), labels[:, None]], 1)
    return hashlib.sha256(b''.join(sorted(row.tobytes() for row in rows))).hexdigest()


@pytest.mark.long
def test_what_is_prepared_stays(fashion):
    done = prepare(fashion, 'fashion_mnist')
    assert done.returncode == 0 and 'prepared already' in done.stdout


@pytest.mark.parametrize('name', ['fashion_mnist', 'kmnist', 'mnist'])
def test_sites_and_versions_are_those_of_the_stock_builders(name, tmp_path):
    from lbexp.data.builders import builders

    builder = builders(name, tmp_path)
    assert sys.modules['lbexp.data.prepare']._SITES[name] == builder.URL
    assert prepared.VERSIONS[name] == str(builder.version)
    assert len(builder.url_infos) == 4 and all(
        url.startswith(builder.URL) for url in builder.url_infos
    )


def test_absent_and_offline_says_what_to_run(tmp_path):
    assert refused(
        prepare(tmp_path, 'mnist'),
        'storage.googleapis.com',
        'prepare mnist --from=DIR',
        '127.0.0.1:9',
    )
    assert refused(prepare(tmp_path, 'fashion_mnist'), 'apt-get install dataset-fashion-mnist')
    assert not list(tmp_path.rglob('*mnist*.array_record*'))
    last = python(
        ['-c', 'from lbexp.data.load import load; load("mnist", "train")'], tmp_path
    ).stderr.splitlines()[-1]
    assert (
        last.startswith('ValueError: mnist 3.0.1 is not prepared in')
        and ('lbexp.data.prepare mnist') in last
    )


@pytest.mark.parametrize('hanging', ['getaddrinfo', 'create_connection'])
def test_a_network_that_never_answers_is_given_up(tmp_path, hanging):
    (tmp_path / 'sitecustomize.py').write_text(
        f'import socket, time; socket.{hanging} = lambda *args, **kwargs: time.sleep(10_000)\n'
    )
    direct = dict.fromkeys(NOWHERE, '')
    done = prepare(tmp_path, 'mnist', PYTHONPATH=f'{tmp_path}:{ROOT}', no_proxy='*', **direct)
    assert refused(done, 'cannot be reached', 'no answer')


def test_an_experiment_without_its_data_says_what_to_run(tmp_path):
    command = [
        '-m',
        'lbexp.main',
        '--config=experiments/lamb.py:fashion_mnist',
        '--config.optimizer.name=optax:lamb',
    ]
    done = python([*command, f'--workdir={tmp_path / "run"}'], tmp_path)
    assert done.returncode == 2 and 'Traceback' not in done.stderr
    assert 'python -m lbexp.data.prepare fashion_mnist' in done.stderr
    assert not (tmp_path / 'run').exists()


def test_wrong_use_is_status_2(tmp_path):
    done = prepare(tmp_path, 'fashon_mnist')
    assert (
        done.returncode == 2
        and "Did you mean 'fashion_mnist'?" in done.stderr
        and 'Traceback' not in done.stderr
    )
    assert prepare(tmp_path).returncode == 2
    assert prepare(tmp_path, 'digits', '--form=x').returncode == 2


def test_help_needs_no_jax_and_no_tfds(tmp_path):
    code = (
        'import sys; from lbexp.data.prepare import main\ntry: main(["--help"])\nexcept '
        'SystemExit: pass\n'
    )
    done = python(
        ['-c', code + 'print(sorted({"jax", "tensorflow_datasets"} & set(sys.modules)))'], tmp_path
    )
    assert '--from' in done.stdout and done.stdout.splitlines()[-1] == '[]'


def test_wrong_files_are_named(tmp_path, debian):
    assert refused(
        prepare(tmp_path, 'fashion_mnist', f'--from={tmp_path}'), f'{tmp_path}/', 'no such file'
    )
    wrong = tmp_path / 'wrong'
    shutil.copytree(debian, wrong)
    labels = wrong / 't10k-labels-idx1-ubyte.gz'
    labels.write_bytes(labels.read_bytes()[:-1] + b'x')
    found = hashlib.sha256(labels.read_bytes()).hexdigest()
    assert refused(
        prepare(tmp_path, 'fashion_mnist', f'--from={wrong}'), str(labels), f'found SHA-256 {found}'
    )
    assert not list(tmp_path.rglob('*.array_record*'))


@pytest.mark.long
def test_another_format_in_the_way_is_named(tmp_path, fashion):
    """A preparation with TensorFlow in tfrecord is neither read nor overwritten."""
    shutil.copytree(fashion / 'fashion_mnist', tmp_path / 'fashion_mnist')
    folder = tmp_path / 'fashion_mnist' / '3.0.1'
    for file in folder.glob('*.array_record*'):
        file.rename(str(file).replace('array_record', 'tfrecord'))
    info = folder / 'dataset_info.json'
    info.write_text(info.read_text().replace('array_record', 'tfrecord'))
    before = sorted(path.name for path in folder.iterdir())
    done = prepare(tmp_path, 'fashion_mnist', f'--from={DEBIAN}')
    assert refused(done, str(tmp_path / 'fashion_mnist'), '--data_dir')
    assert sorted(path.name for path in folder.iterdir()) == before


def test_a_full_disk_is_noticed_first(tmp_path, monkeypatch):
    monkeypatch.setenv('TFDS_DATA_DIR', str(tmp_path))
    full = shutil._ntuple_diskusage(10**9, 10**9, 0)
    monkeypatch.setattr(shutil, 'disk_usage', lambda path: full)
    with pytest.raises(ValueError, match=r'found 0 MiB of free space; needed: \d+ MiB'):
        prepare_here('fashion_mnist', str(DEBIAN))


def test_any_tfds_reads_what_is_prepared(fashion):
    code = (
        'import tensorflow_datasets as tfds\n'
        'source = tfds.data_source("fashion_mnist", split="test")\n'
        'print(len(source), source[3]["image"].shape, '
        'source.dataset_info.features["label"].int2str(9))'
    )
    assert python(['-c', code], fashion).stdout == '10000 (28, 28, 1) Ankle boot\n'
