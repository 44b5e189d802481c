"""A workload put together from a task, a data set and a model."""

import pytest
from training import tiny, train

from lbexp import config as configs
from lbexp.config import lookup
from lbexp.config.check import check
from lbexp.engine.fingerprint import fingerprint
from lbexp.errors import Refusal

PARTS = dict(
    name='classification',
    data=dict(name='digits', validation=300),
    model=dict(name='mlp', hidden=(32,), batch_norm=True),
)
PRESET = dict(name='digits_mlp', validation=300, hidden=(32,), batch_norm=True)


def test_parts_train_as_the_preset_to_the_bit(tmp_path):
    config = dict(steps=12, batch_size=32)
    rows = train(tiny(workload=PARTS, **config), tmp_path / 'parts')
    assert rows == train(tiny(workload=PRESET, **config), tmp_path / 'preset')
    assert {'validation_accuracy', 'test_loss', 'loss', 'accuracy'} <= rows[-1].keys()


@pytest.mark.parametrize(
    'path, value, problem',
    [
        ('data.name', 'digts', "Did you mean 'digits'?"),
        ('data.validation', -1, 'found -1; allowed: an integer >= 0'),
        ('model.hiden', 3, "mlp has no such argument. Did you mean 'hidden'?"),
        ('model.hidden', (0,), 'found [0]; allowed: a list, each an integer >= 1'),
        ('model', dict(name='digits'), 'no model is named'),
        ('data', dict(name='mlp'), 'no data is named'),
        ('data', 3, "found 3; allowed: a dict with a 'name'"),
    ],
)
def test_wrong_parts_are_refused_where_they_are(path, value, problem):
    config = tiny(workload=PARTS)
    *parents, name = path.split('.')
    holder = config.workload
    for parent in parents:
        holder = holder[parent]
    holder[name] = value
    (line,) = check(config)
    assert line.startswith(f'workload.{path}') and problem in line


def test_more_validation_examples_than_there_are(tmp_path):
    workload = {**PARTS, 'data': dict(name='digits', validation=2000)}
    with pytest.raises(Refusal, match=r'validation: found 2000; allowed: 0 .. 1437'):
        lookup.build('workload', workload)


def test_the_code_of_each_part_belongs_to_the_run():
    names = fingerprint([configs.resolve(tiny(workload=PARTS), {})])
    for name in ("workload 'classification'", "data 'digits'", "model 'mlp'"):
        assert any(known.startswith(f'code of {name}') for known in names)
