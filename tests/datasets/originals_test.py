"""Data sets in the files of their makers: tiny files of each format, read as they were meant."""

import gzip
import struct

import numpy as np
import pytest

from lbexp.config import lookup
from lbexp.datasets._originals import idx
from lbexp.errors import Refusal

ROOM = np.random.default_rng(3)
IMAGES = {'train': ROOM.integers(0, 256, (7, 28, 28)), 't10k': ROOM.integers(0, 256, (3, 28, 28))}
LABELS = {'train': np.array([3, 1, 4, 1, 5, 9, 2]), 't10k': np.array([6, 5, 0])}


def built(name, path, **arguments):
    return lookup.build('data', dict(name=name, path=str(path), **arguments))


def write_idx(file, values):
    """Zero, zero, 8 for bytes, the number of axes, their sizes."""
    header = struct.pack(f'>BBBB{values.ndim}I', 0, 0, 8, values.ndim, *values.shape)
    raw = header + values.astype(np.uint8).tobytes()
    file.write_bytes(gzip.compress(raw) if file.suffix == '.gz' else raw)


def write_parts(folder, prefix='', test='t10k', suffix='', labels=LABELS):
    for part in ('train', 't10k'):
        start = f'{prefix}{test if part == "t10k" else part}'
        write_idx(folder / f'{start}-images-idx3-ubyte{suffix}', IMAGES[part])
        write_idx(folder / f'{start}-labels-idx1-ubyte{suffix}', labels[part])


def assert_read(data, images=IMAGES, labels=LABELS):
    for source, part in ((data.train, 'train'), (data.test, 't10k')):
        assert np.array_equal(np.asarray(source.arrays['image'])[..., 0], images[part])
        assert np.array_equal(source.arrays['label'], labels[part])
        assert source.arrays['image'].dtype == np.uint8 and source.arrays['label'].dtype == np.int32


@pytest.mark.parametrize('suffix', ['', '.gz'])
@pytest.mark.parametrize('name', ['mnist', 'kmnist'])
def test_idx_files_packed_or_not(tmp_path, name, suffix):
    write_parts(tmp_path, suffix=suffix)
    data = built(name, tmp_path)
    assert_read(data)
    assert data.inputs['image'].shape == (28, 28, 1) and len(data.target.classes) == 10


def test_archives(tmp_path):
    for part, word in (('train', 'train'), ('t10k', 'test')):
        images, labels = IMAGES[part].astype(np.uint8), LABELS[part].astype(np.uint8)
        np.savez(tmp_path / f'kmnist-{word}-imgs.npz', images)
        np.savez(tmp_path / f'kmnist-{word}-labels.npz', labels)
    arrays = {}
    for part, word in (('train', 'train'), ('t10k', 'test')):
        arrays[f'x_{word}'] = IMAGES[part].astype(np.uint8)
        arrays[f'y_{word}'] = LABELS[part].astype(np.uint8)
    np.savez(tmp_path / 'mnist.npz', **arrays)
    assert_read(built('kmnist', tmp_path))
    assert_read(built('mnist', tmp_path))


def test_letters_of_emnist_stand_upright_and_begin_with_a(tmp_path):
    """In the files a picture is stored by column, and the first letter is 1."""
    shifted = {part: labels + 1 for part, labels in LABELS.items()}
    write_parts(tmp_path, 'emnist-letters-', 'test', '.gz', shifted)
    data = built('emnist', tmp_path, part='letters')
    upright = {part: images.swapaxes(1, 2) for part, images in IMAGES.items()}
    assert_read(data, upright)
    assert data.target.classes[0] == 'a' and len(data.target.classes) == 26
    with pytest.raises(Refusal, match='found no emnist-balanced-train-images'):
        built('emnist', tmp_path)


def test_classes_of_emnist_are_as_many_as_its_authors_say(tmp_path):
    for part, count in dict(balanced=47, byclass=62, bymerge=47, digits=10, mnist=10).items():
        write_parts(tmp_path, f'emnist-{part}-', 'test')
        assert len(built('emnist', tmp_path, part=part).target.classes) == count


def records(count, labels):
    """CIFAR's binary files: labels, then red, green and blue, each by row."""
    pixels = ROOM.integers(0, 256, (count, 32, 32, 3)).astype(np.uint8)
    marks = ROOM.integers(0, 10, (count, labels)).astype(np.uint8)
    raw = b''
    for picture, mark in zip(pixels, marks, strict=True):
        raw += mark.tobytes()
        raw += b''.join(picture[..., channel].tobytes() for channel in range(3))
    return pixels, marks, raw


