"""How are curves drawn so that a report needs no script and no network? Small SVG pictures, text in the page's own font and colours.

Colours are classes of report.css (`c1` to `c8`, `soft`), so one picture serves the light and the dark page.
Equal numbers give equal bytes: coordinates are rounded to a tenth of a pixel.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

WIDTH, HEIGHT = 440, 230
LEFT, RIGHT, TOP, BOTTOM = 52, 14, 14, 30
BUCKETS = 240  # points of a long curve that are drawn

Points = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Curve:
    """One line: points from left to right, and optionally a 95 % interval at each."""

    name: str
    points: Points
    colour: int  # 1..8
    whiskers: Sequence[tuple[float, float] | None] = ()
    dots: bool = True
    x_name: str = "step"


@dataclass(frozen=True)
class Mark:
    """A point that the reader must find."""

    x: float
    y: float
    text: str
    kind: str  # chosen | last


@dataclass(frozen=True)
class Frame:
    """Where numbers lie on the picture."""

    x: Callable[[float], float]
    y: Callable[[float], float]
    parts: list[str]


def curves(
    title: str, lines: Sequence[Curve], level: tuple[float, str] | None = None, marks: Sequence[Mark] = ()
) -> Markup:
    """Lines over steps; `level` is a dashed horizontal line with its name, for the base."""
    values = [value for line in lines for _, value in line.points]
    values += [end for line in lines for whisker in line.whiskers if whisker for end in whisker]
    values += [level[0]] if level else []
    steps = [step for line in lines for step, _ in line.points]
    frame = _frame(min(steps), max(steps), min(values), max(values))
    if level is not None:
        y = frame.y(level[0])
        frame.parts.append(f'<line class="base" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        frame.parts.append(
            f'<text class="soft" x="{LEFT + 6}" y="{y - 5 if y > TOP + 16 else y + 13:.1f}">{escape(level[1])}</text>'
        )
    for line in lines:
        _draw(frame, line)
    for mark in marks:
        _mark(frame, mark)
    return _picture(title, HEIGHT, frame.parts)


def band(title: str, points: Points, colour: int) -> Markup:
    """A long curve as mean and range of buckets, so that 9000 steps stay readable and no spike is lost."""
    buckets = _buckets(points)
    lows, highs = [low for _, low, _, _ in buckets], [high for _, _, _, high in buckets]
    frame = _frame(points[0][0], points[-1][0], min(lows), max(highs))
    outline = [(step, high) for step, _, _, high in buckets] + [
        (step, low) for step, low, _, _ in reversed(buckets)
    ]
    frame.parts.append(f'<polygon class="band c{colour}" points="{_path(frame, outline)}"/>')
    _draw(frame, Curve(title, [(step, mean) for step, _, mean, _ in buckets], colour, dots=False))
    return _picture(title, HEIGHT, frame.parts)


@dataclass(frozen=True)
class Span:
    """One field of a bar: a winner and the weights at which it wins."""

    name: str
    short: str  # for a field too narrow for its name
    low: float
    high: float | None
    colour: int


def ranges(title: str, spans: Sequence[Span], weight: float) -> Markup:
    """Who wins at which weight, on a logarithmic axis; zero and infinity are its two ends. A marker stands at the configured weight."""
    inner = [end for span in spans for end in (span.low, span.high) if end] + [weight or 1.0]
    first, last = math.log10(min(inner)) - 0.4, math.log10(max(inner)) + 0.4

    def place(value: float | None) -> float:
        share = 1.0 if value is None else 0.0 if value <= 0 else (math.log10(value) - first) / (last - first)
        return 8 + min(1.0, max(0.0, share)) * (2 * WIDTH - 16)

    drawn = [part for span in spans for part in _span(span, place(span.low), place(span.high))]
    x = place(weight)
    drawn.append(
        f'<path class="here" d="M{x:.1f} 58 V18 m-5 -7 h10 l-5 7 z"/><text class="strong" x="{x + 9:.1f}" y="14">weight {weight:g}</text>'
    )
    return _picture(title, 80, drawn, 2 * WIDTH)


def _span(span: Span, x: float, end: float) -> list[str]:
    text = next((name for name in (span.name, span.short) if end - x > 7.2 * len(name)), "")
    upper = "up" if span.high is None else f"to {span.high:.4g}"
    drawn = [
        f"<g><title>{escape(span.name)}: weight {span.low:.4g} {upper}</title>"
        f'<rect class="part c{span.colour}" x="{x:.1f}" y="24" width="{max(end - x - 2, 1):.1f}" height="30" rx="4"/>'
        f'<text class="inside" x="{(x + end) / 2:.1f}" y="44" text-anchor="middle">{escape(text)}</text></g>'
    ]
    if span.low > 0:
        drawn.append(f'<text class="soft" x="{x:.1f}" y="71" text-anchor="middle">{span.low:.3g}</text>')
    return drawn


def _frame(first: float, last: float, low: float, high: float) -> Frame:
    """Axes with round ticks; a flat curve gets room around it."""
    spread = (high - low) or abs(high) * 0.1 or 1.0
    low, high = low - 0.06 * spread, high + 0.1 * spread
    width = (last - first) or 1.0

    def x(value: float) -> float:
        return LEFT + (value - first) / width * (WIDTH - LEFT - RIGHT)

    def y(value: float) -> float:
        return HEIGHT - BOTTOM - (value - low) / (high - low) * (HEIGHT - TOP - BOTTOM)

    parts = []
    for tick in ticks(low, high, 6):
        parts.append(
            f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(tick):.1f}" y2="{y(tick):.1f}"/>'
        )
        parts.append(
            f'<text class="soft" x="{LEFT - 6}" y="{y(tick) + 4:.1f}" text-anchor="end">{tick:g}</text>'
        )
    for tick in ticks(first, last, 5):
        parts.append(
            f'<text class="soft" x="{x(tick):.1f}" y="{HEIGHT - 10}" text-anchor="middle">{tick:g}</text>'
        )
    return Frame(x, y, parts)


def ticks(low: float, high: float, about: int) -> list[float]:
    """Round numbers between two ends, roughly so many."""
    rough = (high - low) / about or 1.0
    size = 10.0 ** math.floor(math.log10(rough))
    step = next(size * factor for factor in (1, 2, 5, 10) if size * factor >= rough)
    return [round(number * step, 12) for number in range(math.ceil(low / step), math.floor(high / step) + 1)]


def _draw(frame: Frame, line: Curve) -> None:
    for (step, _), whisker in zip(line.points, line.whiskers, strict=False):
        if whisker:
            x, low, high = frame.x(step), frame.y(whisker[0]), frame.y(whisker[1])
            frame.parts.append(
                f'<path class="whisker c{line.colour}" d="M{x:.1f} {low:.1f}V{high:.1f}M{x - 3:.1f} {low:.1f}h6M{x - 3:.1f} {high:.1f}h6"/>'
            )
    frame.parts.append(f'<polyline class="curve c{line.colour}" points="{_path(frame, line.points)}"/>')
    for step, value in line.points if line.dots else ():
        frame.parts.append(
            f'<circle class="dot c{line.colour}" cx="{frame.x(step):.1f}" cy="{frame.y(value):.1f}" r="3.2">'
            f"<title>{escape(line.name)}, {line.x_name} {step:g}: {value:.6f}</title></circle>"
        )


def _mark(frame: Frame, mark: Mark) -> None:
    x, y = frame.x(mark.x), frame.y(mark.y)
    anchor = "end" if x > WIDTH * 0.8 else "start" if x < WIDTH * 0.25 else "middle"
    frame.parts.append(f'<circle class="mark {mark.kind}" cx="{x:.1f}" cy="{y:.1f}" r="6.5"/>')
    above = mark.kind == "last" and y > TOP + 24
    frame.parts.append(
        f'<text class="{mark.kind}" x="{x:.1f}" y="{y - 12 if above else y + 20:.1f}" text-anchor="{anchor}">{escape(mark.text)}</text>'
    )


def _buckets(points: Points) -> list[tuple[float, float, float, float]]:
    """(step, lowest, mean, highest) of consecutive pieces of equal length."""
    size = max(1, math.ceil(len(points) / BUCKETS))
    pieces = [points[start : start + size] for start in range(0, len(points), size)]
    return [
        (
            piece[len(piece) // 2][0],
            min(v for _, v in piece),
            math.fsum(v for _, v in piece) / len(piece),
            max(v for _, v in piece),
        )
        for piece in pieces
    ]


def _path(frame: Frame, points: Points) -> str:
    return " ".join(f"{frame.x(x):.1f},{frame.y(y):.1f}" for x, y in points)


def _picture(title: str, height: int, parts: Sequence[str], width: int = WIDTH) -> Markup:
    head = f'<svg class="chart" viewBox="0 0 {width} {height}" role="img" aria-label="{escape(title)}">'
    return Markup(head + "".join(parts) + "</svg>")
