"""Measures what this project promises: python scripts/benchmark.py NAME [--record] [options].

A benchmark is a file of scripts/benchmarks (those that begin with '_' serve several). Each prints
medians and ratios of things measured side by side in one run, and the machine; absolute times of
different runs or machines are not compared.

--record appends what was measured to experiments/results/benchmarks.csv, of benchmarks whose main
returns it: [{'case': ..., 'quantity': ..., 'value': ..., 'low': ..., 'high': ...}, ...], where low
and high are the ends of an interval, or left out.
"""

import csv
import datetime
import importlib.util
import math
import os
import pathlib
import sys

ROOT = pathlib.Path(__file__).parents[1]
HERE = ROOT / 'scripts' / 'benchmarks'
HISTORY = ROOT / 'experiments' / 'results' / 'benchmarks.csv'
ABOUT = ('date', 'commit', 'machine', 'benchmark')
MEASURED = ('case', 'quantity', 'value', 'low', 'high')


def main(argv: list[str]) -> int:
    names = sorted(path.stem for path in HERE.glob('[!_]*.py'))
    if len(argv) < 2 or argv[1] not in names:
        print(f'{__doc__}\nBenchmarks: {", ".join(names)}', file=sys.stderr)
        return 2
    sys.path[:0] = [str(ROOT), str(HERE)]
    spec = importlib.util.spec_from_file_location(argv[1], HERE / f'{argv[1]}.py')
    benchmark = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(benchmark)
    arguments = [argument for argument in argv[2:] if argument != '--record']
    answer = benchmark.main(arguments)
    is_measured = isinstance(answer, list)
    if '--record' in argv:
        return record(argv[1], answer if is_measured else [])
    return 0 if is_measured else answer or 0


def record(name: str, measurements: list[dict], history: pathlib.Path = HISTORY) -> int:
    """Appends measurements to the history; returns the exit status."""
    if not measurements:
        print(
            f'--record: found nothing that {name} returns; allowed: rows that it returns',
            file=sys.stderr,
        )
        return 2
    # only now is it known where lbexp is
    facts = importlib.import_module('lbexp.engine.environment').environment()
    machine = f'{facts["processor"]}, {facts["cores"]} cores, load {os.getloadavg()[0]:.1f}'
    about = (
        datetime.date.today().isoformat(),
        facts['git_commit'],
        f'{machine}, {facts["backend"]}, jax {facts["jax"]}',
        name,
    )
    is_new = not history.exists()
    with open(history, 'a', newline='') as file:
        table = csv.DictWriter(file, (*ABOUT, *MEASURED), restval='', lineterminator='\n')
        if is_new:
            table.writeheader()
        for measured in measurements:
            table.writerow({**dict(zip(ABOUT, about, strict=True)), **_rounded(measured)})
    print(f'{len(measurements)} rows in {history}')
    return 0


def _rounded(measured):
    """Four figures: more are not measured. NaN, the end of no interval, is empty."""
    cells = {}
    for name, cell in measured.items():
        if isinstance(cell, float):
            cell = '' if math.isnan(cell) else f'{cell:.4g}'
        cells[name] = cell
    return cells


if __name__ == '__main__':
    sys.exit(main(sys.argv))
