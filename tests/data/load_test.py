"""Data sets in memory: what they hold, without TensorFlow, and the decoded copies."""

import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest

from lbexp.data.load import load
from lbexp.data.mnist1d import generate
from lbexp.data.splits import splits

pytestmark = pytest.mark.processes

ROOT = pathlib.Path(__file__).parents[2]
SUM = 'from lbexp.data.load import load; print(load("digits", "train")["image"].sum())\n'
MODULES = (
    'import sys; print(sorted({"tensorflow_datasets", "tensorflow", "torch", "grain"} & '
    'set(sys.modules)))'
)


def run(code, data_dir, **arguments):
    environment = {**os.environ, 'TFDS_DATA_DIR': str(data_dir)}
    return subprocess.run(
        [sys.executable, '-c', code],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        **arguments,
    )


@pytest.fixture
def digits(tmp_path):
    """The folder of digits prepared by their first use."""
    done = run(SUM + MODULES, tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-2:] == [
        str(load('digits', 'train')['image'].sum()),
        "['tensorflow_datasets']",
    ]
    (folder,) = (tmp_path / 'digits').iterdir()
    return folder


def test_digits_are_the_digits(tmp_path, monkeypatch):
    monkeypatch.setenv('TFDS_DATA_DIR', str(tmp_path))  # prepared here and now, in this process
    train, test = load('digits', 'train'), load('digits', 'test')
    assert train['image'].shape == (1438, 8, 8, 1) and test['image'].shape == (359, 8, 8, 1)
    images = np.concatenate([train['image'], test['image']])
    labels = np.concatenate([train['label'], test['label']])
    assert (
        images.dtype == np.uint8
        and images.min() == 0
        and images.max() == 16
        and labels.dtype == np.int32
    )
    assert list(np.bincount(labels)) == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    share = np.bincount(test['label']) / np.bincount(labels)
    assert abs(share - 0.2).max() < 0.005  # a fifth of each class is for testing
    # no test image is a training image
    assert len(np.unique(images.reshape(1797, -1), axis=0)) == 1797
    # order and labels went through TFDS unharmed
    with np.load(ROOT / 'lbexp' / 'data' / 'digits.npz') as file:
        expected = {
            image.tobytes(): label
            for image, label in zip(file['image'], file['label'], strict=True)
        }
    assert all(
        expected[image.tobytes()] == label for image, label in zip(images, labels, strict=True)
    )


def test_the_decoded_copy_needs_no_tfds(digits):
    assert run(SUM + MODULES, digits.parent.parent).stdout.splitlines()[-1] == '[]'


def test_the_decoded_copy_follows_the_prepared_files(digits):
    """Other prepared files, other data, in a new process and in the same one."""
    (train,) = digits.glob('digits-train.array_record*')
    code = (
        'import os, sys, pathlib; from lbexp.data.load import load\n'
        'before = load("digits", "train")["image"]\n'
        'file = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else None\n'
        f'os.utime({str(train)!r}, (1, 1))\n'
        'import lbexp.data.records as r; was = r.Records.__getitems__; count = []\n'
        'r.Records.__getitems__ = lambda *a: count.append(1) or was(*a)\n'
        'after = load("digits", "train")["image"]\n'
        'print((before == after).all(), len(count))'
    )
    done = run(code, digits.parent.parent)
    assert done.stdout.split() == ['True', '1'], done.stderr
    assert len(list(digits.glob('decoded-train-*.npz'))) == 1  # the outdated copy is gone


def test_a_damaged_copy_is_made_again(digits):
    (copy,) = digits.glob('decoded-train-*.npz')
    whole = copy.read_bytes()
    for damage in (b'', whole[:1000], whole[:40000] + bytes(8) + whole[40008:]):
        copy.write_bytes(damage)
        done = run(SUM + MODULES, digits.parent.parent)
        assert done.stdout.split()[0] == str(load('digits', 'train')['image'].sum()), done.stderr
        assert copy.read_bytes() == whole


@pytest.mark.parametrize('damage', ['flipped', 'truncated', 'empty'])
def test_a_damaged_file_is_named(digits, damage):
    (file,) = digits.glob('digits-train.array_record*')
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 0xFF
    file.write_bytes({'flipped': content, 'truncated': content[:100_000], 'empty': b''}[damage])
    done = run(SUM, digits.parent.parent)
    last = done.stderr.splitlines()[-1]
    assert done.returncode and last.startswith('ValueError') and str(file) in last
    assert f'Delete {digits} and run: python -m lbexp.data.prepare digits' in last


