"""At large batch and an equal budget, Nesterov momentum and AdamW match LARS and LAMB."""

from lbexp import config


def get_config():
    c = config.base()
    c.workload = dict(name='digits_mlp', hidden=(128, 128), validation=360)
    c.schedule = dict(name='polynomial', power=2.0, warmup=0.1)  # warm-up: fraction of all updates
    c.study = dict(
        name='reality_check',
        optimizers=('momentum', 'adamw', 'lars', 'lamb'),
        batch_size=512,  # half of the training set
        budget=16,  # points tried for each optimizer
        seeds=20,
        margin=0.01,  # difference of test error that counts as none
    )
    c.epochs = 30.0
    c.log, c.evaluate, c.checkpoint = 10, 5, 1
    return c
