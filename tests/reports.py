"""What the tests of the report share: a workdir as a run would have left it, and a figure with
everything in it."""

import functools
import html.parser
import json
import math

from lbexp.analysis import Figure, Series
from lbexp.report.page import page

NASTY = '</script><script>document.title="broken"</script><b>&"\''

EVERY = Figure(
    'every',
    'Every style',
    'batch <size>',
    'steps',
    [
        Series('line', [1, 10, 100], [3, math.nan, 1]),
        Series('in a band', [1, 10, 100], [3, 2, 1], [2, 1, 0.5], [4, 3, 2]),
        Series('points', [1, 10], [3, 2], [2, 1.5], [5, 2.5], style='points'),
        Series('band', [1, 100], [2, 2], [1, 1], [3, 3], style='band', group='shared'),
        Series('single', [5], [1]),
    ],
    x_scale='log',
    y_scale='log',
)


def sweep(folder, rates=(0.1, 0.2), seeds=3, steps=40, diverged=(), environment=None, config=None):
    """A workdir of rates x seeds trials; trial t has loss (1 + t) / step, null from step 20 on if
    diverged."""
    folder.mkdir(parents=True, exist_ok=True)
    own = [
        {'optimizer.learning_rate': rate, 'seed': seed} for rate in rates for seed in range(seeds)
    ]
    rows = []
    for step in range(1, steps + 1):
        for trial in range(len(own)):
            gone = trial in diverged and step >= 20
            if gone and step > 20:
                continue
            row = {
                'trial': trial,
                'step': step,
                'examples': 32 * step,
                'epoch': step / 10,
                'wall_time': step / 100,
            }
            row |= {
                'loss': None if gone else (1 + trial) / step,
                'accuracy': 1 - 0.5 / step,
                'learning_rate': 0.1,
            }
            if step % 10 == 0:
                row |= {
                    'test_loss': None if gone else (2 + trial) / step,
                    'test_accuracy': 0.9 + trial / 100,
                }
            rows.append(row)
    (folder / 'metrics.jsonl').write_text(''.join(json.dumps(row) + '\n' for row in rows))
    config = {
        'optimizer': {'name': 'lamb', 'b1': 0.9},
        'workload': {'name': 'digits_mlp'},
        'seed': 0,
    } | (config or {})
    trials = [{'trial': trial, 'overrides': one} for trial, one in enumerate(own)]
    content = {
        'config': config,
        'trials': trials,
        'environment': environment or {'jax': '0.10.2', 'git_commit': 'abc123'},
    }
    (folder / 'config.json').write_text(json.dumps(content))
    states = {
        str(t): {'status': 'diverged' if t in diverged else 'done', 'step': steps}
        for t in range(len(own))
    }
    (folder / 'status.json').write_text(json.dumps({'status': 'done', 'trials': states}))
    return folder


# Pictures take a second each: one test has them.
bare_page = functools.partial(page, figure_formats=())


class Source(html.parser.HTMLParser):
    """Text, and what a page would load."""

    def __init__(self, text):
        super().__init__()
        self.loads, self.words, self.tags, self._tag = [], [], [], None
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self._tag = tag
        if tag != 'a':
            self.loads += [
                value for name, value in attrs if name in ('src', 'href', 'data', 'srcset')
            ]

    def handle_data(self, data):
        if self._tag not in ('script', 'style'):
            self.words.append(data)

    @property
    def text(self):
        return ' '.join(self.words)
