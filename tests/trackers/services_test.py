"""Weights & Biases offline, MLflow with a file: what is there of a run that was taken up again.
Where they are not installed, nothing is tested."""

import importlib.util
import json
import struct

import pytest
from training import tiny, train

from lbexp import config as configs
from lbexp.config import lookup
from lbexp.engine import record
from lbexp.errors import Refusal
from lbexp.trackers import numbers

pytestmark = [
    pytest.mark.long,
    # of the libraries themselves
    pytest.mark.filterwarnings('default'),
]


def taken_up_again(workdir, name):
    """A run that was stopped and went on, with a tracker; its rows."""
    config = tiny(sweep=(('seed', (0, 1)),))
    record.record(workdir, configs.plain(config), configs.trials(config))  # which names it
    left = iter([False] * 3)
    train(config, workdir, should_stop=lambda: next(left, True), trackers=[name])
    return train(config, workdir, trackers=[name])


def curve(rows, trial, name):
    """{step: value} of the rows of a trial that have the value."""
    points = {}
    for row in rows:
        if row['trial'] == trial and name in numbers(row):
            points[row['step']] = numbers(row)[name]
    return points


def records(path):
    """The records of a .wandb file: a header of 7 bytes, then blocks of 32 KiB as LevelDB's log
    has them."""
    content, at, record = path.read_bytes(), 7, b''
    while at + 7 <= len(content):
        left_in_block = 32768 - at % 32768
        if left_in_block < 7:
            at += left_in_block
            continue
        _, size, kind = struct.unpack('<IHB', content[at : at + 7])
        record += content[at + 7 : at + 7 + size]
        at += 7 + size
        if kind in (1, 4):  # whole, or the last piece
            yield record
            record = b''


@pytest.mark.skipif(not importlib.util.find_spec('wandb'), reason='wandb is an extra')
def test_wandb_offline_has_every_row(tmp_path, monkeypatch):
    from wandb.proto.wandb_internal_pb2 import Record

    monkeypatch.setenv('WANDB_MODE', 'offline')
    monkeypatch.setenv('WANDB_DIR', str(tmp_path))
    rows = taken_up_again(tmp_path / 'run', 'wandb')
    for trial in (0, 1):
        points, configs = {}, {}
        for path in sorted(tmp_path.glob(f'wandb/offline-run-*-{trial:05d}/*.wandb')):
            for content in records(path):
                entry = Record.FromString(content)
                for update in entry.run.config.update:
                    configs[update.key] = json.loads(update.value_json)
                values = {}
                for item in entry.history.item:
                    values[item.key or '/'.join(item.nested_key)] = json.loads(item.value_json)
                if 'train/loss' in values:
                    points[values['_step']] = values['train/loss']
        assert points == pytest.approx(curve(rows, trial, 'train/loss'))
        assert configs['seed'] == trial and configs['optimizer']['name'] == 'momentum'


@pytest.mark.skipif(not importlib.util.find_spec('wandb'), reason='wandb is an extra')
def test_wandb_online_needs_a_login(tmp_path, monkeypatch):
    monkeypatch.setenv('WANDB_MODE', 'online')
    monkeypatch.delenv('WANDB_API_KEY', raising=False)
    monkeypatch.setenv('NETRC', str(tmp_path / 'netrc'))
    with pytest.raises(Refusal, match='wandb: found no login; allowed: `wandb login`, or WANDB_MO'):
        lookup.build('tracker', {'name': 'wandb'})


@pytest.mark.skipif(not importlib.util.find_spec('sqlalchemy'), reason='mlflow is an extra')
def test_mlflow_in_a_file_has_every_row_once(tmp_path, monkeypatch):
    client = pytest.importorskip('mlflow.tracking').MlflowClient
    monkeypatch.setenv('MLFLOW_TRACKING_URI', f'sqlite:///{tmp_path / "runs.db"}')
    rows = taken_up_again(tmp_path, 'mlflow')
    client = client()
    experiment = client.get_experiment_by_name('lbexp')
    runs = client.search_runs([experiment.experiment_id])
    assert sorted(run.data.params['seed'] for run in runs) == ['0', '1']
    for run in runs:
        trial = int(run.data.tags['lbexp.key'][-5:])
        assert run.info.status == 'FINISHED' and run.data.params['optimizer.name'] == 'momentum'
        for name in ('train/loss', 'test/loss'):
            history = client.get_metric_history(run.info.run_id, name)
            found = {metric.step: metric.value for metric in history}
            assert len(history) == len(found)
            assert found == pytest.approx(curve(rows, trial, name))
