"""The documentation: it is built with warnings as errors, its tutorials run, and what is made of
docstrings reads as they do."""

import importlib.util
import json
import pathlib
import re
import runpy
import subprocess
import sys
import tomllib

import pytest
from jobs import ROOT, environment

from lbexp import list as listing

sys.path.append(str(ROOT / 'scripts'))

from documentation import gallery, interface, markdown, notebook, reference

DOCS = ROOT / 'docs'
TUTORIALS = sorted((DOCS / 'tutorials').glob('*.py'))


def test_a_docstring_reads_as_it_stands():
    text = 'v_t = b * v <- [0, 1), `a*b`\n\n    w <- w - v\n\nthe end:\n    x_1\n* an item'
    expected = (
        'v\\_t = b \\* v \\<- \\[0, 1), `a*b`\n\n    w <- w - v\n\nthe end:\n\n    x_1\n* an item'
    )
    assert markdown.prose(text) == expected
    assert markdown.prose('A list.\n\nlamb   layers\n       go on\nlars   *older*') == (
        'A list.\n\n* `lamb`: layers go on\n* `lars`: \\*older\\*'
    )
    assert markdown.cell('|g|  and\n|w|') == '\\|g\\| and \\|w\\|'


def test_a_signature_is_that_of_the_source():
    described = interface.described('lbexp:run', 2)
    assert described.startswith('## `run` { #lbexp.run }\n\n```python\nlbexp.run(\n    config: ')
    assert '\n) -> Result\n```' in described
    assert '| `restart_lost` | train from the start' in described
    assert '\n* RunFailed: the configuration is wrong' in described
    assert 'Trial.predict(self, inputs: Any) -> Any' in interface.described(
        'lbexp.trained:Trial', 2
    )


def test_a_part_has_its_arguments_and_papers():
    text = reference.part('optimizers', 'lamb')
    assert '| `b1` | `0.9` | a number in \\[0, 1) |' in text
    assert '    w <- w - learning_rate phi(|w|) / |u| u' in text
    assert text.endswith('Papers: You et al. 2020, arXiv:1904.00962v5.')


def test_every_command_kind_and_page_is_in_the_navigation():
    navigation = (DOCS / 'zensical.toml').read_text()
    listed = set(re.findall(r'"([\w/]+\.md)"', navigation))
    for kind in listing.KINDS:
        assert f'reference/{kind}.md' in listed
    written = {str(file.relative_to(DOCS)) for file in DOCS.rglob('*.md')}
    written |= {f'tutorials/{file.stem}.md' for file in TUTORIALS}
    assert written <= listed
    commands = set(reference.command_names())
    assert {'lbexp.main', 'lbexp.list', 'lbexp.sweep.__main__', 'lbexp.data.prepare'} <= commands
    assert 'lbexp.sweep.worker' not in commands


def test_the_readme_is_a_page_with_a_picture_and_links_that_lead_somewhere():
    text = (ROOT / 'README.md').read_text()
    assert len(text.splitlines()) <= 100
    for link in re.findall(r'\]\(([^)]+)\)', text):
        assert (ROOT / link).exists(), link
    assert 5_000 < (DOCS / 'report.png').stat().st_size < 150_000


def test_every_kept_result_is_in_the_gallery(tmp_path):
    results = ROOT / 'experiments' / 'results'
    gallery.write(results, tmp_path / 'results')
    index = (tmp_path / 'results' / 'index.md').read_text()
    for folder in results.iterdir():
        if folder.is_dir():
            assert f'## [{folder.name}' in index
    page = (tmp_path / 'results' / 'remedies.md').read_text()
    assert '| Regime adaptation closes more (Hoffer et al. 2017) |' in page
    for file in re.findall(r'\]\(([^)]+)\)', page):
        assert (tmp_path / 'results' / file).exists(), file


@pytest.mark.parametrize('file', TUTORIALS, ids=lambda file: file.stem)
def test_a_tutorial_is_a_notebook(file):
    cells = notebook.read(file)
    assert cells[0].is_text and cells[0].source.startswith('# ')
    assert sum(not cell.is_text for cell in cells) >= 4
    for cell in cells:
        if not cell.is_text:
            compile(cell.source, file.name, 'exec')
    book = json.loads(notebook.jupyter(cells))
    assert [''.join(cell['source']) for cell in book['cells']] == [cell.source for cell in cells]


@pytest.mark.long
@pytest.mark.processes
def test_a_cell_shows_what_it_prints_and_its_value_and_ends_the_build_where_it_fails(tmp_path):
    script = [sys.executable, str(ROOT / 'scripts' / 'documentation' / 'notebook.py')]
    source = tmp_path / 'sums.py'

    def run(text):
        source.write_text(f'# %% [markdown]\n# # Sums\n\n# %%\nprint("three")\n{text}\n')
        command = [*script, str(source), str(tmp_path / 'pages')]
        return subprocess.run(command, env=environment(), capture_output=True, text=True)

    assert run('1 + 2').returncode == 0
    page = (tmp_path / 'pages' / 'sums.md').read_text()
    assert page.startswith('# Sums\n\n```python\nprint("three")\n1 + 2\n```')
    assert '```text\nthree\n```\n\n```text\n3\n```' in page
    failed = run('1 / 0')
    assert failed.returncode == 1 and 'ZeroDivisionError' in failed.stderr


def test_a_page_that_fetches_something_is_told(tmp_path, capsys):
    tell_outside = runpy.run_path(str(ROOT / 'scripts' / 'build_docs.py'))['tell_outside']
    page = tmp_path / 'index.html'
    page.write_text('<a href="https://there">there</a><script src="assets/here.js"></script>')
    assert tell_outside(tmp_path) == 0
    for tag in ('<script async src="https://there/x.js">', '<link rel=x href=http://there/font>'):
        page.write_text(tag)
        assert tell_outside(tmp_path) == 1
        assert 'index.html: ' in capsys.readouterr().err


@pytest.mark.long
@pytest.mark.processes
def test_the_site(tmp_path):
    """Every page, link and tutorial; nothing of this machine on it."""
    if importlib.util.find_spec('zensical') is None:
        pytest.skip("pip install '.[docs]'")
    command = [sys.executable, str(ROOT / 'scripts' / 'build_docs.py'), str(tmp_path / 'site')]
    built = subprocess.run(command, env=environment(), capture_output=True, text=True)
    assert built.returncode == 0, built.stdout + built.stderr
    site = tmp_path / 'site' / 'site'
    navigation = tomllib.loads((DOCS / 'zensical.toml').read_text())['project']['nav']
    assert len(navigation) >= 8 and (site / 'search.json').exists()
    for page in site.rglob('*.html'):
        text = page.read_text()
        for place in (ROOT, tmp_path, pathlib.Path.home() / '.cache'):
            assert str(place) not in text, page.name
    for file in TUTORIALS:
        assert (site / 'tutorials' / f'{file.stem}.html').exists()
        assert (site / 'tutorials' / f'{file.stem}.ipynb').exists()
    verdict = (ROOT / 'experiments' / 'results' / 'remedies' / 'verdict.txt').read_text()
    assert verdict[:60] in (site / 'results' / 'remedies.html').read_text()
