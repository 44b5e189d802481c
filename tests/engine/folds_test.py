"""Folds of one size share a program: each is what it is alone, and has its own rows and
normalisation."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from training import of_trial, tiny, train

from lbexp import config as configs
from lbexp.config import lookup
from lbexp.data.folds import fold_source
from lbexp.data.source import memory
from lbexp.engine.plan import plan, splits
from lbexp.inputs import normalised

ROWS = 60


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
    monkeypatch.chdir(tmp_path)
    generator = np.random.default_rng(0)
    # of another mean and deviation in each part of the file
    x = generator.normal(3, 2, (ROWS, 4)) * np.linspace(1, 5, ROWS)[:, None]
    x[7, 2] = np.nan
    pictures = generator.integers(0, 256, (ROWS, 6, 6, 1), np.uint8)
    np.savez('classes.npz', x=x, y=np.arange(ROWS) % 3)
    np.savez('numbers.npz', x=x, y=x[:, 0] ** 2)
    np.savez('pictures.npz', x=pictures, y=np.arange(ROWS) % 3)
    np.savez(
        'divided.npz',
        x_train=pictures,
        y_train=np.arange(ROWS) % 3,
        x_test=pictures[:9],
        y_test=np.arange(9) % 3,
    )
    lines = ['colour,size,kind']
    for row in range(ROWS):
        colour = ('red', 'blue', 'a colour of one row' if row == 32 else 'red')[row % 3]
        lines.append(f'{colour},{generator.normal():.3f},{"ash" if row % 2 else "oak"}')
    (tmp_path / 'table.csv').write_text('\n'.join(lines))
    (tmp_path / 'same.csv').write_text('\n'.join(lines).replace('a colour of one row', 'red'))


def of_folds(path, folds=4, task='classification', which=None, **data):
    part = dict(name='file', path=path, folds=folds, missing='mean', **data)
    workload = dict(name=task, data=part, model=dict(name='mlp', hidden=(4,)))
    which = range(folds) if which is None else which
    sweep = (('workload.data.fold', tuple(which)),)
    return tiny(workload=workload, batch_size=8, sweep=sweep)


def cohorts(config):
    return plan([configs.resolve(config, overrides) for overrides in configs.trials(config)])


@pytest.mark.parametrize(
    'path, given',
    [
        ('classes.npz', {}),
        ('numbers.npz', dict(task='regression')),
        ('pictures.npz', dict(augment=dict(rotation=10.0))),
        ('divided.npz', {}),
        ('classes.npz', dict(validation=5, replacement=True)),
        ('same.csv', {}),
        ('classes.npz', dict(folds=60)),
    ],
)
def test_folds_of_one_size_are_one_cohort(path, given):
    (cohort,) = cohorts(of_folds(path, **given))
    folds = given.get('folds', 4)
    assert sorted(cohort.numbers['workload.data.fold'].tolist()) == list(range(folds))


@pytest.mark.parametrize(
    'path, given, why',
    [
        ('classes.npz', dict(folds=7), 'folds have 51 or 52 examples'),
        ('table.csv', {}, 'the training rows of each fold decide what is a category'),
        ('table.csv', dict(bins=4), 'the training rows of each fold decide what is a category'),
    ],
)
def test_other_folds_are_programs_of_their_own_and_it_is_said_why(path, given, why):
    planned = cohorts(of_folds(path, **given))
    assert len(planned) == given.get('folds', 4)
    (line,) = splits(planned)
    assert line.startswith('workload.data.fold splits programs: ') and line.endswith(why)


@pytest.mark.long
def test_a_fold_is_the_same_alone_and_in_company(tmp_path):
    """To the bit, with inputs and targets that are standardised by the fold."""
    given = dict(path='numbers.npz', task='regression')
    together = train(of_folds(**given), tmp_path / 'together')
    for fold in (0, 2):
        alone = train(of_folds(**given, which=[fold]), tmp_path / str(fold))
        assert of_trial(alone, 0) == of_trial(together, fold)
    losses = {row['test_loss'] for row in together if row['step'] == 24}
    assert len(losses) == 4


@pytest.mark.parametrize('path', ['numbers.npz', 'divided.npz', 'same.csv'])
def test_a_traced_fold_has_the_rows_and_the_normalisation_of_the_known_one(path):
    """Every set of it in stored order, and the training set in the order of training."""
    part = dict(name='file', path=path, folds=4, missing='mean')
    places, positions = np.arange(9), np.arange(100, 130, dtype=np.uint32)

    def examples(data):
        drawn = data.train.draw(data.train.arrays, jnp.uint32(3), positions)
        held_out = data.validation if path == 'divided.npz' else data.test
        sets = [drawn]
        for source in (data.train, held_out):
            sets.append(source.read(source.arrays, places))
        given = [normalised(data.inputs, each) for each in sets]
        return sets, given, (data.target.mean, data.target.deviation)

    def build(fold):
        return examples(lookup.build('data', {**part, 'fold': fold}))

    traced = jax.jit(build)
    for fold in range(4):
        known = jax.jit(functools.partial(build, fold))()
        # what is divided by a constant is rounded otherwise
        close = functools.partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-6)
        jax.tree.map(close, known, traced(fold))


@pytest.mark.parametrize('replacement', [False, True])
def test_every_example_is_tested_once_over_all_folds(replacement):
    stored = {'x': np.arange(12.0), 'label': np.arange(12)}
    test = np.random.default_rng(0).permutation(12).reshape(4, 3)
    rest = [np.setdiff1d(np.arange(12), places) for places in test]

    @jax.jit
    def tested(fold):
        source = fold_source(stored, test, fold)
        return source.read(source.arrays, np.arange(3))['label']

    @jax.jit
    def trained(fold, seed):
        source = fold_source(stored, rest, fold, replacement)
        return source.draw(source.arrays, seed, np.arange(9, dtype=np.uint32))['label']

    every = [np.asarray(tested(fold)) for fold in range(4)]
    assert sorted(np.concatenate(every).tolist()) == list(range(12))
    for fold in range(4):
        seen = np.asarray(trained(fold, np.uint32(5)))
        assert not set(seen) & set(every[fold])
        alone = memory({'label': rest[fold]}, replacement)
        drawn = alone.draw(alone.arrays, np.uint32(5), np.arange(9, dtype=np.uint32))
        np.testing.assert_array_equal(seen, drawn['label'])


def test_a_fold_that_there_is_not_is_refused_before_anything_is_traced():
    with pytest.raises(ValueError, match=r'fold: found 4; allowed: 0 .. 3 of 4 folds'):
        cohorts(of_folds('classes.npz', which=[0, 4]))


@pytest.mark.parametrize('noise, count', [(0.0, 1), (0.1, 2)])
def test_folds_of_pictures_that_come_along(noise, count):
    data = dict(name='digits', folds=2, label_noise=noise)
    workload = dict(name='classification', data=data, model=dict(name='mlp', hidden=(4,)))
    planned = cohorts(tiny(workload=workload, sweep=(('workload.data.fold', (0, 1)),)))
    assert len(planned) == count
    told = ['label_noise and examples are drawn for each fold' in line for line in splits(planned)]
    assert told == [True] * (count - 1)
