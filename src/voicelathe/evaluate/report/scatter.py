"""The picture of a decision: words kept against likeness to the speaker, every candidate a dot with its intervals.

Up and to the right is better. The path joins the checkpoints in the order of their steps; the base and the speaker's real recordings
are the anchors; the dashed line is the fewest words that a candidate may keep. The axes fit the checkpoints: an anchor that lies far
from them stands at the edge as a triangle with its numbers, for it would press all others into one corner. Equal numbers give equal bytes.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from voicelathe.evaluate.report import charts

WIDTH, HEIGHT = 720, 430
LEFT, RIGHT, TOP, BOTTOM = 62, 28, 22, 52
CHARACTER = 6.6  # width of one in a name, about
EDGE = 7  # of the middle of a triangle from the edge
ANCHORS = ("other", "real")  # kinds that may stand at the edge


@dataclass(frozen=True)
class Dot:
    """One candidate or anchor; ends are its 90 % intervals."""

    name: str
    x: float
    y: float
    x_ends: tuple[float, float] | None
    y_ends: tuple[float, float] | None
    kind: str  # tuned | out | base | other (base, that need not be beaten) | real | chosen


def picture(
    title: str,
    x_name: str,
    y_name: str,
    dots: Sequence[Dot],
    path: Sequence[tuple[float, float]],
    floor: tuple[float, str] | None,
) -> Markup:
    """`path`: checkpoints by step; `floor`: a horizontal line with its name."""
    near, far = _by_distance(dots, [floor[0]] if floor else [])
    xs = [end for one in near for end in (one.x, *(one.x_ends or ()))]
    ys = [end for one in near for end in (one.y, *(one.y_ends or ()))] + ([floor[0]] if floor else [])
    x, y = _scale(xs, LEFT, WIDTH - RIGHT), _scale(ys, HEIGHT - BOTTOM, TOP)
    parts = [*_axes(x, y, x_name, y_name)]
    if floor:
        at = y(floor[0])
        parts.append(f'<line class="base" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{at:.1f}" y2="{at:.1f}"/>')
        parts.append(
            f'<text class="soft" x="{WIDTH - RIGHT}" y="{at - 5:.1f}" text-anchor="end">{escape(floor[1])}</text>'
        )
    if len(path) > 1:
        line = " ".join(f"{x(a):.1f},{y(b):.1f}" for a, b in path)
        parts.append(f'<polyline class="curve c8 path" points="{line}"/>')
    for one in near:
        parts += _whiskers(one, x, y)
    placed: list[_Box] = [(x.inside(one.x) - 5, y.inside(one.y) + 4, 10.0) for one in dots]
    if floor:
        width = CHARACTER * len(floor[1])
        placed.append((WIDTH - RIGHT - width, y(floor[0]) - 5, width))
    for one in sorted(near, key=lambda one: list(_COLOURS).index(one.kind)):
        parts += _dot(one, x(one.x), y(one.y), placed)
    for one in far:
        parts += _edge(one, x, y, placed)
    head = f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}">'
    return Markup(head + "".join(parts) + "</svg>")


def _by_distance(dots: Sequence[Dot], also: Sequence[float]) -> tuple[list[Dot], list[Dot]]:
    """Dots that the axes show in their place, and anchors further from the checkpoints than those are from each other."""
    candidates = [one for one in dots if one.kind not in ANCHORS] or dots
    spans = (
        _span([end for one in candidates for end in (one.x, *(one.x_ends or ()))]),
        _span([end for one in candidates for end in (one.y, *(one.y_ends or ()))] + [*also]),
    )
    far = [one for one in dots if one.kind in ANCHORS and not all(map(_is_near, spans, (one.x, one.y)))]
    return [one for one in dots if one not in far], far


def _span(values: Sequence[float]) -> tuple[float, float]:
    return min(values), max(values)


def _is_near(span: tuple[float, float], value: float) -> bool:
    room = (span[1] - span[0]) or 0.1
    return span[0] - room <= value <= span[1] + room


class _scale:
    """Numbers to pixels, with room at both ends."""

    def __init__(self, values: Sequence[float], start: float, end: float) -> None:
        spread = (max(values) - min(values)) or 0.1
        self.low, self.high = min(values) - 0.08 * spread, max(values) + 0.08 * spread
        self.start, self.end = start, end

    def __call__(self, value: float) -> float:
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)

    def inside(self, value: float) -> float:
        """As the scale says, or at the edge."""
        low, high = sorted((self.start, self.end))
        return min(max(self(value), low + EDGE), high - EDGE)


def _axes(x: _scale, y: _scale, x_name: str, y_name: str) -> list[str]:
    parts = []
    for tick in charts.ticks(y.low, y.high, 6):
        at = y(tick)
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{at:.1f}" y2="{at:.1f}"/>')
        parts.append(f'<text class="soft" x="{LEFT - 7}" y="{at + 4:.1f}" text-anchor="end">{tick:g}</text>')
    for tick in charts.ticks(x.low, x.high, 6):
        at = x(tick)
        parts.append(f'<line class="grid" x1="{at:.1f}" x2="{at:.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}"/>')
        parts.append(
            f'<text class="soft" x="{at:.1f}" y="{HEIGHT - BOTTOM + 17}" text-anchor="middle">{tick:g}</text>'
        )
    middle = (TOP + HEIGHT - BOTTOM) / 2
    parts.append(
        f'<text x="{(LEFT + WIDTH - RIGHT) / 2:.1f}" y="{HEIGHT - 12}" text-anchor="middle">{escape(x_name)}</text>'
    )
    parts.append(
        f'<text x="16" y="{middle:.1f}" text-anchor="middle" transform="rotate(-90 16 {middle:.1f})">{escape(y_name)}</text>'
    )
    return parts


def _whiskers(one: Dot, x: _scale, y: _scale) -> list[str]:
    parts = []
    colour = _COLOURS[one.kind]
    if one.x_ends:
        parts.append(
            f'<path class="whisker {colour}" d="M{x(one.x_ends[0]):.1f} {y(one.y):.1f}H{x(one.x_ends[1]):.1f}"/>'
        )
    if one.y_ends:
        parts.append(
            f'<path class="whisker {colour}" d="M{x(one.x):.1f} {y(one.y_ends[0]):.1f}V{y(one.y_ends[1]):.1f}"/>'
        )
    return parts


_Box = tuple[float, float, float]  # of a name: left end, baseline, width
_COLOURS = {
    "chosen": "c3",
    "base": "c2",
    "other": "c2",
    "real": "c5",
    "tuned": "c1",
    "out": "c8",
}  # in the order in which names are placed


def _edge(one: Dot, x: _scale, y: _scale, placed: list[_Box]) -> list[str]:
    """A triangle that points to where the anchor would be, and its name with its numbers."""
    at_x, at_y = x.inside(one.x), y.inside(one.y)
    turn = math.degrees(math.atan2(y(one.y) - at_y, x(one.x) - at_x))
    place = f"translate({at_x:.1f} {at_y:.1f}) rotate({turn:.0f})"
    return [
        f'<path class="dot {_COLOURS[one.kind]}" transform="{place}" d="M7 0L-5 6V-6Z"/>',
        _name(f"{one.name} {one.x:.2f}, {one.y:.2f}", "soft", at_x, at_y, placed, must=True),
    ]


def _dot(one: Dot, x: float, y: float, placed: list[_Box]) -> list[str]:
    """The dot and its name; a checkpoint's name shows on hovering where there is no room."""
    ring = f'<circle class="mark chosen" cx="{x:.1f}" cy="{y:.1f}" r="8.5"/>' if one.kind == "chosen" else ""
    said = f"{one.name}: {one.x:.3f}, {one.y:.3f}"
    style = {"chosen": "chosen", "out": "soft"}.get(one.kind, "")
    return [
        f'{ring}<circle class="dot {_COLOURS[one.kind]}" cx="{x:.1f}" cy="{y:.1f}" r="5"><title>{escape(said)}</title></circle>',
        _name(one.name, style, x, y, placed, must=one.kind not in ("tuned", "out")),
    ]


