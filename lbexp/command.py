"""What the commands share: flags, configuration, workdir, stopping, report, exit statuses."""

import math
import os
import pathlib
import re
import sys
import traceback
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from absl import flags
from ml_collections import ConfigDict

from lbexp import config as configs
from lbexp import errors
from lbexp.analysis import Analysis
from lbexp.config import check, lookup
from lbexp.config.description import described
from lbexp.exit_status import BAD_CONFIG, DIVERGED, DONE, FAILED, NO_CHECKPOINT
from lbexp.local_path import local_path
from lbexp.report import FIGURE_FORMATS
from lbexp.stop import Stop as Stop

_PRINTED = 60  # rows of a table in the terminal


def own_flags() -> flags.FlagValues:
    """The flags that every command takes; a command defines its own beside them."""
    # Values of their own, not absl's global ones: a command may be called more than once.
    flag_values = flags.FlagValues()
    config = (
        "experiment file, FILE.py or FILE.py:ARGUMENT, or the name of one of lbexp's; "
        '--config.FIELD=VALUE overrides a field of it'
    )
    flags.DEFINE_string('config', None, config, flag_values=flag_values)
    workdir = (
        'folder of the run; default: runs/NAME-HASH, the same for the same configuration, code '
        'and data'
    )
    flags.DEFINE_string('workdir', None, workdir, flag_values=flag_values)
    everything = 'show every frame of an exception, those of lbexp and JAX among them'
    flags.DEFINE_bool('traceback', False, everything, flag_values=flag_values)
    figures = "files of each figure beside the report, of 'png' and 'pdf'; none: --figures="
    flags.DEFINE_list('figures', list(FIGURE_FORMATS), figures, flag_values=flag_values)
    flags.register_validator(
        'figures',
        _formats_are_known,
        f'allowed: {", ".join(FIGURE_FORMATS)}',
        flag_values=flag_values,
    )
    return flag_values


def _formats_are_known(formats):
    return set(formats) <= set(FIGURE_FORMATS)


def parse(
    flag_values: flags.FlagValues, argv: list[str], words: tuple[str, ...] = ()
) -> tuple[list, list[str], list[str]]:
    """Parses argv into `given`.

    Args:
        words: what may stand there beside flags.

    Returns:
        The overrides of the configuration, (path, text); the words found; and what is wrong.
    """
    arguments, overrides = _split(argv)
    try:
        left = flag_values(arguments, known_only=True)[1:]
    except flags.Error as error:  # a flag without its value
        return overrides, [], [str(error)]
    if flag_values.traceback:
        os.environ['JAX_TRACEBACK_FILTERING'] = 'off'  # before JAX is imported
    known = [*words, *(f'--{name}' for name in flag_values)]
    found, wrong = [], []
    for token in left:
        if token in words:
            found.append(token)
        else:
            wrong.append(f'{token}: not a flag.{lookup.nearest(token, known)}')
    return overrides, found, wrong


def read(flag_values: flags.FlagValues, overrides: list) -> tuple:
    """The configuration with its overrides, and what is wrong with it; None where it cannot be
    read.

    What goes wrong in the experiment file passes.
    """
    if not flag_values.is_parsed() or not flag_values.config:
        here = ', '.join(configs.experiment_files())
        rule = 'allowed: an experiment file FILE.py, or the name of one of lbexp'
        return None, [f'--config: not given; {rule}: {here}']
    config, problems = experiment(flag_values.config)
    if config is None:
        return None, problems
    return overridden(config, overrides, configs.override)


def experiment(argument: str) -> tuple[ConfigDict | None, list[str]]:
    """The configuration of an experiment file, FILE.py or FILE.py:ARGUMENT, and what is wrong with
    it; what goes wrong in the file passes."""
    file, colon, text = argument.partition(':')
    try:
        return configs.load(f'{local_path(file, "--config")}{colon}{text}'), []
    except errors.Refusal as error:
        return None, [f'--config: {error}']


def overridden(
    config: ConfigDict,
    overrides: Iterable[tuple[str, Any]],
    override: Callable[[ConfigDict, str, Any], None],
) -> tuple[ConfigDict | None, list[str]]:
    """The configuration with these (path, value) set, in place, and what is wrong with it.

    Args:
        override: sets one of them: `configs.override` of texts, `configs.assign` of values.
    """
    problems = []
    # Names first: which arguments a part takes depends on its name.
    for path, value in sorted(overrides, key=_is_no_name):
        try:
            override(config, path, value)
        except ValueError as error:
            problems.append(f'config.{error}')
    if problems:
        return config, problems
    problems = [f'config.{problem}' for problem in check.check_fields(config)]
    if problems:
        return None, problems
    return config, []


def _is_no_name(override):
    path, _ = override
    return not path.endswith('.name')


def trusted(flag_values: flags.FlagValues, overrides: list) -> set[str] | None:
    """The names outside lbexp that the user gives, by an experiment file; None: he trusts the
    workdir."""
    if flag_values.trust_workdir:
        return None
    if not flag_values.config:
        return set()
    config, problems = read(flag_values, overrides)
    if problems:
        raise errors.Refusal(problems[0])
    return lookup.outside_names(configs.plain(config))


