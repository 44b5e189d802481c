"""config.json: what a workdir is about, what was changed since, and where it ran."""

import itertools
import json
import pathlib
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ml_collections import ConfigDict

from lbexp import config as configs
from lbexp import documents
from lbexp.config import fields, lookup
from lbexp.engine import environment, fingerprint
from lbexp.engine.changes import (
    argument_changes,
    changes_of,
    computing,
    fingerprint_of,
    refuse,
    shown,
)
from lbexp.engine.extension import is_extension, refuse_other_shape, refuse_other_updates
from lbexp.engine.metrics_file import replace
from lbexp.engine.status import THROUGH, statuses, write_status
from lbexp.engine.trial_entries import with_asked, without_tags
from lbexp.errors import Refusal


def record(
    workdir: pathlib.Path,
    config: dict,
    trials: Sequence[configs.Trial | Mapping[str, Any]],
    grows: bool = False,
    may_change: bool | None = False,
    log: Callable[[str], Any] = lambda line: None,
    code: dict[str, str] | None = None,
) -> list[dict]:
    """Writes config.json: the resolved configuration, overrides and tags of each trial, and where
    it ran.

    A workdir belongs to one configuration, one code and one data: what was begun can only be gone
    on with. Where it `grows`, trials that are not there yet are added as a round of their own, and
    the arguments of the study, which are recorded under 'changes', and the length of a search may
    change. A change of how the run is
    watched over is announced and recorded under 'changes'; of what it computes, only where it
    `may_change` (None: it never may): every trial then goes on from its checkpoint, towards the new
    end. A run that is only to be longer, with a schedule that does not depend on the length, needs
    no such leave. A workdir in which nothing was trained yet may be about anything.

    A tagged trial whose overrides another has is that trial, with the tags of both. Tags of an
    earlier command hold as long as configuration and code are the same; otherwise they are dropped,
    and the study gives them anew as it asks for its trials.

    Args:
        trials: of the study; bare overrides are trials without tags.
        code: the fingerprint of code and data.

    Returns:
        The trials of the workdir: {'trial': number, 'round': in which they came, 'overrides':
        {path: value}}, and 'tags': [{name: value}] where there are any.

    Raises:
        Refusal: the workdir holds another configuration, or other trials, or was begun by a version
            that wrote other checkpoints; the message lists the differences. Or config.json is
            damaged.
    """
    path = workdir / 'config.json'
    # as they will read when config.json is read: tuples are lists
    config, asked = json.loads(json.dumps([config, configs.asked(trials)], default=list))
    resolved = list(itertools.starmap(configs.Trial, asked))
    there = documents.document(path, documents.Config) if path.exists() else None
    begun = bool(there) and _is_begun(workdir)
    if there and begun:
        _refuse_old_names(path, there)
    now = _contents(there, config, resolved, grows, code)
    if there and grows:
        overrides = [trial.overrides for trial in resolved]
        _refuse_foreign_names(path, there['trials'], [config, overrides])
    # A workdir in which nothing was trained yet may be about anything.
    if there and not begun and computing(changes_of(there, now, grows)):
        there, now = None, _contents(None, config, resolved, grows, code)
    if there is None:
        workdir.mkdir(parents=True, exist_ok=True)
        document = {**now, 'run': uuid.uuid4().hex, 'environment': environment.environment()}
    else:
        changes = changes_of(there, now, grows)
        _refuse_changes(workdir, there, now, changes, may_change)
        arguments = argument_changes(there, now) if grows and begun else {}
        for changed, (old, new) in {**changes, **arguments}.items():
            log(f'changed since the run was begun: {changed}: {shown(old)} there, {shown(new)} now')
        document = _resumed(workdir, there, now, changes, log)
        if arguments:
            document['changes'] = [*document.get('changes', []), arguments]
        if computing(changes):
            # Before config.json: a kill between the two leaves a change that is found again.
            write_status(workdir, 'running', _not_through(workdir))
    if document != there:
        _write(path, document)
    return list(now['trials'])


def read(workdir: pathlib.Path) -> dict:
    """config.json; an empty one where there is none.

    Raises:
        Refusal: it is damaged.
    """
    path = workdir / 'config.json'
    if not path.exists():
        return {'config': {}, 'trials': [], 'environment': {}}
    return documents.document(path, documents.Config)


def cohort(folder: pathlib.Path, document: dict, trials: list[dict]):
    """Writes config.json of some trials of a run into a folder of their own.

    Args:
        document: config.json of the run.
        trials: those of its entries.
    """
    there, here = read(folder), environment.environment()
    about = {**document, 'trials': trials, 'environment': here}
    about['changes'] = there.get('changes', [])
    about['environments'] = there.get('environments', [])
    if there['environment']:  # the folder was begun before
        about['environment'] = there['environment']
        about['environments'] = [*about['environments'], here]
    _write(folder / 'config.json', about)


def stage(document: dict) -> dict:
    """What checkpoints say that are made while config.json says this; see Identity."""
    config = ConfigDict(document['config'])
    digests = {}
    for entry in document['trials']:
        resolved = configs.resolve(config, entry['overrides'])
        digests[str(entry['trial'])] = configs.trial_digest(resolved)
    return {'configurations': digests, 'code': code_digest(document)}


def code_digest(document: dict) -> str:
    """SHA-256 of the fingerprint of code and data in config.json."""
    return fingerprint.joined(fingerprint_of(document))


