"""A report as one HTML file: no script, nothing from elsewhere, to be read on a screen, on paper, or aloud."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape

from penstock.base.clock import format_ms
from penstock.base.numbers import counted
from penstock.monitoring.reporting.changes import FeatureChange, Summary, TableReport, short
from penstock.monitoring.reporting.pictures import ALSO, BEFORE, COLORS, NOW, draw_bars
from penstock.monitoring.reporting.rows import STATE, Table, endpoint_tables, events_table, features_table
from penstock.monitoring.reporting.spans import EndpointReport, Span
from penstock.monitoring.reporting.timelines import timelines

DRAWN_MAX = 200
"""Features whose distributions are drawn; all are in the table."""
LINED_MAX = 2_000
"""Lines of the table of features."""
STYLE = f"""
:root {{ color-scheme: light; }}
body {{ font: 15px/1.45 system-ui, sans-serif; color: #1c1e21; background: #fff; margin: 0 auto; max-width: 60rem;
  padding: 1.5rem; }}
h1 {{ font-size: 1.6rem; margin: 0 0 .3rem; }} h2 {{ font-size: 1.2rem; margin: 2rem 0 .5rem; }}
h3 {{ font-size: 1rem; margin: 0; overflow-wrap: anywhere; }}
p {{ margin: .3rem 0; }} .lead {{ font-size: 1.05rem; }} .quiet {{ color: #555b64; }}
table {{ border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; margin: .5rem 0; }}
th, td {{ text-align: left; padding: .25rem .6rem .25rem 0; border-bottom: 1px solid #e3e5e8; vertical-align: top; }}
th {{ font-weight: 600; }} td.n, th.n {{ text-align: right; }} td:first-child, th[scope=row] {{ overflow-wrap: anywhere; }}
.drifted, .gone, .retyped {{ color: #a1260d; font-weight: 600; }} .new {{ color: #7a4b00; font-weight: 600; }}
.feature, figure {{ break-inside: avoid; page-break-inside: avoid; }}
.feature {{ border-top: 1px solid #e3e5e8; padding: .8rem 0; }}
.sides {{ display: flex; flex-wrap: wrap; gap: 1rem 1.5rem; align-items: flex-start; }}
.sides table {{ width: auto; flex: 1 1 15rem; margin: 0; }}
figure {{ margin: .6rem 0; }} figcaption {{ font-weight: 600; }} svg {{ max-width: 100%; height: auto; }}
.key::before {{ content: ""; display: inline-block; width: .8em; height: .8em; margin: 0 .35em 0 0; }}
.before::before {{ background: {BEFORE}; }} .now::before {{ background: {NOW}; }} .also::before {{ background: {ALSO}; }}
{" ".join(f".line{index}::before {{ background: {color}; }}" for index, color in enumerate(COLORS))}
@media print {{ body {{ font-size: 11px; max-width: none; padding: 0; }} a {{ color: inherit; text-decoration: none; }}
  * {{ print-color-adjust: exact; -webkit-print-color-adjust: exact; }} }}
"""


def render_tables(report: TableReport) -> str:
    """Return the page of two tables."""
    title = f"{report.current_name} against {report.reference_name}"
    body = [
        f"<p class=lead>{escape(report.sentence)}</p>",
        f"<p class=quiet>{counted(report.reference_rows, 'row')} of {escape(report.reference_name)}, "
        f"{counted(report.current_rows, 'row')} of {escape(report.current_name)}.</p>",
        features_section(report),
    ]
    return _page(title, body)


def render_endpoint(report: EndpointReport) -> str:
    """Return the page of an endpoint."""
    canary = f", version {report.canary} its canary" if report.canary is not None else ""
    body = [
        f"<p class=lead>{escape(report.sentence)}</p>",
        f"<p class=quiet>{format_ms(report.since_ms)} to {format_ms(report.until_ms)}. Revision {report.revision}: "
        f"{escape(report.model)} version {report.stable} is stable{canary}.</p>",
        *(_section(one) for one in endpoint_tables(report)),
        _over_time(report.spans),
    ]
    if report.features is not None:
        body.append(features_section(report.features, report.features_note))
    else:
        body.append(f"<h2>Features</h2><p>{escape(report.features_note)}</p>")
    body.append(_events(report))
    return _page(f"Endpoint {report.endpoint}", body)


def features_section(report: TableReport, note: str = "") -> str:
    """Return what changed, ranked, and each feature's two distributions."""
    drawn = [one for one in report.features if one.bars][:DRAWN_MAX]
    anchors = {one.name: f"f{index}" for index, one in enumerate(drawn)}
    found = features_table(report.features[:LINED_MAX])
    lines = [
        [
            f'<a href="#{anchors[name]}">{escape(name)}</a>' if name in anchors else escape(name),
            f"<span class={state}>{state}</span>",
            *map(escape, cells),
        ]
        for name, state, *cells in found.rows
    ]
    rest = len(report.features) - len(lines)
    limits = f"Limits: {report.psi_max:g} for the population stability index, {report.ks_max:g} for the KS distance"
    parts = [
        f"<h2>{found.title}</h2>",
        f"<p>{escape(note)}</p>" if note else "",
        f"<p class=quiet>{limits}; both less what chance gives. Noise is what the index hardly exceeds without a change. Wasserstein is in standard deviations of the reference, JS the Jensen-Shannon distance, χ² Cohen's w.</p>",
        _table(found.headers, lines, found.numbers),
        f"<p>… and {counted(rest, 'more feature')}.</p>" if rest > 0 else "",
        "<h2>Features</h2>",
        f'<p><span class="key before">{escape(report.reference_name)}</span> &ensp; '
        f'<span class="key now">{escape(report.current_name)}</span></p>',
        *(_feature(one, anchors[one.name], report) for one in drawn),
    ]
    left = sum(bool(one.bars) for one in report.features) - len(drawn)
    if left > 0:
        parts.append(f"<p>The {counted(left, 'feature')} that changed least are not drawn.</p>")
    return "\n".join(part for part in parts if part)


def _feature(one: FeatureChange, anchor: str, report: TableReport) -> str:
    is_text = "text" in (one.reference.kind, one.current.kind)
    words = (
        f"{one.name}: distribution in {report.reference_name} and in {report.current_name}; {one.sentence}"
    )
    picture = draw_bars(one.bars, words, is_text=is_text)
    lines = [
        [name, told(one.reference), told(one.current)]
        for name, told in FACTS
        if told(one.reference) != "–" or told(one.current) != "–"
    ]
    table = _table(("", escape(report.reference_name), escape(report.current_name)), lines, numbers=2)
    return (
        f'<section class=feature id="{anchor}"><h3>{escape(one.name)}</h3>'
        f"<p><span class={one.state}>{one.state}</span>: {escape(one.sentence)}</p>"
        f"<div class=sides><figure>{picture}</figure>{table}</div></section>"
    )


def _quartile(index: int) -> Callable[[Summary], str]:
    return lambda one: short(one.quartiles[index]) if one.quartiles else "–"


FACTS: tuple[tuple[str, Callable[[Summary], str]], ...] = (
    ("values", lambda one: f"{one.count:,}"),
    ("missing", lambda one: f"{one.missing_ratio:.1%}"),
    ("different texts", lambda one: "–" if one.distinct is None else f"{one.distinct:,.0f}"),
    ("mean", lambda one: short(one.mean)),
    ("standard deviation", lambda one: short(one.deviation)),
    ("least", lambda one: short(one.low)),
    ("lower quartile", _quartile(0)),
    ("median", _quartile(1)),
    ("upper quartile", _quartile(2)),
    ("most", lambda one: short(one.high)),
)


def _section(found: Table) -> str:
    lines = [
        [
            f"<span class={cell}>{cell}</span>" if head == STATE else escape(cell)
            for head, cell in zip(found.headers, row, strict=True)
        ]
        for row in found.rows
    ]
    return f"<h2>{found.title}</h2>" + _table(found.headers, lines, found.numbers)


def _over_time(spans: Sequence[Span]) -> str:
    if not spans:
        return ""
    parts = ["<h2>Over time</h2>"]
    parts.append('<p><span class="key now">stable</span> &ensp; <span class="key also">canary</span></p>')
    for one in timelines(spans):
        parts.append(f"<figure><figcaption>{escape(one.title)}</figcaption>{one.picture}</figure>")
        if one.names:
            keys = (
                f'<span class="key line{index}">{escape(name)}</span>' for index, name in enumerate(one.names)
            )
            parts.append(f"<p>{' &ensp; '.join(keys)}</p>")
    return "\n".join(parts)


def _events(report: EndpointReport) -> str:
    found = events_table(report)
    return _section(found) if found.rows else f"<h2>{found.title}</h2><p>None in this time.</p>"


def _table(headers: Sequence[str], lines: Sequence[Sequence[str]], numbers: int = 0) -> str:
    """Return a table of cells that are HTML already; the last `numbers` columns are numbers."""
    kinds = [" class=n" if index >= len(headers) - numbers else "" for index in range(len(headers))]
    head = "".join(f"<th scope=col{kind}>{name}</th>" for kind, name in zip(kinds, headers, strict=True))
    body = "\n".join(
        "<tr>"
        + f"<th scope=row>{line[0]}</th>"
        + "".join(f"<td{kind}>{cell}</td>" for kind, cell in zip(kinds[1:], line[1:], strict=True))
        + "</tr>"
        for line in lines
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>\n{body}\n</tbody></table>"


def _page(title: str, body: Sequence[str]) -> str:
    text = "\n".join(body)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head>\n"
        f"<body><main><h1>{escape(title)}</h1>\n{text}\n</main></body></html>\n"
    )
