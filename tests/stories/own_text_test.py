"""A text of one's own, by the function that the documentation shows: at most 15 lines."""

import contextlib
import io
import math
import pathlib
import re
import sys
import textwrap

import pytest
from training import tiny, train

from lbexp.config.check import check
from lbexp.main import main

PAGE = pathlib.Path(__file__).parents[2] / 'docs' / 'how_to' / 'own_data.md'
SECTION = PAGE.read_text().split('## Your own text')[1].split('\n## ')[0]
FUNCTION, WORKLOAD = re.findall('```python\n(.*?)```', SECTION, flags=re.DOTALL)


@pytest.mark.long
def test_a_text_of_mine_is_at_most_15_lines_and_is_learnt(tmp_path, monkeypatch):
    assert len([line for line in FUNCTION.splitlines() if line.strip()]) <= 15
    (tmp_path / 'mytext.py').write_text(FUNCTION)
    (tmp_path / 'book.txt').write_text('the cat sat on the mat, and the dog on the log. ' * 200)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)
    config = tiny(steps=60, batch_size=32, num_evaluations=1)
    exec(WORKLOAD, {'c': config})
    config.optimizer = dict(name='adamw', learning_rate=0.01, weight_decay=0.0)
    assert not check(config)
    (*_, last) = train(config, tmp_path / 'run')
    # 1: nothing left to guess; letters that are all as likely have 19
    letters = len(set('the cat sat on the mat, and the dog on the log. '))
    assert 1 <= last['test_perplexity'] < letters / 2
    assert last['test_token_loss'] == pytest.approx(math.log(last['test_perplexity']), rel=1e-5)


EXPERIMENT = f"""
from lbexp import config
def get_config():
    c = config.base()
{textwrap.indent(WORKLOAD, '    ')}
    c.steps, c.batch_size = 4, 8
    return c
"""
# One line of the file is one text, packed into rows.
LINES = (
    FUNCTION
    + """

def lines(path, vocabulary=256):
    from lbexp.data.packing import pack

    texts = pathlib.Path(path).read_bytes().split(b'\\n')
    packed = pack([[1, *text] for text in texts], 64)._asdict()
    ids = Input('tokens', (64,), 'int32', vocabulary=(vocabulary,), padding=0)
    target = Target('tokens', 'targets', tuple(map(chr, range(vocabulary))))
    segments = Input('tokens', (64,), 'int32', vocabulary=(256,))
    return Dataset(memory(packed), {'tokens': ids, 'segments': segments}, target, memory(packed))
"""
)
BOOK = 'the cat sat on the mat\nand the dog on the log'


def refused(*overrides):
    """The lines that the command says as it ends with 2."""
    error = io.StringIO()
    arguments = ['lbexp', '--config=experiment.py', '--workdir=run', *overrides]
    with contextlib.redirect_stderr(error), contextlib.redirect_stdout(io.StringIO()):
        assert main(arguments) == 2
    return error.getvalue().splitlines()


@pytest.mark.parametrize(
    'book, data, problem',
    [
        (f'{BOOK}\n\n{BOOK}', {}, 'sequence 2: found 1 tokens; allowed: 2'),
        ('', {}, 'sequence 0: found 1 tokens; allowed: 2 .. 65'),
        (
            BOOK,
            dict(vocabulary=110),
            'train: tokens: found id 116; allowed: 0 .. 109, the vocabulary',
        ),
    ],
)
def test_a_text_that_cannot_be_is_one_line_and_leaves_nothing(
    tmp_path, monkeypatch, book, data, problem
):
    (tmp_path / 'mytext.py').write_text(LINES)
    (tmp_path / 'experiment.py').write_text(EXPERIMENT)
    (tmp_path / 'book.txt').write_text(book)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)
    part = {'name': 'mytext:lines', 'path': 'book.txt', **data}
    (line,) = refused(f'--config.workload.data={part}')
    assert problem in line
    assert not (tmp_path / 'run').exists()
    sys.modules.pop('mytext', None)
