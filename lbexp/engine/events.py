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
        folders = {
            trial: directory / f'trial-{trial:05d}' for trial in trials if len(trials) <= limit
        }
        self._paths = {trial: folder / _file_name(folder) for trial, folder in folders.items()}
        start = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
        for trial, first in zip(trials, first_steps, strict=True):
            if trial in self._paths:
                self._paths[trial].parent.mkdir(parents=True, exist_ok=True)
                # The start hides what an interrupted run wrote beyond the step that it goes on
                # from: all, if that is 0.
                begun = [
                    dict(file_version='brain.Event:2'),
                    dict(step=first + 1, session_log=start),
                ]
                self._append(trial, begun)

    def write(self, rows: Iterable[dict]):
        for row in rows:
            if row['trial'] in self._paths:
                shown = {
                    k: v for k, v in row.items() if k not in ('trial', 'step') and np.ndim(v) == 0
                }
                values = [(name, value) for name, value in shown.items() if np.isfinite(value)]
                self._append(
                    row['trial'],
                    [dict(step=row['step'], summary=self._scalar(*pair)) for pair in values],
                )

    def _append(self, trial, events):
        now = time.time()
        records = [
            _record(self._event(wall_time=now, **fields).SerializeToString()) for fields in events
        ]
        append(self._paths[trial], b''.join(records))


def _file_name(folder):
    """TensorBoard reads the files of a folder in the order of their names: this one comes last,
    whatever the clock."""
    others = [path.name.split('.') for path in folder.glob('events.out.tfevents.*')]
    times = [int(parts[3]) for parts in others if len(parts) > 3 and parts[3].isdecimal()]
    moment = max([int(time.time()), *(1 + earlier for earlier in times)])
    return f'events.out.tfevents.{moment}.{platform.node()}.{os.getpid()}'


def _record(content):
    """A record of a TFRecord file: length and content, each with its checksum."""
    from tensorboardX.record_writer import masked_crc32c

    length = struct.pack('<Q', len(content))
    checksums = [struct.pack('<I', masked_crc32c(part)) for part in (length, content)]
    return b''.join([length, checksums[0], content, checksums[1]])
