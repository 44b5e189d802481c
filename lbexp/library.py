"""`lbexp.run`: what the command does, in somebody's process."""

import copy
import os
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from ml_collections import ConfigDict, FrozenConfigDict

from lbexp import command
from lbexp import config as configs
from lbexp.config import lookup
from lbexp.errors import Refusal, RunFailed
from lbexp.exit_status import BAD_CONFIG
from lbexp.parallel import launchers
from lbexp.report import FIGURE_FORMATS
from lbexp.result import Result
from lbexp.settings import Settings

# JAX's settings and matplotlib's are those of the process; one thread inside another's run waits.
_turn = threading.RLock()


def run(
    config: ConfigDict | Mapping[str, Any] | str | os.PathLike[str],
    overrides: Mapping[str, Any],
    workdir: str | os.PathLike[str] | None,
    *,
    figures: Sequence[str],
    show: bool,
    stop: Callable[[], bool] | None,
    allow_config_change: bool,
    restart_lost: bool,
    alone: bool,
    trackers: Sequence[str],
    profile: str | None,
) -> Result:
    """See `lbexp.run`."""
    try:
        if not alone:
            launchers.refuse_a_call_in_each()
        file, read, changes = _source(config)
        settings = Settings(
            config=file,
            workdir=None if workdir is None else os.fspath(workdir),
            figures=_known(figures),
            allow_config_change=allow_config_change,
            restart_lost=restart_lost,
            trackers=trackers,
            profile=profile,
            ends_hung=False,
        )
        with _turn:
            return _run(settings, read, [*changes, *overrides.items()], stop or _never, show)
    except RunFailed:
        raise
    except Exception as error:
        line, status = command.ending(error)
        raise RunFailed([line], status) from error


def _run(settings, config, changes, stop, show) -> Result:
    problems = []
    if config is None:
        config, problems = command.experiment(settings.config)
    if config is not None and not problems:
        config, problems = command.overridden(config, changes, configs.assign)
    if config is not None:
        command.prepare(config)
        problems += command.checked(config, settings.trackers)
    _require_none(problems)
    assert config is not None
    # imports what takes a second, which a refusal should not wait for
    from lbexp.job import job, print_line

    outcome = job(settings, config, stop, print_line if show else None)
    if show and outcome.page is not None:
        print_line(f'report: {outcome.page}')
    return Result(outcome, lookup.outside_names(configs.plain(config)))


def _source(config: Any) -> tuple[str | None, ConfigDict | None, Iterable[tuple[str, Any]]]:
    """The experiment file, if it is one; the configuration that is changed, if it is none; and what
    is changed of it."""
    if isinstance(config, (str, os.PathLike)):
        return os.fspath(config), None, []
    if isinstance(config, FrozenConfigDict):
        config = ConfigDict(config)  # pyrefly: ignore[bad-argument-type]: it is taken
    if isinstance(config, ConfigDict):
        config = copy.deepcopy(config)
        configs.fill_in(config)
        return None, config, []
    if isinstance(config, Mapping):
        return None, configs.base(), config.items()
    raise Refusal(
        f'config: found {type(config).__name__}; allowed: lbexp.config.base() with its fields set, '
        'a dict of fields, or the path of an experiment file'
    )


def _known(figures):
    if set(figures) <= set(FIGURE_FORMATS):
        return list(figures)
    raise Refusal(f'figures: found {figures!r}; allowed: {", ".join(FIGURE_FORMATS)}')


def _require_none(problems):
    if problems:
        lines = [' '.join(problem.split()) for problem in problems]
        raise RunFailed(lines, BAD_CONFIG)


def _never():
    return False
