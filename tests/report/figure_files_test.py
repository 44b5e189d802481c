"""Figures as files: pictures for paper, and their numbers."""

import csv
import itertools

import numpy as np
import pytest
from reports import EVERY

from lbexp.analysis import Figure, Series
from lbexp.report import figure, paper


def test_batch_sizes_are_the_ticks_of_their_axis(tmp_path):
    lines = [Series('lamb', [16, 32, 64, 1024], [4, 3, 2, 1]), Series('rule', [16, 20], [4, 2])]
    drawing = Figure('f', 'F', 'batch size', 'steps', lines, x_scale='log')
    axis = figure.figure(drawing)['layout']['xaxis']
    assert axis['tickvals'] == [16, 32, 64, 1024] and axis['ticktext'] == ['16', '32', '64', '1024']
    fit = Series('fit', np.geomspace(16, 1024, 60), np.ones(60), group='lamb')
    measured = drawing._replace(series=[lines[0]._replace(style='points'), fit])
    assert figure.figure(measured)['layout']['xaxis']['tickvals'] == [16, 32, 64, 1024]
    for other in (
        drawing._replace(x_scale='linear'),
        drawing._replace(series=[Series('s', [1, 1.2, 0], [1, 1, 1])]),
    ):
        assert 'tickvals' not in figure.figure(other)['layout']['xaxis']


def test_the_picture_has_its_symbols_at_the_true_place(tmp_path):
    from matplotlib import figure as canvas

    x = [32, 64, 512]
    bars = [Series(name, x, [1, 2, 3], [0, 1, 2], [2, 3, 4], 'points', name) for name in 'ab']
    page = canvas.Figure()
    paper._draw(page, Figure('f', 'F', 'x', 'y', bars, 'log'))
    (axes,) = page.axes
    symbols = [line for line in axes.lines if line.get_marker() in ('o', 's')]
    assert [list(line.get_xdata()) for line in symbols] == [x, x]
    segments = [bars_of.get_segments() for bars_of in axes.collections]
    assert all(segment[0][0] != 512 for of_group in segments for segment in of_group[2:])


def test_a_caption_goes_where_the_picture_goes(tmp_path):
    from matplotlib import figure as canvas

    caption = 'Medians with 95 % intervals over 6 seeds, $ as it is. ' * 4
    drawing = Figure('f', 'F', 'x', 'y', [Series('s', [1, 2], [1, 2])], caption=caption)
    written = []
    original = canvas.Figure.supxlabel

    def supxlabel(page, text, **arguments):
        written.append(text)
        return original(page, text, **arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(canvas.Figure, 'supxlabel', supxlabel)
        with_caption = paper.save(drawing, tmp_path / 'with')
        without = paper.save(drawing._replace(caption=''), tmp_path / 'without')
    (text,) = written
    assert text.replace('\n', ' ').replace('\\$', '$') == caption.strip()
    from matplotlib.image import imread

    heights = [imread(paths['png']).shape[0] for paths in (with_caption, without)]
    assert heights[0] > heights[1]


def test_files_for_paper_and_numbers(tmp_path):
    paths = paper.save(EVERY, tmp_path / 'figures')
    png, pdf, numbers = paths['png'], paths['pdf'], paths['csv']
    assert png.read_bytes()[:8] == b'\x89PNG\r\n\x1a\n' and pdf.read_bytes()[:5] == b'%PDF-'
    assert {path.name for path in (png, pdf, numbers)} == {'every.png', 'every.pdf', 'every.csv'}
    rows = list(csv.reader(numbers.read_text().splitlines()))
    assert rows[0] == ['series', 'group', 'batch <size>', 'steps', 'low', 'high']
    assert rows[4] == ['in a band', 'in a band', '1', '3', '2', '4'] and len(rows) == 12
    from matplotlib.image import imread

    picture = imread(png)
    assert picture.shape[1] >= 800 and picture.std() > 0.05


def test_formats_that_are_asked_for(tmp_path):
    """What is not asked for goes: an older drawing would pass for this one."""
    assert set(paper.save(EVERY, tmp_path)) == {'csv', 'png', 'pdf'}
    assert set(paper.save(EVERY, tmp_path, ['pdf'])) == {'csv', 'pdf'}
    assert {path.name for path in tmp_path.iterdir()} == {'every.csv', 'every.pdf'}
    paper.save(EVERY, tmp_path, [])
    assert {path.name for path in tmp_path.iterdir()} == {'every.csv'}


@pytest.mark.parametrize('span', [(2, 9), (20, 500), (1, 1e5)])
def test_printed_labels_of_a_logarithmic_axis_do_not_overlap(span):
    from matplotlib import figure as canvas

    x = np.geomspace(*span, 30)
    page = canvas.Figure(figsize=(5.2, 3.4))
    paper._draw(page, Figure('f', 'F', 'x', 'y', [Series('s', x, x)], 'log', 'log'))
    page.canvas.draw()
    (axes,) = page.axes
    labels = [*axes.get_xticklabels(), *axes.get_xticklabels(minor=True)]
    boxes = [label.get_window_extent() for label in labels if label.get_text()]
    low, high = axes.bbox.x0 - 1, axes.bbox.x1 + 1
    shown = sorted((box.x0, box.x1) for box in boxes if low <= (box.x0 + box.x1) / 2 <= high)
    assert len(shown) >= 2 and all(left[1] < right[0] for left, right in itertools.pairwise(shown))


@pytest.mark.parametrize('group', [None, 'one'])
@pytest.mark.parametrize('count', [1, 2])
@pytest.mark.parametrize('more', [{}, {'caption': 'C.'}, {'places': ('a', 'b')}])
def test_every_arrangement_is_drawn_without_a_warning(tmp_path, group, count, more):
    """Each has one way to place its axes."""
    series = [Series(f's{number}', [0, 1], [1.0, 2.0], group=group) for number in range(count)]
    assert 'png' in paper.save(Figure('f', 'F', 'x', 'y', series, **more), tmp_path, ['png'])
