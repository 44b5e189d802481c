"""Experiments on the optimizer, the batch size and the noise between them.

run = lbexp.open('runs/lamb-...')           # a workdir
trial = run.trial(0)
logits = trial.predict(images)
trial.evaluate('test')['accuracy']
"""

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lbexp.trained import Run


def open(workdir: str | os.PathLike[str], trust_workdir: bool | Iterable[str] = False) -> 'Run':
    """The trained networks of a workdir. Nothing in it is written; a process may be training there.

    Args:
        workdir: of lbexp.main or lbexp.sweep.
        trust_workdir: whether functions outside lbexp that the workdir names may run: a workdir is
            data, and may be anybody's. True: any; or their names, 'package.module:function'.

    Raises:
        lbexp.errors.Refusal: there is no run, its files are damaged, or another version of lbexp
            wrote them.
    """
    from lbexp.trained import Run  # imports JAX, which `import lbexp` should not wait for

    return Run(workdir, trust_workdir)