def test_cifar10(tmp_path):
    pixels, labels = [], []
    for name in (*(f'data_batch_{i}' for i in range(1, 6)), 'test_batch'):
        images, marks, raw = records(2, 1)
        (tmp_path / f'{name}.bin').write_bytes(raw)
        pixels.append(images)
        labels.append(marks[:, 0])
    data = built('cifar10', tmp_path)
    assert np.array_equal(data.train.arrays['image'], np.concatenate(pixels[:5]))
    assert np.array_equal(data.train.arrays['label'], np.concatenate(labels[:5]))
    assert np.array_equal(data.test.arrays['image'], pixels[5])
    (tmp_path / 'test_batch.bin').write_bytes(b'x' * 3074)
    with pytest.raises(Refusal, match='found 3074 bytes; allowed: a multiple of 3073'):
        built('cifar10', tmp_path)


@pytest.mark.parametrize('labels', ['fine', 'coarse'])
def test_cifar100(tmp_path, labels):
    expected = {}
    for part in ('train', 'test'):
        *expected[part], raw = records(3, 2)
        (tmp_path / f'{part}.bin').write_bytes(raw)
    (tmp_path / 'fine_label_names.txt').write_text('\n'.join(f'kind{i}' for i in range(100)))
    data = built('cifar100', tmp_path, labels=labels)
    place = {'coarse': 0, 'fine': 1}[labels]
    for part, source in (('train', data.train), ('test', data.test)):
        pixels, marks = expected[part]
        assert np.array_equal(source.arrays['image'], pixels)
        assert np.array_equal(source.arrays['label'], marks[:, place])
    assert data.target.classes[1] == {'fine': 'kind1', 'coarse': '1'}[labels]


def test_titles_of_ag_news(tmp_path):
    rows = ['"3","Wall St. Bears Claw Back, Again","Short, ""seen"" before"']
    rows += ['"1","Two words","x"', '"2","Teams win the (Reuters) cup","y"']
    (tmp_path / 'train.csv').write_text('\n'.join(rows))
    (tmp_path / 'test.csv').write_text('"1","TEAMS WIN THE CUP","z"\n"1","Bears win the cup","z"')
    data = built('ag_news_subset', tmp_path, vocabulary=20)
    names = np.array(data.target.classes)
    text = ' '.join(names[np.asarray(data.train.arrays['tokens']).reshape(-1)])
    assert 'wall st bears claw back again' in text.replace('.', '')
    assert 'teams win the cup' in text and 'two words' not in text
    # a title that is trained on is not tested on
    tested = ' '.join(names[np.asarray(data.test.arrays['tokens']).reshape(-1)])
    assert 'bears win the cup' in tested and 'teams' not in tested
    (tmp_path / 'test.csv').write_text('"1","two columns"')
    with pytest.raises(Refusal, match='found 2 columns in row 1; allowed: class, title'):
        built('ag_news_subset', tmp_path)


def test_articles_of_ag_news_with_their_class(tmp_path):
    pytest.importorskip('tokenizers')
    rows = ['"3","Bears claw back","Short sellers"', '"4","Chips","Are fast"', '"1","War","x"']
    (tmp_path / 'train.csv').write_text('\n'.join(rows * 5))
    (tmp_path / 'test.csv').write_text('"2","Bears","sellers"')
    data = built('ag_news_subset', tmp_path, label='class', vocabulary=80, length=12)
    assert data.target.classes == ('World', 'Sports', 'Business', 'Sci/Tech')
    assert data.train.arrays['label'].tolist() == [2, 3, 0] * 5
    assert data.test.arrays['label'].tolist() == [1]
    # [CLS] title [SEP] description [SEP]: of the same words as in training
    first, tested = data.train.arrays['tokens'][0], data.test.arrays['tokens'][0]
    assert tested[:3].tolist() == [2, first[1], 3] and tested[3:5].tolist() == [first[6], 3]
    assert data.test.arrays['kinds'][0].tolist() == [0, 0, 0, 1, 1] + [0] * 7
    (tmp_path / 'test.csv').write_text('"5","Bears","sellers"')
    with pytest.raises(Refusal, match=r"found class '5' in row 1; allowed: 1 \.\. 4"):
        built('ag_news_subset', tmp_path, label='class')


def test_what_is_missing_or_damaged_is_told_in_one_line(tmp_path):
    with pytest.raises(Refusal, match=r'found no folder .*nowhere'):
        built('cifar10', tmp_path / 'nowhere')
    with pytest.raises(Refusal, match=r'found no data_batch_1.bin .*; allowed: data_batch_1.bin, '):
        built('cifar10', tmp_path)
    write_parts(tmp_path)
    file = tmp_path / 'train-labels-idx1-ubyte'
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(Refusal, match=r'found 14 bytes, sizes \[7\]; allowed: an IDX file'):
        built('mnist', tmp_path)
    write_idx(file, np.array([0, 1, 2, 3, 4, 5, 10]))
    with pytest.raises(Refusal, match=r'found labels 0 .. 10; allowed: 0 .. 9'):
        built('mnist', tmp_path)
    packed = tmp_path / 'torn.gz'
    packed.write_bytes(gzip.compress(b'0' * 100)[:20])
    with pytest.raises(ValueError, match=r'cannot be read .* allowed: a gzip file'):
        idx(packed, 3)
