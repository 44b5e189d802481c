"""Data sets: what they hold, without TensorFlow; and what is said when they are absent or damaged."""

import os
import pathlib
import shutil
import subprocess
import sys
import time

import numpy as np
import pytest

from lbexp.data import load as loading
from lbexp.data.source import memory
from lbexp.data.stream import stream

ROOT = pathlib.Path(__file__).parent.parent
DEBIAN = pathlib.Path('/usr/share/datasets/fashion-mnist')


def python(code, data_dir, **environment):
    """Runs code in a process of its own, with its own data folder and no network."""
    nowhere = {'http_proxy': 'http://127.0.0.1:9', 'https_proxy': 'http://127.0.0.1:9'}
    environment = {**os.environ, **nowhere, 'TFDS_DATA_DIR': str(data_dir), **environment}
    return subprocess.run([sys.executable, *code], cwd=ROOT, env=environment, capture_output=True, text=True)


def prepare(data_dir, *arguments):
    return python(['-m', 'lbexp.data.prepare', *arguments], data_dir)


@pytest.fixture(scope='module')
def fashion(tmp_path_factory):
    """Fashion-MNIST prepared from Debian's files, in a folder of this test's own."""
    assert DEBIAN.is_dir(), 'these tests need the original files: apt-get install dataset-fashion-mnist'
    folder = tmp_path_factory.mktemp('data')
    done = prepare(folder, 'fashion_mnist', f'--from={DEBIAN}')
    assert done.returncode == 0, done.stderr
    return folder


def test_digits_are_the_digits():
    train, test = loading.load('digits', 'train'), loading.load('digits', 'test')
    assert train['image'].shape == (1438, 8, 8, 1) and test['image'].shape == (359, 8, 8, 1)
    images = np.concatenate([train['image'], test['image']])
    labels = np.concatenate([train['label'], test['label']])
    assert images.dtype == np.uint8 and images.min() == 0 and images.max() == 16
    assert list(np.bincount(labels)) == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    assert len(np.unique(images.reshape(1797, -1), axis=0)) == 1797  # no test image is a training image
    with np.load(ROOT / 'lbexp' / 'data' / 'digits.npz') as file:  # order and labels went through TFDS unharmed
        expected = {image.tobytes(): label for image, label in zip(file['image'], file['label'], strict=True)}
    assert all(expected[image.tobytes()] == label for image, label in zip(images, labels, strict=True))


def test_fashion_mnist_without_tensorflow(fashion):
    code = (
        'import sys, numpy as np; from lbexp.data.load import load\n'
        'for split in ("train", "test"):\n'
        '    d = load("fashion_mnist", split); n = d["image"].mean()\n'
        '    print(d["image"].shape, d["image"].dtype, round(float(n), 2), set(np.bincount(d["label"])))\n'
        'print("tensorflow" in sys.modules, "torch" in sys.modules, "tensorflow_datasets" in sys.modules)'
    )
    first, again = (python(['-c', code], fashion).stdout.splitlines() for _ in range(2))
    assert first[0] == '(60000, 28, 28, 1) uint8 72.94 {np.int64(6000)}'
    assert first[1] == '(10000, 28, 28, 1) uint8 73.15 {np.int64(1000)}'
    assert first[2] == 'False False True'
    assert again[:2] == first[:2]
    assert again[2] == 'False False False'  # the decoded copy needs no TFDS


def test_absent_and_offline_is_told_in_seconds(tmp_path):
    began = time.monotonic()
    done = prepare(tmp_path, 'mnist')
    assert time.monotonic() - began < 30  # TFDS alone tries for 200 s
    assert done.returncode == 1 and 'Traceback' not in done.stderr
    assert 'storage.googleapis.com cannot be reached' in done.stderr
    assert 'python -m lbexp.data.prepare mnist --from=DIR' in done.stderr
    done = python(['-c', 'from lbexp.data.load import load; load("mnist", "train")'], tmp_path)
    assert 'mnist is not prepared in' in done.stderr and 'python -m lbexp.data.prepare mnist' in done.stderr


