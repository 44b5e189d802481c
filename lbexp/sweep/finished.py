"""Whether a sweep has anything left to do, seen without JAX, which takes a second to start.

What a sweep has ended with stands in finished.json of its workdir: a digest of what was asked for
and of the code, and size and time of the last change of each file, of those that it left and of
the user's own that it came from. Where one of them differs the whole command runs, which knows what
to do. Prepared data sets are not looked at: each version of one is prepared once.
"""

import hashlib
import json
import pathlib
import platform
from collections.abc import Iterator
from typing import Any

from absl import flags
from ml_collections import ConfigDict

from lbexp import config as configs
from lbexp import documents, owner, workdirs
from lbexp.engine.versions import installed_versions, source
from lbexp.errors import Refusal
from lbexp.exit_status import DIVERGED, DONE

# of a workdir: rows, statuses, the report; those of its figures and of its cohorts
_KEPT = ('*', 'figures/*', 'cohorts/[0-9]*/*')


def keep(flag_values: flags.FlagValues, config: ConfigDict, workdir: pathlib.Path) -> None:
    """Writes finished.json of a sweep that has come to its end; not where its data or its weights
    are in what cannot be listed as files."""
    from lbexp.engine import record
    from lbexp.engine.fingerprint import files
    from lbexp.engine.metrics_file import replace

    trials = []
    for entry in record.read(workdir)['trials']:
        trials.append(configs.resolve(config, entry['overrides']))
    origins = files(trials, configs.experiment_file(flag_values.config))
    if origins is None:
        return
    paths = [*_left(workdir), *origins]
    states = {str(path.resolve()): _state(path) for path in paths}
    content = {'asked': _asked(flag_values, config), 'files': states}
    replace(workdir / documents.FINISHED, json.dumps(content, indent=1).encode())


def finished(flag_values: flags.FlagValues, config: ConfigDict) -> pathlib.Path | None:
    """The workdir in which exactly this was done, and nothing has changed since; None: there is
    none."""
    asked = _asked(flag_values, config)
    for workdir in workdirs.candidates(flag_values):
        try:
            kept = documents.document(workdir / documents.FINISHED, documents.Finished)
            if kept['asked'] == asked and _are_unchanged(kept['files']):
                return workdir
        except (OSError, Refusal):  # the whole command says what is wrong
            continue
    return None


def status(workdir: pathlib.Path) -> int:
    """The exit status that a sweep ended with which is finished."""
    trials = documents.document(workdir / documents.STATUS, documents.Status)['trials']
    if all(standing['status'] == 'diverged' for standing in trials.values()):
        return DIVERGED
    return DONE


def _asked(flag_values, config) -> str:
    code: dict[str, Any] = {'source': source(), 'python': platform.python_version()}
    code |= installed_versions()
    wanted = [configs.plain(config), sorted(flag_values.figures), code]
    return hashlib.sha256(json.dumps(wanted, sort_keys=True).encode()).hexdigest()


def _are_unchanged(states):
    return all(tuple(state) == _state(pathlib.Path(path)) for path, state in states.items())


def _left(workdir) -> Iterator[pathlib.Path]:
    """The files that a sweep leaves in its workdir, but for checkpoints and what trackers write."""
    for pattern in _KEPT:
        for path in workdir.glob(pattern):
            is_lock = path.name.startswith('.') or path.name == owner.FILE
            if path.is_file() and not is_lock and path.name != documents.FINISHED:
                yield path


def _state(path) -> tuple[int, int]:
    facts = path.stat()
    return facts.st_size, facts.st_mtime_ns
