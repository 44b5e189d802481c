"""Workdirs damaged in hundreds of ways: what can be read is read, the rest is named; nothing ends
in a traceback."""

import copy
import json
import os
import random

import pytest
from reports import sweep

from lbexp import results
from lbexp.report import curves, figure, paper, table
from lbexp.results.__main__ import main
from lbexp.sweep.__main__ import main as sweep_main

FILES = ('metrics.jsonl', 'config.json', 'status.json')
CONTENTS = (
    b'',
    b'null',
    b'[]',
    b'5',
    b'"text"',
    b'{',
    b'\xff\xfe\x00',
    b'\0' * 64,
    b'[' * 5000,
    b'{"a":' * 300 + b'1',
)
VALUES = (
    None,
    [],
    {},
    5,
    -1,
    1.5,
    'text',
    True,
    10**400,
    '\ud800',
    [[1], 'a'],
    {'x': [1]},
    '../../x',
    '$\\x$ \x1b[2J',
)
NAMES = ('Loss', 'a/b', '..', '', 'status', 'index', 'workdir', '\ud800', '$x$')


def places(value, path=()):
    """Paths of everything in nested data."""
    yield path
    if isinstance(value, (dict, list)):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from places(inner, (*path, key))


def changed(content, chance):
    """Nested data with another value, or without one, or with another key, at a random place."""
    content = copy.deepcopy(content)
    *path, last = chance.choice([path for path in places(content) if path])
    holder = content
    for key in path:
        holder = holder[key]
    what = chance.randrange(5)
    if what == 0:
        del holder[last]
    elif what == 1 and isinstance(holder, dict):
        holder[chance.choice(NAMES)] = holder.pop(last)
    else:
        holder[last] = chance.choice(VALUES)
    return content


def damage(file, seed):
    """Writes something else, torn, flipped or of another shape, into a file."""
    chance, raw = random.Random(seed), file.read_bytes()
    if seed < len(CONTENTS):
        file.write_bytes(CONTENTS[seed])
    elif seed % 4 == 0:
        file.write_bytes(raw[: chance.randrange(len(raw))])
    elif seed % 4 == 1:
        flipped = bytearray(raw)
        for _ in range(chance.randrange(1, 8)):
            flipped[chance.randrange(len(raw))] = chance.randrange(256)
        file.write_bytes(flipped)
    elif file.name == 'metrics.jsonl':
        rows = [json.loads(line) for line in raw.splitlines()]
        for _ in range(3):
            rows = changed(rows, chance)
        file.write_text(''.join(json.dumps(row) + '\n' for row in rows))
    else:
        file.write_text(json.dumps(changed(json.loads(raw), chance)))


def one_line(told):
    return told.count('\n') == 1 and 'Traceback' not in told


@pytest.fixture(scope='module')
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp('made')
    sweep(folder / 'good', steps=4, seeds=2)
    config = {'study': {'name': 'training'}, 'workload': {'name': 'noisy_quadratic'}}
    sweep(folder / 'bad', steps=4, seeds=2, diverged=(1,), config=config)
    return folder


