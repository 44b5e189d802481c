"""CIFAR-10 with residual networks: what the experiment asks for, on made pictures."""

import pathlib

import numpy as np
import pytest
from made_data import cifar10_files
from training import rows

from lbexp import config as configs
from lbexp import main
from lbexp.config import lookup
from lbexp.config.check import check

EXPERIMENT = pathlib.Path(__file__).parents[2] / 'experiments' / 'cifar10_resnet.py'


@pytest.fixture(autouse=True)
def pictures(tmp_path, monkeypatch):
    """The folder where the experiment looks, 40 pictures to train and 8 to test."""
    monkeypatch.chdir(tmp_path)
    cifar10_files(tmp_path / 'cifar-10-batches-bin', 8)


@pytest.mark.parametrize(('depth', 'target'), [('20', 0.9125), ('44', 0.9283), ('18', 0.9528)])
def test_every_size_is_sound_and_has_its_published_target(depth, target):
    config = configs.load(f'{EXPERIMENT}:{depth}')
    # of the files there are fewer pictures than in a batch
    config.batch_size = 8
    assert check(config) == []
    part = lookup.build('workload', configs.plain(config.workload))
    assert part.target == ('accuracy', target)
    assert part.train.size == 40 and part.test.size == 8 and len(part.output_names) == 10


def test_pictures_are_mirrored_and_cropped_in_training_alone():
    plain, moved = (
        lookup.build('workload', dict(name='cifar10_resnet', path='cifar-10-batches-bin', **fields))
        for fields in (dict(flip=0.0, crop=0), dict(flip=1.0, crop=0))
    )
    seed, positions = np.uint32(0), np.arange(4, dtype=np.uint32)
    pictures, mirrored = (
        part.train.draw(part.train.arrays, seed, positions)['image'] for part in (plain, moved)
    )
    np.testing.assert_array_equal(mirrored, pictures[:, :, ::-1])
    usual = lookup.build('workload', dict(name='cifar10_resnet', path='cifar-10-batches-bin'))
    drawn = usual.train.draw(usual.train.arrays, seed, positions)['image']
    assert not np.array_equal(drawn, pictures) and not np.array_equal(drawn, mirrored)
    np.testing.assert_array_equal(usual.test.arrays['image'], plain.test.arrays['image'])


def test_with_frozen_statistics_examples_need_no_company():
    """So that a batch of fine-tuning may be cut into microbatches of any size."""
    workload = dict(name='cifar10_resnet', path='cifar-10-batches-bin')
    assert lookup.build('workload', workload).together is None
    assert lookup.build('workload', dict(workload, ghost='frozen')).together == 1


@pytest.mark.long
def test_the_experiment_trains(tmp_path):
    fields = dict(batch_size=8, steps=2, num_rows=2, num_evaluations=1, precision='bfloat16')
    fields['workload.rematerialise'] = True
    arguments = [f'--config.{name}={value}' for name, value in fields.items()]
    workdir = tmp_path / 'run'
    assert main.main(['main', f'--config={EXPERIMENT}', f'--workdir={workdir}', *arguments]) == 0
    written = rows(workdir)
    assert [row['step'] for row in written] == [1, 2]
    assert all(np.isfinite(row['loss']) for row in written) and 'test_accuracy' in written[-1]
