"""Which folder a run is in."""

import glob
import hashlib
import json
import pathlib
import re
from collections.abc import Callable

from absl import flags

from lbexp import config as configs
from lbexp.links import refuse_links
from lbexp.local_path import local_path
from lbexp.settings import Settings


def fingerprint_of(settings: flags.FlagValues | Settings, trials: list[dict]) -> dict[str, str]:
    """Of the code and the data of resolved configurations, and of the experiment file."""
    from lbexp.engine.fingerprint import fingerprint

    file = configs.experiment_file(settings.config) if settings.config else None
    return fingerprint(trials, file)


def workdir_of(
    settings: flags.FlagValues | Settings, digest: Callable[[], str], code: dict[str, str]
) -> pathlib.Path:
    """The folder that --workdir names, or else the default one.

    Args:
        digest: gives that of the configuration and its trials; asked where no --workdir is given.
        code: the fingerprint of code and data.

    Raises:
        Refusal: --workdir is no path, or a link in the workdir leads out of it.
    """
    if settings.workdir:
        return chosen_workdir(settings.workdir)
    return default_workdir(settings.config, digest(), code)


def chosen_workdir(path: str) -> pathlib.Path:
    """The folder that --workdir names.

    Raises:
        Refusal: it is no path, or a link in the workdir leads out of it.
    """
    workdir = local_path(path, '--workdir')
    refuse_links(workdir, workdir)
    return workdir


def default_workdir(experiment: str | None, content: str, code: dict[str, str]) -> pathlib.Path:
    """runs/NAME-HASH-HASH: the same command finds its workdir again; another configuration, code or
    data has another.

    Args:
        experiment: the experiment file, FILE.py or FILE.py:ARGUMENT; None: there is none.
        content: the digest of the configuration and its trials, `lbexp.config.digest`.
        code: the fingerprint of code and data.

    Raises:
        Refusal: a link in the workdir leads out of it.
    """
    # Two digests: `with_other_code` finds the workdirs that differ in the second alone.
    of_code = hashlib.sha256(json.dumps(code, sort_keys=True).encode()).hexdigest()
    workdir = pathlib.Path('runs') / f'{_name(experiment)}-{content[:8]}-{of_code[:6]}'
    refuse_links(workdir, workdir)
    return workdir


def candidates(settings: flags.FlagValues | Settings) -> list[pathlib.Path]:
    """Workdirs that a command may have, as far as is known before code and data are: that of
    --workdir, or each of the name.

    Raises:
        Refusal: --workdir is no path of this machine.
    """
    if settings.workdir:
        return [local_path(settings.workdir, '--workdir')]
    return sorted(pathlib.Path('runs').glob(f'{glob.escape(_name(settings.config))}-*'))


def _name(experiment):
    """Of the experiment file and its argument."""
    file, _, argument = (experiment or 'run').partition(':')
    return '-'.join(filter(None, [pathlib.Path(file).stem, re.sub(r'\W+', '_', argument)]))


def with_other_code(settings: flags.FlagValues | Settings, workdir: pathlib.Path) -> list[str]:
    """Default workdirs of the same configuration with other code or data."""
    if settings.workdir:
        return []
    same_config = workdir.name.rpartition('-')[0]
    others = []
    # An older version's workdirs have no digest of the code in their names.
    for pattern in (f'{same_config}-*', same_config):
        for other in workdir.parent.glob(pattern):
            if other != workdir and (other / 'config.json').exists():
                others.append(str(other))
    return sorted(others)
