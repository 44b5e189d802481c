"""Tiles of land: blocks that are of one split, channels that the training tiles standardise."""

import hashlib
import json

import jax.numpy as jnp
import numpy as np
import pytest

from lbexp.datasets.blue_marble import blue_marble
from lbexp.inputs import normalised
from lbexp.workloads.blue_marble_cnn import blue_marble_cnn


@pytest.fixture(autouse=True)
def tiles(tmp_path, monkeypatch):
    """200 tiles in 20 blocks, as `lbexp.data.prepare` leaves them; the first pixel says the
    block."""
    monkeypatch.setenv('TFDS_DATA_DIR', str(tmp_path))
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
    home = tmp_path / 'blue_marble' / '1.0.0'
    home.mkdir(parents=True)
    generator = np.random.default_rng(0)
    block = np.repeat(np.arange(20), 10).astype(np.int32)
    image = generator.integers(0, 256, (200, 32, 32, 3)).astype(np.uint8)
    image[:, 0, 0] = block[:, None]
    file = home / 'examples.npz'
    np.savez(file, image=image, label=np.arange(200, dtype=np.int32) % 5, block=block)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    (home / 'about.json').write_text(json.dumps({'file': file.name, 'sha256': digest}))


def blocks_of(source):
    return set(np.asarray(source.arrays['image'])[:, 0, 0, 0].tolist())


def test_a_block_is_of_one_split():
    data = blue_marble()
    assert not blocks_of(data.train) & blocks_of(data.test)
    assert data.train.size + data.test.size == 200
    assert 0.1 < data.test.size / 200 < 0.3


def test_validation_tiles_are_of_blocks_of_their_own():
    data = blue_marble(validation=45)
    sets = [blocks_of(source) for source in (data.train, data.validation, data.test)]
    assert sum(map(len, sets)) == len(set.union(*sets)) == 20
    assert data.validation.size == 40


def test_folds_are_of_whole_blocks_and_cover_all():
    folds = [blocks_of(blue_marble(fold=k, folds=4).test) for k in range(4)]
    assert sorted(block for fold in folds for block in fold) == list(range(20))


def test_channels_are_standardised_by_the_training_tiles():
    data = blue_marble()
    values = normalised(data.inputs, {'image': jnp.asarray(data.train.arrays['image'])})['image']
    np.testing.assert_allclose(values.mean((0, 1, 2)), 0, atol=1e-3)
    np.testing.assert_allclose(values.std((0, 1, 2)), 1, atol=1e-3)
    assert set(data.inputs) == {'image'}


def test_training_tiles_are_mirrored_and_test_tiles_are_not():
    workload = blue_marble_cnn()
    positions = jnp.arange(40, dtype=jnp.uint32)
    drawn = np.asarray(
        workload.train.draw(workload.train.arrays, jnp.uint32(0), positions)['image']
    )
    stored = np.asarray(workload.train.arrays['image'])

    # a tile is there as it is, or mirrored
    def is_there(tile):
        return (stored == tile).all((1, 2, 3)).any()

    mirrored = [not is_there(tile) for tile in drawn]
    assert all(is_there(tile[:, ::-1]) for tile, is_mirrored in zip(drawn, mirrored) if is_mirrored)
    assert 0 < sum(mirrored) < 40
    places = jnp.arange(workload.test.size)
    read = workload.test.read(workload.test.arrays, places)['image']
    np.testing.assert_array_equal(read, workload.test.arrays['image'])
