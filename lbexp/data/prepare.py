"""Prepares a data set for lbexp, without TensorFlow:

    python -m lbexp.data.prepare fashion_mnist
    python -m lbexp.data.prepare fashion_mnist --from=/usr/share/datasets/fashion-mnist

Downloads (or takes from a folder) the original files, checks their SHA-256, and writes array_record files that any
TFDS reads. Exit status: 0 done, 1 could not, 2 wrong use.
"""

import argparse
import concurrent.futures
import hashlib
import os
import pathlib
import socket
import struct
import sys
import tempfile
import urllib.parse

from lbexp import lookup
from lbexp.data import load

# Fashion-MNIST as Debian packages it has reproducible gzip headers: no file name, another time. With these
# modification times the headers, and so the SHA-256, are again those of the original files.
_ORIGINAL_TIMES = {'train': 1504176606, 't10k': 1504176627}


def prepare(name: str, files_from: pathlib.Path | None = None) -> pathlib.Path:
    """Prepares `name` under load.data_dir() and returns its folder. What is prepared already stays.

    Args:
        name: one of load.NAMES.
        files_from: folder with the original .gz files; None: download.

    Raises:
        ValueError: the host cannot be reached, or a file is missing, or not the original; the message says which.
    """
    ready = load.prepared(name)
    if ready is not None:
        return ready
    if name != 'digits' and files_from is None:
        _reachable(name)
    import tensorflow_datasets as tfds

    from lbexp.data.builders import builders

    tfds.disable_progress_bar()
    builder = builders(name, load.data_dir())
    with tempfile.TemporaryDirectory() as scratch:
        config = {}
        if files_from is not None:
            config['manual_dir'] = _originals(name, pathlib.Path(files_from), pathlib.Path(scratch) / 'originals')
        config = tfds.download.DownloadConfig(
            try_download_gcs=False, force_checksums_validation=name != 'digits', **config
        )
        try:
            builder.download_and_prepare(download_dir=f'{scratch}/downloads', download_config=config)
        except tfds.download.DownloadError as error:
            raise ValueError(f'{name}: {error}') from error
    return load.prepared(name)


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog='python -m lbexp.data.prepare', description=__doc__.partition('\n')[0])
    parser.add_argument('name', help=', '.join(load.NAMES))
    parser.add_argument('--from', dest='files_from', help='folder that holds the original .gz files')
    parser.add_argument('--data_dir', help=f'where to prepare; default: {load.data_dir()} (or TFDS_DATA_DIR)')
    given = parser.parse_args(argv)
    if given.name not in load.NAMES:
        hint = lookup.nearest(given.name, load.NAMES)
        print(f'no data set is named {given.name!r}.{hint} There are: {", ".join(load.NAMES)}', file=sys.stderr)
        return 2
    if given.data_dir:
        os.environ['TFDS_DATA_DIR'] = given.data_dir
    already = load.prepared(given.name)
    if already is not None:
        print(f'{given.name} is prepared already in {already}')
        return 0
    try:
        print(f'{given.name} is prepared in {prepare(given.name, given.files_from)}')
    except (ValueError, OSError) as error:
        print(f'{given.name}: {error}', file=sys.stderr)
        return 1
    return 0


def _reachable(name):
    """Tells within 5 s that there is no network: TFDS would try for minutes."""
    from lbexp.data.builders import builders

    url = urllib.parse.urlparse(builders(name, load.data_dir()).URL)
    proxy = os.environ.get(f'{url.scheme}_proxy') or os.environ.get(f'{url.scheme.upper()}_PROXY')
    asked = urllib.parse.urlparse(proxy) if proxy else url
    address = (asked.hostname, asked.port or (443 if asked.scheme == 'https' else 80))
    pool = concurrent.futures.ThreadPoolExecutor(1)
    try:
        # Resolving a name has no timeout of its own.
        pool.submit(lambda: socket.create_connection(address, timeout=3).close()).result(timeout=4)
    except (OSError, concurrent.futures.TimeoutError) as error:
        via = f' (through the proxy {proxy})' if proxy else ''
        raise ValueError(
            f'{url.hostname} cannot be reached{via}: {error or "no answer"}. With the original files in a folder '
            f'DIR, run: python -m lbexp.data.prepare {name} --from=DIR'
            f'{" (Debian and Ubuntu: apt-get install dataset-fashion-mnist)" if name == "fashion_mnist" else ""}'
        ) from error
    finally:
        pool.shutdown(wait=False)


def _originals(name, folder, target):
    """Copies of the four files under the names and, where Debian changed them, with the headers that TFDS knows."""
    target.mkdir(parents=True)
    registered = _checksums(name)
    for path, wanted in registered.items():
        source = folder / path
        if not source.is_file():
            raise ValueError(f'{source}: no such file; allowed: a folder with {", ".join(registered)}')
        raw = source.read_bytes()
        if hashlib.sha256(raw).hexdigest() != wanted and name == 'fashion_mnist' and raw[:4] == b'\x1f\x8b\x08\x00':
            time = struct.pack('<I', _ORIGINAL_TIMES[path.partition('-')[0]])
            raw = raw[:3] + b'\x08' + time + raw[8:10] + path.removesuffix('.gz').encode() + b'\0' + raw[10:]
        found = hashlib.sha256(raw).hexdigest()
        if found != wanted:
            raise ValueError(f'{source}: found SHA-256 {found}; allowed: {wanted}, the original file')
        (target / path).write_bytes(raw)
    return target


def _checksums(name):
    """{file: SHA-256} as TFDS registers them for the four files of the MNIST family."""
    from lbexp.data.builders import builders

    infos = builders(name, load.data_dir()).url_infos
    return {url.rpartition('/')[2]: info.checksum for url, info in infos.items()}


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
