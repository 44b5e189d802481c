"""Workers that average their weights every k steps, at equal examples."""

from lbexp import config


def get_config(workload='mnist1d'):
    c = config.base()
    c.workload = dict(name=workload, validation=5000 if workload == 'fashion_mlp' else 500)
    c.optimizer = dict(name='momentum', learning_rate=0.1, momentum=0.9)
    c.schedule = dict(name='cosine')
    c.study = dict(
        name='local_sgd',
        workers=(2, 8),
        ks=(8, 32),
        slow_step_sizes=(0.5,),
        outer_momentum=0.6,
        worker_batch=16,
        rates=(0.01, 0.3),
        budget=5,
        seeds=5,
        margin=0.01,  # difference of test error that counts as none
        updates=1600,
    )
    c.epochs = 4.0 if workload == 'fashion_mlp' else 10.0
    c.log, c.evaluate, c.checkpoint = 5, 1, 1
    return c
