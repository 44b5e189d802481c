"""A workdir as a set of trained networks."""

import contextlib
import copy
import json
import os
import pathlib
from collections.abc import Generator, Iterable, Iterator
from typing import Any

from lbexp import documents, results
from lbexp.config import fields, lookup
from lbexp.engine.changes import fingerprint_of
from lbexp.engine.components import components
from lbexp.engine.fingerprint import fingerprint
from lbexp.engine.trial_plan import run_length, trial_plan
from lbexp.errors import Refusal
from lbexp.links import refuse_links
from lbexp.local_path import local_path
from lbexp.trained._home import Home
from lbexp.trained._network import Network, deployed
from lbexp.trained._trial import Trial

# Of the code and data of a run, what predictions depend on.
_COMPUTING = ('code of workload', 'code of replicas', 'data of workload', 'file ')


class Run:
    """The trials of a workdir, as they were when they were first asked for. `lbexp.open` makes one.

    Attributes:
        workdir: its folder.
        config: the configuration that it was trained with, sweep and search included, as plain
            data.
        trials: numbers of all trials; those that diverged or were never saved have no network.
    """

    def __init__(
        self, workdir: str | os.PathLike[str], trust_workdir: bool | Iterable[str] = False
    ):
        """Reads config.json; see `lbexp.open`."""
        self.workdir = local_path(os.fspath(workdir), 'workdir')
        if not (self.workdir / results.CONFIG).exists():
            raise Refusal(
                f'{self.workdir}: found no {results.CONFIG}; allowed: the workdir of a run of '
                'lbexp.main or lbexp.sweep'
            )
        # a workdir may be anybody's: what is read and shown must be in it
        refuse_links(self.workdir, self.workdir)
        self._trusted = _names(trust_workdir)
        home = Home(self.workdir)
        self._homes = {self.workdir: home}
        self._networks: dict[str, Network] = {}
        self._folders = _cohort_folders(self.workdir)
        self.config: dict[str, Any] = copy.deepcopy(home.configuration)
        self.trials = sorted(home.entries)
        if home.absent:
            results.say_once(
                f'{self.workdir}: an older version of lbexp wrote its configuration; by default: '
                f'{", ".join(home.absent)}'
            )

    def __len__(self) -> int:
        return len(self.trials)

    def __repr__(self) -> str:
        return f'Run({str(self.workdir)!r}, {len(self)} trials)'

    def trial(self, number: int = 0) -> Trial:
        """The network of a trial, at its last checkpoint: the end, where the run came to it.

        Weights of a run that has not ended, a checkpoint that is damaged, and code or data that
        have changed since are told on standard error.

        Raises:
            Refusal: there is no such trial, it diverged or was never saved, or the workdir names a
                function outside lbexp that `trust_workdir` does not.
            lbexp.errors.Damaged: none of its checkpoints is sound.
            OSError: a checkpoint cannot be read.
        """
        if number not in self.trials:
            few = ', '.join(map(str, self.trials[:8])) + (', ...' if len(self) > 8 else '')
            raise Refusal(f'trial: found {number!r} in {self.workdir}; allowed: {few}')
        home = self._home(number)
        status = home.status(number)
        if status == 'diverged':
            self._refuse_diverged(number)
        config = home.config(number)
        with self._consent():
            _refuse_untrusted(config)
            home.refuse_wrong(number)
            self._tell_changes(home, config)
            steps = run_length(config)
            parts = components(*trial_plan(config))
            # A checkpoint is compared with the shapes that the configuration trains.
            state = home.state(number, parts)
            network = self._network(config, parts)
            if state is None:
                self._refuse_unsaved(number, status)
            if state.diverged:
                self._refuse_diverged(number)
            params, model_state = deployed(parts, state)
        step = int(state.step)
        if step < steps:
            results.say_once(
                f'{self.workdir}: the weights of trial {number} are those of step {step} of '
                f'{steps} (status: {status})'
            )
        return Trial(
            number=number,
            config=config,
            status=status,
            step=step,
            params=params,
            model_state=model_state,
            state=state,
            metrics=home.metrics(number, step),
            _network=network,
        )

    @contextlib.contextmanager
    def _consent(self) -> Generator[None, None, None]:
        """Inside, names of the workdir mean lbexp's parts, and what the user trusts."""
        with contextlib.ExitStack() as stack:
            if self._trusted != frozenset():  # where a caller trusts names already, those hold
                stack.enter_context(lookup.trusting(self._trusted))
            stack.enter_context(lookup.recorded())
            yield

    def _home(self, number: int) -> Home:
        folder = self._folders.get(number, self.workdir)
        if folder not in self._homes:
            home = Home(folder)
            if home.document['run'] != self._homes[self.workdir].document['run']:
                raise Refusal(f'{folder}: found the cohort of another run than {self.workdir}')
            self._homes[folder] = home
        home = self._homes[folder]
        if number not in home.entries:
            raise Refusal(f'{folder / results.CONFIG}: found no trial {number}, which it trains')
        return home

    def _network(self, config, parts) -> Network:
        """Trials of one workload share what is compiled."""
        key = json.dumps([config['workload'], config['precision']], sort_keys=True)
        if key not in self._networks:
            self._networks[key] = Network(config['workload']['name'], parts)
        return self._networks[key]

    def _tell_changes(self, home, config):
        before, now = fingerprint_of(home.document), fingerprint([config])
        changed = []
        for name, value in now.items():
            if name.startswith(_COMPUTING) and before.get(name, value) != value:
                changed.append(name)
        if changed:
            results.say_once(
                f'{self.workdir}: changed since it was trained: {"; ".join(changed)}. What is '
                'computed now may differ from what was recorded'
            )

    def _refuse_diverged(self, number):
        raise Refusal(
            f'trial {number} of {self.workdir} diverged: its loss was no number, and its weights '
            'are none to use; allowed: a trial that did not'
        )

    def _refuse_unsaved(self, number, status):
        raise Refusal(
            f'{self.workdir}: found no checkpoint of trial {number} (status: {status}); allowed: '
            'a trial that was saved. The command that trains it, with this --workdir, makes one'
        )


