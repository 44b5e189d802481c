"""TFDS builders that need no TensorFlow: the embedded sets, and the MNIST family with its file
reading replaced."""

import gzip
import pathlib

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image
from tensorflow_datasets.core import registered
from tensorflow_datasets.image_classification import mnist as stock

from lbexp.data.mnist1d import generate

_FILES = {
    'train': ('train-images-idx3-ubyte.gz', 'train-labels-idx1-ubyte.gz', 60000),
    'test': ('t10k-images-idx3-ubyte.gz', 't10k-labels-idx1-ubyte.gz', 10000),
}


def builders(name: str, data_dir: pathlib.Path) -> tfds.core.DatasetBuilder:
    """The builder of the data set `name` under `data_dir`, as array_record.

    Args:
        name: a key of prepared.VERSIONS.
        data_dir: folder of all prepared data sets.
    """
    return _BUILDERS[name](data_dir=str(data_dir), file_format='array_record')


class _WithoutTensorFlow:
    """The stock builders unzip and decode with TensorFlow; the version, URLs and checksums are
    theirs."""

    URL: str

    def _split_generators(self, manager):
        splits = {}
        for split, (images, labels, count) in _FILES.items():
            paths = manager.download({'images': self.URL + images, 'labels': self.URL + labels})
            splits[split] = self._generate_examples(count, paths['images'], paths['labels'])
        return splits

    def _generate_examples(self, num_examples, data_path, label_path):
        images = _idx(data_path, 3, num_examples)
        labels = _idx(label_path, 1, num_examples)
        for i in range(num_examples):
            yield i, {'image': Image.fromarray(images[i]), 'label': int(labels[i])}


# Registered under the stock names they would clash with the stock builders. TFDS looks for the
# checksums beside the class's own file, so each takes those of its stock class.
with registered.skip_registration():

    class FashionMNIST(_WithoutTensorFlow, stock.FashionMNIST):  # pyrefly: ignore[inconsistent-inheritance]
        name = 'fashion_mnist'
        pkg_dir_path = None
        url_infos = stock.FashionMNIST.url_infos

    class MNIST(_WithoutTensorFlow, stock.MNIST):  # pyrefly: ignore[inconsistent-inheritance]
        name = 'mnist'
        pkg_dir_path = None
        url_infos = stock.MNIST.url_infos

    class KMNIST(_WithoutTensorFlow, stock.KMNIST):  # pyrefly: ignore[inconsistent-inheritance]
        name = 'kmnist'
        pkg_dir_path = None
        url_infos = stock.KMNIST.url_infos

    class Digits(tfds.core.GeneratorBasedBuilder):
        """1,797 handwritten digits of 8x8 pixels, 0..16 (Alpaydin and Kaynak 1998), from a file of
        this package.

        Every fifth image of each class, from the third on, is a test image: 1,438 to train, 359 to
        test. The file goes from writer to writer, so both splits hold the same writers; the
        classical last fifth has other writers, and is harder. Good for a first run and for
        comparisons, not a benchmark of generalization.
        """

        name = 'digits'
        VERSION = tfds.core.Version('1.1.0')
        pkg_dir_path = None

        def _info(self):
            features = tfds.features.FeaturesDict(
                {
                    'image': tfds.features.Tensor(shape=(8, 8, 1), dtype=np.uint8),
                    'label': tfds.features.ClassLabel(num_classes=10),
                }
            )
            return tfds.core.DatasetInfo(
                builder=self, description=self.__doc__, features=features, license='CC BY 4.0'
            )

        def _split_generators(self, manager):
            return {'train': self._generate_examples(False), 'test': self._generate_examples(True)}

        def _generate_examples(self, test):
            with np.load(pathlib.Path(__file__).with_name('digits.npz')) as file:
                images, labels = file['image'], file['label']
            for i, label in enumerate(labels):
                earlier_of_class = np.count_nonzero(labels[:i] == label)
                is_test = earlier_of_class % 5 == 2
                if is_test == test:
                    yield i, {'image': images[i], 'label': int(label)}

    class MNIST1D(tfds.core.GeneratorBasedBuilder):
        """MNIST-1D (Greydanus and Kobak 2024, arXiv:2011.14439): 4,000 signals of 40 points to
        train, 1,000 to test.

        Made by this package's reading of the recipe, with random numbers of its own: the same
        distribution as the published file, other examples. In the paper a linear model reaches
        0.32, a perceptron 0.68, a convolution 0.94.
        """

        name = 'mnist1d'
        VERSION = tfds.core.Version('1.0.0')
        pkg_dir_path = None

        def _info(self):
            features = tfds.features.FeaturesDict(
                {
                    'image': tfds.features.Tensor(shape=(40, 1), dtype=np.float32),
                    'label': tfds.features.ClassLabel(num_classes=10),
                }
            )
            return tfds.core.DatasetInfo(
                builder=self, description=self.__doc__, features=features, license='Apache 2.0'
            )

        def _split_generators(self, manager):
            images, labels = generate(5000, seed=42)
            return {
                'train': self._generate_examples(images, labels, range(4000)),
                'test': self._generate_examples(images, labels, range(4000, 5000)),
            }

        def _generate_examples(self, images, labels, positions):
            for i in positions:
                yield i, {'image': images[i], 'label': int(labels[i])}


_BUILDERS = {
    'digits': Digits,
    'mnist1d': MNIST1D,
    'fashion_mnist': FashionMNIST,
    'mnist': MNIST,
    'kmnist': KMNIST,
}


def _idx(path, rank, count):
    """An array in the format of the MNIST files: zero, zero, type, rank, sizes (big-endian),
    bytes."""
    raw = gzip.decompress(pathlib.Path(path).read_bytes())
    sizes = np.frombuffer(raw, '>u4', rank, 4)
    values = np.frombuffer(raw, np.uint8, offset=4 + 4 * rank)
    if raw[:4] != bytes([0, 0, 8, rank]) or sizes[0] != count or values.size != sizes.prod():
        raise ValueError(
            f'{path}: found sizes {sizes.tolist()}; allowed: an idx{rank} file of {count} entries'
        )
    return values.reshape(sizes)
