"""The layers: imports go downward only, and each package's parts are files that are found, not
listed."""

import ast
import pathlib
import subprocess
import sys

import pytest

from lbexp.config import lookup

pytestmark = pytest.mark.quick

ROOT = pathlib.Path(__file__).parent.parent
LAYERS = {
    'config': 0,
    'dotted': 0,
    'precision': 0,
    'inference': 0,
    'crossed': 0,
    'power_analysis': 0,
    'resampling': 0,
    'score_table': 0,
    'moments': 0,
    'noise_scale': 0,
    'analysis': 0,
    'annotations': 0,
    'results': 0,
    'errors': 0,
    'exit_status': 0,
    'wording': 0,
    'shapes': 0,
    'output': 0,
    'ranges': 0,
    'documents': 0,
    'owner': 0,
    'quantities': 0,
    'local_path': 0,
    'links': 0,
    'inputs': 0,
    'stop': 0,
    'settings': 0,
    'docstrings': 0,
    'completion': 0,
    'optimizers': 1,
    'theory': 1,
    'curvature': 1,
    'models': 1,
    'data': 1,
    'metrics': 1,
    'schedules': 1,
    'batch_size': 1,
    'datasets': 2,
    'workloads': 2,
    'probes': 2,
    'trackers': 2,
    'engine': 3,
    'reference_models': 3,
    'parallel': 3,
    'studies': 4,
    'trained': 4,
    'report': 4,
    'command': 5,
    'rounds': 5,
    'workdirs': 5,
    'job': 6,
    'sweep': 6,
    'trained_flags': 6,
    'flag_command': 6,
    'list': 7,
    'new': 7,
    'compare': 7,
    'result': 7,
    'library': 8,
    'main': 7,
    'evaluate': 7,
    'baselines': 7,
    'power': 7,
    'generate': 7,
    'analyse': 7,
    'export': 7,
}
# Within a layer a package keeps to itself, but for these: the engine places its arrays with
# parallel; a workload is a task on a data set; a study measures what was trained.
BESIDE = {('engine', 'parallel'), ('workloads', 'datasets'), ('studies', 'trained')}
FILES = sorted((ROOT / 'lbexp').rglob('*.py'))


def _home(path):
    """'optimizers' for lbexp/optimizers/lamb.py, 'config' for lbexp/config.py; the command of a
    package, which nothing imports, stands above all."""
    if path.name == '__main__.py':
        return 'main'
    return path.relative_to(ROOT / 'lbexp').with_suffix('').parts[0]


def _imports(path):
    """Full names of what a file imports, also inside functions."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f'{path}: relative import'
            yield from (f'{node.module}.{alias.name}' for alias in node.names)


@pytest.mark.parametrize(
    'path', [f for f in FILES if f.name != '__init__.py' or f.parent.name != 'lbexp'], ids=str
)
def test_imports_go_downward(path):
    home = _home(path)
    for name in _imports(path):
        if name.startswith('lbexp.'):
            other = name.split('.')[1]
            below = LAYERS[other] < LAYERS[home] or (LAYERS[other] == LAYERS[home] == 0)
            assert below or other == home or (home, other) in BESIDE, f'{path.name} imports {name}'


def test_every_file_has_a_layer():
    assert {_home(path) for path in FILES} - {'__init__'} <= set(LAYERS)


@pytest.mark.parametrize('path', FILES, ids=str)
def test_flax_stays_behind_its_wall(path):
    if any(name.split('.')[0] == 'flax' for name in _imports(path)):
        # and its file format, where weights are exported
        assert _home(path) in ('models', 'workloads') or path.name == '_formats.py'


@pytest.mark.parametrize('path', [f for f in FILES if _home(f) == 'optimizers'], ids=str)
def test_optimizers_import_jax_and_optax_alone(path):
    allowed = {'jax', 'optax', 'annotated_types', 'lbexp', *sys.stdlib_module_names}
    assert {name.split('.')[0] for name in _imports(path)} <= allowed
    own = ('lbexp.optimizers', 'lbexp.precision', 'lbexp.ranges')
    assert all(name.startswith(own) for name in _imports(path) if name.startswith('lbexp'))


@pytest.mark.parametrize('path', [f for f in FILES if _home(f) == 'theory'], ids=str)
def test_theory_imports_jax_and_numpy_alone(path):
    names = list(_imports(path))
    assert {name.split('.')[0] for name in names} <= {
        'jax',
        'numpy',
        'lbexp',
        *sys.stdlib_module_names,
    }
    own = ('lbexp.theory', 'lbexp.shapes')
    assert all(name.startswith(own) for name in names if name.startswith('lbexp'))


@pytest.mark.parametrize('path', FILES, ids=str)
def test_shapes_have_their_names_in_one_file(path):
    names = {name.split('.')[0] for name in _imports(path)}
    assert 'jaxtyping' not in names or path == ROOT / 'lbexp' / 'shapes.py'


@pytest.mark.parametrize(
    'kind',
    ['optimizer', 'workload', 'data', 'model', 'probe', 'study', 'replicas', 'tracker', 'executor'],
)
def test_a_part_is_a_file(kind):
    """Whatever file has a function of its own name that returns such a part is one, and the lookup
    returns it."""
    names = lookup.names(kind)
    assert names
    for name in names:
        part = lookup.find(kind, name)
        assert part.__module__ == f'{lookup.KINDS[kind].package}.{name}'
        assert part.__doc__, f'{name} has no docstring'


@pytest.mark.processes
def test_configurations_are_read_without_jax():
    heavy = '{"jax", "flax", "jaxtyping", "tensorflow_datasets"}'
    code = f'import sys, lbexp.config, lbexp.main; print(sorted({heavy} & set(sys.modules)))'
    done = subprocess.run(
        [sys.executable, '-c', code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == '[]'
