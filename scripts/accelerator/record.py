"""What is measured, written as it comes; and what bounds a measured time."""

import contextlib
import json
import pathlib
import time
import traceback
from collections.abc import Iterator


class Record:
    """Rows of OUT/results.jsonl: stage, metric, value, unit, seconds since the stage began, note
    (what bounds the number), error."""

    def __init__(self, out: pathlib.Path, stage: str):
        self.out, self.stage = out, stage
        self.failures = 0
        self._began = time.monotonic()

    def seconds(self) -> float:
        return time.monotonic() - self._began

    def add(self, metric: str, value: float | str, unit: str = '', note: str = '') -> None:
        self._write(metric=metric, value=value, unit=unit, note=note)

    def failed(self, error: str, metric: str = '') -> None:
        self.failures += 1
        self._write(metric=metric, error=error)

    @contextlib.contextmanager
    def trying(self, metric: str) -> Iterator[None]:
        """What fails inside is a row; the next measurement goes on."""
        try:
            yield
        except Exception as error:
            traceback.print_exc()
            first = (str(error).splitlines() or [''])[0][:300]
            self.failed(f'{type(error).__name__}: {first}', metric)

    def _write(self, **fields):
        row = {'stage': self.stage, **fields, 'seconds': round(self.seconds(), 2)}
        line = json.dumps(row)
        print(line, flush=True)
        with open(self.out / 'results.jsonl', 'a') as file:
            file.write(line + '\n')


def rows(out: pathlib.Path) -> list[dict]:
    """All rows so far; a line that was cut off by a kill is left out."""
    complete = []
    path = out / 'results.jsonl'
    for line in path.read_text().splitlines() if path.exists() else []:
        with contextlib.suppress(ValueError):
            complete.append(json.loads(line))
    return complete


def peaks(out: pathlib.Path) -> dict[str, float]:
    """What the stage `peaks` measured: {metric: value}, in its units."""
    return {
        row['metric']: row['value']
        for row in rows(out)
        if row['stage'] == 'peaks' and 'error' not in row
    }


def bound(out: pathlib.Path, seconds: float, flops: float, moved: float) -> str:
    """One line: which of the machine's peaks explains a time, and how much of it.

    Args:
        seconds: measured.
        flops: floating point operations in that time.
        moved: bytes read and written in that time.
    """
    measured = peaks(out)
    arithmetic = flops / (1e12 * measured.get('matmul float32', float('nan')))
    memory = moved / (1e9 * measured.get('copy', float('nan')))
    shares = {'arithmetic': arithmetic / seconds, 'memory': memory / seconds}
    if not all(share >= 0 for share in shares.values()):
        return 'no peaks were measured'
    largest = max(shares, key=lambda name: shares[name])
    parts = (
        f'{100 * shares["arithmetic"]:.3g} % of the matmul peak, '
        f'{100 * shares["memory"]:.3g} % of the copy'
    )
    if shares[largest] >= 0.5:
        return f'bound by {largest}: {parts}'
    launch = measured.get('kernel in a loop')
    kernels = f': as long as {1e6 * seconds / launch:.0f} small kernels in a loop' if launch else ''
    return f'bound by launches and latency ({parts}){kernels}'
