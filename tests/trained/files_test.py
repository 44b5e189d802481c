"""Files of trained networks that other programs read."""

import json
import struct
import sys

import msgpack
import numpy as np
import orbax.checkpoint as legacy_orbax
import pytest
from networks import one_line

from lbexp import export
from lbexp.errors import Refusal


def by_name(tree, path=()):
    """{'a/b': array} of nested dicts."""
    if not isinstance(tree, dict):
        return {'/'.join(path): np.asarray(tree)}
    arrays = {}
    for name, inner in tree.items():
        arrays |= by_name(inner, (*path, name))
    return arrays


def read_safetensors(path):
    """The format as it is specified: the length of a JSON header, the header, the bytes."""
    content = path.read_bytes()
    (length,) = struct.unpack('<Q', content[:8])
    header = json.loads(content[8 : 8 + length])
    metadata = header.pop('__metadata__')
    arrays = {}
    for name, entry in header.items():
        first, last = entry['data_offsets']
        assert entry['dtype'] == 'F32'
        values = np.frombuffer(content[8 + length :][first:last], '<f4')
        arrays[name] = values.reshape(entry['shape'])
    described = {'config': json.loads(metadata['config'])}
    described['metrics'] = json.loads(metadata['metrics'])
    return arrays, described


def read_npz(path):
    with np.load(path, allow_pickle=False) as file:
        arrays = dict(file)
    return arrays, json.loads(str(arrays.pop('__metadata__')))


def read_msgpack(path):
    def array(code, content):
        assert code == 1
        shape, dtype, raw = msgpack.unpackb(content)
        return np.frombuffer(raw, dtype).reshape(shape)

    tree = msgpack.unpackb(path.read_bytes(), ext_hook=array)
    described = json.loads(tree.pop('__metadata__'))
    return by_name(tree), described


def read_orbax(path):
    tree = legacy_orbax.PyTreeCheckpointer().restore(path / 'state')
    metadata = json.loads((path / '_CHECKPOINT_METADATA').read_text())
    return by_name(tree), metadata['custom_metadata']


READERS = {
    'safetensors': read_safetensors,
    'npz': read_npz,
    'msgpack': read_msgpack,
    'orbax': read_orbax,
}


@pytest.mark.parametrize('format', READERS)
def test_files_that_others_read(workdir, network, tmp_path, capsys, format):
    target = tmp_path / 'network'
    flags = [f'--workdir={workdir}', '--trial=2', f'--format={format}', f'--to={target}']
    assert export.main(['', *flags]) == 0
    assert capsys.readouterr().out == f'trial 2, weights of step 17: {target}\n'
    expected = by_name({'params': network.params, 'model_state': network.model_state})
    arrays, described = READERS[format](target)
    assert arrays.keys() == expected.keys() and 'params/Dense_0/kernel' in arrays
    for name, values in arrays.items():
        assert values.dtype == expected[name].dtype and values.shape == expected[name].shape
        assert values.tobytes() == expected[name].tobytes(), name
    assert described['config'] == network.config and described['metrics'] == network.metrics


def test_arrays_that_do_not_lie_row_by_row(tmp_path):
    """safetensors writes memory as it is."""
    from lbexp.trained._formats import export

    columns = np.asfortranarray(np.arange(6, dtype=np.float32).reshape(2, 3))
    tree = {'w': columns, 'scalar': np.float32(3)}
    export(tree, {'config': {}, 'metrics': {}}, tmp_path / 'a', 'safetensors')
    arrays, _ = read_safetensors(tmp_path / 'a')
    assert np.array_equal(arrays['w'], columns) and arrays['scalar'].shape == ()


def test_types_that_a_format_does_not_hold(tmp_path):
    import ml_dtypes

    from lbexp.trained._formats import export

    half = {'w': np.ones(2, ml_dtypes.bfloat16)}
    with pytest.raises(Refusal, match='npz with w of bfloat16'):
        export(half, {}, tmp_path / 'a', 'npz')
    for format in ('safetensors', 'msgpack', 'orbax'):
        export(half, {}, tmp_path / format, format)


@pytest.mark.parametrize('format', ['npz', 'orbax'])
def test_a_write_that_is_cut_off_leaves_nothing_under_the_name(
    network, tmp_path, monkeypatch, format
):
    def fail(*paths):
        raise OSError(28, 'No space left on device')

    with monkeypatch.context() as patch:
        patch.setattr('os.rename', fail)
        patch.setattr('os.replace', fail)
        with pytest.raises(OSError, match='No space'):
            network.export(tmp_path / 'a', format)
    assert not (tmp_path / 'a').exists()
    assert not list(tmp_path.iterdir())


def test_safetensors_is_an_extra(workdir, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, 'safetensors.numpy', None)
    assert export.main(['', f'--workdir={workdir}', '--trial=0', f'--to={tmp_path}/a']) == 2
    assert "allowed: npz, msgpack, orbax; or pip install '.[export]'" in one_line(capsys)
