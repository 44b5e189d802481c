"""Compares runs on one page: curves one over the other, paired differences of the results with
intervals, and what differs between their configurations.

    python -m lbexp.compare runs/lamb-... runs/momentum-...
    python -m lbexp.compare 'runs/*' --to=comparison

Differences are from the first run, of trials that have the same seed. A folder above workdirs
stands for all of them. Nothing in a workdir is run or written. Writes report.html and the figures
into --to, by default the folder 'comparison'. Exit status: 0 done, 1 the disk failed, 2 something
given is wrong.
"""

import argparse
import glob
import signal
import sys

from lbexp import command
from lbexp.errors import Refusal
from lbexp.exit_status import DONE
from lbexp.local_path import local_path
from lbexp.output import outlive_readers
from lbexp.report import FIGURE_FORMATS


def main(argv: list[str]) -> int:
    """Parses, compares, prints the tables and where the page is. Returns the exit status."""
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        'python -m lbexp.compare', description=__doc__, formatter_class=form
    )
    parser.add_argument('workdirs', nargs='+', help='workdirs, folders above them, patterns')
    parser.add_argument('--to', default='comparison', metavar='FOLDER', help='folder to write to')
    words = "files of each figure, of 'png' and 'pdf'; none: --figures="
    parser.add_argument('--figures', default=','.join(FIGURE_FORMATS), help=words)
    options = parser.parse_args(argv[1:])
    try:
        return _compare(options)
    except Exception as error:
        return command.tell(error)


def _compare(options):
    formats = list(filter(None, options.figures.split(',')))
    if not set(formats) <= set(FIGURE_FORMATS):
        raise Refusal(f'--figures: found {options.figures}; allowed: {", ".join(FIGURE_FORMATS)}')
    # imports what takes a second, which a refusal should not wait for
    from lbexp.report import comparison, table

    folder = local_path(options.to, '--to')
    compared = comparison.comparison(_expanded(options.workdirs))
    path = comparison.write(compared, folder, formats)
    for content in comparison.tables(compared):
        table.show(content)
    print(f'report: {path}', flush=True)
    return DONE


def _expanded(patterns):
    """Paths, and what those match that are patterns, which a shell may have left as they are."""
    paths = {}
    for pattern in patterns:
        path = str(local_path(pattern, 'workdir'))
        matches = sorted(glob.glob(path)) if glob.has_magic(path) else [path]
        paths |= dict.fromkeys(matches or [path])
    return list(paths)


if __name__ == '__main__':
    outlive_readers()
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # files are whole or not there
    sys.exit(main(sys.argv))
