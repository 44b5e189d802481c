"""Checkpoints that are rotten, cut or poisoned are never restored."""

import random
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from orbax.checkpoint import v1 as ocp
from training import tiny, train

from lbexp.engine import named, seal
from lbexp.engine.checkpoint import Checkpoints
from lbexp.engine.status import statuses
from lbexp.errors import Damaged

pytestmark = [
    pytest.mark.usefixtures('collected', 'shared_programs'),
    pytest.mark.filterwarnings('ignore::pytest.PytestUnraisableExceptionWarning'),
]


TREE = {
    'a': np.arange(3000, dtype=np.float32),
    'b': np.int32(7),
    'of_one_trial': np.arange(6.0).reshape(1, 1, 6),
    'empty': np.zeros((0, 4), np.float32),
}


def saved(folder, steps):
    checkpoints = Checkpoints(folder / 'trial-00000')
    for step in steps:
        checkpoints.save(step, {**TREE, 'b': np.int32(step)})
        checkpoints.wait()
    checkpoints.close()


def restored(folder):
    """(tree or None, warnings)."""
    told = []
    checkpoints = Checkpoints(folder / 'trial-00000', warn=told.append)
    try:
        return checkpoints.restore(TREE), told
    finally:
        checkpoints.close()


def flip(file, generator):
    content = bytearray(file.read_bytes())
    content[generator.randrange(len(content))] ^= 1 << generator.randrange(8)
    file.write_bytes(content)


def cut(file, generator):
    content = file.read_bytes()
    file.write_bytes(content[: generator.randrange(len(content))])


def delete(file, generator):
    file.unlink()


def test_damage_of_any_file_is_never_restored(tmp_path):
    """Bits flipped, files cut and deleted in every file of the newest checkpoint: it, or the older
    one, or an error."""
    saved(tmp_path / 'sound', [1, 2])
    newest = tmp_path / 'sound' / 'trial-00000' / '2'
    files = [
        file.relative_to(tmp_path / 'sound') for file in sorted(newest.rglob('*')) if file.is_file()
    ]
    cases = [
        (file, how, n)
        for file in files
        for how in (flip, cut, delete)
        for n in range(3 if how is flip else 1)
    ]
    assert len(cases) >= 50
    noticed = set()
    for number, (file, how, _) in enumerate(cases):
        folder = tmp_path / 'case'
        shutil.copytree(tmp_path / 'sound', folder)
        if (folder / file).stat().st_size or how is delete:
            how(folder / file, random.Random(number))
        tree, told = restored(folder)
        assert np.array_equal(tree['a'], TREE['a']) and tree['empty'].shape == (0, 4)
        assert int(tree['b']) in (1, 2)
        if int(tree['b']) == 1:  # the older one serves, and the newest is out of the way
            assert told or not (folder / 'trial-00000' / '2').exists()
            noticed.add((file.name, how))
        shutil.rmtree(folder)
    # How many small files there are, and which of them nobody reads, is Orbax's affair; what holds
    # the arrays is not.
    assert {('manifest.ocdbt', how) for how in (flip, cut, delete)} <= noticed
    large = [
        file.name
        for file in files
        if (tmp_path / 'sound' / file).stat().st_size > TREE['a'].nbytes / 2
    ]
    assert large and {(name, delete) for name in large} <= noticed


def test_a_damaged_checkpoint_is_quarantined_and_the_older_one_used(tmp_path):
    saved(tmp_path, [1, 2])
    for file in (tmp_path / 'trial-00000' / '2').rglob('*'):
        if file.is_file() and file.stat().st_size > 500:
            file.write_bytes(file.read_bytes()[:100])
    tree, (line,) = restored(tmp_path)
    assert int(tree['b']) == 1
    assert 'is damaged' in line and str(tmp_path / 'damaged' / 'trial-00000-2') in line
    assert (tmp_path / 'damaged' / 'trial-00000-2').is_dir()
    saved(tmp_path, [2])  # the step can be saved anew
    tree, told = restored(tmp_path)
    assert int(tree['b']) == 2 and told == []


def test_without_a_sound_checkpoint_nothing_is_restored(tmp_path):
    assert restored(tmp_path) == (None, [])
    saved(tmp_path, [1, 2])
    for file in (tmp_path / 'trial-00000').rglob('*'):
        if file.is_file():
            file.write_bytes(b'')
    with pytest.raises(Damaged, match='no usable checkpoint is left'):
        restored(tmp_path)


def poisoned(after=10):
    """A transform whose updates are NaN from then on; the loss of the update that it spoils is
    still a number."""

    def spoil(count, update):
        return jnp.where(count >= after, jnp.nan, update)

    def update(updates, count, params=None):
        return (
            jax.tree.map(lambda u: spoil(count, u), updates),
            count + 1,
        )

    return optax.GradientTransformation(lambda params: jnp.zeros((), jnp.int32), update)


def test_nan_never_overwrites_a_good_checkpoint(tmp_path):
    """The 12th update spoils the parameters, and a checkpoint is due: what is kept are those of 8
    updates and of 4."""
    config = tiny(num_checkpoints=6, transforms=(dict(name=f'{__name__}:poisoned', after=11),))
    train(config, tmp_path)
    assert statuses(tmp_path)[0]['status'] == 'diverged'
    folder = tmp_path / 'checkpoints' / 'trial-00000'
    assert sorted(int(step.name) for step in folder.iterdir()) == [4, 8]
    for step in folder.iterdir():
        saved = {
            path: np.asarray(array) for path, array in ocp.load(step).items() if 'params' in path
        }
        assert saved and all(np.isfinite(array).all() for array in saved.values())


def test_a_checkpoint_is_called_complete_when_its_files_are_on_the_disk(tmp_path):
    """status.json says 'saved' by this: said too early, a run that is killed now would be refused
    for ever."""
    checkpoints, complete = Checkpoints(tmp_path / 'trial'), []
    checkpoints.completed = lambda step: complete.append(
        (step, seal.broken(tmp_path / 'trial' / str(step)))
    )
    for step in (1, 2):
        checkpoints.save(step, TREE)
        checkpoints.wait()
    checkpoints.close()
    assert complete == [(1, ''), (2, '')]


def test_arrays_of_one_trial_as_earlier_versions_stored_them(tmp_path, monkeypatch):
    """Whole, with their first axis of one."""
    with monkeypatch.context() as earlier:
        earlier.setattr(named, 'stored_shape', tuple)
        saved(tmp_path, [4])
    arrays, warnings = restored(tmp_path)
    assert not warnings
    jax.tree.map(np.testing.assert_array_equal, arrays, {**TREE, 'b': np.int32(4)})
