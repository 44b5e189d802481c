"""Keeps what a study found: python scripts/keep_results.py WORKDIR experiments/results/NAME

Copies claims.md and the study's own figures (PNG, CSV), and notes command, machine and versions
beside them.
"""

import json
import pathlib
import shutil
import sys

from lbexp import documents
from lbexp.config import lookup
from lbexp.errors import Refusal


def main(argv: list[str]) -> int:
    if len(argv) != 3:
        print(__doc__, file=sys.stderr)
        return 2
    workdir, target = pathlib.Path(argv[1]), pathlib.Path(argv[2])
    try:
        facts = documents.document(workdir / documents.CONFIG, documents.Config)
    except FileNotFoundError:
        print(
            f'{workdir}: no {documents.CONFIG} there; give the --workdir of a run', file=sys.stderr
        )
        return 2
    except (Refusal, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    if not (workdir / 'report.html').exists():
        print(f'{workdir}: no report.html yet; let the run end, then keep it', file=sys.stderr)
        return 2
    study = lookup.build('study', facts['config']['study'])
    target.mkdir(parents=True, exist_ok=True)
    if (workdir / 'claims.md').exists():
        shutil.copy(workdir / 'claims.md', target)
    analysis = study.analyse(workdir)
    for figure in analysis.figures:
        for kind in ('png', 'csv'):
            shutil.copy(workdir / 'figures' / f'{figure.name}.{kind}', target)
    seen = facts['environment']
    told = {name: seen[name] for name in sorted(seen) if name not in ('git_commit', 'platform')}
    told['command'] = ' '.join(
        part for part in seen['command'].split() if not part.startswith('--workdir')
    )
    told['trials'] = len(facts['trials'])
    (target / 'environment.json').write_text(json.dumps(told, indent=1) + '\n')
    (target / 'verdict.txt').write_text(analysis.verdict + '\n')
    return 0


if __name__ == '__main__':
    sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))
    sys.exit(main(sys.argv))
