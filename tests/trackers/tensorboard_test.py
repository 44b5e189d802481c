"""TensorBoard events: names, hyperparameters, cohorts of any size, runs that go on."""

import struct
import time

import pytest
from tensorboardX.crc32c import crc32c
from tensorboardX.proto.event_pb2 import Event
from tensorboardX.proto.plugin_hparams_pb2 import HParamsPluginData
from training import TIMES, tiny, train

from lbexp import config as configs
from lbexp.trackers import TrackedCohort, TrackedTrial, label, numbers, tag
from lbexp.trackers.tensorboard import tensorboard

TAGS = {
    'loss': 'train/loss',
    'test_loss': 'test/loss',
    'test_accuracy': 'test/accuracy',
    'validation_auc': 'validation/auc',
    'train_loss': 'train_evaluation/loss',
    'learning_rate': 'train/learning_rate',
    'epoch': 'progress/epoch',
    'wall_time': 'progress/wall_time',
    'flop_per_second': 'progress/flop_per_second',
}


def events(folder):
    """The events of all files of a folder, oldest first; the frame and checksums of each record are
    checked."""
    found = []
    # as TensorBoard does
    for file in sorted(folder.glob('*tfevents*'), key=lambda path: path.name):
        content, at = file.read_bytes(), 0
        while at < len(content):
            head = content[at : at + 8]
            (size,) = struct.unpack('<Q', head)
            data = content[at + 12 : at + 12 + size]
            assert struct.unpack('<I', content[at + 8 : at + 12])[0] == _masked(head)
            assert struct.unpack('<I', content[at + 12 + size : at + 16 + size])[0] == _masked(data)
            found.append(Event.FromString(data))
            at += 16 + size
    return found


def _masked(data):
    crc = crc32c(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def shown(folder):
    """{(name, step): value} as TensorBoard shows it: a session start hides what earlier files hold
    from its step on."""
    values = {}
    for event in events(folder):
        if event.HasField('session_log') and event.session_log.status == event.session_log.START:
            values = {key: value for key, value in values.items() if key[1] < event.step}
        for value in event.summary.value:
            if value.tag.startswith('_hparams_'):
                continue
            assert (value.tag, event.step) not in values, 'written twice'
            values[value.tag, event.step] = value.simple_value
    return values


def hparams(folder):
    """What the page HPARAMS reads of a trial: its numbers and texts, and whether it ended well."""
    values, ended = {}, False
    for event in events(folder):
        for value in event.summary.value:
            if value.metadata.plugin_data.plugin_name == 'hparams':
                data = HParamsPluginData.FromString(value.metadata.plugin_data.content)
                ended = ended or data.HasField('session_end_info')
                for name, held in data.session_start_info.hparams.items():
                    values[name] = getattr(held, held.WhichOneof('kind'))
    return values, ended


def cohort(folder, count, rows=()):
    config = configs.resolve(tiny(), {})
    trials = [TrackedTrial(number, config, {'seed': number}) for number in range(count)]
    return TrackedCohort('run', 'abc', folder, trials, list(rows))


def test_columns_have_the_names_of_their_sets():
    assert {column: tag(column) for column in TAGS} == TAGS
    row = {'trial': 0, 'step': 3, 'loss': 2.0, 'test_loss': None, 'vector': [1.0, 2.0]}
    assert numbers({**row, 'gradient_norm': float('nan')}) == {'train/loss': 2.0}
    trial = cohort(None, 2).trials[1]
    assert label(trial) == 'trial 1: seed=1'


def test_every_row_is_shown_also_of_a_run_that_was_taken_up_again(tmp_path):
    config = tiny(
        steps=48, num_rows=12, num_evaluations=4, num_checkpoints=3, sweep=(('seed', (0, 1)),)
    )
    left = iter([False] * 7)
    train(config, tmp_path, should_stop=lambda: next(left, True))
    # As if killed after its last checkpoint: rows beyond it are written again.
    newest = max(
        (tmp_path / 'checkpoints' / 'trial-00000').iterdir(), key=lambda path: int(path.name)
    )
    for file in newest.rglob('*'):
        if file.is_file():
            file.unlink()
    written = train(config, tmp_path)
    for trial in (0, 1):
        expected = {}
        for row in written:
            if row['trial'] == trial:
                for name, value in numbers(row).items():
                    expected[name, row['step']] = value
        folder = tmp_path / 'tensorboard' / f'trial-{trial:05d}'
        found = shown(folder)
        clocked = [f'progress/{name}' for name in TIMES]
        found = {key: value for key, value in found.items() if key[0] not in clocked}
        assert found == pytest.approx(expected, rel=1e-6)
        values, ended = hparams(folder)
        assert ended and values['seed'] == trial and values['batch_size'] == 16
        assert values['optimizer.name'] == 'momentum'


def test_no_point_is_shown_twice_of_a_run_that_was_killed_before_its_first_checkpoint(
    tmp_path, monkeypatch
):
    tracker, row = tensorboard(), {'trial': 0, 'step': 1, 'loss': 2.0}
    tracker.write(tracker.begin(cohort(tmp_path, 1)), [row, {**row, 'step': 2}])
    monkeypatch.setattr(time, 'time', lambda: 1e9)  # another host's clock, years behind
    tracker.write(tracker.begin(cohort(tmp_path, 1)), [{**row, 'loss': 5.0}])
    folder = tmp_path / 'tensorboard' / 'trial-00000'
    assert len(list(folder.iterdir())) == 2
    assert shown(folder) == {('train/loss', 1): 5.0}


def test_rows_that_are_there_when_a_run_goes_on_are_shown(tmp_path):
    tracker, row = tensorboard(), {'trial': 0, 'step': 1, 'loss': 2.0}
    session = tracker.begin(cohort(tmp_path, 1, [row]))
    tracker.write(session, [{**row, 'step': 2, 'loss': 1.0}])
    tracker.finish(session, {0: 'running'})
    folder = tmp_path / 'tensorboard' / 'trial-00000'
    assert shown(folder) == {('train/loss', 1): 2.0, ('train/loss', 2): 1.0}
    assert not hparams(folder)[1]


def test_a_cohort_has_as_many_trials_as_it_likes(tmp_path):
    tracker = tensorboard()
    session = tracker.begin(cohort(tmp_path, 300))
    tracker.write(session, [{'trial': k, 'step': 1, 'loss': float(k)} for k in range(300)])
    for number in (0, 299):
        folder = tmp_path / 'tensorboard' / f'trial-{number:05d}'
        assert shown(folder) == {('train/loss', 1): number}


def test_all_numbers_of_a_row_are_one_event(tmp_path):
    """An event for each would have its length, its checksums and its time as often."""
    tracker = tensorboard()
    row = {'trial': 0, 'step': 7, 'loss': 2.0, 'test_loss': 1.0, 'accuracy': 0.5}
    session = tracker.begin(cohort(tmp_path, 1))
    folder = tmp_path / 'tensorboard' / 'trial-00000'
    before = len(events(folder))
    tracker.write(session, [row, {**row, 'step': 8}])
    assert len(events(folder)) == before + 2
    assert len(shown(folder)) == 6
