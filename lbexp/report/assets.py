"""What the page of a report looks like, and how it draws its figures: CSS and JavaScript."""

import base64
import functools
import gzip

STYLE = """
:root { color-scheme: light dark; --ink: #1c2024; --soft: #5b6570; --paper: #fff; --line: #dde1e6; --shade: #f5f7f9;
  --good: #0a6b45; --bad: #b3261e; --link: #0b5cad; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ec; --soft: #9ba6b1; --paper: #14171a; --line: #333a41;
  --shade: #1d2226; --good: #4cc38a; --bad: #ff8a80; --link: #7ab7ff; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 15px/1.5 system-ui, sans-serif; }
main { max-width: 1320px; margin: 0 auto; padding: 28px 24px 64px; }
h1 { font-size: 26px; line-height: 1.25; margin: 0 0 6px; }
h2 { font-size: 18px; margin: 0; display: inline; }
h3 { font-size: 14px; margin: 0 0 2px; } .wide + h3, .caption + h3 { margin-top: 16px; }
.verdict, .answer, .claim { font-size: 17px; margin: 6px 0; max-width: 75ch; overflow-wrap: anywhere; }
.answer { border-left: 3px solid var(--link); padding-left: 12px; } .claim { color: var(--soft); font-size: 15px; }
.facts, .caption, figcaption { color: var(--soft); font-size: 13px; margin: 6px 0 0; }
.badge { border: 1px solid; border-radius: 4px; padding: 1px 8px; font-size: 13px; font-weight: 600; }
.good { color: var(--good); } .bad { color: var(--bad); } td.bad { font-weight: 600; }
nav { display: flex; flex-wrap: wrap; gap: 2px 18px; margin: 14px 0 18px; font-size: 14px; }
.wide { overflow-x: auto; } .tall { overflow: auto; max-height: 620px; }
.tall thead th { position: sticky; top: 0; background: var(--paper); z-index: 1; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: 14px; }
th, td { padding: 4px 14px 4px 0; text-align: right; white-space: nowrap; border-bottom: 1px solid var(--line); }
th { color: var(--soft); font-weight: 600; }
th:first-child, td:first-child, .pairs td { text-align: left; }
.sortable th { cursor: pointer; } th[aria-sort=ascending]::after { content: ' ▲'; } th[aria-sort=descending]::after { content: ' ▼'; }
.pairs td { white-space: normal; overflow-wrap: anywhere; vertical-align: top; }
.pairs td:first-child { white-space: nowrap; }
.prose td { white-space: normal; text-align: left; vertical-align: top; } .prose th { text-align: left; }
code { font: 13px/1.4 ui-monospace, monospace; } pre { font: 13px/1.5 ui-monospace, monospace; white-space: pre-wrap; }
.tools { font-size: 14px; margin: 0 0 10px; } .tools label { margin-right: 18px; } .tools input { width: auto; margin: 0 4px 0 0; }
select { font: inherit; color: inherit; background: var(--shade); border: 1px solid var(--line); border-radius: 4px; }
.matrix td { text-align: center; padding: 4px 8px; } .matrix tbody th { text-align: left; } .matrix { font-size: 13px; }
.cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(112px, 1fr)); gap: 14px; }
.card img { width: 96px; height: 96px; object-fit: contain; image-rendering: pixelated; background: var(--shade); display: block; }
.grid { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 520px), 1fr)); gap: 26px 32px; }
figure { margin: 0; min-width: 0; } .plot { height: 370px; }
a { color: var(--link); } details { border-top: 1px solid var(--line); padding-bottom: 18px; }
summary { cursor: pointer; padding: 10px 0; } details:not([open]) { padding-bottom: 0; }
input { font: inherit; color: inherit; background: var(--shade); border: 1px solid var(--line); border-radius: 4px;
  padding: 4px 8px; margin: 0 0 8px; width: min(100%, 320px); }
@media (max-width: 700px) { main { padding: 16px 12px 40px; } h1 { font-size: 21px; } .plot { height: 400px; }
  table { font-size: 12.5px; } th, td { white-space: normal; padding-right: 8px; } .pairs td:first-child { white-space: normal; }
  .prose thead { display: none; } .prose, .prose tbody, .prose tr, .prose td { display: block; }
  .prose tr { border-bottom: 1px solid var(--line); padding: 6px 0; } .prose td { border: 0; padding: 1px 0; }
  .prose td:empty { display: none; } .prose td + td::before { content: attr(data-label) ': '; color: var(--soft); } }
@media print { :root { color-scheme: light; --ink: #000; --soft: #444; --paper: #fff; --line: #ccc; --link: #000; }
  input, nav, .links, .tools { display: none; } .modebar { display: none !important; } main { padding: 0; max-width: none; } .tall { max-height: none; } .wide { overflow: visible; }
  table { font-size: 10px; width: 100%; } th, td { white-space: normal; padding-right: 6px; } thead { display: table-header-group; }
  tr, figure { break-inside: avoid; } h2, h3, summary { break-after: avoid; } .grid { display: block; } figure { margin-bottom: 18px; } }
"""  # noqa: E501

