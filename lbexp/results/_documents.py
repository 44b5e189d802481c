"""config.json and status.json of a workdir as results read them: what is damaged is left out."""

import functools
import pathlib
import stat
import sys

import msgspec

from lbexp import documents, owner
from lbexp.documents import COHORTS, CONFIG, STATUS
from lbexp.errors import Refusal


def configuration(folder: pathlib.Path) -> dict:
    """config.json of a workdir: 'config' (a dict) and 'trials' ([{'trial': number, 'overrides':
    {path: value}}]).

    Without the file nothing is known of its trials: {} and [].

    Raises:
        Refusal: the file is not what lbexp writes; the message names it, and what is wrong.
    """
    file = pathlib.Path(folder) / CONFIG
    content = {'config': {}, 'trials': []}
    if file.exists():
        content |= documents.document(file, documents.Trials)
    return content


def changes(folder: pathlib.Path) -> list[dict[str, list]]:
    """What was changed since a workdir was begun, {path: [before, after]}, oldest first.

    Raises:
        Refusal: config.json is not what lbexp writes.
    """
    file = pathlib.Path(folder) / CONFIG
    if not file.exists():
        return []
    return documents.document(file, documents.Changes).get('changes', [])


def entries(folder: pathlib.Path) -> list[dict]:
    """The trials of a workdir, of which there are some, as `configuration` has them.

    Raises:
        Refusal: config.json has none; the message names the file.
    """
    trials = configuration(folder)['trials']
    if not trials:
        file = pathlib.Path(folder) / CONFIG
        raise Refusal(f'{file}: found no trials; allowed: what lbexp wrote. Put a copy of it back')
    return trials


def roles(folder: pathlib.Path) -> list[tuple[int, dict]]:
    """(trial, tags) of all trials of a workdir that a study asked for with tags, in their order.

    A trial that was asked for twice, as two arms or in two phases, is there twice. Trials without
    tags, which no study of this version asked for, are left out.

    Raises:
        Refusal: there is none; the message names the file.
    """
    pairs = []
    for entry in entries(folder):
        for tags in entry.get('tags', []):
            pairs.append((entry['trial'], tags))
    if not pairs:
        rule = 'allowed: tags, which the command that trained them adds when it is run again'
        raise Refusal(f'{pathlib.Path(folder) / CONFIG}: found no trial with tags; {rule}')
    return pairs


def summary(folder: pathlib.Path) -> documents.Summary:
    """summary.json of a workdir: what is trained. Empty where there is none, as an older version
    wrote none; where it is damaged that is told."""
    file = pathlib.Path(folder) / documents.SUMMARY
    try:
        if not is_readable(file, file.parent):
            return documents.Summary()
        content = documents.document(file, documents.Summary)
    except (OSError, Refusal) as error:
        say_once(f'{error}; left out')
        return documents.Summary()
    return msgspec.convert(content, documents.Summary)


def predictions(folder: pathlib.Path) -> documents.Predictions | None:
    """predictions.json of a workdir: what a trained network gets wrong. None where there is none;
    where it is damaged that is told."""
    file = pathlib.Path(folder) / documents.PREDICTIONS
    try:
        if not is_readable(file, file.parent):
            return None
        content = documents.document(file, documents.Predictions)
    except (OSError, Refusal) as error:
        say_once(f'{error}; left out')
        return None
    return msgspec.convert(content, documents.Predictions)


def part(folder: pathlib.Path, name: str) -> dict:
    """A part of the configuration of a workdir, such as its workload: a dict with a 'name'.

    Raises:
        Refusal: config.json has no such part; the message names the file.
    """
    content = configuration(folder)['config'].get(name)
    if not isinstance(content, dict) or not isinstance(content.get('name'), str):
        rule = "allowed: an object with a 'name'"
        raise Refusal(f'{pathlib.Path(folder) / CONFIG}: found {name} {str(content)[:80]}; {rule}')
    return content


def states(folder: pathlib.Path) -> dict[int, str]:
    """By trial, the status that status.json tells; what is not told in the way of lbexp is left
    out.

    A trial that it calls 'running' is 'interrupted' where no process is at the workdir. Trials of
    lbexp.sweep have processes of their own, of which the files of their attempts tell.
    """
    file = pathlib.Path(folder) / STATUS
    # Asked before the file is read: a process that ends writes its last status, then leaves.
    is_left = not _is_of_sweep(file.parent) and not owner.is_at(file.parent)
    try:
        trials = documents.document(file, dict).get('trials')
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        say_once(f'{error}. The status of its trials is unknown')
        return {}
    statuses = _statuses(trials)
    if not isinstance(trials, dict) or len(statuses) < len(trials):
        say_once(
            f'{file}: found trials without a status; allowed: what lbexp writes there. Theirs is '
            'unknown'
        )
    if is_left:
        for trial, status in statuses.items():
            if status == 'running':
                statuses[trial] = 'interrupted'
    return statuses


def _statuses(trials):
    """{trial: status} of what status.json tells in the way of lbexp."""
    if not isinstance(trials, dict):
        return {}
    statuses = {}
    for trial, entry in trials.items():
        # one by one: a damaged entry takes none but its own trial's status away
        if documents.fits({trial: entry}, dict[documents.Trial, documents.State]):
            statuses[int(trial)] = entry['status']
    return statuses


def _is_of_sweep(folder):
    """Whether lbexp.sweep trains there: the workdir of its cohorts, or the folder of one."""
    return (folder / COHORTS).exists() or any(folder.glob('attempt-*.json'))


def is_readable(file: pathlib.Path, root: pathlib.Path) -> bool:
    """Whether a file is there to be read; Refusal: it is no plain file, or a link to one outside
    `root`."""
    # Not opened to see: a pipe would wait for its other end.
    try:
        mode = file.stat().st_mode
    except FileNotFoundError:
        if file.is_symlink():
            raise Refusal(f'{file}: found a link to nothing; allowed: a file') from None
        return False
    if not stat.S_ISREG(mode):
        raise Refusal(f'{file}: found a device, pipe or folder; allowed: a file')
    if file.is_symlink() and not file.resolve().is_relative_to(root.resolve()):
        raise Refusal(f'{file}: found a link out of {root}; allowed: a file in it')
    return True


@functools.cache
def say_once(problem: str):
    """What is skipped is told on standard error, once a process."""
    print(f'lbexp: {" ".join(problem.split())}', file=sys.stderr)
