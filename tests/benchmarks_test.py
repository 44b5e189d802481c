"""Benchmarks run: nobody sees one that is broken until he needs its number."""

import csv
import datetime
import importlib.util
import math
import pathlib
import re

import pytest

FOLDER = pathlib.Path(__file__).parents[1] / 'scripts' / 'benchmarks'
NAMES = sorted(path.stem for path in FOLDER.glob('[!_]*.py'))


@pytest.fixture(autouse=True)
def what_they_share(monkeypatch):
    monkeypatch.syspath_prepend(FOLDER)  # as scripts/benchmark.py does


def benchmark(name):
    spec = importlib.util.spec_from_file_location(f'benchmark_{name}', FOLDER / f'{name}.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize('name', NAMES)
def test_every_benchmark_says_what_it_measures(name, capsys):
    with pytest.raises(SystemExit) as end:
        benchmark(name).main(['--help'])
    assert end.value.code == 0 and 'usage' in capsys.readouterr().out


@pytest.mark.long
def test_the_engine_beside_the_usual_loop(capsys):
    small = '--workload digits_mlp --batch_sizes 32 --rounds 2 --seconds 0.05'
    benchmark('engine').main(small.split())
    assert re.search(r'batch 32: updates/s engine .*; ratio \d', capsys.readouterr().out)


@pytest.fixture
def script():
    path = FOLDER.parent / 'benchmark.py'
    spec = importlib.util.spec_from_file_location('benchmark_script', path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


COLUMNS = ['date', 'commit', 'machine', 'benchmark', 'case', 'quantity', 'value', 'low', 'high']


def test_what_is_measured_is_appended_to_the_history(script, tmp_path):
    history = tmp_path / 'benchmarks.csv'
    ratio = {'case': 'batch 32', 'quantity': 'ratio', 'value': 1.23456, 'low': 1.0, 'high': 2.0}
    assert script.record('engine', [ratio], history) == 0
    page = {'case': 'a, b', 'quantity': 'page', 'value': 3, 'low': math.nan}
    assert script.record('scale', [page], history) == 0
    with open(history, newline='') as file:
        table = csv.DictReader(file)
        rows = list(table)
    assert table.fieldnames == COLUMNS
    first, second = rows
    assert [first[name] for name in COLUMNS[3:]] == [
        'engine',
        'batch 32',
        'ratio',
        '1.235',
        '1',
        '2',
    ]
    assert [second[name] for name in COLUMNS[3:]] == ['scale', 'a, b', 'page', '3', '', '']
    assert 'cores, load' in first['machine'] and first['date'] == second['date']
    with pytest.raises(ValueError, match='median'):
        script.record('engine', [{'case': 'x', 'median': 1.0}], history)


def test_a_benchmark_that_returns_nothing_is_not_recorded(script, tmp_path, capsys):
    assert script.record('start', [], tmp_path / 'benchmarks.csv') == 2
    assert 'found nothing that start returns' in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_the_history_has_a_number_in_every_row(script):
    with open(script.HISTORY, newline='') as file:
        table = csv.DictReader(file)
        rows = list(table)
    assert table.fieldnames == COLUMNS and rows
    for row in rows:
        datetime.date.fromisoformat(row['date'])
        assert row['benchmark'] in NAMES and row['case'] and row['quantity'] and row['machine']
        assert math.isfinite(float(row['value']))
        if row['low']:
            assert float(row['low']) <= float(row['value']) <= float(row['high'])
