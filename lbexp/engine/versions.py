"""Versions of lbexp and of what it computes with, known without importing any of it."""

import functools
import hashlib
import importlib.metadata
import pathlib

PACKAGES = (
    'lbexp',
    'jax',
    'jaxlib',
    'flax',
    'optax',
    'numpy',
    'tensorflow-datasets',
    'orbax-checkpoint',
)


def installed_versions() -> dict[str, str]:
    """By package, of those that are installed."""
    versions = {}
    for package in PACKAGES:
        version = version_of(package)
        if version is not None:
            versions[package] = version
    return versions


def version_of(package: str) -> str | None:
    """None: it is not installed."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


@functools.cache
def source() -> str:
    """A digest of all of lbexp's code: of two commits with changes that were not committed, git
    says the same."""
    digest, here = hashlib.sha256(), pathlib.Path(__file__).parents[1]
    for path in sorted(here.rglob('*.py')):
        digest.update(f'{path.relative_to(here)} '.encode() + path.read_bytes())
    return digest.hexdigest()[:16]
