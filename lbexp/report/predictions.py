"""What a trained network gets wrong, or writes, as predictions.json of the workdir has it, in
HTML."""

from html import escape

from lbexp.analysis import Table
from lbexp.documents import Predictions
from lbexp.report import elements
from lbexp.report.elements import Section

_WIDEST = 20  # classes of a matrix; of more, the pairs that are confused most
_SHADE = 'rgb(11 92 173 / {:.2f})'


def sections(kept: Predictions | None) -> list[Section]:
    """Confusion matrix, hardest examples, texts; what there is of them."""
    if kept is None:
        return []
    of = f'trial {kept.trial}, step {kept.step}'
    parts = []
    if kept.confusion:
        caption = f'Counts of {kept.examples:,} test examples; {of}. Shade: share of the row.'
        body = _matrix(kept) if len(kept.classes) <= _WIDEST else _pairs(kept)
        body += f'<p class="caption">{escape(caption)}</p>'
        parts.append(Section('Confusion', body, 'confusion'))
    if kept.hardest:
        parts.append(Section('Hardest test examples', _hardest(kept, of), 'hardest'))
    if kept.texts:
        lines = ''.join(f'<li>{escape(text)}</li>' for text in kept.texts)
        body = f'<ol>{lines}</ol><p class="caption">{escape(of)}; drawn without a prompt.</p>'
        parts.append(Section('Samples', body, 'samples'))
    return parts


def _matrix(kept):
    names = [escape(name) for name in kept.classes]
    head = ''.join(f'<th scope="col">{name}</th>' for name in names)
    rows = []
    for name, counts in zip(names, kept.confusion):
        total = max(sum(counts), 1)
        cells = []
        for count in counts:
            shade = f' style="background: {_SHADE.format(0.8 * count / total)}"' if count else ''
            cells.append(f'<td{shade}>{count or "·"}</td>')
        rows.append(f'<tr><th scope="row">{name}</th>{"".join(cells)}</tr>')
    corner = '<th scope="col">label ↓ predicted →</th>'
    return (
        f'<div class="wide"><table class="matrix"><thead><tr>{corner}{head}</tr></thead>'
        f'<tbody>{"".join(rows)}</tbody></table></div>'
    )


def _pairs(kept):
    """The pairs of classes that are confused most."""
    confused = []
    for label, counts in zip(kept.classes, kept.confusion):
        for predicted, count in zip(kept.classes, counts):
            if count and predicted != label:
                confused.append((count, sum(counts), label, predicted))
    confused.sort(key=lambda pair: -pair[0])
    rows = []
    for count, total, label, predicted in confused[:_WIDEST]:
        rows.append([label, predicted, count, count / total])
    columns = ['label', 'predicted', 'examples', 'share of the label']
    return elements.table(Table('', columns, rows))


def _hardest(kept, of):
    cards = []
    for hard in kept.hardest:
        picture = ''
        if hard.picture:
            source = f'data:image/webp;base64,{escape(hard.picture)}'
            picture = f'<img src="{source}" alt="test example {hard.place}">'
        words = f'{hard.label}, taken for {hard.predicted}'
        if hard.label == hard.predicted:
            words = hard.label
        cards.append(
            f'<figure class="card">{picture}<figcaption>{escape(words)}<br>'
            f'p = {hard.probability:.2g}, no. {hard.place}</figcaption></figure>'
        )
    caption = f'The largest losses; p: probability of the label; no.: place in the set; {of}.'
    return f'<div class="cards">{"".join(cards)}</div><p class="caption">{escape(caption)}</p>'
