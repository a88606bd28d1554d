"""Plans as one picture: a stacked bar a recipe, and the card's size as a line. SVG, so that it needs no library and no screen."""

from collections.abc import Sequence
from html import escape

from voicelathe.records import Plan

COLOURS = {
    "CUDA context": "#8d99a6",
    "weights": "#2f6db5",
    "masters": "#7fb0e6",
    "gradients": "#d9822b",
    "casts": "#f2c14e",
    "optimizer": "#7a4fa3",
    "activations": "#3d9970",
    "workspace": "#8fce9f",
    "fragmentation": "#c8ced3",
    "early stopping": "#b05f8a",
}
LEFT, RIGHT, TOP, BAR, GAP, WIDTH = 190, 40, 54, 34, 26, 960
GIGA = 1e9


def draw(plans: Sequence[Plan], note: str = "computed, not run") -> str:
    """The SVG document."""
    highest = max([*(one.total for one in plans), *(one.card_bytes for one in plans)]) * 1.06
    height = TOP + len(plans) * (BAR + GAP) + 40

    def x(size: float) -> float:
        return LEFT + size / highest * (WIDTH - LEFT - RIGHT)

    parts = [_legend()]
    for number, one in enumerate(plans):
        parts += _bar(one, TOP + number * (BAR + GAP), x)
    limit = x(plans[0].card_bytes)
    bottom = TOP + len(plans) * (BAR + GAP)
    parts.append(
        f'<line x1="{limit:.1f}" x2="{limit:.1f}" y1="{TOP - 10}" y2="{bottom}" stroke="#b3261e" stroke-width="2" stroke-dasharray="5 4"/>'
        f'<text x="{limit - 5:.1f}" y="{bottom + 14}" text-anchor="end" fill="#b3261e">{escape(plans[0].card)}</text>'
        f'<text x="{LEFT}" y="{bottom + 14}" fill="#555">GB on the card, {escape(note)}</text>'
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" font-size="13" role="img" '
        f'aria-label="Memory of each recipe on the card"><rect width="100%" height="100%" fill="#ffffff"/>{"".join(parts)}</svg>\n'
    )


def _bar(one: Plan, y: float, x: object) -> list[str]:
    assert callable(x)
    parts, at = (
        [f'<text x="{LEFT - 10}" y="{y + BAR / 2 + 5:.1f}" text-anchor="end">{escape(one.recipe)}</text>'],
        0.0,
    )
    for name, size in one.memory.items():
        begin, end = x(at), x(at + size)
        at += size
        if end - begin < 0.5:
            continue
        title = f"<title>{escape(name)}: {size / GIGA:.2f} GB</title>"
        parts.append(
            f'<rect x="{begin:.1f}" y="{y:.1f}" width="{end - begin:.1f}" height="{BAR}" fill="{COLOURS[name]}">{title}</rect>'
        )
        if end - begin > 34:
            parts.append(
                f'<text x="{(begin + end) / 2:.1f}" y="{y + BAR / 2 + 5:.1f}" text-anchor="middle" fill="#ffffff">{size / GIGA:.1f}</text>'
            )
    verdict = f"{one.total / GIGA:.1f}" + ("" if one.fits else " does not fit")
    colour = "#222222" if one.fits else "#b3261e"
    parts.append(f'<text x="{x(at):.1f}" y="{y - 5:.1f}" text-anchor="end" fill="{colour}">{verdict}</text>')
    return parts


def _legend() -> str:
    parts, at = [], LEFT
    for name, colour in COLOURS.items():
        parts.append(f'<rect x="{at}" y="12" width="12" height="12" fill="{colour}"/>')
        parts.append(f'<text x="{at + 16}" y="23" fill="#222222">{name}</text>')
        at += 30 + 7 * len(name)
    return "".join(parts)