def changed(workdir: pathlib.Path, changes: dict[str, list]):
    """Adds to 'changes' in config.json, if there is one: {what: [before, now]}."""
    path = workdir / 'config.json'
    if path.exists():
        document = read(workdir)
        document['changes'] = [*document.get('changes', []), changes]
        _write(path, document)


def note(workdir: pathlib.Path, name: str, value: Any):
    """Adds a fact about the run to the environment in config.json, if there is one."""
    path = workdir / 'config.json'
    if path.exists():
        document = read(workdir)
        document['environment'][name] = value
        _write(path, document)


def _write(path, document):
    replace(path, json.dumps(document, indent=1).encode())


def nothing_to_train(workdir: pathlib.Path) -> str:
    """When and with what code a workdir that is through was trained, in words; '': it is not
    through."""
    document = read(workdir)
    if not document['trials'] or _left(workdir, document):
        return ''
    standing = documents.document(workdir / 'status.json', documents.Status)
    ended = standing.get('ended', 'a day that it does not tell')
    return f'nothing to train: done on {ended} with {_commit(document)}'


def _not_through(workdir):
    """Statuses of a run that was changed: each trial goes on from where it was."""
    remaining = {}
    for trial, status in statuses(workdir).items():
        remaining[trial] = {'status': 'running'}
        for name in ('step', 'saved'):
            if name in status:
                remaining[trial][name] = status[name]
    return remaining


def _contents(there, config, trials, grows, code) -> dict[str, Any]:
    """What config.json is to say of configuration, trials and code."""
    code_there = fingerprint_of(there)
    fingerprint = {**code_there, **(code or {})}
    # Parts that a later round names for the first time change nothing of what is there.
    same_code = all(fingerprint[name] == digest for name, digest in code_there.items())
    before: list[dict[str, Any]] = []
    if there and grows:
        before = there['trials']
        if there['config'] != config or not same_code:
            before = [without_tags(entry) for entry in before]
    return {'config': config, 'trials': with_asked(before, trials), 'fingerprint': fingerprint}


def _refuse_changes(workdir, there, now, changes, may_change):
    if may_change is not None and is_extension(changes):
        refuse_other_shape(there, now, workdir, may_change)
    else:
        refuse(workdir, changes, may_change)
    if computing(changes):
        refuse_other_updates(there, now, _saved(workdir))


def _saved(workdir):
    """By trial, the updates in its last checkpoint; an older version told those done alone."""
    updates = {}
    for trial, standing in statuses(workdir).items():
        saved = standing.get('saved')
        updates[trial] = standing['step'] if saved is None else saved
    return updates


def _is_begun(workdir):
    """Whether something was trained, or may have been."""
    for standing in statuses(workdir).values():
        if standing['step'] or standing['status'] in THROUGH:
            return True
    rows = workdir / 'metrics.jsonl'
    has_rows = rows.exists() and rows.stat().st_size > 0
    has_checkpoints = any((workdir / 'checkpoints').glob('*/*'))
    # The rows of a sweep lie in the folders of its cohorts until they are merged.
    return has_rows or has_checkpoints or (workdir / 'cohorts.json').exists()


def _last(document):
    """The environment in which the run was last trained."""
    return [document['environment'], *document.get('environments', [])][-1]


def _commit(document):
    """Of lbexp, when the run was last trained, in words; it may have been no checkout of git."""
    commit = _last(document).get('git_commit')
    return f'commit {commit}' if commit else 'an unknown commit'


def _left(workdir, document):
    """The trials that are not through."""
    status = statuses(workdir)
    remaining = []
    for entry in document['trials']:
        if status.get(entry['trial'], {}).get('status') not in THROUGH:
            remaining.append(entry)
    return remaining


def _resumed(workdir, there, now, changes, log):
    """What config.json says of a run that goes on."""
    document, here = {**there, **now}, environment.environment()
    if changes:
        document['changes'] = [*there.get('changes', []), changes]
    if computing(changes) or fingerprint_of(there) != fingerprint_of(now):
        # Checkpoints from before the change are restored as long as it is known what they say.
        document['stages'] = [*there.get('stages', []), stage(there)]
    trains = bool(computing(changes)) or bool(_left(workdir, now))
    if trains and not there.get('run'):
        raise Refusal(
            f'workdir {str(workdir)!r} was begun by an older version of lbexp, whose checkpoints '
            f'do not say whose they are. Go on with {_commit(there)}, or choose another --workdir'
        )
    if trains and _last(there).get('started') != here['started']:
        differences = environment.differences(_last(there), here)
        if differences:
            log(f'goes on in another environment: {"; ".join(differences)}')
        document['environments'] = [*there.get('environments', []), here]
    return document


def _refuse_old_names(path, there):
    old = [name for name in fields.RENAMED if name in there['config']]
    if old:
        raise Refusal(
            f'{path}: found the fields {", ".join(old)}, as an older version of lbexp wrote them. '
            f'Go on with {_commit(there)}, or choose another --workdir'
        )


def _refuse_foreign_names(path, before, known):
    """Trials that are there already would be trained: what they name outside lbexp must be the
    user's own."""
    named = lookup.outside_names([entry['overrides'] for entry in before])
    foreign = named - lookup.outside_names(known)
    if foreign:
        rule = "allowed: lbexp's own parts, and what the configuration of this command names"
        raise Refusal(f'{path}: found {", ".join(sorted(foreign))} among the trials; {rule}')
