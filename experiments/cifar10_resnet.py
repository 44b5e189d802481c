"""Do residual networks reach their published accuracy on CIFAR-10?

He et al. 2016 (arXiv:1512.03385, section 4.2); of the wide one DeVries and Taylor 2017
(arXiv:1708.04552, Table 1).

    python -m lbexp.main --config=experiments/cifar10_resnet.py

--config.workload.path=FOLDER is where the files of CIFAR-10's binary version lie; without it the
folder cifar-10-batches-bin below the present one. ResNet-20: momentum, a rate of 0.1 that is
divided by 10 after 32,000 and 48,000 of 64,000 updates of 128 pictures, weight decay 0.0001. `:44`
is the deeper one. `:18` is the wide one of 11 million parameters, 200 epochs with weight decay
0.0005 and a cosine. For accelerators that are made for it: --config.precision=bfloat16.

Expected: test accuracy 0.9125, 0.9283 and 0.9528. Not run: the data were not at hand. A test trains
it for two updates on made pictures (tests/workloads/cifar10_resnet_test.py). By the operations that
a run's first line tells of an example, 0.244, 0.584 and 3.33 GFLOP, the whole run is 2, 4.8 and 33
PFLOP.
"""

from lbexp import config
from lbexp.errors import Refusal


def get_config(depth: str = '20'):
    if depth not in ('20', '44', '18'):
        raise Refusal(f"depth: found {depth!r}; allowed: '20', '44', '18'")
    is_wide = depth == '18'
    c = config.base()
    c.workload = dict(name='cifar10_resnet', path='cifar-10-batches-bin', depth=int(depth))
    decay = 5e-4 if is_wide else 1e-4
    c.transforms = (dict(name='optax:add_decayed_weights', weight_decay=decay),)
    c.optimizer = dict(name='momentum', learning_rate=0.1, momentum=0.9)
    c.batch_size = 128
    if is_wide:
        c.schedule, c.epochs = dict(name='cosine'), 200.0
    else:
        c.schedule, c.steps = dict(name='step', boundaries=(0.5, 0.75)), 64000
    return c
