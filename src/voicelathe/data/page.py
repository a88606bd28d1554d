"""Pages of the data stages: one file, no network, no script, readable in light and dark and with a keyboard.

Whatever comes from a manifest goes through `escape`; the policy in the page's head forbids everything but its own style.
"""

import base64
import hashlib
import html
import unicodedata
from collections.abc import Iterable, Sequence

import numpy as np

from voicelathe.data.corpus import Floats

STYLE = """
:root { --paper: #fbfaf7; --ink: #1d2327; --soft: #5d6870; --line: #dcd9d0; --card: #ffffff;
        --kept: #1f7a6d; --lost: #d9b8a4; --bad: #b3361b; --warn: #8a6100; --good: #1f7a3d; color-scheme: light dark; }
@media (prefers-color-scheme: dark) { :root { --paper: #14181b; --ink: #e6e4de; --soft: #9aa5ac; --line: #333b40;
        --card: #1b2125; --kept: #4fb8a6; --lost: #6b4d3d; --bad: #f08a6c; --warn: #e0b04c; --good: #6cc68b; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 2rem 1.25rem 4rem; max-width: 68rem; background: var(--paper); color: var(--ink);
       font: 16px/1.5 system-ui, -apple-system, "Segoe UI", sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0 0 .4rem; letter-spacing: -.01em; }
h2 { font-size: 1.25rem; margin: 2.6rem 0 .6rem; } h3 { font-size: 1rem; margin: 1.4rem 0 .4rem; }
p { max-width: 46rem; margin: .4rem 0 .9rem; } .soft { color: var(--soft); }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(9.5rem, 1fr)); gap: .75rem; margin: 1.4rem 0; padding: 0; }
.cards li { list-style: none; background: var(--card); border: 1px solid var(--line); border-radius: .6rem; padding: .8rem 1rem; }
.cards b { display: block; font-size: 1.6rem; line-height: 1.2; font-variant-numeric: tabular-nums; }
.scroll { overflow-x: auto; } table { border-collapse: collapse; width: 100%; font-size: .92rem; }
caption { text-align: left; color: var(--soft); padding: 0 0 .4rem; }
th, td { text-align: left; vertical-align: top; padding: .45rem .7rem .45rem 0; border-bottom: 1px solid var(--line); }
th { font-weight: 600; color: var(--soft); white-space: nowrap; } tbody th { color: var(--ink); }
.num { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
code, .mono { font: .88em/1.45 ui-monospace, "SF Mono", Menlo, Consolas, monospace; }
.tag { display: inline-block; border: 1px solid currentColor; border-radius: 1rem; padding: 0 .55rem; font-size: .8rem; white-space: nowrap; }
.bad { color: var(--bad); } .warn { color: var(--warn); } .good { color: var(--good); }
details { border: 1px solid var(--line); border-radius: .6rem; background: var(--card); margin: .5rem 0; padding: 0 1rem; }
details[open] { padding-bottom: 1rem; } summary { cursor: pointer; padding: .6rem 0; font-weight: 600; }
audio { width: 12rem; height: 2.2rem; } table.wide td { min-width: 5.2rem; }
summary:focus-visible, a:focus-visible, audio:focus-visible, .scroll:focus-visible { outline: 3px solid var(--kept); outline-offset: 3px; border-radius: .3rem; }
a { color: var(--kept); } svg { display: block; max-width: 100%; height: auto; } td svg { margin-top: .45em; }
table.narrow { width: auto; } .narrow th, .narrow td { padding-right: 1.6rem; }
svg text { fill: var(--soft); font: 11px system-ui, sans-serif; } .kept { fill: var(--kept); } .lost { fill: var(--lost); }
.axis { stroke: var(--line); } .key { display: inline-block; width: .8em; height: .8em; border-radius: .2em; vertical-align: -.05em; }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(20rem, 1fr)); gap: 1.5rem; }
figure { margin: 0; } figcaption { font-weight: 600; margin-bottom: .3rem; }
.banner { border-left: .35rem solid; border-radius: .3rem; padding: .7rem 1rem; background: var(--card); margin: 1.2rem 0; }
@media print { details { border: 0; } }
"""


def page(title: str, body: str) -> str:
    """A whole HTML file. `body` is HTML; everything a person wrote must be escaped already."""
    style = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{style}'; media-src data:; base-uri 'none'; form-action 'none'"
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n{body}\n</main>\n</body>\n</html>\n"
    )


def escape(text: object) -> str:
    """Text for a page: no markup, and no character that is invisible or turns the direction of the line."""
    seen = "".join(one if _is_plain(one) else f"\\u{ord(one):04x}" for one in str(text))
    return html.escape(seen, quote=True)


