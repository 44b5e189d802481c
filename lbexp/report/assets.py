"""What the page of a report looks like, and how it draws its figures: CSS and JavaScript."""

STYLE = """
:root { color-scheme: light dark; --ink: #1c2024; --soft: #5b6570; --paper: #fff; --line: #dde1e6; --shade: #f5f7f9;
  --good: #0a6b45; --bad: #b3261e; --link: #0b5cad; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ec; --soft: #9ba6b1; --paper: #14171a; --line: #333a41;
  --shade: #1d2226; --good: #4cc38a; --bad: #ff8a80; --link: #7ab7ff; } }
@media print { :root { color-scheme: light; --ink: #000; --soft: #444; --paper: #fff; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 15px/1.5 system-ui, sans-serif; }
main { max-width: 1320px; margin: 0 auto; padding: 28px 24px 64px; }
h1 { font-size: 26px; line-height: 1.25; margin: 0 0 6px; }
h2 { font-size: 18px; margin: 32px 0 10px; }
h3 { font-size: 14px; margin: 0 0 2px; }
.verdict { font-size: 17px; margin: 6px 0; max-width: 75ch; }
.facts, .caption, figcaption { color: var(--soft); font-size: 13px; margin: 6px 0 0; }
.badge { border: 1px solid; border-radius: 4px; padding: 1px 8px; font-size: 13px; font-weight: 600; }
.good { color: var(--good); } .bad { color: var(--bad); } td.bad { font-weight: 600; }
.wide { overflow: auto; max-height: 620px; }
thead th { position: sticky; top: 0; background: var(--paper); }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: 14px; }
th, td { padding: 4px 14px 4px 0; text-align: right; white-space: nowrap; border-bottom: 1px solid var(--line); }
th { color: var(--soft); font-weight: 600; }
th:first-child, td:first-child, .pairs td { text-align: left; }
.pairs td { white-space: normal; overflow-wrap: anywhere; vertical-align: top; }
.pairs td:first-child { white-space: nowrap; }
.prose td { white-space: normal; text-align: left; vertical-align: top; } .prose th { text-align: left; }
code { font: 13px/1.4 ui-monospace, monospace; }
.grid { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 520px), 1fr)); gap: 26px 32px; }
figure { margin: 0; min-width: 0; } .plot { height: 370px; }
a { color: var(--link); } details { border-top: 1px solid var(--line); }
summary { cursor: pointer; padding: 10px 0; } summary h2 { display: inline; margin: 0; }
input { font: inherit; color: inherit; background: var(--shade); border: 1px solid var(--line); border-radius: 4px;
  padding: 4px 8px; margin: 0 0 8px; width: min(100%, 320px); }
@media print { input, .links { display: none; } .wide { max-height: none; } }
"""  # noqa: E501

SCRIPT = """
const figures = JSON.parse(document.getElementById('figures').textContent);
const dark = matchMedia('(prefers-color-scheme: dark)');
function layout(own) {
  const read = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const axis = {gridcolor: read('--line'), linecolor: read('--line'), zeroline: false};
  return {...own, xaxis: {...own.xaxis, ...axis}, yaxis: {...own.yaxis, ...axis},
    paper_bgcolor: 'rgba(0,0,0,0)', plot_bgcolor: 'rgba(0,0,0,0)', hovermode: 'closest',
    font: {color: read('--ink'), family: 'system-ui, sans-serif', size: 12}, margin: {l: 60, r: 8, t: 26, b: 44},
    modebar: {bgcolor: 'rgba(0,0,0,0)', color: read('--soft'), activecolor: read('--ink')},
    legend: {orientation: 'h', yref: 'container', y: 0, yanchor: 'bottom', x: 0}};
}
const options = {responsive: true, displaylogo: false, modeBarButtonsToRemove: ['select2d', 'lasso2d']};
const draw = () => figures.forEach((one, i) => Plotly.react('plot-' + i, one.data, layout(one.layout), options));
draw();
dark.addEventListener('change', draw);
document.querySelectorAll('input[type=search]').forEach(box => box.addEventListener('input', () =>
  box.parentElement.querySelectorAll('tr').forEach(row =>
    row.hidden = !row.textContent.toLowerCase().includes(box.value.toLowerCase()))));
"""  # noqa: E501
