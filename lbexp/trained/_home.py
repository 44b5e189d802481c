"""A folder in which trials were trained, as it is read: a workdir, or that of a cohort of
lbexp.sweep."""

import functools
import pathlib
from typing import Any, NamedTuple

import jax
import numpy as np
from ml_collections import ConfigDict

from lbexp import config as configs
from lbexp import results
from lbexp.config import check
from lbexp.config.completed import completed
from lbexp.engine import record
from lbexp.engine.components import TrialComponents
from lbexp.engine.identity import Identity
from lbexp.engine.named import as_key, named, stored_shape
from lbexp.engine.state import TrialState
from lbexp.engine.step import initial_state
from lbexp.errors import Refusal
from lbexp.trained._checkpoint import Checkpoint, newest

# Of a state, what belongs to rows and to the microbatches of an update: a network needs none of it.
_UNREAD = dict.fromkeys(('accumulated', 'groups', 'metric_sums', 'probes'), ())


class _Cohort(NamedTuple):
    """The last checkpoint of trials that were trained together."""

    checkpoint: Checkpoint
    like: TrialState  # shapes of the state of one of them


class Home:
    """Configurations, statuses, rows and checkpoints of the trials that one folder has.

    Attributes:
        document: config.json.
        configuration: that of the run, with the defaults of fields that it lacks.
        absent: their names.
    """

    def __init__(self, folder: pathlib.Path):
        self.folder = folder
        self.document = record.read(folder)
        # Checkpoints have the digest of what was written: the document stays as it is.
        self.configuration, self.absent = completed(self.document['config'])
        self._refuse_another_version()
        self.entries = {entry['trial']: entry for entry in self.document['trials']}
        self._config = ConfigDict(self.configuration)
        self._last: _Cohort | None = None  # trials are asked for one after another

    def config(self, trial: int) -> dict:
        """The resolved configuration of a trial."""
        return configs.resolve(self._config, self.entries[trial]['overrides'])

    def refuse_wrong(self, trial: int) -> None:
        """Raises Refusal where the configuration of a trial is none that could be trained."""
        alone = {'sweep': [], 'search': {}, 'study': {'name': 'training'}}
        problems = check.check(ConfigDict({**self.config(trial), **alone}))
        if problems:
            path = self.folder / results.CONFIG
            raise Refusal(f'{path}: trial {trial}: {problems[0]}. {_remedy(self.document)}')

    def state(self, trial: int, components: TrialComponents) -> TrialState | None:
        """Of a trial at the last sound checkpoint, as NumPy arrays; None: it was never saved.

        Raises:
            Damaged, OSError: as `newest`.
            Refusal: the checkpoint holds other arrays than the configuration trains.
        """
        if self._last is None or trial not in self._last.checkpoint.trials:
            checkpoint = self._checkpoint(trial)
            if checkpoint is None:
                return None
            like = jax.eval_shape(lambda: initial_state(components))
            self._last = _Cohort(checkpoint, like._replace(**_UNREAD))
        checkpoint, like = self._last
        return self._lane(checkpoint, like, checkpoint.trials.index(trial))

    def status(self, trial: int) -> str:
        """'done', 'running', 'interrupted', 'diverged', ...; 'unknown' where nothing tells."""
        _, final = self._results
        return dict(zip(final['trial'].tolist(), final['status'].tolist())).get(trial, 'unknown')

    def metrics(self, trial: int, step: int) -> dict[str, float]:
        """What was recorded last of each metric that is a number, up to a step."""
        rows, final = self._results
        (place,) = np.flatnonzero(final['trial'] == trial)
        # A run that was killed has rows beyond its checkpoint, which these weights did not write.
        is_beyond = final['step'][place] > step
        until = (rows['trial'] == trial) & (rows['step'] <= step)
        metrics = {}
        for name in results.measured(final):
            if final[name].dtype == object:
                continue
            values = final[name][[place]]
            if is_beyond:
                values = rows[name][until]
            recorded = values[~np.isnan(values)]
            if recorded.size:
                metrics[name] = float(recorded[-1])
        return metrics

    @functools.cached_property
    def _results(self):
        return results.load(self.folder)

    def _checkpoint(self, trial):
        """That of the trial's cohort, whose folder has the name of the first of its trials."""
        folders = {}
        for path in (self.folder / 'checkpoints').glob('trial-*'):
            number = path.name.removeprefix('trial-')
            if number.isdecimal() and int(number) <= trial:
                folders[int(number)] = path
        for number in sorted(folders, reverse=True):
            checkpoint = newest(folders[number], trial, self._identity)
            if checkpoint is not None:
                return checkpoint
        return None

    def _identity(self, trials):
        """What a checkpoint of these trials must say."""
        strangers = [trial for trial in trials if trial not in self.entries]
        if strangers:
            raise Refusal(f'{self.folder}: found a checkpoint of trial {strangers[0]}, unknown')
        stage = self._stage
        return Identity(
            self.document['run'],
            trials,
            [self.config(trial)['seed'] for trial in trials],
            [stage['configurations'][str(trial)] for trial in trials],
            stage['code'],
            tuple(self.document.get('stages', [])),
        )

    @functools.cached_property
    def _stage(self):
        return record.stage(self.document)

    def _lane(self, checkpoint, like, lane):
        arrays = {name: values for name, values in checkpoint.arrays.items() if _is_read(name)}
        leaves = []
        for path, leaf in named(like):
            # Empty arrays were not saved: they hold nothing.
            empty = np.zeros((len(checkpoint.trials), *leaf.shape), leaf.dtype)
            values = arrays.pop(f'[0]{path}', empty if not leaf.size else None)
            # whole: as earlier versions stored it
            if values is None or values.shape not in (stored_shape(empty.shape), empty.shape):
                self._refuse_another_state(path)
            # A view would keep the arrays of all trials.
            leaves.append(np.array(values.reshape(empty.shape)[lane]))
        # What is left over, other code has trained.
        if arrays:
            self._refuse_another_state(next(iter(arrays)))
        state = jax.tree.unflatten(jax.tree.structure(like), leaves)
        return jax.tree.map(as_key, state, like)

    def _refuse_another_state(self, path):
        raise Refusal(
            f'{self.folder}: its checkpoints hold other arrays than its configuration trains with '
            f'this code ({path}, ...); allowed: the code that trained them'
        )

    def _refuse_another_version(self):
        path = self.folder / results.CONFIG
        problems = check.check_fields(ConfigDict(self.configuration))
        if problems:
            raise Refusal(f'{path}: {"; ".join(problems[:3])}. {_remedy(self.document)}')
        if not self.document.get('run'):
            raise Refusal(
                f'{path}: found no name of the run, by which checkpoints say whose they are. '
                f'{_remedy(self.document)}'
            )


def _is_read(name: str) -> bool:
    """Whether a path of a checkpoint belongs to a field of the state that networks need."""
    field: Any = name.removeprefix('[0].').partition('[')[0].partition('.')[0]
    return name.startswith('[0].') and field in TrialState._fields and field not in _UNREAD


def _remedy(document):
    """For what another version wrote, or somebody changed."""
    last = [document['environment'], *document.get('environments', [])][-1]
    commit = last.get('git_commit')
    return f'Open it with the lbexp that trained it, commit {commit or "unknown"}'
