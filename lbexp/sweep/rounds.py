"""The rounds of a study: its trials, and those that its results ask for, until there are none."""

import contextlib
import pathlib

from ml_collections import ConfigDict

from lbexp import config as configs
from lbexp.engine import record, run
from lbexp.engine.lock import lock
from lbexp.engine.status import statuses
from lbexp.studies import Study
from lbexp.sweep import attempts, cohorts
from lbexp.sweep.schedule import How, Outcome, schedule


def rounds(
    study: Study, config: ConfigDict, workdir: pathlib.Path, wanted: list[configs.Trial], how: How
) -> Outcome:
    """Trains `wanted` and what comes after. The rows are in the workdir as a direct run would have
    written them.

    Raises:
        ValueError: another configuration than the workdir's, trials that cannot be built, or a
            direct run in the workdir.
    """
    before = []
    while True:
        resolved = [configs.resolve(config, trial.overrides) for trial in wanted]
        run.build_once(resolved, trace=not (workdir / 'config.json').exists())
        works, entries = _begin(study, config, workdir, wanted, how.fingerprint(resolved), how)
        if entries == before:
            return Outcome(False, {})
        before, status = entries, statuses(workdir)
        open_ = [work for work in works if not cohorts.is_through(work, status)]
        how.tell(
            f'{len(entries)} trials, {len(works)} cohorts, {len(works) - len(open_)} of them '
            f'through; workdir {workdir}'
        )
        if open_:
            outcome = schedule(workdir, open_, how)
            if outcome.stopped:
                return outcome
        failed = outcome.failed if open_ else {}
        with attempts.turn(workdir / 'cohorts' / 'turn', how.lost):
            cohorts.merge(workdir, failed)
        if failed or study.more is None:
            return Outcome(False, failed)
        wanted = study.more(config, workdir)


def _begin(study, config, workdir, wanted, code, how):
    """Records the trials and plans their cohorts: the cohorts, and the entries of config.json."""
    grows = study.more is not None or bool(config.search)
    with attempts.turn(workdir / 'cohorts' / 'turn', how.lost):
        # where a file system has no locks, nobody is kept out
        with contextlib.suppress(OSError), lock(workdir):
            pass
        entries = record.record(workdir, configs.plain(config), wanted, grows, None, how.tell, code)
        return cohorts.plan(workdir, config, entries), entries
