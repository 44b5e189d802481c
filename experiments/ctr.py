"""Models of clicks beside each other: does anything beat logistic regression, and where do trees?

    python -m lbexp.data.prepare adult
    python -m lbexp.main --config=experiments/ctr.py:adult
    python -m lbexp.baselines --config=experiments/ctr.py:adult

`:movielens_100k` and `:movielens_100k_time` (the last tenth of all ratings is the test set) are the
others.
"""

from lbexp import config

_DATA = {
    'adult': dict(name='adult'),
    'adult_pieces': dict(name='adult', encoding='piecewise_linear'),
    'movielens_100k': dict(name='movielens_100k'),
    'movielens_100k_time': dict(name='movielens_100k', split='time'),
}
_PAIRS = {
    'adult': (('occupation', 'education'), ('relationship', 'gender')),
    'movielens_100k': (('user_id', 'movie_id'), ('occupation', 'movie_id')),
}


def get_config(data: str = 'adult'):
    if data not in _DATA:
        raise ValueError(f'data: found {data!r}; allowed: {", ".join(_DATA)}')
    pairs = _PAIRS['adult' if data.startswith('adult') else 'movielens_100k']
    c = config.base()
    # A weight of a linear model is a whole effect, not one of ten numbers that make one: it has
    # further to go.
    models = (
        (dict(name='linear'), 1e-2),
        (dict(name='mlp', hidden=(64, 64), embedding=10), 1e-3),
        (dict(name='dcn', layers=0), 1e-3),
        (dict(name='dcn', cross='vector'), 1e-3),
        (dict(name='dcn', cross='matrix', structure='stacked'), 1e-3),
        (dict(name='dcn', cross='matrix', structure='parallel'), 1e-3),
        (dict(name='dcn', cross='mixture'), 1e-3),
        (dict(name='autoint', hidden=(64, 64)), 1e-3),
        (dict(name='co_action', pairs=pairs), 1e-3),
        (dict(name='compressed_fields'), 1e-3),
    )
    c.workload = dict(name='binary', data=_DATA[data], model=models[0][0])
    c.optimizer = dict(name='adamw', learning_rate=1e-3, weight_decay=1e-2)
    c.batch_size = 512  # examples per update
    c.epochs = 5.0 if data.startswith('adult') else 3.0  # passes over the training set
    c.num_evaluations = 5
    c.sweep = ((('workload.model', 'optimizer.learning_rate'), models), ('seed', (0, 1, 2)))
    return c
