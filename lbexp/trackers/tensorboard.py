"""TensorBoard: curves by set, and hyperparameters; on by default. `tensorboard --logdir=runs`."""

import os
import pathlib
import platform
import struct
import time
from typing import Any, NamedTuple

from lbexp.trackers import TrackedCohort, Tracker, by_trial, hyperparameters, numbers


class _Session(NamedTuple):
    folder: pathlib.Path
    paths: dict[int, pathlib.Path]  # of the file of events of each trial


def tensorboard() -> Tracker:
    """Events in `tensorboard/` of the workdir, a folder a trial: scalars 'train/loss',
    'test/accuracy', 'progress/epoch', ..., and what the page HPARAMS compares.

    A file is opened and closed for each trial whenever rows are handed over, at most every few
    seconds, so a cohort may have as many trials as it likes.

    tensorboardX gives the format. Its writer is not used: its thread dies of a full disk, and the
    trainer would wait for it for ever.
    """
    return Tracker(_begin, _write, _finish)


def _begin(cohort: TrackedCohort):
    from tensorboardX.proto import event_pb2
    from tensorboardX.summary import hparams

    pb: Any = event_pb2  # its classes are made at import: stubs have none
    session = _Session(cohort.workdir / 'tensorboard', {})
    # A start hides what earlier files have: all rows, as those that there are come again.
    start = pb.SessionLog(status=pb.SessionLog.START)
    for trial in cohort.trials:
        folder = session.folder / f'trial-{trial.number:05d}'
        folder.mkdir(parents=True, exist_ok=True)
        session.paths[trial.number] = folder / _file_name(folder)
        version = pb.Event(file_version='brain.Event:2')
        _, about, _ = hparams(hyperparameters(trial), {})
        events = [version, pb.Event(step=1, session_log=start), pb.Event(summary=about)]
        _append(session, trial.number, events)
    _write(session, cohort.rows)
    return session


def _write(session, rows):
    from tensorboardX.proto import event_pb2

    pb: Any = event_pb2
    for trial, rows_of_trial in by_trial(rows).items():
        events = []
        for row in rows_of_trial:
            events.append(pb.Event(step=row['step'], summary=_scalars(numbers(row))))
        _append(session, trial, events)


def _scalars(values):
    """All numbers of a row as one summary: an event for each would take more bytes."""
    from tensorboardX.proto import summary_pb2
    from tensorboardX.summary import scalar

    pb: Any = summary_pb2
    summary = pb.Summary()
    for name, value in values.items():
        summary.MergeFrom(scalar(name, value))
    return summary


def _finish(session, statuses):
    """Says of the trials that are done that they are a success."""
    from tensorboardX.proto import event_pb2
    from tensorboardX.summary import hparams

    pb: Any = event_pb2
    _, _, end = hparams({}, {})
    for trial, status in statuses.items():
        if status == 'done':
            _append(session, trial, [pb.Event(summary=end)])


def _append(session, trial, events):
    content = b''
    now = time.time()
    for event in events:
        event.wall_time = now
        content += _record(event.SerializeToString())
    with open(session.paths[trial], 'ab') as file:
        file.write(content)


def _file_name(folder):
    """TensorBoard reads the files of a folder in the order of their names: this one comes last,
    whatever the clock."""
    moment = int(time.time())
    for path in folder.glob('events.out.tfevents.*'):
        parts = path.name.split('.')
        if len(parts) > 3 and parts[3].isdecimal():
            moment = max(moment, int(parts[3]) + 1)
    return f'events.out.tfevents.{moment}.{platform.node()}.{os.getpid()}'


def _record(content):
    """A record of a TFRecord file: length and content, each with its checksum."""
    from tensorboardX.record_writer import masked_crc32c

    length = struct.pack('<Q', len(content))
    # The format wants a checksum behind each of the two.
    length_sum = struct.pack('<I', masked_crc32c(length))
    content_sum = struct.pack('<I', masked_crc32c(content))
    return length + length_sum + content + content_sum