def test_a_missing_file_is_named(digits):
    (file,) = digits.glob('digits-train.array_record*')
    file.unlink()
    last = run(SUM, digits.parent.parent).stderr.splitlines()[-1]
    assert 'digits-train.array_record' in last and 'python -m lbexp.data.prepare digits' in last


def test_three_processes_may_start_at_once(tmp_path):
    environment = {**os.environ, 'TFDS_DATA_DIR': str(tmp_path)}

    def start():
        return subprocess.Popen(
            [sys.executable, '-c', SUM], cwd=ROOT, env=environment, stdout=subprocess.PIPE
        )

    printed = {process.communicate()[0].split()[-1] for process in [start(), start(), start()]}
    assert printed == {str(load('digits', 'train')['image'].sum()).encode()}
    assert [path.name for path in (tmp_path / 'digits').iterdir()] == ['1.1.0']


def test_an_interrupted_preparation_is_not_taken_for_data(tmp_path):
    leftover = tmp_path / 'digits' / 'incomplete.ABCDEF_1.1.0'
    leftover.mkdir(parents=True)
    (leftover / 'dataset_info.json').write_text('{}')
    (leftover / 'digits-train.array_record-00000-of-00001').write_bytes(b'')
    assert run(SUM, tmp_path).returncode == 0


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / 'file').write_text('')
    last = run(SUM, tmp_path / 'file' / 'data').stderr.splitlines()[-1]
    assert last.startswith('ValueError') and 'TFDS_DATA_DIR' in last


def test_wrong_names():
    with pytest.raises(ValueError, match="Did you mean 'digits'"):
        load('digit', 'train')
    with pytest.raises(ValueError, match="no split 'validation'; it has: 'train', 'test'"):
        load('digits', 'validation')


def test_what_is_shared_cannot_be_written_to():
    with pytest.raises(ValueError, match='read-only'):
        load('digits', 'train')['image'][0] = 0
    load('digits', 'train').clear()
    assert set(load('digits', 'train')) == {'image', 'label'}


def test_mnist1d_is_made_by_its_recipe(tmp_path, monkeypatch):
    """The same examples always; balanced; hard for a linear model, which the paper gives 0.32
    for."""
    monkeypatch.setenv('TFDS_DATA_DIR', str(tmp_path))
    train, test = load('mnist1d', 'train'), load('mnist1d', 'test')
    assert train['image'].shape == (4000, 40, 1) and test['image'].shape == (1000, 40, 1)
    images, labels = (np.concatenate([train[key], test[key]]) for key in ('image', 'label'))
    assert images.dtype == np.float32 and abs(images.mean()) < 1e-6 and abs(images.std() - 1) < 1e-6
    assert list(np.bincount(labels)) == [500] * 10
    assert len(np.unique(images, axis=0)) == 5000
    again, same = generate(5000, seed=42)
    expected = {image.tobytes(): label for image, label in zip(again, same, strict=True)}
    assert all(
        expected[image.tobytes()] == label for image, label in zip(images, labels, strict=True)
    )

    def inputs(images):
        return np.c_[images[:, :, 0], np.ones(len(images))]

    weights = np.linalg.lstsq(inputs(train['image']), np.eye(10)[train['label']])[0]
    right = (inputs(test['image']) @ weights).argmax(axis=1) == test['label']
    assert 0.2 < right.mean() < 0.4
    # Templates are told apart where nothing deforms them: class means of the strokes differ.
    means = np.stack([images[labels == digit].mean(axis=0) for digit in range(10)])
    assert (
        np.linalg.norm(means[:, None] - means[None], axis=(2, 3))[~np.eye(10, dtype=bool)].min()
        > 0.1
    )


def test_validation_examples_are_held_out(tmp_path, monkeypatch):
    """Always the same ones, none of them trained on, none lost."""
    monkeypatch.setenv('TFDS_DATA_DIR', str(tmp_path))
    sources = splits('digits', 300)
    whole = load('digits', 'train')

    def bytes_of(images):
        return sorted(image.tobytes() for image in images)

    train, held = sources['train'].arrays['image'], sources['validation'].arrays['image']
    assert len(held) == 300 and len(train) == 1138 and sources['train'].size == 1138
    assert bytes_of([*train, *held]) == bytes_of(whole['image'])
    assert np.array_equal(splits('digits', 300)['validation'].arrays['image'], held)
    shares = np.bincount(sources['validation'].arrays['label']) / 300
    assert abs(shares - 0.1).max() < 0.06
    assert splits('digits')['validation'] is None
    with pytest.raises(ValueError, match=r'validation: found 1438; allowed: 0 .. 1437'):
        splits('digits', 1438)