SCRIPT = """
function unpack(id) {
  const element = document.getElementById(id), text = element.textContent.trim(), codes = {};
  [...element.dataset.alphabet].forEach((letter, code) => codes[letter.charCodeAt(0)] = code);
  element.remove();
  const size = Math.floor(text.length * 4 / 5), bytes = new Uint8Array(size + 4);
  for (let i = 0, j = 0; i < text.length; i += 5, j += 4) {
    let value = 0;
    for (let k = i; k < i + 5; k++) value = value * 85 + (k < text.length ? codes[text.charCodeAt(k)] : 84);
    new DataView(bytes.buffer).setUint32(j, value);
  }
  const stream = new Blob([bytes.subarray(0, size)]).stream().pipeThrough(new DecompressionStream('gzip'));
  return new Response(stream).text();
}
const dark = matchMedia('(prefers-color-scheme: dark)');
function layout(base) {
  const read = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const axis = {gridcolor: read('--line'), linecolor: read('--line'), zeroline: false};
  return {...base, xaxis: {...base.xaxis, ...axis}, yaxis: {...base.yaxis, ...axis},
    paper_bgcolor: 'rgba(0,0,0,0)', plot_bgcolor: 'rgba(0,0,0,0)', hovermode: 'closest',
    font: {color: read('--ink'), family: 'system-ui, sans-serif', size: 12}, margin: {l: 60, r: 8, t: 26, b: 44},
    modebar: {bgcolor: 'rgba(0,0,0,0)', color: read('--soft'), activecolor: read('--ink')},
    legend: {orientation: 'h', yref: 'container', y: 0, yanchor: 'bottom', x: 0, font: {size: innerWidth < 700 ? 10 : 12}}};
}
function smoothed(trace) {
  if (trace.mode !== 'lines' || trace.fill) return trace;
  let mean = 0, weight = 0;
  const y = trace.y.map(value => {
    if (value === null) { mean = weight = 0; return null; }
    mean = 0.9 * mean + 0.1 * value;
    weight = 0.9 * weight + 0.1;
    return mean / weight;
  });
  return {...trace, y};
}
async function drawAll() {
  if (!window.DecompressionStream) {
    document.querySelectorAll('.plot').forEach(plot => plot.textContent = 'This browser is too old to draw it; its files are below.');
    return;
  }
  const library = document.createElement('script');
  library.textContent = await unpack('plotly');
  document.head.append(library);
  const figures = JSON.parse(await unpack('figures'));
  const tools = document.querySelector('.tools'), views = figures.map((_, i) => document.getElementById('plot-' + i).closest('#curves'));
  const options = {responsive: true, displaylogo: false, modeBarButtonsToRemove: ['select2d', 'lasso2d']};
  const draw = size => figures.forEach((each, i) =>
    Plotly.react('plot-' + i, ...viewed(each, views[i] && tools, size), options));
  function viewed(each, tools, size) {
    const [smooth, scale] = tools ? [tools.querySelector('input').checked, tools.querySelector('select').value] : [false, ''];
    const data = smooth ? each.data.map(smoothed) : each.data, yaxis = {title: each.layout.yaxis.title, type: scale, automargin: true};
    return [data, {...layout(scale ? {...each.layout, yaxis} : each.layout), ...size}];
  }
  draw({});
  if (tools) tools.addEventListener('change', () => draw({}));
  dark.addEventListener('change', () => draw({}));
  addEventListener('beforeprint', () => draw({width: 660, height: 340}));
  addEventListener('afterprint', () => draw({}));
}
drawAll();
function unfold() {
  const target = location.hash && document.getElementById(location.hash.slice(1));
  if (target && target.tagName === 'DETAILS') target.open = true;
}
addEventListener('hashchange', unfold);
unfold();
const number = text => /^[-+]?[\\d.]/.test(text) ? parseFloat(text.replaceAll(',', '')) : NaN;
function compare(left, right) {
  const numbers = [number(left), number(right)];
  if (numbers.every(Number.isFinite)) return numbers[0] - numbers[1];
  return numbers.some(Number.isFinite) ? Number.isNaN(numbers[0]) - Number.isNaN(numbers[1]) : left.localeCompare(right);
}
function sort(head) {
  const order = head.ariaSort === 'ascending' ? 'descending' : 'ascending', column = head.cellIndex;
  const body = head.closest('table').tBodies[0], sign = order === 'ascending' ? 1 : -1;
  for (const other of head.parentElement.cells) other.removeAttribute('aria-sort');
  head.ariaSort = order;
  const text = row => row.cells[column] ? row.cells[column].textContent : '';
  body.append(...[...body.rows].sort((one, two) => sign * compare(text(one), text(two))));
}
document.querySelectorAll('.sortable th').forEach(head => {
  head.tabIndex = 0;
  head.addEventListener('click', () => sort(head));
  head.addEventListener('keydown', event => event.key === 'Enter' && sort(head));
});
document.querySelectorAll('input[type=search]').forEach(box => box.addEventListener('input', () =>
  box.parentElement.querySelectorAll('tr').forEach(row =>
    row.hidden = !row.textContent.toLowerCase().includes(box.value.toLowerCase()))));
"""  # noqa: E501

# RFC 1924, as base64.b85encode has it; ',' for '<', which would begin an element
_ALPHABET = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!#$%&()*+-;,=>?@^_`{|}~'


def packed(text: str, name: str) -> str:
    """An element that holds text, which the page's `unpack(name)` reads: gzip in base 85, a third
    of the length of a script, and nothing in it that HTML would read."""
    # Without the time of packing: equal figures give equal bytes.
    content = base64.b85encode(gzip.compress(text.encode(), 9, mtime=0)).decode()
    alphabet = _ALPHABET.replace('&', '&amp;')
    return (
        f'<script type="text/plain" id="{name}" data-alphabet="{alphabet}">'
        f'{content.replace("<", ",")}</script>'
    )


@functools.cache
def plotly() -> str:
    """The library that draws the figures."""
    from plotly.offline import get_plotlyjs

    return packed(get_plotlyjs(), 'plotly')
