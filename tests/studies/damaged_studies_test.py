"""Every study tells a damaged config.json by its name, whatever it asks of the workdir."""

import pathlib

import pytest
from reports import sweep

from lbexp import studies
from lbexp.config import lookup
from lbexp.errors import Refusal
from lbexp.studies import generalization_gap

FOLDER = pathlib.Path(studies.__file__).parent
NEEDED = {
    'two_stages': {'names': ('a', 'b'), 'first': {'batch_size': 1}, 'second': {'batch_size': 2}},
    'successive_halving': {'space': (('optimizer.learning_rate', 'log', 0.01, 1.0),)},
}
STUDIES = sorted(path.stem for path in FOLDER.glob('[a-z]*.py'))
CONTENTS = {
    'empty': '',
    'torn': '{"config": {',
    'null': 'null',
    'nothing': '{}',
    'no parts': '{"config": {}, "trials": []}',
    'other parts': '{"config": {"workload": "x", "optimizer": 5}, "trials": []}',
    'a trial twice': '{"trials": [{"trial": 0, "overrides": {}}, {"trial": 0, "overrides": {}}]}',
}


def test_there_are_studies():
    assert len(STUDIES) > 9 and 'training' in STUDIES


@pytest.mark.parametrize('name', STUDIES)
def test_a_damaged_configuration_is_named(tmp_path, name):
    study = lookup.build('study', {'name': name, **NEEDED.get(name, {})})
    workdir = sweep(tmp_path, steps=4, seeds=2)
    for content in CONTENTS.values():
        (workdir / 'config.json').write_text(content)
        with pytest.raises(Refusal, match=r'config\.json: found .*; allowed: ') as error:
            study.analyse(workdir)
        assert '\n' not in str(error.value)


SPEEDS = [
    '',
    '[]',
    '{"64": 5}',
    '{"64": []}',
    '{"64": [NaN]}',
    '{"64": ["fast"]}',
    '{"64": [-1.0]}',
]


@pytest.mark.parametrize('content', SPEEDS)
def test_damaged_speeds_are_not_believed(tmp_path, content):
    workdir = sweep(tmp_path, steps=2)
    (workdir / 'speed.json').write_text(content)
    with pytest.raises(Refusal, match=r'speed\.json: found a damaged file'):
        generalization_gap.read_speeds(workdir)
    assert (workdir / 'speed.json').read_text() == content
