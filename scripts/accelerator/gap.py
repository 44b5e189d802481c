"""experiments/generalization_gap.py with a small budget, end to end; its report is kept."""

import pathlib
import shutil
import tempfile
import time

from accelerator.command import run
from accelerator.record import Record


def measure(record: Record, quick: bool, deadline: float) -> None:
    if quick:
        name, sizes, seeds = ':digits', '(32, 256)', 2
    else:
        name, sizes, seeds = '', '(32, 256, 1024)', 3
    arguments = [
        f'--config=experiments/generalization_gap.py{name}',
        f'--config.study.batch_sizes={sizes}',
        f'--config.study.seeds={seeds}',
        f'--config.study.budget={2 if quick else 4}',
        f'--config.epochs={2.0 if quick else 20.0}',
    ]
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        workdir = pathlib.Path(folder) / 'gap'
        with record.trying('generalization_gap'):
            done = run([*arguments, f'--workdir={workdir}'], {}, workdir)
            trials = len({row['trial'] for row in done.rows})
            record.add('whole study', done.whole, 's', f'{trials} trials, start to report')
            record.add('trials', trials / done.whole, '1/s', 'compilation of each cohort bounds it')
            shutil.copy(workdir / 'report.html', record.out / 'gap_report.html')
            record.add('seconds left', deadline - time.monotonic(), 's')
