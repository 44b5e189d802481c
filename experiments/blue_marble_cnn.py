"""A convolutional network tells five groups of climates from pictures of the land.

    python -m lbexp.data.prepare blue_marble
    python -m lbexp.main --config=experiments/blue_marble_cnn.py

Blocks of 10 x 10 degrees are held out, so the test tiles are of land that was never seen.

Measured, one seed: test accuracy .639, .705, .659, .765 after each of the four epochs. A logistic
regression on the colours' means and deviations has .62. On 2 CPU cores beside other work nine
minutes.
"""

from lbexp import config


def get_config():
    c = config.base()
    c.workload = dict(name='blue_marble_cnn')
    c.optimizer = dict(name='adamw', learning_rate=3e-3, weight_decay=0.01)
    c.schedule = dict(name='cosine', warmup=0.05)
    c.batch_size, c.epochs = 128, 4.0
    c.num_evaluations = 4
    return c
