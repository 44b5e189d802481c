"""What a run leaves beside its report: metrics.jsonl, config.json."""

import concurrent.futures
import errno
import json
import os
import pathlib
import subprocess
import time
import uuid

import jax
import numpy as np
import pytest
from training import rows, tiny, train

from lbexp import config as configs
from lbexp.engine import record
from lbexp.engine.metrics_file import MetricsWriter, append, replace
from lbexp.errors import Damaged


def test_config_json_says_what_ran_where_and_with_what(tmp_path):
    config = tiny(sweep=(('optimizer.learning_rate', (0.1, 0.2)),))
    record.record(tmp_path, configs.plain(config), configs.trials(config))
    said = json.loads((tmp_path / 'config.json').read_text())
    # every field, those that the experiment file leaves alone too
    assert said['config'] == configs.plain(config)
    assert said['config']['num_checkpoints'] == 2 and said['config']['layout'] == 'auto'
    assert [trial['overrides'] for trial in said['trials']] == configs.trials(config)
    environment = said['environment']
    assert environment['jax'] == jax.__version__ and environment['numpy'] == np.__version__
    assert {
        'flax',
        'optax',
        'orbax-checkpoint',
        'tensorflow-datasets',
        'python',
        'processor',
        'git_commit',
    } <= set(environment)
    assert (
        len(environment['devices']) == len(jax.devices())
        and environment['backend'] == jax.default_backend()
    )
    here = subprocess.run(['git', 'rev-parse', 'HEAD'], capture_output=True, text=True)
    if here.returncode == 0:
        assert environment['git_commit'].removesuffix('-dirty') == here.stdout.strip()


def test_a_damaged_line_in_the_middle_is_named_and_nothing_is_dropped(tmp_path):
    train(tiny(), tmp_path)
    metrics = tmp_path / 'metrics.jsonl'
    lines = metrics.read_bytes().splitlines(keepends=True)
    lines[2] = lines[2][:20] + b'\x00' + lines[2][21:]
    metrics.write_bytes(b''.join(lines))
    with pytest.raises(ValueError, match=r'metrics\.jsonl: line 3 is no row'):
        MetricsWriter(metrics)
    assert metrics.read_bytes() == b''.join(lines)


def test_rows_are_whole_numbers_and_digits_that_read_back_to_the_bit(tmp_path):
    file = MetricsWriter(tmp_path / 'metrics.jsonl')
    value = np.float32(0.1) / 3
    file.write(
        [
            {
                'trial': 0,
                'step': np.int32(7),
                'loss': value,
                'gone': np.float32('nan'),
                'many': np.ones(2),
            }
        ]
    )
    (row,) = rows(tmp_path)
    assert row == {
        'trial': 0,
        'step': 7,
        'loss': pytest.approx(float(value), abs=1e-9),
        'gone': None,
        'many': [1, 1],
    }
    assert np.float32(row['loss']) == value and isinstance(row['step'], int)


def test_rows_that_are_gone_are_missed_by_the_next_row(tmp_path):
    """A run of days does not train to its end on a file that somebody has emptied on its first."""
    file = MetricsWriter(tmp_path / 'metrics.jsonl')
    file.write([{'trial': 0, 'step': 1}])
    (tmp_path / 'metrics.jsonl').write_bytes(b'')
    with pytest.raises(Damaged, match=r'metrics\.jsonl: found \d+ bytes where \d+ were written'):
        file.write([{'trial': 0, 'step': 2}])


def test_a_torn_last_line_is_repaired_before_the_next_row(tmp_path):
    path = tmp_path / 'metrics.jsonl'
    MetricsWriter(path).write([{'trial': 0, 'step': 1}])
    path.write_bytes(path.read_bytes() + b'{"trial": 0, "st')
    MetricsWriter(path).write([{'trial': 0, 'step': 2}])
    assert [row['step'] for row in rows(tmp_path)] == [1, 2]


def test_a_file_that_many_write_at_once_is_whole(tmp_path):
    """Two sweeps of one workdir write their reports at once."""
    path = tmp_path / 'report.html'
    contents = [bytes([65 + number]) * 100_000 for number in range(4)]

    def write(content):
        for _ in range(20):
            replace(path, content)
            assert path.read_bytes() in contents

    with concurrent.futures.ThreadPoolExecutor(4) as writers:
        list(writers.map(write, contents))
    assert [left.name for left in tmp_path.iterdir()] == ['report.html']


