"""Titles of Debian packages: 60,000 headlines of a few words."""

import json

import duckdb

from lbexp.data.packages import Package, Recipe


def debian_titles() -> Recipe:
    """The one-line description of each package that this Debian knows: `title`, `section`.

    Each title once, in the order of package names. What is known depends on the system and its day:
    the SHA-256 of the index is kept beside the examples, and results are about that.
    """
    index = Package('apt-cache', 'dumpavail', 'of this system', 'available.txt', None)
    return Recipe('1.0.0', (index,), 'metadata of Debian, free to use', _write)


def _write(files, folder):
    section_of = {}
    for stanza in files[0].read_text(errors='replace').split('\n\n'):
        fields = {}
        for line in stanza.splitlines():
            name, colon, value = line.partition(': ')
            # A line that begins with a space goes on with the field above.
            if colon and not line.startswith(' '):
                fields[name] = value.strip()
        if 'Description' in fields:
            section = fields.get('Section', '').rpartition('/')[2]
            section_of.setdefault(fields['Description'], section)
    if not section_of:
        raise ValueError('apt-cache dumpavail: found no package; run first: apt-get update')
    lines = folder.parent / 'titles.jsonl'
    rows = [{'title': title, 'section': section} for title, section in section_of.items()]
    lines.write_text('\n'.join(map(json.dumps, rows)))
    written = folder / 'examples.parquet'
    with duckdb.connect() as connection:
        table = connection.read_json(str(lines), format='newline_delimited')
        table.write_parquet(str(written), compression='zstd')
    return written
