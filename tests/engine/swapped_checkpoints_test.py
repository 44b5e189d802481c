"""A checkpoint of another trial, cohort, seed, step, run or code, put in a checkpoint's place, is
never restored."""

import itertools
import json
import random
import shutil

import numpy as np
import pytest

from lbexp.engine.checkpoint import Checkpoints
from lbexp.engine.identity import Identity
from lbexp.errors import Damaged

TREE = {'a': np.arange(300, dtype=np.float32), 'b': np.int32(7)}

# Owners that differ in one thing each; their checkpoints have the same shapes.
OWNERS = {
    'this': Identity('r1', [0, 1], [0, 1], ['c0', 'c1'], 'code'),
    'another cohort': Identity('r1', [2, 3], [0, 1], ['c0', 'c1'], 'code'),
    'another order of trials': Identity('r1', [1, 0], [1, 0], ['c1', 'c0'], 'code'),
    'other seeds': Identity('r1', [0, 1], [2, 3], ['c2', 'c3'], 'code'),
    'another configuration': Identity('r1', [0, 1], [0, 1], ['c4', 'c1'], 'code'),
    'another run': Identity('r2', [0, 1], [0, 1], ['c0', 'c1'], 'code'),
    'other code': Identity('r1', [0, 1], [0, 1], ['c0', 'c1'], 'other'),
}
STEPS = (10, 20)


@pytest.fixture(scope='module')
def saved(tmp_path_factory):
    """{(owner, step): folder of the checkpoint}."""
    folder = tmp_path_factory.mktemp('saved')
    for name, identity in OWNERS.items():
        checkpoints = Checkpoints(folder / name, identity=identity)
        for step in STEPS:
            checkpoints.save(step, TREE)
        checkpoints.wait()
        checkpoints.close()
    return {
        (name, step): folder / name / str(step) for name, step in itertools.product(OWNERS, STEPS)
    }


def restored(folder, identity):
    """(tree, or None where all was set aside; warnings)."""
    warnings = []
    checkpoints = Checkpoints(folder, warn=warnings.append, identity=identity)
    try:
        return checkpoints.restore(TREE), warnings
    except Damaged as error:
        return None, [*warnings, str(error)]
    finally:
        checkpoints.close()


def test_what_is_not_swapped_is_restored(saved):
    for name, identity in OWNERS.items():
        tree, warnings = restored(saved[name, 20].parent, identity)
        assert np.array_equal(tree['a'], TREE['a']) and warnings == []


@pytest.mark.parametrize('count', [30, pytest.param(100, marks=pytest.mark.slow)])
def test_swaps(saved, tmp_path, count):
    """Each owner's in the place of another's, and a sample of those of other steps."""
    pairs = list(itertools.permutations(saved, 2))
    same_step = [(there, put) for there, put in pairs if there[1] == put[1] == STEPS[1]]
    generator = random.Random(0)
    of_this = [(there, put) for there, put in same_step if there[0] == 'this']
    cases = [*of_this, *generator.sample(same_step, count // 3)]
    cases += generator.sample(pairs, count - len(cases))
    for number, ((owner, step), other) in enumerate(cases):
        folder = tmp_path / f'{number}' / 'trial-00000'
        shutil.copytree(saved[other], folder / str(step))
        tree, warnings = restored(folder, OWNERS[owner])
        assert tree is None, f'{other} was restored as {owner}, {step}'
        assert f'{folder / str(step)} is damaged (it is of ' in warnings[0]
        shutil.rmtree(tmp_path / f'{number}')


def test_the_older_sound_one_serves(saved, tmp_path):
    shutil.copytree(saved['this', 10], tmp_path / 'c' / '10')
    shutil.copytree(saved['another run', 20], tmp_path / 'c' / '20')
    tree, (warning,) = restored(tmp_path / 'c', OWNERS['this'])
    assert tree is not None and 'it is of run r2, not r1' in warning
    assert (tmp_path / 'damaged' / 'c-20').is_dir()


def test_an_allowed_change_goes_on_from_the_old_checkpoint(saved):
    """The stages that config.json records name what the old checkpoint says; without them it is
    another's."""
    stage = {'configurations': {'0': 'c0', '1': 'c1'}, 'code': 'code'}
    changed = OWNERS['this']._replace(configurations=['x0', 'x1'], code='new code', stages=(stage,))
    manifest = OWNERS['this'].manifest(20)
    assert changed.difference(manifest, 20) == ''
    assert restored(saved['this', 20].parent, changed)[0] is not None
    assert 'another configuration, trial 0' in changed._replace(stages=()).difference(manifest, 20)


@pytest.mark.parametrize('manifest', [None, 5, [], {}, {'run': 'r1'}])
def test_a_manifest_that_says_nothing(manifest):
    assert (
        OWNERS['this'].difference(json.loads(json.dumps(manifest)), 10)
        == 'it does not say whose it is'
    )