def test_an_experiment_without_its_data_says_what_to_run(tmp_path):
    command = ['-m', 'lbexp.main', '--config=experiments/lamb.py:fashion_mnist', f'--workdir={tmp_path / "run"}']
    done = python(command, tmp_path)
    assert done.returncode == 2 and 'Traceback' not in done.stderr
    assert 'python -m lbexp.data.prepare fashion_mnist' in done.stderr
    assert not (tmp_path / 'run').exists()


def test_wrong_names_and_files(tmp_path):
    done = prepare(tmp_path, 'fashon_mnist')
    assert done.returncode == 2 and "Did you mean 'fashion_mnist'?" in done.stderr
    done = prepare(tmp_path, 'fashion_mnist', f'--from={tmp_path}')
    assert done.returncode == 1 and f'{tmp_path}/' in done.stderr and 'no such file' in done.stderr
    wrong = tmp_path / 'wrong'
    shutil.copytree(DEBIAN, wrong)
    labels = wrong / 't10k-labels-idx1-ubyte.gz'
    labels.write_bytes(labels.read_bytes()[:-1] + b'x')
    done = prepare(tmp_path, 'fashion_mnist', f'--from={wrong}')
    assert done.returncode == 1 and str(labels) in done.stderr and 'SHA-256' in done.stderr
    with pytest.raises(ValueError, match="Did you mean 'digits'"):
        loading.load('digit', 'train')
    with pytest.raises(ValueError, match="no split 'validation'"):
        loading.load('digits', 'validation')


def test_a_damaged_file_is_named(tmp_path):
    assert python(['-c', 'from lbexp.data.load import load; load("digits", "train")'], tmp_path).returncode == 0
    (folder,) = (tmp_path / 'digits').iterdir()
    (file,) = folder.glob('*-train.array_record*')
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 0xFF
    file.write_bytes(content)
    done = python(['-c', 'from lbexp.data.load import load; load("digits", "train")'], tmp_path)
    assert 'ValueError' in done.stderr and str(file) in done.stderr
    assert f'Delete {folder}' in done.stderr


def test_two_processes_may_prepare_at_once(tmp_path):
    code = 'from lbexp.data.load import load; print(load("digits", "train")["image"].sum())'
    environment = {**os.environ, 'TFDS_DATA_DIR': str(tmp_path)}
    start = lambda: subprocess.Popen([sys.executable, '-c', code], cwd=ROOT, env=environment, stdout=subprocess.PIPE)
    printed = {process.communicate()[0].split()[-1] for process in [start(), start(), start()]}
    assert len(printed) == 1 and int(printed.pop()) == loading.load('digits', 'train')['image'].sum()


class Slow:
    """Random access to examples, as a TFDS data source gives it; counts what is read."""

    def __init__(self, size):
        self.size, self.reads = size, 0

    def __len__(self):
        return self.size

    def __getitem__(self, i):
        self.reads += 1
        return {'image': np.full((2, 2), i, np.float32), 'label': np.int32(i % 10)}


def test_a_stream_gives_what_memory_gives():
    """To the bit, from any position, in stretches of any length, straddling epochs."""
    size = 50
    slow = Slow(size)
    streamed = stream(slow)
    held = memory({'image': np.stack([slow[i]['image'] for i in range(size)]), 'label': np.arange(size) % 10})
    for first, count in [(0, 20), (20, 20), (40, 20), (60, 20), (33, 7), (1000, 64)]:
        arrays = streamed.feed(9, first, count)
        positions = np.arange(first, first + count, dtype=np.uint32)
        got = streamed.draw(arrays, np.uint32(9), positions)
        wanted = held.draw(held.arrays, np.uint32(9), positions)
        assert (np.asarray(got['image']) == np.asarray(wanted['image'])).all()
        assert (np.asarray(got['label']) == np.asarray(wanted['label'])).all()


def test_a_source_in_memory_has_one_length():
    with pytest.raises(ValueError, match='one length'):
        memory({'x': np.zeros(3), 'y': np.zeros(4)})
