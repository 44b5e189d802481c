"""Benchmarks run: nobody sees one that is broken until he needs its number."""

import importlib.util
import pathlib
import re

import pytest

FOLDER = pathlib.Path(__file__).parents[1] / 'scripts' / 'benchmarks'
NAMES = sorted(path.stem for path in FOLDER.glob('*.py'))


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
