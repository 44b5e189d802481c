"""Studies that tune, without training: rounds as main runs them, with rows that a function of the
test makes up."""

import json
import pathlib

from lbexp import config as configs
from lbexp.config import lookup
from lbexp.engine import record


def rounds(config, workdir: pathlib.Path, answer) -> list[dict]:
    """Records round after round, with the rows that `answer` gives, until the study wants no more.

    Args:
        answer: resolved configuration -> (rows without their trial, status).

    Returns:
        The trials of the workdir, as record returns them.
    """
    study = lookup.build('study', configs.plain(config.study))
    wanted, before = study.trials(config), []
    while True:
        entries = record.record(workdir, configs.plain(config), wanted, study.more is not None)
        if entries == before:
            return entries
        status = record.statuses(workdir)
        with open(workdir / 'metrics.jsonl', 'a') as file:
            for entry in entries:
                if entry['trial'] not in status:
                    rows, told = answer(configs.resolve(config, entry['overrides']))
                    status[entry['trial']] = {
                        'status': told,
                        'step': rows[-1]['step'] if rows else 0,
                    }
                    file.writelines(
                        json.dumps({'trial': entry['trial'], **row}) + '\n' for row in rows
                    )
        record.write_status(workdir, 'done', status)
        if study.more is None:
            return entries
        before, wanted = entries, study.more(config, workdir)


def analysis(config, workdir):
    """What the study says of the workdir."""
    return lookup.build('study', configs.plain(config.study)).analyse(workdir)
