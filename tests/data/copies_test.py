"""Decoded copies of a data set are believed only as long as they are what was written."""

import os
import sys

import numpy as np
import pytest

from lbexp.data.load import load
from lbexp.data.prepare import main as prepare_main
from lbexp.errors import Refusal

loading = sys.modules['lbexp.data.load']


@pytest.fixture(scope='module')
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp('data')
    before = os.environ.get('TFDS_DATA_DIR')
    os.environ['TFDS_DATA_DIR'] = str(folder)
    yield load('digits', 'train'), next(folder.glob('digits/*'))
    os.environ.pop('TFDS_DATA_DIR') if before is None else os.environ.update(TFDS_DATA_DIR=before)


def loaded_again(capsys):
    loading._decoded.cache_clear()
    return load('digits', 'train'), capsys.readouterr().err


def swapped(arrays):
    """The same images under other labels."""
    return {'image': arrays['image'], 'label': arrays['label'][::-1].copy()}


@pytest.mark.parametrize(
    'change',
    [
        swapped,
        lambda arrays: {'image': arrays['image']},
        lambda arrays: {'label': arrays['label']},
        lambda arrays: {'image': arrays['image'][:5], 'label': arrays['label'][:5]},
        lambda arrays: {'image': arrays['image'], 'label': arrays['label'].astype(np.int64)},
        lambda arrays: {'image': arrays['image'], 'label': np.array([None], object)},
    ],
)
def test_a_copy_of_another_content_is_decoded_again_with_a_word(made, capsys, change):
    arrays, folder = made
    (copy,) = folder.glob('decoded-train-*.npz')
    np.savez(copy, **change(arrays))
    again, told = loaded_again(capsys)
    assert told.count('\n') == 1 and str(copy) in told and 'decoded again' in told
    assert all(np.array_equal(again[key], arrays[key]) for key in ('image', 'label'))
    assert loaded_again(capsys)[1] == '', 'the copy is whole again'


def test_a_copy_whose_sha_is_gone_or_of_another_stamp_is_decoded_again(made, capsys):
    folder = made[1]
    (copy,) = folder.glob('decoded-train-*.npz')
    sums = copy.with_suffix('.sha256')
    sums.unlink()
    assert 'no SHA-256' in loaded_again(capsys)[1]
    (train,) = folder.glob('digits-train.array_record*')
    written, checked = copy.read_bytes(), sums.read_bytes()
    # other files: a copy that was made of the former ones does not pass for theirs
    os.utime(train, ns=(1, 1))
    loaded_again(capsys)
    (newer,) = folder.glob('decoded-train-*.npz')
    newer.write_bytes(written)
    newer.with_suffix('.sha256').write_bytes(checked)
    assert 'not what was written' in loaded_again(capsys)[1]


def test_nothing_is_written_beside_a_source_that_is_read_only(made, capsys):
    arrays, folder = made
    for path in folder.glob('*decoded-train*'):
        path.unlink()
    before = set(folder.iterdir())
    folder.chmod(0o555)
    try:
        again, told = loaded_again(capsys)
    finally:
        folder.chmod(0o755)
    assert (
        told == ''
        and np.array_equal(again['label'], arrays['label'])
        and set(folder.iterdir()) == before
    )


def test_paths_of_data_are_the_home_folder_or_no_urls(made, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv('HOME', str(tmp_path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'data').symlink_to(made[1].parent.parent)
    assert prepare_main(['digits', '--data_dir=~/data']) == 0
    assert str(tmp_path / 'data') in capsys.readouterr().out
    for arguments in (
        ['--data_dir=gs://bucket/data'],
        ['--from=s3://bucket/raw'],
        ['--data_dir=~nobody-here/x'],
    ):
        assert prepare_main(['fashion_mnist', *arguments]) == 2
        told = capsys.readouterr().err
        assert told.count('\n') == 1 and told.startswith(arguments[0].partition('=')[0])
    monkeypatch.setenv('TFDS_DATA_DIR', 'gs://bucket/data')
    with pytest.raises(Refusal, match="TFDS_DATA_DIR: found 'gs://bucket/data'"):
        load('digits', 'train')
    assert not list(tmp_path.glob('*:*')) and not (tmp_path / '~').exists()
