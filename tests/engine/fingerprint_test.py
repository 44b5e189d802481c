"""New code and new data are told from old: by what computes numbers, not by comments; and treated
as a change."""

import importlib
import json
import os
import subprocess
import sys

import pytest
from training import tiny

from lbexp import config as configs
from lbexp import owner
from lbexp.engine import record
from lbexp.engine.fingerprint import fingerprint
from lbexp.errors import Refusal

OPTIMIZER = '''"""Mine."""
import optax
from codeparts import helper


def opt(learning_rate):
    """Descends."""
    import codelazy  # inside: found without being loaded
    return optax.sgd(learning_rate)
'''


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A user's optimizer of several files, and an experiment file."""
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / 'codemine.py').write_text(OPTIMIZER)
    (tmp_path / 'codeparts').mkdir()
    (tmp_path / 'codeparts' / '__init__.py').write_text('')
    (tmp_path / 'codeparts' / 'helper.py').write_text('from . import deeper\nfactor = 1.0\n')
    (tmp_path / 'codeparts' / 'deeper.py').write_text('depth = 2\n')
    (tmp_path / 'codelazy.py').write_text('late = 1\n')
    (tmp_path / 'experiment.py').write_text('rate = 0.1\n')
    importlib.invalidate_caches()
    yield tmp_path
    for name in [
        name
        for name in sys.modules
        if name.startswith('code') and name[:9] in ('codemine', 'codeparts')
    ]:
        del sys.modules[name]


def taken(folder, **workload):
    config = tiny(optimizer=dict(name='codemine:opt', learning_rate=0.1))
    config.workload.update(workload)
    return fingerprint([configs.resolve(config, {})], str(folder / 'experiment.py'))


def differing(before, after):
    return sorted(
        name for name in before.keys() | after.keys() if before.get(name) != after.get(name)
    )


@pytest.mark.parametrize(
    'file, old, new, named',
    [
        ('codemine.py', 'sgd', 'adam', "code of optimizer 'codemine:opt' (codemine.py)"),
        (
            'codeparts/helper.py',
            '1.0',
            '1.5',
            "code of optimizer 'codemine:opt' (codeparts/helper.py)",
        ),
        ('codeparts/deeper.py', '2', '3', "code of optimizer 'codemine:opt' (codeparts/deeper.py)"),
        ('codelazy.py', '1', '2', "code of optimizer 'codemine:opt' (codelazy.py)"),
        ('experiment.py', '0.1', '0.2', 'code of the experiment (experiment.py)'),
    ],
)
def test_changed_code_is_named(project, file, old, new, named):
    before = taken(project)
    path = project / file
    path.write_text(path.read_text().replace(old, new))
    assert differing(before, taken(project)) == [named]


def test_comments_docstrings_and_spaces_are_no_change(project):
    before = taken(project)
    text = OPTIMIZER.replace('Mine.', 'Yours.').replace('Descends.', 'Goes down.')
    text = text.replace('\n\n\n', '\n\n# Why.\n\n\n\n')
    (project / 'codemine.py').write_text(text)
    assert taken(project) == before
    (project / 'codemine.py').write_text(text.replace('learning_rate)\n', 'learning_rate * 2)\n'))
    assert taken(project) != before


def test_changed_data_is_named(project):
    before, after = taken(project), taken(project, seed=1)
    assert any(
        name.startswith('data of workload linear_regression') for name in differing(before, after)
    )
    assert {*map(len, before.values())} == {64}
    data = [
        [digest for name, digest in one.items() if name.startswith('data of')]
        for one in (before, after)
    ]
    assert data[0] != data[1]


