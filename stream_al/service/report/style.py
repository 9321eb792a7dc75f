"""The look of the report: one style sheet, light and dark, from a phone to a wide screen."""

from __future__ import annotations

STYLE = """
:root {
  color-scheme: light dark;
  --paper: #fbfaf7; --card: #ffffff; --ink: #1d2329; --soft: #5b6570; --rule: #e3e1da;
  --gate: #0b66a8; --random: #c2570c; --all: #6f7780; --truth: #1d2329; --limit: #a3323e;
  --good: #17694a; --open: #8a5a00;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #14181c; --card: #1b2026; --ink: #e7e9ea; --soft: #9aa4ae; --rule: #2d343c;
    --gate: #5cb3ec; --random: #f0a04b; --all: #97a1ab; --truth: #e7e9ea; --limit: #ef8089;
    --good: #63c79c; --open: #e3b458;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0; background: var(--paper); color: var(--ink);
  font: 16px/1.55 ui-sans-serif, system-ui, "Segoe UI", Roboto, "Noto Sans", sans-serif;
}
main { max-width: 1280px; margin: 0 auto; padding: clamp(20px, 4vw, 56px) clamp(16px, 4vw, 48px); }
h1 { font-size: clamp(26px, 3.4vw, 38px); line-height: 1.15; margin: 0 0 6px;
  letter-spacing: -.015em; text-wrap: balance; }
h2 { font-size: 21px; margin: 52px 0 4px; letter-spacing: -.01em; }
h3 { font-size: 16px; margin: 0; }
p { margin: 0; max-width: 78ch; }
header p, h2 + p, h2 + p + p, figcaption p, footer { color: var(--soft); }
h2 + p + p { margin-top: 6px; }
.verdict {
  margin: 26px 0 0; padding: 16px 20px; background: var(--card); border: 1px solid var(--rule);
  border-left: 4px solid var(--open); border-radius: 6px; font-size: 17px;
}
.verdict.better { border-left-color: var(--good); }
.verdict p { max-width: 100ch; }
dl { margin: 18px 0 0; display: grid; gap: 1px; background: var(--rule);
  border: 1px solid var(--rule); border-radius: 6px; overflow: hidden;
  grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); }
dl div { background: var(--card); padding: 12px 16px; }
dt { color: var(--soft); font-size: 13px; }
dd { margin: 0; font-size: 19px; font-variant-numeric: tabular-nums; overflow-wrap: anywhere; }
.charts { display: grid; gap: 20px; margin-top: 16px;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 460px), 1fr)); }
.charts.three { grid-template-columns: repeat(auto-fit, minmax(min(100%, 360px), 1fr)); }
.chart { container-type: inline-size; display: flex; flex-direction: column;
  margin: 0; padding: 18px 20px 12px; background: var(--card);
  border: 1px solid var(--rule); border-radius: 6px; }
figcaption p { font-size: 14px; }
.chart > svg { display: block; width: 100%; height: auto; margin-top: auto; padding-top: 8px; }
.legend { list-style: none; margin: 10px 0 0; padding: 0; display: flex; flex-wrap: wrap;
  gap: 2px 18px; font-size: 14px; }
.legend svg { width: 28px; height: 10px; margin-right: 7px; }
.tick, .name { font-size: 13.5px; fill: var(--soft); font-variant-numeric: tabular-nums; }
.grid { stroke: var(--rule); } .axis { stroke: var(--soft); }
.line { fill: none; stroke-width: 2.2; stroke-linejoin: round; stroke: var(--c); }
.band { fill: var(--c); opacity: .15; }
circle { fill: var(--c); stroke: var(--card); stroke-width: 1.5; }
.gate { --c: var(--gate); } .random { --c: var(--random); } .all { --c: var(--all); }
.truth { --c: var(--truth); } .limit { --c: var(--limit); }
.line.random { stroke-dasharray: 7 4; } .line.all { stroke-dasharray: 2 4; }
.line.truth, .line.limit { stroke-width: 1.6; stroke-dasharray: 9 3 2 3; }
.bar { fill: var(--gate); }
.hit { fill: transparent; } .guide { stroke: var(--soft); stroke-width: 1; }
.strip .guide, .strip circle { visibility: hidden; }
.strip:hover .guide, .strip:hover circle { visibility: visible; }
.strip:hover .bar { opacity: .75; }
.empty { padding: 48px 0; color: var(--soft); text-align: center; max-width: none; }
@container (max-width: 460px) { .tick, .name { font-size: 19px; } .y-name { display: none; } }
@container (min-width: 600px) { .tick, .name { font-size: 12.5px; } }
.scroll { margin-top: 16px; background: var(--card); border: 1px solid var(--rule);
  border-radius: 6px; overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: 14.5px; }
th, td { text-align: left; padding: 8px 14px; vertical-align: top; }
thead th { color: var(--soft); font-weight: 500; font-size: 13px; white-space: nowrap; }
tbody tr { border-top: 1px solid var(--rule); }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
td.text { overflow-wrap: anywhere; min-width: 22ch; }
.wrong { color: var(--limit); font-weight: 600; }
code { font: 14px ui-monospace, "Cascadia Mono", Menlo, Consolas, monospace; }
footer { margin-top: 52px; padding-top: 16px; border-top: 1px solid var(--rule); font-size: 14px; }
@media (max-width: 640px) {
  thead { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
  table, tbody, tr { display: block; }
  tbody tr { padding: 10px 0; }
  td { display: flex; gap: 14px; padding: 1px 14px; justify-content: space-between; }
  td.number { text-align: left; }
  td::before { content: attr(data-name); color: var(--soft); }
  td.text { display: block; padding-bottom: 4px; }
  td.text::before { content: none; }
}
@media print { body { background: none; } .chart, tr { break-inside: avoid; } }
"""