def _name(name: str, style: str, x: float, y: float, placed: list[_Box], *, must: bool) -> str:
    """A name at the first side of its mark where no other name or mark stands; without room only what `must` be said is written."""
    width = CHARACTER * len(name)
    sides = [
        (x - width / 2, y - 11, "middle"),
        (x + 9, y + 4, "start"),
        (x - 9 - width, y + 4, "end"),
        (x - width / 2, y + 20, "middle"),
        (x + 9, y - 11, "start"),
        (x + 9, y + 20, "start"),
        (x - 9 - width, y - 11, "end"),
        (x - 9 - width, y + 20, "end"),
    ]
    free = [side for side in sides if _fits(side[0], side[1], width, placed)]
    if not free and not must:
        return ""
    left, at, anchor = (free or sides)[0]
    placed.append((left, at, width))
    text_x = {"middle": left + width / 2, "start": left, "end": left + width}[anchor]
    kind = f' class="{style}"' if style else ""
    return f'<text{kind} x="{text_x:.1f}" y="{at:.1f}" text-anchor="{anchor}">{escape(name)}</text>'


def _fits(left: float, at: float, width: float, placed: Sequence[_Box]) -> bool:
    inside = left >= LEFT and left + width <= WIDTH - RIGHT + 10 and TOP <= at <= HEIGHT - BOTTOM
    return inside and all(
        left + width < other or left > other + wide or abs(at - y) > 12 for other, y, wide in placed
    )