def test_a_difference_is_a_changed_configuration(tmp_path):
    config = tiny()
    old, new = ({"code of optimizer 'mine:opt' (mine.py)": letter * 64} for letter in 'ab')
    arguments = (tmp_path, configs.plain(config), configs.trials(config))
    record.record(*arguments, code=old)
    (tmp_path / 'metrics.jsonl').write_text('{"trial": 0, "step": 1}\n')  # something was trained
    with pytest.raises(
        Refusal,
        match=(
            r"code of optimizer 'mine:opt' \(mine.py\): aaaaaaaa "
            r'there, bbbbbbbb now'
        ),
    ):
        record.record(*arguments, code=new)
    said = []
    record.record(*arguments, may_change=True, log=said.append, code=new)
    document = json.loads((tmp_path / 'config.json').read_text())
    assert document['fingerprint'] == new and document['changes'] == [
        {name: [old[name], new[name]] for name in old}
    ]
    assert document['stages'][0]['configurations'].keys() == {'0'}
    assert any('mine.py' in line for line in said)


def test_where_nothing_was_trained_anything_may_come(tmp_path):
    """The configuration of a first command that was refused is not in the way of the corrected
    one."""
    for rate in (0.1, 0.2):
        config = tiny(optimizer=dict(name='momentum', learning_rate=rate))
        record.record(tmp_path, configs.plain(config), configs.trials(config))
    assert (
        json.loads((tmp_path / 'config.json').read_text())['config']['optimizer']['learning_rate']
        == 0.2
    )


def test_a_run_that_goes_on_says_where(tmp_path):
    """Each start has its environment in config.json; what differs and may change numbers is
    announced."""
    config, announced = tiny(), []
    arguments = (tmp_path, configs.plain(config), configs.trials(config))
    record.record(*arguments)
    document = json.loads((tmp_path / 'config.json').read_text())
    here = dict(document['environment'])
    document['environment'] |= {'started': 'yesterday', 'jax': '0.0.1'}
    (tmp_path / 'config.json').write_text(json.dumps(document))
    record.record(*arguments, log=announced.append)
    after = json.loads((tmp_path / 'config.json').read_text())
    assert after['environment'] == document['environment'] and after['environments'] == [here]
    assert announced == [f'goes on in another environment: jax 0.0.1 there, {here["jax"]} now']
    record.record(*arguments, log=announced.append)  # in the same process: no new start
    assert json.loads((tmp_path / 'config.json').read_text()) == after and len(announced) == 1


def test_a_workdir_of_an_older_version_is_refused_in_words(tmp_path):
    config = tiny()
    arguments = (tmp_path, configs.plain(config), configs.trials(config))
    record.record(*arguments)
    document = json.loads((tmp_path / 'config.json').read_text())
    del document['run'], document['fingerprint']
    document['environment']['git_commit'] = 'abc'
    (tmp_path / 'config.json').write_text(json.dumps(document))
    (tmp_path / 'metrics.jsonl').write_text('{"trial": 0, "step": 1}\n')
    with pytest.raises(Refusal, match=r'begun by an older version of lbexp.*Go on with commit abc'):
        record.record(*arguments)


@pytest.mark.processes
def test_a_process_that_is_gone(tmp_path):
    """'running' in status.json is true while its owner lives."""
    assert not owner.is_at(tmp_path)
    (tmp_path / owner.FILE).write_text(json.dumps(owner.owner()))
    assert owner.is_at(tmp_path)
    tells = 'import json; from lbexp import owner; print(json.dumps(owner.owner()))'
    ended = subprocess.run(
        [sys.executable, '-c', tells], capture_output=True, text=True, check=True, env=os.environ
    )
    (tmp_path / owner.FILE).write_text(ended.stdout)
    assert not owner.is_at(tmp_path)


def test_a_workdir_with_names_of_before_is_refused_in_one_line(tmp_path):
    config = tiny()
    arguments = (tmp_path, configs.plain(config), configs.trials(config))
    record.record(*arguments)
    document = json.loads((tmp_path / 'config.json').read_text())
    document['config']['log'] = document['config'].pop('num_rows')
    (tmp_path / 'config.json').write_text(json.dumps(document))
    (tmp_path / 'metrics.jsonl').write_text('{"trial": 0, "step": 1}\n')
    with pytest.raises(Refusal, match='found the fields log, as an older version of lbexp wrote'):
        record.record(*arguments)
