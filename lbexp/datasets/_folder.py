"""Folders of images: one folder for each class, perhaps within `train` and `test`."""

import hashlib
import pathlib

import numpy as np

from lbexp.datasets._decoded import Columns

IMAGES = ('.png', '.jpg', '.jpeg', '.bmp', '.gif', '.webp', '.tif', '.tiff')
_SPLITS = {'train': False, 'test': True}


def content(path: pathlib.Path) -> str:
    """SHA-256 of the names and contents of the images."""
    digest = hashlib.sha256()
    for file in _files(path):
        digest.update(f'{file.relative_to(path).as_posix()}\0'.encode())
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()


def folder(path: pathlib.Path, size: tuple[int, int] | None) -> Columns:
    """{'image': uint8 [n, h, w, 3] or [n, h, w, 1] where all are grey, 'label': text [n]}.

    Args:
        size: (height, width) that they are resized to; None: all have one size.

    Raises:
        ValueError: no images, one beside the folders of classes, images of several sizes, or one
            that cannot be read.
    """
    images, labels, tests = [], [], []
    splits = {entry.name for entry in path.iterdir() if entry.is_dir()} == _SPLITS.keys()
    for file in _files(path):
        parts = file.relative_to(path).parts
        if len(parts) != 2 + splits:
            where = 'train/CLASS and test/CLASS' if splits else 'one folder for each class'
            raise ValueError(f'{file}: found here; allowed: images in {where}')
        images.append(_image(file, size, images))
        labels.append(parts[-2])
        tests.append(_SPLITS.get(parts[0], False))
    if not images:
        raise ValueError(f'{path}: found no images; allowed: {", ".join(IMAGES)}')
    pixels = np.stack(images)
    if (pixels == pixels[..., :1]).all():
        pixels = pixels[..., :1]
    arrays = {'image': np.ascontiguousarray(pixels), 'label': np.array(labels, np.str_)}
    return Columns(arrays, np.array(tests) if splits else None)


def _files(path):
    every = sorted(file for file in path.rglob('*') if file.suffix.lower() in IMAGES)
    return [file for file in every if not file.name.startswith('.')]


def _image(file, size, earlier):
    from PIL import Image

    try:
        with Image.open(file) as opened:
            image = opened.convert('RGB')
    except Exception as error:  # Pillow raises what it likes on damaged bytes
        raise ValueError(f'{file}: cannot be read ({error}); allowed: an image') from error
    if size is not None:
        height, width = size
        image = image.resize((width, height), Image.Resampling.BILINEAR)
    pixels = np.asarray(image)
    if earlier and pixels.shape != earlier[0].shape:
        first, this = (f'{shape[0]}x{shape[1]}' for shape in (earlier[0].shape, pixels.shape))
        raise ValueError(
            f'{file}: found {this} after {first}; allowed: images of one size, or '
            'size=(height, width) to resize them'
        )
    return pixels
