"""Writes an experiment file to begin with: python -m lbexp.new my_experiment.py

Every line of it says what else could stand there. A file that is there is not overwritten. Exit
status: 0 done, 1 the disk refuses, 2 no name of a file, or it is there.
"""

import pathlib
import sys

from lbexp import command
from lbexp.errors import Refusal
from lbexp.exit_status import DONE
from lbexp.flag_command import HELP
from lbexp.local_path import local_path
from lbexp.output import outlive_readers

_TEXT = '''"""What you expect, in a sentence: the claim of this experiment.

    python -m lbexp.main --config={path}
    python -m lbexp.main --config={path} --config.epochs=20 --workdir=runs/longer
"""

from lbexp import config


def get_config():
    c = config.base()  # every field: python -m lbexp.list fields

    # What is learned from what. data: a name (python -m lbexp.list data), 'table.csv',
    # 'arrays.npz', 'photos/'; model: a name (python -m lbexp.list models), 'package.module:Class'.
    c.workload = dict(
        name='classification',  # or 'regression', 'binary'
        data='digits',
        model=dict(name='mlp', hidden=(64,)),
    )

    # By what: python -m lbexp.list optimizers; 'optax:adam'; 'package.module:function'.
    c.optimizer = dict(name='momentum', learning_rate=0.1, momentum=0.9)
    c.schedule = dict(name='cosine', warmup=0.1)  # python -m lbexp.list schedules

    c.batch_size = 128  # examples per update
    c.epochs = 10.0  # passes over the training set; or c.steps, of updates

    # What varies: every combination is a trial, and what is a number shares one program.
    c.sweep = (
        ('optimizer.learning_rate', (0.03, 0.1, 0.3)),
        ('seed', (0, 1)),
    )

    # What is measured inside, beside loss and norms: python -m lbexp.list probes.
    c.probes = (dict(name='distance'),)
    return c
'''


def main(argv: list[str]) -> int:
    """Writes the file. Returns the exit status."""
    if HELP & set(argv):
        print(__doc__)
        return DONE
    try:
        path = _path(argv[1:])
    except Exception as error:
        return command.tell(error)
    try:
        with path.open('x') as file:
            file.write(_TEXT.format(path=path))
    except FileExistsError as error:
        return command.refuse([f'{error.filename}: is there; allowed: a file that is not'])
    except OSError as error:
        # A write that fails does not say of which file.
        return command.tell(OSError(error.errno, error.strerror, str(path)))
    print(f'{path}: python -m lbexp.main --config={path}')
    return DONE


def _path(words) -> pathlib.Path:
    if len(words) != 1 or not words[0].endswith('.py') or ':' in words[0]:
        shown = ' '.join(words) or 'nothing'
        raise Refusal(f'found {shown}; allowed: the name of a file, such as my_experiment.py')
    return local_path(words[0], 'the file')


if __name__ == '__main__':
    outlive_readers()
    sys.exit(main(sys.argv))
