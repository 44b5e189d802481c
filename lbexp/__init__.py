"""Experiments on the optimizer, the batch size and the noise between them.

result = lbexp.run('experiments/lamb.py', {'epochs': 5.0})
result.report, result.table(), result.figure('test_accuracy')
trial = result.trial(0)                     # of a workdir: lbexp.open('runs/lamb-...').trial(0)
logits = trial.predict(images)
trial.evaluate('test')['accuracy']
"""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lbexp.errors import RunFailed as RunFailed

if TYPE_CHECKING:
    from ml_collections import ConfigDict

    from lbexp.result import Result
    from lbexp.trained import Run


def run(
    config: 'ConfigDict | Mapping[str, Any] | str | os.PathLike[str]',
    overrides: Mapping[str, Any] | None = None,
    workdir: str | os.PathLike[str] | None = None,
    *,
    figures: Sequence[str] = ('png', 'pdf'),
    show: bool = True,
    stop: Callable[[], bool] | None = None,
    allow_config_change: bool = False,
    restart_lost: bool = False,
    alone: bool = False,
    trackers: Sequence[str] = ('tensorboard',),
    profile: str | None = None,
) -> 'Result':
    """Trains, reports, and returns what came of it, as `python -m lbexp.main` does; what was begun
    in the workdir is gone on with, and what is done is not done again.

    In a script, a notebook or a thread; calls from several threads take turns. No signal is caught:
    after Ctrl-C the same call goes on from the last checkpoint.

    Args:
        config: `lbexp.config.base()` with its fields set, or these fields as a dict, or an
            experiment file ('experiments/lamb.py', 'experiments/lamb.py:fashion_mnist'). It stays
            as it is.
        overrides: {path of a field: value}, such as {'optimizer.learning_rate': 0.02}.
        workdir: folder of the run; None: runs/NAME-HASH-HASH, the same for the same configuration,
            code and data, and for the command.
        figures: formats of the files of each figure, of 'png' and 'pdf'.
        show: print lines and progress.
        stop: asked after each dispatch; when true, the run saves and ends, and `result.status` is
            'stopped'.
        allow_config_change: go on in a workdir with another configuration, code or data.
        restart_lost: train from the start the trials whose checkpoints or rows are lost.
        alone: train in this process even where srun or mpirun started several of them, each of
            which then needs a workdir of its own. Otherwise that is refused: the command trains
            one run in all of them.
        trackers: what shows the rows elsewhere while they come: 'tensorboard', 'wandb', 'mlflow',
            or 'package.module:function' (lbexp.trackers).
        profile: 'START:STOP', updates that the JAX profiler traces, into profile/ of the workdir.

    Raises:
        RunFailed: the configuration is wrong, the workdir another run's, a part or the disk failed:
            with the lines and the exit status of the command.
    """
    from lbexp.library import run  # imports JAX, which `import lbexp` should not wait for

    return run(
        config,
        overrides or {},
        workdir,
        figures=figures,
        show=show,
        stop=stop,
        allow_config_change=allow_config_change,
        restart_lost=restart_lost,
        alone=alone,
        trackers=trackers,
        profile=profile,
    )


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
