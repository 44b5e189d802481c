"""What a network gets wrong, on the page: counts, pictures, texts; of a workdir that may be
anybody's."""

import base64
import json
import re

import msgspec
import pytest
from reports import bare_page, sweep

from lbexp import documents, results
from lbexp.analysis import Analysis

WEBP = base64.b64encode(b'RIFF and so on').decode()
NASTY = '<script>alert(1)</script>'


def kept(classes=('cat', 'dog'), confusion=((9, 1), (0, 5)), **fields):
    hard = documents.Hard(7, 'cat', 'dog', 0.01, WEBP)
    return documents.Predictions(
        2,
        40,
        15,
        list(classes),
        list(map(list, confusion)),
        fields.pop('hardest', [hard]),
        **fields,
    )


def shown(folder, content):
    """The page of a workdir with this predictions.json."""
    sweep(folder)
    if isinstance(content, documents.Predictions):
        content = json.dumps(msgspec.to_builtins(content))
    (folder / documents.PREDICTIONS).write_text(content)
    return bare_page(folder, Analysis('T', '', [], [])).read_text()


def test_counts_and_pictures_are_on_the_page(tmp_path):
    text = shown(tmp_path, kept())
    matrix = text[text.index('<table class="matrix">') :].partition('</table>')[0]
    assert re.findall(r'<td[^>]*>([^<]*)</td>', matrix) == ['9', '1', '·', '5']
    # the shade is the share of the row
    assert re.findall(r'/ ([\d.]+)\)', matrix) == ['0.72', '0.08', '0.80']
    assert f'src="data:image/webp;base64,{WEBP}"' in text
    assert 'cat, taken for dog' in text and 'p = 0.01, no. 7' in text
    assert 'Counts of 15 test examples; trial 2, step 40' in text
    assert 'id="samples"' not in text


def test_of_many_classes_the_pairs_that_are_confused_most_are_shown(tmp_path):
    confusion = [[10 * (i == j) for j in range(25)] for i in range(25)]
    confusion[3][4], confusion[7][1] = 6, 2
    text = shown(tmp_path, kept([f'class {i}' for i in range(25)], confusion))
    section = text[text.index('id="confusion"') :].partition('</section>')[0]
    cells = re.findall(r'<td>([^<]*)</td>', section)
    assert cells == ['class 3', 'class 4', '6', '0.375', 'class 7', 'class 1', '2', '0.16667']


def test_texts_of_a_language_model_are_text(tmp_path):
    text = shown(tmp_path, documents.Predictions(0, 5, texts=['a tool', NASTY]))
    section = text[text.index('id="samples"') :].partition('</section>')[0]
    assert '<li>a tool</li>' in section and '<script' not in section
    assert 'id="confusion"' not in text and 'id="hardest"' not in text


@pytest.mark.parametrize(
    'content',
    [
        'torn {',
        json.dumps({'trial': 0}),
        json.dumps(
            {
                'trial': 0,
                'step': 1,
                'hardest': [
                    {
                        'place': 0,
                        'label': 'a',
                        'predicted': 'b',
                        'probability': 0.5,
                        'picture': '"><script>',
                    }
                ],
            }
        ),
    ],
)
def test_a_damaged_or_hostile_file_is_told_and_left_out(tmp_path, content, capsys):
    text = shown(tmp_path, content)
    assert 'id="confusion"' not in text and 'id="hardest"' not in text
    assert 'predictions.json: found a damaged file' in capsys.readouterr().err


def test_names_of_classes_are_text(tmp_path):
    text = shown(tmp_path, kept([NASTY, 'dog']))
    assert NASTY not in text and '&lt;script&gt;alert(1)' in text


def test_without_the_file_nothing_is_shown(tmp_path):
    assert results.predictions(sweep(tmp_path)) is None
    assert 'class="matrix"' not in bare_page(tmp_path, Analysis('T', '', [], [])).read_text()
