"""Dicts of the configuration of which somebody writes some fields: the others have their
defaults."""

import pytest
from experiment_files import refusals
from training import rows, tiny

import lbexp
from lbexp import config as configs
from lbexp.config import fields

# Each dict that has fields with a default, and one of them with another value.
PARTIAL = {
    'init_from': {'weights': 'runs/a'},
    'batch_scaling': {'reference': 32},
    'data': {'hosts': 2},
}


def grouped():
    """{dict: its fields that have a default}."""
    groups = {}
    for field in fields.FIELDS:
        group, _, name = field.name.rpartition('.')
        if group and field.default is not fields.ABSENT:
            groups.setdefault(group, {})[name] = field.default
    return groups


def test_these_are_all():
    assert PARTIAL.keys() == grouped().keys()


@pytest.mark.parametrize('group', PARTIAL)
def test_a_dict_as_a_whole_is_its_fields_one_by_one(group, tmp_path):
    (name, value), *_ = PARTIAL[group].items()
    by_field = configs.base()
    by_field[group][name] = value
    file = tmp_path / 'experiment.py'
    file.write_text(
        'from lbexp import config\n'
        'def get_config():\n'
        '    c = config.base()\n'
        f'    c.{group} = {PARTIAL[group]!r}\n'
        '    return c\n'
    )
    whole = configs.load(str(file))
    assert configs.plain(whole) == configs.plain(by_field)
    assert configs.digest(whole, [{}]) == configs.digest(by_field, [{}])
    base = configs.base()
    assert configs.resolve(base, {group: PARTIAL[group]}) == configs.resolve(by_field, {})
    assert configs.plain(base) == configs.plain(configs.base())


@pytest.mark.parametrize('group', PARTIAL)
def test_what_is_written_stays_and_nothing_is_shared(group):
    config = configs.base()
    config[group] = dict(PARTIAL[group])
    configs.fill_in(config)
    assert config[group].to_dict() == {**grouped()[group], **PARTIAL[group]}
    before = config.to_dict()
    configs.fill_in(config)
    assert config.to_dict() == before
    config.lock()
    del_one = next(iter(grouped()[group]))
    with config.unlocked():
        del config[group][del_one]
    configs.fill_in(config)
    assert config[group][del_one] == grouped()[group][del_one] and config.is_locked


def test_what_is_no_dict_is_left_for_the_check():
    config = configs.base()
    config.data = 3
    del config.init_from
    configs.fill_in(config)
    assert config.data == 3 and 'init_from' not in config


@pytest.mark.parametrize(
    'change, override',
    [
        ("c.batch_scaling = dict(rule='linear', reference=32)", None),
        ('pass', "batch_scaling={'rule': 'linear', 'reference': 32}"),
        ('c.data = dict(hosts=1)', None),
        ('pass', "data={'partition': 'independent'}"),
        ('pass', "init_from={'take': ['kernel']}"),
        ("c.sweep = (('batch_scaling', (dict(reference=32), dict(reference=64))),)", None),
    ],
)
def test_the_command_takes_a_part_of_a_dict(written, change, override):
    flags = [] if override is None else [f'--config.{override}']
    assert refusals(written(change), *flags) == []


@pytest.mark.parametrize(
    'change, told',
    [
        ("c.init_from = dict(wieghts='a')", "init_from.wieghts: no such field. Did you mean 'we"),
        ('c.data = dict(host=1)', "data.host: no such field. Did you mean 'hosts'?"),
        ('c.init_from = dict(trial=-1)', 'init_from.trial: found -1'),
        ("c.sweep = (('data', (dict(host=1), dict(host=2))),)", 'data.host: no such field'),
    ],
)
def test_what_a_dict_has_not_is_refused(written, change, told):
    lines = refusals(written(change))
    assert len(lines) == 1 and told in lines[0]


@pytest.mark.long
def test_a_run_begins_from_another_in_a_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    options = dict(figures=(), show=False)
    source = lbexp.run(tiny(steps=4), workdir='source', **options)
    config = tiny(steps=4, seed=1)
    config.init_from = dict(weights='source')
    whole = lbexp.run(config, workdir='whole', **options)
    for number, overrides in enumerate(
        ({'init_from': {'weights': 'source'}}, {'init_from.weights': 'source'})
    ):
        lbexp.run(tiny(steps=4, seed=1), overrides, str(number), **options)
        assert rows(tmp_path / str(number)) == rows(whole.workdir) != rows(source.workdir)
    fields = {**tiny(steps=4, seed=1).to_dict(), 'init_from': {'weights': 'source'}}
    lbexp.run(fields, workdir='fields', **options)
    assert rows(tmp_path / 'fields') == rows(whole.workdir)
