"""Photographs of animals and of other things, from a drawing program for children."""

import io
import lzma
import pathlib
import re
import tarfile

import numpy as np
from PIL import Image

from lbexp.data.packages import Package, Recipe

_STAMPS = Package(
    'apt',
    'tuxpaint-stamps-default',
    '2022.06.04-1',
    'tuxpaint-stamps-default_2022.06.04-1_all.deb',
    '6db6c1bfc870a47f1499d6203b083522eacb57c5f9c87d468f2e92eb6d9d5f34',
)
CLASSES = ('other', 'animal')
_FOLDER = './usr/share/tuxpaint/stamps/'
_SIDE = 224  # pixels
_MEMBER_HEADER = 60  # bytes, of an ar archive


def tuxpaint_photos() -> Recipe:
    """439 photographs, 128 of them of animals, cut out and set on white: `image` uint8 [224, 224,
    3], `label`, an index of CLASSES, `group`, the first word of the file's name, which pictures of
    the same thing share (frog, frog-1), and `name`.

    Symbols and cartoons, which are drawings, are left out.
    """
    return Recipe('1.0.0', (_STAMPS,), 'GPL-2 (the whole package)', _write)


def _write(files, folder):
    images, names = [], []
    with tarfile.open(fileobj=io.BytesIO(_data(files[0]))) as archive:
        for member in sorted(archive.getmembers(), key=lambda member: member.name):
            name = member.name.removeprefix(_FOLDER)
            path = pathlib.PurePosixPath(name)
            is_drawing = path.parts[:1] == ('symbols',) or 'cartoon' in path.parts
            if path.suffix == '.png' and member.isfile() and not is_drawing:
                opened = archive.extractfile(member)
                assert opened is not None  # of a file
                images.append(_square(Image.open(opened)))
                names.append(name)
    groups = [re.split(r'[_\-0-9]', pathlib.PurePosixPath(name).stem)[0].lower() for name in names]
    is_animal = [name.startswith('animals/') for name in names]
    written = folder / 'examples.npz'
    np.savez_compressed(
        written,
        image=np.stack(images),
        label=np.asarray(is_animal, np.int32),
        group=np.array(groups),
        name=np.array(names),
    )
    return written


def _square(picture):
    """On white, in the middle of a square, of _SIDE pixels."""
    cut_out = picture.convert('RGBA')
    side = max(cut_out.size)
    square = Image.new('RGBA', (side, side), 'white')
    square.alpha_composite(cut_out, ((side - cut_out.width) // 2, (side - cut_out.height) // 2))
    return np.asarray(square.convert('RGB').resize((_SIDE, _SIDE), Image.Resampling.BICUBIC))


def _data(package):
    """The tar file of a Debian package, which is an ar archive of three members."""
    raw = package.read_bytes()
    place = len(b'!<arch>\n')
    while place < len(raw):
        header = raw[place : place + _MEMBER_HEADER]
        name, size = header[:16].decode().strip(), int(header[48:58])
        begin = place + _MEMBER_HEADER
        if name.startswith('data.tar.xz'):
            return lzma.decompress(raw[begin : begin + size])
        # Members of an ar archive begin at even places.
        place = begin + size + size % 2
    raise ValueError(f'{package}: found no data.tar.xz; allowed: a Debian package')
