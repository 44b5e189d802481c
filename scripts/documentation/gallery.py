"""The page of kept results: verdicts, claims and figures of experiments/results."""

import json
import pathlib
import shutil

from documentation.markdown import escaped

_SHOWN = ('command', 'trials', 'jax', 'python', 'source', 'started')


def write(results: pathlib.Path, target: pathlib.Path) -> None:
    """Writes a page of each folder of results, with its figures, and an index.

    Args:
        results: experiments/results.
        target: folder of the pages.
    """
    target.mkdir(parents=True)
    lines = ['# Kept results', '', _body(results / 'README.md')]
    for folder in sorted(results.iterdir()):
        if not folder.is_dir():
            continue
        files = target / folder.name
        files.mkdir()
        if (folder / 'verdict.txt').exists():
            (target / f'{folder.name}.md').write_text(page(folder))
            kept, name, text = ('*.png', '*.csv', '*.json'), f'{folder.name}.md', verdict(folder)
        else:  # measurements of a machine, which a page of their own tells
            kept, name, text = ('*.md',), f'{folder.name}/README.md', ''
        for pattern in kept:
            for file in folder.glob(pattern):
                shutil.copy(file, files)
        lines += ['', f'## [{title(folder)}]({name})', '', text, '', *_pictures(folder)[:1]]
    (target / 'index.md').write_text('\n'.join(lines) + '\n')


def page(folder: pathlib.Path) -> str:
    """Verdict, claims, figures and where the run was."""
    lines = [f'# {title(folder)}', '', verdict(folder), '']
    claims = folder / 'claims.md'
    if claims.exists():
        table = [line for line in claims.read_text().splitlines() if line.startswith('|')]
        lines += [*table, '']
    for picture in _pictures(folder):
        lines += [picture, '']
    files = sorted(folder.glob('*.csv')) + sorted(folder.glob('*.json'))
    links = [f'[{file.name}]({folder.name}/{file.name})' for file in files]
    lines += ['## Run', '', f'Files: {", ".join(links)}.', '']
    environment = json.loads((folder / 'environment.json').read_text())
    lines += ['| | |', '|---|---|']
    for name in _SHOWN:
        if name in environment:
            lines.append(f'| {name} | `{environment[name]}` |')
    return '\n'.join(lines) + '\n'


def title(folder: pathlib.Path) -> str:
    """That of the claims, or of the page of a folder without, behind the folder's name."""
    for name in ('claims.md', 'README.md'):
        if (folder / name).exists():
            heading = (folder / name).read_text().splitlines()[0].removeprefix('# ')
            return f'{folder.name}: {heading}'
    return folder.name


def verdict(folder: pathlib.Path) -> str:
    return escaped((folder / 'verdict.txt').read_text().strip())


def _body(file):
    """A page without its title."""
    return file.read_text().partition('\n')[2].strip()


def _pictures(folder):
    pictures = []
    for file in sorted(folder.glob('*.png')):
        pictures.append(f'![{file.stem.replace("_", " ")}]({folder.name}/{file.name})')
    return pictures