def _refuse_untrusted(config):
    """Raises Refusal where a part reaches outside lbexp. First of all: what the check of a
    configuration refuses, it goes on refusing in this process, also where it is trusted later."""
    for field, allowed in fields.PARTS.items():
        # a study is not needed to read networks
        if field != 'study':
            for name in _part_names(config.get(field)):
                if ':' in name:
                    lookup.refuse_untrusted(allowed.kind, name)


def _part_names(value: Any) -> Iterator[str]:
    """Of a part, and of those inside it."""
    if isinstance(value, dict):
        if isinstance(value.get('name'), str):
            yield value['name']
        for kind in lookup.SHORT:
            if isinstance(value.get(kind), str):
                yield lookup.spelled_out(kind, value[kind])['name']
        value = list(value.values())
    if isinstance(value, list):
        for inner in value:
            yield from _part_names(inner)


def _names(trust_workdir):
    """Names outside lbexp that may be looked up; None: any."""
    if isinstance(trust_workdir, str):
        return frozenset([trust_workdir])
    if isinstance(trust_workdir, bool):
        return None if trust_workdir else frozenset()
    return frozenset(trust_workdir)


def _cohort_folders(workdir: pathlib.Path) -> dict[int, pathlib.Path]:
    """Where lbexp.sweep trains each trial; trials of a direct run are trained in the workdir."""
    path = workdir / documents.COHORTS
    planned = documents.document(path, list[documents.Cohort]) if path.exists() else []
    folders = {}
    for number, cohort in enumerate(planned):
        folder = workdir / 'cohorts' / f'{number:05d}'
        if (folder / results.CONFIG).exists():
            folders |= dict.fromkeys(cohort['trials'], folder)
    return folders