def _is_plain(one: str) -> bool:
    return one == "\n" or unicodedata.category(one) not in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")


def cards(figures: Iterable[tuple[str, str]]) -> str:
    """Large figures with a line below each."""
    return (
        '<ul class="cards">'
        + "".join(f"<li><b>{escape(n)}</b>{escape(what)}</li>" for n, what in figures)
        + "</ul>"
    )


def table(
    caption: str,
    headers: Sequence[str],
    rows: Iterable[Sequence[str]],
    numeric: Sequence[int] = (),
    is_narrow: bool = False,
) -> str:
    """A table of cells that are HTML already; the first cell of a row is its heading."""
    kinds = ["num" if at in numeric else "" for at in range(len(headers))]
    head = "".join(
        f'<th scope="col" class="{kind}">{escape(name)}</th>'
        for name, kind in zip(headers, kinds, strict=True)
    )
    lines = []
    for first, *others in rows:
        cells = "".join(
            f'<td class="{kind}">{cell}</td>' for cell, kind in zip(others, kinds[1:], strict=True)
        )
        lines.append(f'<tr><th scope="row" class="{kinds[0]}">{first}</th>{cells}</tr>')
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(caption)}">'
        f'<table class="{"narrow" if is_narrow else "wide"}"><caption>{escape(caption)}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{''.join(lines)}</tbody></table></div>"
    )


def percent(share: float) -> str:
    """A share for people; what is not all of it is never written as 100 %."""
    return "over 99.9 %" if 0.9995 <= share < 1 else f"{100 * share:.1f} %"


def counted(num: int, one: str) -> str:
    return f"{num} {one}" if num == 1 else f"{num} {one}s"


def bar(share: float, kind: str = "kept") -> str:
    """A bar of a share, for the eye; the figure stands beside it."""
    return f'<svg width="120" height="10" aria-hidden="true"><rect class="{kind}" width="{max(1.0, 118 * share):.1f}" height="10" rx="2"/></svg>'


def histogram(caption: str, unit: str, kept: Floats, lost: Floats, edges: Sequence[float]) -> str:
    """Stacked bars of what was kept and what was not; values beyond the edges stand in the first and last bar."""
    width, height, foot, left, right = 440, 180, 22, 34, 12
    kept_in, lost_in = _counts(kept, edges), _counts(lost, edges)
    most = max(1, *(k + d for k, d in zip(kept_in, lost_in, strict=True)))
    step = (width - left - right) / (len(edges) - 1)
    bars = []
    for at, (num_kept, num_lost) in enumerate(zip(kept_in, lost_in, strict=True)):
        x, top_kept, top_lost = (
            left + at * step,
            num_kept / most * (height - 12),
            num_lost / most * (height - 12),
        )
        bars.append(
            f"<g><title>{_bin(edges, at)} {escape(unit)}: {num_kept} kept, {num_lost} dropped</title>"
            f'<rect class="kept" x="{x:.1f}" y="{height - top_kept:.1f}" width="{step - 1.5:.1f}" height="{top_kept:.1f}"/>'
            f'<rect class="lost" x="{x:.1f}" y="{height - top_kept - top_lost:.1f}" width="{step - 1.5:.1f}" height="{top_lost:.1f}"/></g>'
        )
    marks = range(0, len(edges), max(1, (len(edges) - 1) // 6))
    ticks = "".join(
        f'<text x="{left + at * step:.1f}" y="{height + 15}" text-anchor="middle">{edges[at]:g}</text>'
        for at in marks
    )
    label = f"{caption}: {len(kept)} kept and {len(lost)} dropped rows by {unit}"
    return (
        f'<figure><figcaption>{escape(caption)} <span class="soft">in {escape(unit)}</span></figcaption>'
        f'<svg viewBox="0 0 {width} {height + foot}" role="img" aria-label="{escape(label)}">'
        f'<text x="{left - 6}" y="14" text-anchor="end">{most}</text><text x="{left - 6}" y="{height}" text-anchor="end">0</text>'
        f'<line class="axis" x1="{left}" x2="{width}" y1="{height}" y2="{height}"/>{"".join(bars)}{ticks}</svg></figure>'
    )


def _counts(values: Floats, edges: Sequence[float]) -> list[int]:
    at = np.searchsorted(list(edges[1:-1]), values, side="right")
    return [int(num) for num in np.bincount(at, minlength=len(edges) - 1)]


def _bin(edges: Sequence[float], at: int) -> str:
    if at == 0:
        return f"under {edges[1]:g}"
    return f"{edges[at]:g} and more" if at == len(edges) - 2 else f"{edges[at]:g} to {edges[at + 1]:g}"
