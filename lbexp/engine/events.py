"""The numbers of metrics.jsonl as TensorBoard events, one directory a trial."""

import os
import pathlib
import platform
import struct
import time
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from lbexp.engine.metrics_file import append


class Events:
    """Appends rows as they come. Beyond `limit` trials none are written, which `log` is told:
    each row of a trial opens a file (0.4 ms), and TensorBoard takes long over hundreds of them.

    tensorboardX gives the format. Its writer is not used: its thread dies of a full disk, and the
    trainer would wait for it for ever.
    """

    def __init__(
        self,
        directory: pathlib.Path,
        trials: Iterable[int],
        first_steps: Iterable[int],
        limit: int = 64,
        log: Callable[[str], Any] = lambda line: None,
    ):
        # imports protobuf: only when rows are about to come
        from tensorboardX.proto import event_pb2
        from tensorboardX.summary import scalar

        event_pb2: Any = event_pb2  # its classes are made at import: stubs have none
        self._event, self._scalar = event_pb2.Event, scalar
        trials, first_steps = list(trials), list(first_steps)
        if len(trials) > limit:
            log(
                f'TensorBoard: nothing for {len(trials)} trials, which are more than '
                f'{limit}; see lbexp.results'
            )
            trials = []
        self._paths = {}
        start = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
        for trial, first in zip(trials, first_steps):
            folder = directory / f'trial-{trial:05d}'
            folder.mkdir(parents=True, exist_ok=True)
            self._paths[trial] = folder / _file_name(folder)
            version = self._event(file_version='brain.Event:2')
            # The start hides what an interrupted run wrote beyond the step that it goes on from:
            # all, if that is 0.
            self._append(trial, [version, self._event(step=first + 1, session_log=start)])

    def write(self, rows: Iterable[dict]):
        for row in rows:
            if row['trial'] not in self._paths:
                continue
            events = []
            for name, value in row.items():
                is_number = name not in ('trial', 'step') and np.ndim(value) == 0
                if is_number and np.isfinite(value):
                    summary = self._scalar(name, value)
                    events.append(self._event(step=row['step'], summary=summary))
            self._append(row['trial'], events)

    def _append(self, trial, events):
        content = b''
        now = time.time()
        for event in events:
            event.wall_time = now
            content += _record(event.SerializeToString())
        append(self._paths[trial], content)


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