def fields_help() -> str:
    """What --help says of the configuration."""
    return (
        'Fields of the configuration (and the arguments of each part, such as '
        f'optimizer.k):\n{described()}'
    )


def _split(argv):
    """argv without, and (path, text) for, each '--config.PATH=TEXT' or '--config.PATH TEXT'."""
    arguments, overrides = [], []
    tokens = iter(argv)
    for token in tokens:
        match = re.match(r'--?config\.([^=]+)(=(.*))?$', token, re.DOTALL)
        if not match:
            arguments.append(token)
        elif match[2]:
            overrides.append((match[1], match[3]))
        else:
            overrides.append((match[1], next(tokens, '')))
    return arguments, overrides


def prepare(config):
    """Sets JAX up for a run of this configuration, before JAX starts."""
    from lbexp.parallel import hosts
    from lbexp.parallel.devices import devices

    if config.data.partition == 'independent' and config.data.hosts is None:
        # a run that goes on with other processes goes on with these orders
        config.data.hosts = hosts.count()
    many_trials = bool(config.sweep or config.search) or config.study.name != 'training'
    shards = math.ceil((config.data_parallel or 1) / hosts.count())
    devices(shards, many_trials)


def define_trackers(flag_values: flags.FlagValues) -> None:
    """Defines --trackers, of the commands that train."""
    trackers = (
        "what shows the rows elsewhere while they come: 'tensorboard', 'wandb', 'mlflow', or "
        "'package.module:function'; none: --trackers="
    )
    flags.DEFINE_list('trackers', ['tensorboard'], trackers, flag_values=flag_values)


def checked(config, trackers: Sequence[str] = ()) -> list[str]:
    """What is wrong with the configuration, and with the trackers of these names, one line each."""
    problems = [f'config.{problem}' for problem in check.check(config)]
    for name in trackers:
        try:
            lookup.build('tracker', {'name': name})
        except errors.Refusal as error:
            problems.append(f'--trackers: {error}')
    return problems


def refuse(problems: list[str]) -> int:
    """Prints what is wrong; returns the exit status."""
    for problem in problems:
        print(f'lbexp: {" ".join(problem.split())}', file=sys.stderr)  # each is one line
    return BAD_CONFIG


def tell(error: Exception, everything: bool = False, who: str = 'lbexp') -> int:
    """Prints what ended a command, in one line; returns the exit status.

    Args:
        everything: the traceback too.
        who: says it.
    """
    if everything:
        traceback.print_exception(error)
    if errors.refused(error):
        return refuse([str(error)])
    line, status = ending(error)
    print(f'{who}: {line}', file=sys.stderr)
    return status


def ending(error: Exception) -> tuple[str, int]:
    """What ended a command, in one line, and the exit status."""
    if errors.refused(error):
        return ' '.join(str(error).split()), BAD_CONFIG
    if isinstance(error, errors.Damaged):
        return str(error), NO_CHECKPOINT
    return in_words(error), FAILED


def in_words(error: Exception) -> str:
    """One line: what the disk said, or an exception with its place and how to see more."""
    if isinstance(error, OSError) and errors.user_frame(error) is None:
        return f'{error.strerror or error}: {error.filename or ""}'.rstrip(': ')
    if errors.refused(error):
        return errors.describe(error)
    return f'{errors.describe(error)}; --traceback shows all'


def report(
    analysis: Analysis, workdir: pathlib.Path, figure_formats: Sequence[str] = FIGURE_FORMATS
) -> int:
    """Writes the page, figures and claims, prints tables and verdict; returns the exit status."""
    return show(analysis, workdir, write(analysis, workdir, figure_formats))


def write(
    analysis: Analysis, workdir: pathlib.Path, figure_formats: Sequence[str] = FIGURE_FORMATS
) -> pathlib.Path:
    """Writes the page, figures and claims; returns the path of the page."""
    from lbexp.report import claims, page

    path = page.page(workdir, analysis, figure_formats)
    claims.write(workdir, analysis)
    return path


def show(analysis: Analysis, workdir: pathlib.Path, path: pathlib.Path) -> int:
    """Prints tables, verdict and the path of the page; returns the exit status."""
    from lbexp import results
    from lbexp.report import best, claims, networks, table

    # A study that has tables of its own says in them what its trials are.
    finals, metric = results.final(workdir), networks.target(results.summary(workdir))
    tables = analysis.tables or [table.table(finals, target=metric)]
    for content in [*claims.claims(analysis), *tables]:
        if len(content.rows) <= _PRINTED:
            table.show(content)
        else:
            print(f'{content.title}: {len(content.rows)} rows, in the report')
    answer = best.answer(finals, best.comparison(finals, metric))
    lines = [line for line in (answer, analysis.verdict, f'report: {path}') if line]
    print('\n'.join(lines), flush=True)
    return status(workdir)


def status(workdir: pathlib.Path) -> int:
    """The exit status of a run that came to its end."""
    from lbexp import results

    diverged = results.final(workdir)['status'] == 'diverged'
    if len(diverged) and diverged.all():
        return DIVERGED
    return DONE
