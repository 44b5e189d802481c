"""The page of kept results: verdicts, claims and figures of experiments/results."""

import json
import pathlib
import shutil

from documentation.markdown import escaped

_SHOWN = ('command', 'trials', 'jax', 'python', 'source', 'started')


def write(results: pathlib.Path, target: pathlib.Path) -> None:
    """Writes a page of each folder of results that has a verdict, with its figures, and an index.

    Args:
        results: experiments/results.
        target: folder of the pages.
    """
    target.mkdir(parents=True)
    lines = ['# Kept results', '', (results / 'README.md').read_text().partition('\n')[2].strip()]
    for folder in sorted(results.iterdir()):
        if (folder / 'verdict.txt').exists():
            (target / f'{folder.name}.md').write_text(page(folder))
            for figure in [*folder.glob('*.png'), *folder.glob('*.csv'), *folder.glob('*.json')]:
                (target / folder.name).mkdir(exist_ok=True)
                shutil.copy(figure, target / folder.name)
            lines += ['', f'## [{title(folder)}]({folder.name}.md)', '', verdict(folder)]
            lines += ['', *_picture(folder)[:1]]
    (target / 'index.md').write_text('\n'.join(lines) + '\n')


def page(folder: pathlib.Path) -> str:
    """Verdict, claims, figures and where the run was."""
    lines = [f'# {title(folder)}', '', verdict(folder), '']
    claims = folder / 'claims.md'
    if claims.exists():
        table = [line for line in claims.read_text().splitlines() if line.startswith('|')]
        lines += [*table, '']
    for picture in _picture(folder):
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
    """That of the claims, with the name of the folder."""
    claims = folder / 'claims.md'
    if not claims.exists():
        return folder.name
    return f'{folder.name}: {claims.read_text().splitlines()[0].removeprefix("# ")}'


def verdict(folder: pathlib.Path) -> str:
    return escaped((folder / 'verdict.txt').read_text().strip())


def _picture(folder):
    pictures = []
    for file in sorted(folder.glob('*.png')):
        pictures.append(f'![{file.stem.replace("_", " ")}]({folder.name}/{file.name})')
    return pictures
