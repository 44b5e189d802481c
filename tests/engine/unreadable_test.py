"""What cannot be read just now is not damaged: it is told, and nothing is moved."""

import os
import subprocess
import sys
import tempfile

import numpy as np
import pytest
from jobs import ROOT
from training import rows, train
from workdirs import LOSABLE, copy

from lbexp.engine import seal
from lbexp.engine.checkpoint import Checkpoints

pytestmark = [
    pytest.mark.usefixtures('collected', 'shared_programs'),
    pytest.mark.filterwarnings('ignore::pytest.PytestUnraisableExceptionWarning'),
]


def test_what_cannot_be_read_is_not_damaged(stopped, whole, tmp_path, monkeypatch):
    """Memory, files without permission, too many open files: told with the file, and nothing is
    moved."""
    workdir = copy(stopped, tmp_path)
    before = sorted(path.relative_to(workdir) for path in workdir.rglob('*'))
    load = Checkpoints._load
    for problem in (
        MemoryError(),
        PermissionError(13, 'Permission denied', 'x'),
        OSError(116, 'Stale file handle'),
    ):

        def fail(self, step, like, problem=problem):
            raise ValueError('Orbax has words of its own') from problem

        monkeypatch.setattr(Checkpoints, '_load', fail)
        with pytest.raises(OSError) as error:
            train(LOSABLE, workdir)
        assert str(workdir / 'checkpoints') in str(error.value.filename)
        assert sorted(path.relative_to(workdir) for path in workdir.rglob('*')) == before
    monkeypatch.setattr(Checkpoints, '_load', load)
    assert train(LOSABLE, workdir) == rows(whole)


def test_a_failure_of_unknown_kind_is_judged_by_the_files(stopped, tmp_path, monkeypatch):
    """Files that are as they were written are not moved, whatever the library says of them."""

    def fail(self, step, like):
        raise ValueError('something new')

    monkeypatch.setattr(Checkpoints, '_load', fail)
    with pytest.raises(OSError, match='something new, though its files are as they were written'):
        train(LOSABLE, copy(stopped, tmp_path))
    assert not (tmp_path / 'run' / 'checkpoints' / 'damaged').exists()


def test_a_seal_tells_what_is_wrong(tmp_path):
    (tmp_path / 'below').mkdir()
    (tmp_path / 'a').write_bytes(b'abc')
    (tmp_path / 'below' / 'b').write_bytes(b'def')
    assert seal.broken(tmp_path) is None
    seal.seal(tmp_path)
    assert seal.broken(tmp_path) == ''
    (tmp_path / 'a').write_bytes(b'abd')
    assert 'a is not what was written' in seal.broken(tmp_path)
    (tmp_path / 'a').write_bytes(b'ab')
    assert 'a has 2 bytes of 3' in seal.broken(tmp_path)
    (tmp_path / 'a').unlink()
    assert 'a is missing' in seal.broken(tmp_path)


READS = """
import resource, sys
import numpy as np
from lbexp.engine.checkpoint import Checkpoints
like = {'a': np.zeros(3000, np.float32)}
folder, how = sys.argv[1:]
import pathlib
checkpoints = Checkpoints(pathlib.Path(folder))
checkpoints.restore(like)  # everything is imported
if how == 'files':
    taken = [open('/dev/null') for _ in range(4)]
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(file.fileno() for file in taken) + 1, 4096))
else:
    import os
    os.seteuid(65534)
try:
    checkpoints.restore(like)
    print('restored')
except OSError as error:
    print('told', error.errno, error.filename)
"""


@pytest.mark.processes
@pytest.mark.parametrize('how', ['files', 'permission'])
def test_a_process_that_may_not_open_files(how):
    """In a process of its own: it gives up its right to open them. What it cannot open stays where
    it is."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        checkpoints = Checkpoints(ROOT.__class__(folder) / 'trial')
        checkpoints.save(10, {'a': np.ones(3000, np.float32)})
        checkpoints.wait()
        checkpoints.close()
        files = [path for path in (ROOT.__class__(folder) / 'trial').rglob('*') if path.is_file()]
        if how == 'permission':
            if os.geteuid():
                return  # it has no rights to give up
            for path in files:
                path.chmod(0o600)
        environment = {**os.environ, 'PYTHONPATH': str(ROOT), 'JAX_PLATFORMS': 'cpu'}
        arguments = [sys.executable, '-c', READS, f'{folder}/trial', how]
        done = subprocess.run(
            arguments, capture_output=True, text=True, env=environment, timeout=300
        )
        assert done.stdout.startswith(('told', 'restored')), done.stdout + done.stderr[-2000:]
        assert how == 'files' or done.stdout.startswith('told 13')
        assert all(path.exists() for path in files)
