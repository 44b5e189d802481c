"""Lookahead at a parameter server of asynchronous workers: what it adds to the slow weights that they already are."""

from lbexp import config


def get_config(workload='mnist1d'):
    c = config.base()
    c.workload = dict(name=workload, validation=5000 if workload == 'fashion_mlp' else 500)
    c.optimizer = dict(name='sgd', learning_rate=0.1)  # each arm sets its own
    c.schedule = dict(name='cosine')
    c.study = dict(
        name='async_lookahead',
        workers=(1, 4, 16),
        delay='geometric',
        servers=('sgd', 'momentum'),
        momentum=0.9,
        k=5,  # of Lookahead
        slow_step_size=0.5,
        rates=(0.01, 1.0),
        budget=5,
        seeds=5,
        updates=1500,
        repeats=16,
    )
    c.batch_size = 32  # examples of a push
    c.epochs = 4.0 if workload == 'fashion_mlp' else 10.0
    c.log, c.evaluate, c.checkpoint = 5, 1, 1
    return c
