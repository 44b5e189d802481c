"""Builds the documentation as a site of HTML, offline, with warnings as errors.

    pip install -e '.[docs]'
    python scripts/build_docs.py             into build/site; the pages are in build/docs
    python scripts/build_docs.py FOLDER      into FOLDER/site and FOLDER/docs

Pages are those of docs/; the reference, from the functions that `python -m lbexp.list` prints; the
tutorials, which are run; the results of experiments/results; and a list of the tests. The pages
fetch nothing from elsewhere. docs/zensical.toml has the navigation. On 2 CPU cores: two minutes,
for the tutorials. Exit status: 0 done, 1 a page, a link or a tutorial is wrong, 2 wrong use.
"""

import os
import pathlib
import re
import shutil
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent
sys.path[:0] = [str(HERE), str(ROOT)]

from documentation import gallery, interface, list_of_tests, reference

_TUTORIALS_AT_ONCE = 2
# What a page would fetch from elsewhere.
_OUTSIDE = re.compile(r'<(?:script|img|iframe)[^>]*\ssrc="?https?:|<link[^>]*\shref="?https?:')


def main(argv: list[str]) -> int:
    if len(argv) > 2 or argv[-1].startswith('-'):
        print(__doc__, file=sys.stderr)
        return 2
    folder = pathlib.Path(argv[1]).absolute() if len(argv) == 2 else ROOT / 'build'
    write_pages(folder / 'docs')
    if not run_tutorials(folder / 'docs' / 'tutorials'):
        return 1
    shutil.copy(ROOT / 'docs' / 'zensical.toml', folder)
    shutil.rmtree(folder / 'site', ignore_errors=True)
    command = [sys.executable, '-m', 'zensical', 'build', '--strict', '--clean']
    if subprocess.run(command, cwd=folder).returncode:
        return 1
    return tell_outside(folder / 'site')


def write_pages(pages: pathlib.Path) -> None:
    """Copies docs/, and adds what is made."""
    shutil.rmtree(pages, ignore_errors=True)
    unwritten = shutil.ignore_patterns('*.py', '*.toml', '__pycache__')
    shutil.copytree(ROOT / 'docs', pages, ignore=unwritten)
    for name, text in {**reference.pages(), **interface.pages()}.items():
        file = pages / 'reference' / name
        if file.exists():  # which has a title
            text = file.read_text() + text.partition('\n')[2]
        file.write_text(text)
    gallery.write(ROOT / 'experiments' / 'results', pages / 'results')
    with open(pages / 'how_we_know.md', 'a') as file:
        file.write(list_of_tests.section(ROOT / 'tests'))


def run_tutorials(target: pathlib.Path) -> bool:
    """Whether every tutorial of docs/tutorials ran; their pages are in the folder then."""
    script = HERE / 'documentation' / 'notebook.py'
    waiting = sorted((ROOT / 'docs' / 'tutorials').glob('*.py'))
    environment = {**os.environ, 'JAX_PLATFORMS': 'cpu'}
    statuses = []
    while waiting:
        running = []
        for file in waiting[:_TUTORIALS_AT_ONCE]:
            command = [sys.executable, str(script), str(file), str(target)]
            running.append(subprocess.Popen(command, env=environment))
        statuses += [process.wait() for process in running]
        del waiting[:_TUTORIALS_AT_ONCE]
    return not any(statuses)


def tell_outside(site: pathlib.Path) -> int:
    """1 where a page would fetch something from elsewhere, which is told."""
    status = 0
    for file in sorted(site.rglob('*.html')):
        for match in _OUTSIDE.finditer(file.read_text()):
            print(f'{file.relative_to(site)}: {match[0]}', file=sys.stderr)
            status = 1
    return status


if __name__ == '__main__':
    sys.exit(main(sys.argv))