@pytest.mark.parametrize('name', FILES)
@pytest.mark.parametrize(
    'seeds',
    [range(0, 75, 3), *(pytest.param(range(p, 75, 3), marks=pytest.mark.slow) for p in (1, 2))],
)
def test_what_is_damaged_is_read_or_named_and_never_takes_a_tree_along(
    made, tmp_path, capsys, name, seeds
):
    bad, file = made / 'bad', made / 'bad' / name
    whole = file.read_bytes()
    try:
        for seed in seeds:
            results.say_once.cache_clear()
            damage(file, seed)
            queries = (
                [],
                ['--sql=select * from rows order by trial'],
                [f'--csv={tmp_path / "a.csv"}'],
            )
            parquet = [f'--parquet={tmp_path / "a.parquet"}'] * (seed % 2)
            more = [*queries[seed // 3 % 3], *parquet]
            status = main([str(bad), *more])
            told = capsys.readouterr().err
            assert (status == 0 and 'Traceback' not in told) or (
                status == 2 and one_line(told) and str(file) in told
            )
            if status == 0:
                rows, finals = results.load(bad)
                drawn = [figure.figure(drawing) for drawing in curves.curves(rows)]
                json.dumps([drawn, table.table(finals).rows], allow_nan=False).encode()
            assert main([str(made), *more]) == 0
            told = capsys.readouterr().err
            assert status == 0 or f'{file}' in told
            rows = results.read(made)
            assert (rows['workdir'] == str(made / 'good')).sum() == 16
            file.write_bytes(whole)
    finally:
        file.write_bytes(whole)


@pytest.mark.parametrize('name', [*FILES, 'cohorts.json'])
def test_the_report_of_what_is_damaged(tmp_path, capsys, name, monkeypatch):
    """The same without the pictures, which take a second each; and once with them."""
    save = paper.save
    monkeypatch.setattr(paper, 'save', lambda *arguments: {})
    for seed in [*range(10), *range(10, 40, 3)]:
        workdir = tmp_path / str(seed)
        config = {'study': {'name': 'training'}, 'workload': {'name': 'noisy_quadratic'}}
        sweep(workdir, steps=4, seeds=2, config=config)
        (workdir / 'cohorts.json').write_text(json.dumps([{'round': 0, 'trials': [0, 1, 2, 3]}]))
        damage(workdir / name, seed)
        if seed == 22:
            monkeypatch.setattr(paper, 'save', save)
        status = sweep_main(['', f'--workdir={workdir}', 'report'])
        told = capsys.readouterr().err
        read = status in (0, 78) and 'Traceback' not in told
        assert read or (status == 2 and one_line(told) and name in told), (seed, told)
        monkeypatch.setattr(paper, 'save', lambda *arguments: {})


def test_where_nothing_can_be_read_the_exit_status_says_so(tmp_path, capsys):
    for name in 'ab':
        sweep(tmp_path / name, steps=2)
        (tmp_path / name / 'config.json').write_text('{"trials": 5}')
    assert main([str(tmp_path)]) == 2 and one_line(capsys.readouterr().err)


def test_a_file_that_may_not_be_read_or_is_none(tmp_path, capsys):
    """A pipe would keep the reader for ever, a device for longer; a link may lead to anybody's
    secrets."""
    sweep(tmp_path / 'tree' / 'good', steps=2)
    (tmp_path / 'secret').write_text('{"trial": 0, "step": 1, "loss": 4711}\n')
    for name, make in {
        'pipe': lambda path: os.mkfifo(path),
        'device': lambda path: path.symlink_to('/dev/zero'),
        'link': lambda path: path.symlink_to(tmp_path / 'secret'),
        'nowhere': lambda path: path.symlink_to(tmp_path / 'absent'),
    }.items():
        folder = sweep(tmp_path / 'tree' / name, steps=2)
        (folder / 'metrics.jsonl').unlink()
        make(folder / 'metrics.jsonl')
    assert main([str(tmp_path / 'tree')]) == 0
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 4 and all(
        'metrics.jsonl: found' in line and 'left out' in line for line in told
    )
    assert set(results.read(tmp_path / 'tree')['workdir']) == {str(tmp_path / 'tree' / 'good')}


@pytest.mark.parametrize(
    'name', ['[a]', 'a*b', 'a?', "it's", 'back\\slash', 'new\nline', 'x=1', '~', 'gs:', 'ü {b,c}']
)
def test_a_folder_may_have_any_name(tmp_path, monkeypatch, capsys, name):
    sweep(tmp_path / name, steps=2, rates=(0.1,), seeds=1)
    sweep(tmp_path / 'a', steps=3, rates=(0.1,), seeds=1)
    monkeypatch.chdir(tmp_path)
    assert results.read(tmp_path / name)['step'].tolist() == [1, 2]
    assert main([f'./{name}', f'--csv=./{name}/out.csv']) == 0 and capsys.readouterr().err == ''
    assert len((tmp_path / name / 'out.csv').read_text().splitlines()) >= 2


def test_rows_of_every_shape(tmp_path):
    sweep(tmp_path, steps=1, rates=(0.1,), seeds=1)
    lines = [
        (
            '{"trial": 0, "step": 1, "loss": 1.5, "Loss": 2.5, "a/b": 3, "status": 7, "workdir": '
            '8, '
            '"index": 9}'
        ),
        '{"trial": 0, "step": 2, "loss": [1, 2], "Loss": "text", "vector": [1, null]}',
        '{"trial": 0, "step": 3, "loss": {"a": 1}, "vector": 5, "a/b": true}',
        f'{{"trial": 0, "step": 4, "loss": {10**400}, "vector": [3, 4]}}',
        *(
            '{"trial": "0", "step": 5}',
            '{"trial": 0.5, "step": 5}',
            '{"trial": -1, "step": 5}',
            '{"trial": 0}',
        ),
        *(
            '{"trial": 0, "step": 1e300}',
            '{"trial": true, "step": 5}',
            '{"trial": [0], "step": 5}',
            '7',
            '"row"',
        ),
        '{"trial": 0.0, "step": 5.0, "loss": 0.25}',
    ]
    (tmp_path / 'metrics.jsonl').write_text('\n'.join(lines))
    rows, finals = results.load(tmp_path)
    assert rows['step'].tolist() == [1, 2, 3, 4, 5]
    assert rows['loss'][[0, 4]].tolist() == [1.5, 0.25] and all(
        rows['loss'][1:4] != rows['loss'][1:4]
    )
    assert rows['Loss'][0] == 2.5 and rows['a/b'][2] == 1 and rows['index'][0] == 9
    assert (
        rows['metric.status'][0] == 7
        and rows['metric.workdir'][0] == 8
        and finals['status'].tolist() == ['done']
    )
    assert (
        rows['vector'][2] is None
        and rows['vector'][3].tolist() == [3, 4]
        and finals['loss'].tolist() == [0.25]
    )
    assert {'loss', 'Loss', 'metric.status'} <= set(results.measured(finals))
