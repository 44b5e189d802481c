"""A text of one's own, by the function that the documentation shows: at most 15 lines."""

import math
import pathlib
import re

import pytest
from training import tiny, train

from lbexp.config.check import check

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
