"""The numbers of metrics.jsonl as TensorBoard events, one directory a trial."""

import os
import pathlib
import platform
import struct
import time
from collections.abc import Iterable

import numpy as np

from lbexp.engine.rows import append


class Events:
    """Appends rows as they come. Beyond `limit` trials none are written: lbexp.results reads them.

    tensorboardX gives the format. Its writer is not used: its thread dies of a full disk, and the trainer would wait
    for it for ever.
    """

    def __init__(self, directory: pathlib.Path, trials: Iterable[int], first_steps: Iterable[int], limit: int = 64):
        from tensorboardX.proto import event_pb2  # imports protobuf: only when rows are about to come
        from tensorboardX.summary import scalar

        self._event, self._scalar = event_pb2.Event, scalar
        trials, first_steps = list(trials), list(first_steps)
        name = f'events.out.tfevents.{int(time.time())}.{platform.node()}.{os.getpid()}'
        self._paths = {trial: directory / f'trial-{trial:05d}' / name for trial in trials if len(trials) <= limit}
        start = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
        for trial, first in zip(trials, first_steps, strict=True):
            if trial in self._paths:
                self._paths[trial].parent.mkdir(parents=True, exist_ok=True)
                begun = [dict(file_version='brain.Event:2')]
                # This hides what an interrupted run wrote beyond the step from which it goes on.
                begun += [dict(step=first + 1, session_log=start)] if first else []
                self._append(trial, begun)

    def write(self, rows: Iterable[dict]):
        for row in rows:
            if row['trial'] in self._paths:
                shown = {k: v for k, v in row.items() if k not in ('trial', 'step') and np.ndim(v) == 0}
                values = [(name, value) for name, value in shown.items() if np.isfinite(value)]
                self._append(row['trial'], [dict(step=row['step'], summary=self._scalar(*one)) for one in values])

    def _append(self, trial, events):
        now = time.time()
        records = [_record(self._event(wall_time=now, **fields).SerializeToString()) for fields in events]
        append(self._paths[trial], b''.join(records))


def _record(content):
    """A record of a TFRecord file: length and content, each with its checksum."""
    from tensorboardX.record_writer import masked_crc32c

    length = struct.pack('<Q', len(content))
    checksums = [struct.pack('<I', masked_crc32c(part)) for part in (length, content)]
    return b''.join([length, checksums[0], content, checksums[1]])
