"""Which learning rates are worth a search? The rate rises, and the report marks where it helps.

    python -m lbexp.main --config=experiments/learning_rate_range.py
    python -m lbexp.main --config=experiments/lamb.py --config.study.name=learning_rate_range

On 2 CPU cores: seconds. The second command is the test of another experiment's optimizer and data.
"""

from lbexp import config


def get_config():
    c = config.base()
    c.workload = dict(name='digits_mlp')
    c.optimizer = dict(name='momentum', learning_rate=0.1, momentum=0.9)  # the rate is replaced
    c.study = dict(name='learning_rate_range', low=1e-4, high=10.0, seeds=3)
    c.batch_size = 64  # examples per update
    c.steps = 200  # updates
    c.num_rows, c.num_evaluations, c.num_checkpoints = 100, 4, 0
    return c
