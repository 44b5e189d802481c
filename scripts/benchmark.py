"""Measures what this project promises: python scripts/benchmark.py NAME [options].

A benchmark is a file of scripts/benchmarks. Each prints medians and ratios of things measured side
by side in one run, and the machine; absolute times of different runs or machines are not compared.
"""

import importlib.util
import pathlib
import sys

HERE = pathlib.Path(__file__).parent / 'benchmarks'


def main(argv: list[str]) -> int:
    names = sorted(path.stem for path in HERE.glob('*.py'))
    if len(argv) < 2 or argv[1] not in names:
        print(f'{__doc__}\nBenchmarks: {", ".join(names)}', file=sys.stderr)
        return 2
    sys.path.insert(0, str(HERE.parent.parent))
    spec = importlib.util.spec_from_file_location(argv[1], HERE / f'{argv[1]}.py')
    benchmark = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(benchmark)
    return benchmark.main(argv[2:]) or 0


if __name__ == '__main__':
    sys.exit(main(sys.argv))
