"""What pip installs: a wheel in an empty folder, without the repository."""

import shutil
import subprocess
import sys
import zipfile

import pytest
from jobs import ROOT, environment

pytestmark = [pytest.mark.long, pytest.mark.processes]


@pytest.fixture(scope='module')
def installed(tmp_path_factory):
    """The folder of a package that was installed from its wheel."""
    folder = tmp_path_factory.mktemp('installed')
    ignored = shutil.ignore_patterns('.git', 'runs', 'build', '*.egg-info', '__pycache__')
    source = shutil.copytree(ROOT, folder / 'source', ignore=ignored)
    build = ['wheel', '--no-deps', '--quiet', '--wheel-dir', str(folder), str(source)]
    subprocess.run([sys.executable, '-m', 'pip', *build], check=True, capture_output=True)
    (wheel,) = folder.glob('*.whl')
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / 'package')
    return folder / 'package'


def run(installed, folder, *arguments):
    """A command of the package in an empty folder."""
    where = environment(PYTHONPATH=str(installed))
    return subprocess.run(
        [sys.executable, '-m', *arguments], cwd=folder, env=where, capture_output=True, text=True
    )


def test_every_file_of_the_package_is_in_the_wheel(installed):
    files = {file.relative_to(ROOT) for file in (ROOT / 'lbexp').rglob('*.py')}
    assert files <= {file.relative_to(installed) for file in installed.rglob('*.py')}
    experiments = {file.name for file in (ROOT / 'experiments').glob('*.py')}
    assert experiments == {file.name for file in (installed / 'lbexp/experiments').iterdir()}


def test_an_experiment_by_its_name(installed, tmp_path):
    done = run(
        installed,
        tmp_path,
        'lbexp.main',
        '--config=lamb',
        '--config.epochs=1',
        '--workdir=run',
        '--figures=',
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / 'run' / 'report.html').exists()
    told = run(installed, tmp_path, 'lbexp.main', '--config=lam').stderr
    assert "no file 'lam'; allowed: an experiment file. Did you mean 'lamb'?" in told
    told = run(installed, tmp_path, 'lbexp.list', 'experiments', 'lamb').stdout
    assert told.startswith(str(installed / 'lbexp' / 'experiments' / 'lamb.py'))
