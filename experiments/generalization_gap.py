"""A large batch has a higher test error at equal training error, its learning rate tuned; as many
updates shrink the gap.

The premise of Keskar et al. 2017 (arXiv:1609.04836), and against it Shallue et al. 2019
(arXiv:1811.03600); Hoffer, Hubara, Soudry 2017 (arXiv:1705.08741); on MNIST-1D. Judged at the
largest batch whose training error is at most 0.02 above that of batch 32: beyond it a network is
under-trained, and its test error tells of optimization first.

    python -m lbexp.main --config=experiments/generalization_gap.py
    python -m lbexp.main --config=experiments/generalization_gap.py:digits

Every arm is tuned six times, which takes about twice as long as what was measured. Expected: test
error that rises from some batch size on. Measured earlier (six batch sizes, medians of 6 seeds of
one tuning; three cores of a server, 3 minutes): 0.312 at batch 32, 0.308 at 64, 0.386 at 1024,
where the paired difference to batch 32 is 0.070 [0.042, 0.091]; with as many updates as batch 32
has, 0.040 [0.028, 0.059]. At equal epochs the training error of batch 1024 is 0.12, so that much
of its test error is no matter of generalization; at equal updates it is 0, and the 0.040 is. The
best learning rate follows the linear rule up to batch 256 and stops at 0.56 there. Earlier, with
5 seeds: on fashion_mlp (5 epochs, 39 trials, 7.5 minutes) the difference of batch 2048 to batch
32 is 0.040 [0.039, 0.048]; on fashion_cnn (1 epoch, 5 minutes) 0.221 [0.192, 0.244], with ghost
batch norm 0.119 [0.117, 0.193]: batch 2048 makes 27 updates.
"""

from lbexp import config
from lbexp.errors import Refusal


def get_config(data: str = 'mnist1d'):
    """`data`: 'mnist1d', 'digits' (smaller), 'fashion_mlp', 'fashion_cnn'; with '_bn': ghost batch
    norm."""
    c = config.base()
    c.optimizer = dict(
        name='momentum',
        learning_rate=0.1,  # each trial sets its own
        momentum=0.9,
        nesterov=True,
    )
    c.schedule = dict(name='cosine', warmup=0.05)  # warm-up: fraction of all updates
    c.evaluate_train = 1000  # examples of the training set on which the training error is measured
    c.probes = (dict(name='distance'),)
    c.study = dict(
        name='generalization_gap',
        batch_sizes=(32, 128, 512, 1024),  # examples per update
        learning_rates=(0.01, 3.0),  # searched
        budget=6,  # learning rates tried for each batch size and regime, in each tuning
        seeds=2,  # reported of each tuning
        tunings=6,
    )
    c.num_rows, c.num_evaluations, c.num_checkpoints = 50, 25, 2
    if data == 'mnist1d':
        # examples held out of the training set, for tuning
        c.workload = dict(name='mnist1d', validation=400)
        c.epochs = 30.0
    elif data == 'digits':
        c.workload = dict(name='digits_mlp', validation=300)
        c.epochs = 20.0
    elif data in ('fashion_mlp', 'fashion_mlp_bn', 'fashion_cnn', 'fashion_cnn_bn'):
        name, normed = data.removesuffix('_bn'), data.endswith('_bn')
        c.workload = dict(
            name=name, validation=5000, batch_norm=normed, ghost=32 if normed else None
        )
        c.epochs = 5.0
        c.study.update(batch_sizes=(32, 256, 2048), equal_updates=False)
        if name == 'fashion_cnn':  # short, so that it takes minutes
            c.epochs, c.num_evaluations = 1.0, 2
            c.study.update(budget=4)
    else:
        raise Refusal(
            f"data: found {data!r}; allowed: 'mnist1d', 'digits', 'fashion_mlp', "
            "'fashion_cnn', '..._bn'"
        )
    return c