def test_what_a_killed_writer_left_goes_after_an_hour(tmp_path):
    path, name = tmp_path / 'r[1].html', 'r[1].html.{}.part'
    for number, age in enumerate((60, 7200)):
        left = tmp_path / name.format(number)
        left.touch()
        os.utime(left, (time.time() - age, time.time() - age))
    replace(path, b'whole')
    assert {left.name for left in tmp_path.iterdir()} == {path.name, name.format(0)}


def test_a_sync_that_fails_names_the_file(tmp_path, monkeypatch):
    """The system does not."""
    path = tmp_path / 'metrics.jsonl'
    writer = MetricsWriter(path)
    writer.write([{'trial': 0, 'step': 1}])

    def fail(descriptor):
        raise OSError(errno.EIO, 'Input/output error')

    monkeypatch.setattr(os, 'fsync', fail)
    for write in (writer.sync, lambda: replace(path, b'')):
        with pytest.raises(OSError, match='Input/output error') as error:
            write()
        assert error.value.filename == str(path)
    assert [left.name for left in tmp_path.iterdir()] == ['metrics.jsonl']


def test_a_write_that_fails_names_the_file():
    with pytest.raises(OSError, match='No space left') as error:
        append(pathlib.Path('/dev/full'), b'{}')
    assert error.value.filename == '/dev/full'


def test_nobodys_link_is_written_through(tmp_path, monkeypatch):
    (tmp_path / 'victim').write_text('mine')
    monkeypatch.setattr(uuid, 'uuid4', lambda: uuid.UUID(int=7))
    link = tmp_path / f'config.json.{uuid.UUID(int=7).hex}.part'
    link.symlink_to(tmp_path / 'victim')
    with pytest.raises(FileExistsError, match=r'config\.json'):
        replace(tmp_path / 'config.json', b'other')
    assert (tmp_path / 'victim').read_text() == 'mine'


def test_tags_are_recorded_and_are_no_part_of_a_trial(tmp_path):
    """Of one trial asked for twice the tags of both stand; another question drops them; they are no
    change of configuration."""
    config = configs.plain(tiny())

    def trial(seed, **tags):
        return configs.Trial({'seed': seed}, tags)

    first = [trial(0, arm='a'), trial(1, arm='a'), trial(0, arm='b')]
    entries = record.record(tmp_path, config, first, grows=True)
    assert [entry['overrides'] for entry in entries] == [{'seed': 0}, {'seed': 1}]
    assert [entry['tags'] for entry in entries] == [[{'arm': 'a'}, {'arm': 'b'}], [{'arm': 'a'}]]
    bare = record.record(tmp_path, config, [{'seed': 0}, {'seed': 1}], grows=True)
    assert bare == entries
    other = {**config, 'study': {**config['study'], 'seeds': 2}}
    entries = record.record(tmp_path, other, [trial(1, arm='c')], grows=True)
    assert [entry.get('tags') for entry in entries] == [None, [{'arm': 'c'}]]
    digests = record.stage(record.read(tmp_path))['configurations']
    assert digests == record.stage({**record.read(tmp_path), 'trials': bare})['configurations']


@pytest.mark.parametrize(
    'code, tags', [({'a': '1' * 64, 'b': '2' * 64}, [{'arm': 'a'}]), ({'a': '2' * 64}, None)]
)
def test_a_part_that_a_later_round_names_first_drops_no_tags(tmp_path, code, tags):
    """Other code of a part that is there does."""
    config = configs.plain(tiny(study=dict(name='batch_growth')))
    first = [configs.Trial({'seed': 0}, {'arm': 'a'})]
    record.record(tmp_path, config, first, grows=True, code={'a': '1' * 64})
    (tmp_path / 'metrics.jsonl').write_text('{"trial": 0, "step": 1}\n')
    more = [configs.Trial({'seed': 1}, {'arm': 'b'})]
    entries = record.record(tmp_path, config, more, grows=True, may_change=True, code=code)
    assert [entry.get('tags') for entry in entries] == [tags, [{'arm': 'b'}]]
