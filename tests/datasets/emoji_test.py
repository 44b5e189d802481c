"""Emoji: what is tested is drawn by another vendor, or is another emoji in all its skin tones."""

import hashlib
import json

import numpy as np
import pytest

from lbexp.datasets.emoji import emoji

BASE = np.repeat(np.arange(60), 3).astype(np.int32)  # an emoji and two variants of it
LABEL = (BASE % 9).astype(np.int32)


@pytest.fixture(autouse=True)
def icons(tmp_path, monkeypatch):
    """As `lbexp.data.prepare` leaves them; the first pixel says emoji and vendor."""
    monkeypatch.setenv('TFDS_DATA_DIR', str(tmp_path))
    home = tmp_path / 'emoji' / '1.1.0'
    home.mkdir(parents=True)
    images = np.random.default_rng(0).integers(0, 256, (2, len(BASE), 64, 64, 3)).astype(np.uint8)
    images[:, :, 0, 0, 0] = BASE
    images[0, :, 0, 0, 1], images[1, :, 0, 0, 1] = 0, 1
    file = home / 'examples.npz'
    np.savez(file, google=images[0], twitter=images[1], label=LABEL, base=BASE)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    (home / 'about.json').write_text(json.dumps({'file': file.name, 'sha256': digest}))


def bases(source):
    return set(np.asarray(source.arrays['image'])[:, 0, 0, 0].tolist())


def vendors(source):
    return set(np.asarray(source.arrays['image'])[:, 0, 0, 1].tolist())


@pytest.mark.parametrize('vendor, other', [('google', 1), ('twitter', 0)])
def test_the_other_vendor_is_tested(vendor, other):
    data = emoji(vendor=vendor)
    assert (data.train.size, data.test.size) == (180, 180)
    assert (vendors(data.train), vendors(data.test)) == ({1 - other}, {other})
    np.testing.assert_array_equal(data.test.arrays['label'], LABEL)
    assert data.inputs['image'].shape == (64, 64, 3) and len(data.target.classes) == 9


@pytest.mark.parametrize('split', ['vendor', 'emoji'])
def test_skin_tones_of_one_emoji_are_of_one_split(split):
    data = emoji(split, validation=30)
    assert data.validation.size == 30
    assert not bases(data.train) & bases(data.validation)
    assert vendors(data.train) == vendors(data.validation) == {0}
    if split == 'emoji':
        assert data.test.size == 36
        assert not bases(data.test) & (bases(data.train) | bases(data.validation))


def test_folds_of_emoji_are_everything():
    folds = [emoji('emoji', fold=fold, folds=4) for fold in range(4)]
    tested = [base for data in folds for base in bases(data.test)]
    assert sorted(tested) == list(range(60))
    assert all(data.train.size + data.test.size == 180 for data in folds)


def test_vendors_have_no_folds():
    with pytest.raises(ValueError, match="fold: found 1 with split 'vendor'; allowed: split='emo"):
        emoji(fold=1)
