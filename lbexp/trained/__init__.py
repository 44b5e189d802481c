"""Trained networks: the weights of a workdir's trials, what they predict, how they do on data.

`lbexp.open(workdir)` gives a `Run`, whose `trial(number)` gives a `Trial`.
"""

from lbexp.trained._run import Run as Run
from lbexp.trained._trial import Trial as Trial
