"""Emoji as two vendors draw them: small icons in colour, of nine categories."""

import io
import json
import tarfile

import numpy as np
from PIL import Image
from scipy import sparse

from lbexp.data.packages import Package, Recipe

_VERSION = '16.0.0'
_GOOGLE = Package(
    'npm',
    'emoji-datasource-google',
    _VERSION,
    f'emoji-datasource-google-{_VERSION}.tgz',
    'fb5fd131b362aab7a55542d2a147a79708cce0a8b1c1bbacd470172708b5c438',
)
_TWITTER = Package(
    'npm',
    'emoji-datasource-twitter',
    _VERSION,
    f'emoji-datasource-twitter-{_VERSION}.tgz',
    'f64a530c63bca463bd8317fdc4615ce63a53a0c65018e4ce2d848aaba7a28877',
)
VENDORS = ('google', 'twitter')
# of Unicode, without its components: those are five colours of skin
CLASSES = (
    'Activities',
    'Animals & Nature',
    'Flags',
    'Food & Drink',
    'Objects',
    'People & Body',
    'Smileys & Emotion',
    'Symbols',
    'Travel & Places',
)


def emoji() -> Recipe:
    """3,781 icons of each of two vendors, on white: `google` and `twitter`, uint8 [64, 64, 3], in
    one order; `label`, an index of CLASSES; `base`, a number that an emoji shares with its variants
    of other skin tones and with those that a vendor draws the same, 1,870 in all; `name`.
    """
    licence = 'packages: MIT; Noto (google): Apache 2.0; Twemoji (twitter): CC BY 4.0'
    return Recipe('1.1.0', (_GOOGLE, _TWITTER), licence, _write)


def _write(files, folder):
    google, twitter = map(_icons, files)
    rows = []
    with tarfile.open(files[0]) as archive:
        described = json.loads(_content(archive, 'package/emoji.json'))
    emojis = [emoji for emoji in described if emoji['category'] in CLASSES]
    for base, emoji in enumerate(emojis):
        label = CLASSES.index(emoji['category'])
        for variant in (emoji, *emoji.get('skin_variations', {}).values()):
            rows.append((variant['image'], label, base, emoji['short_name']))
    icons, labels, bases, names = zip(*rows)
    pictures = {
        'google': np.stack([google[icon] for icon in icons]),
        'twitter': np.stack([twitter[icon] for icon in icons]),
    }
    written = folder / 'examples.npz'
    np.savez_compressed(
        written,
        **pictures,
        label=np.asarray(labels, np.int32),
        base=_joined(np.asarray(bases), list(pictures.values())),
        name=np.array(names),
    )
    return written


def _joined(bases, pictures):
    """The bases [n], those as one that some vendor draws the same: Svalbard has Norway's flag.

    Args:
        pictures: of each vendor [n, h, w, c].
    """
    size = len(bases)
    shared = [bases]
    for of_vendor in pictures:
        _, same = np.unique(of_vendor.reshape(size, -1), axis=0, return_inverse=True)
        shared.append(same)
    links = sparse.csr_array((size, size))
    for numbers in shared:
        _, first, place = np.unique(numbers, return_index=True, return_inverse=True)
        links = links + sparse.csr_array(
            (np.ones(size), (np.arange(size), first[place])), shape=(size, size)
        )
    _, joined = sparse.csgraph.connected_components(links, directed=False)
    return joined.astype(np.int32)


def _icons(package):
    """{file name: uint8 [64, 64, 3]} of a vendor."""
    icons = {}
    with tarfile.open(package) as archive:
        for member in archive:
            *folders, name = member.name.split('/')
            if folders[-1:] == ['64'] and name.endswith('.png'):
                picture = Image.open(io.BytesIO(_content(archive, member))).convert('RGBA')
                on_white = Image.new('RGBA', picture.size, 'white')
                on_white.alpha_composite(picture)
                icons[name] = np.asarray(on_white.convert('RGB'))
    return icons


def _content(archive, member):
    opened = archive.extractfile(member)
    assert opened is not None  # of a file
    return opened.read()
