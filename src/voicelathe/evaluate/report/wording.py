"""How are candidates, differences and strata said, in reports, tables and on the command line?"""

from collections.abc import Callable

from voicelathe.evaluate import evidence, scores
from voicelathe.evaluate.foresight import DRAWS
from voicelathe.evaluate.listening import design
from voicelathe.records import AccentShift, Drop, LineTest, Selection

MEASURES = {scores.UTILITY: "words kept \u00d7 likeness"}  # whose own names say less


def spoken(selection: Selection, name: str | None) -> str:
    """A candidate as people say it; the base with its article."""
    one = next(row for row in selection.ranking if row.candidate == name)
    if one.candidate == evidence.ZERO_SHOT:
        return "the zero-shot base"
    return design.label(one.step, one.lora_scale) if one.step else "the base"


def difference(one: LineTest) -> str:
    """`−0.01, 90 % interval −0.03 to 0.02 over 24 lines`."""
    ends = one.interval
    over = f"{one.lines} line" + ("s" if one.lines > 1 else "")
    return f"{one.difference:+.3f}, 90 % interval {ends.low:+.3f} to {ends.high:+.3f} over {over}".replace(
        "-", "\u2212"
    )


def dropped(one: Drop, spoken: Callable[[str], str]) -> str:
    """`would hardly be shown to keep its words (words −0.12 against the base over 8 lines; 0.3 % chance to win)`."""
    known = []
    if one.test is not None:
        figure = short_difference(one.test)[0]
        measure, lines = MEASURES.get(one.test.measure, one.test.measure), one.test.lines
        known.append(f"{measure} {figure} against {spoken(one.test.against)} over {lines} lines")
    if one.chance is not None:
        known.append(f"{share(one.chance)} chance to win")
    return one.because + (f" ({'; '.join(known)})" if known else "")


def share(one: float) -> str:
    """Of the draws in which the rest of a race was foreseen."""
    least = 1 / DRAWS
    return f"under {100 * least:g} %" if one < least else f"{100 * one:g} %"


def chance(p: float) -> str:
    """`p = 0.012`; a p value is never nothing."""
    return f"p = {p:.2g}" if p >= 1e-4 else "p < 0.0001"


def short_difference(one: LineTest) -> tuple[str, str]:
    """`−0.012` and `−0.031 … +0.020`, for a table that says what the interval is."""
    ends = one.interval
    return (
        f"{one.difference:+.3f}".replace("-", "\u2212"),
        f"{ends.low:+.3f} \u2026 {ends.high:+.3f}".replace("-", "\u2212"),
    )


def stratum(name: str | None) -> str:
    """`kind:short` as people say it."""
    kind, _, value = (name or "").partition(":")
    return {"kind": f"{value} lines", "language": f"lines in {value}", "speaker": f"lines of {value}"}.get(
        kind, value or kind
    )


def accent(one: AccentShift) -> str:
    """`+0.12, 95 % interval −0.03 to 0.21 over 4 sentences`."""
    ends = one.interval
    known = f", 95 % interval {ends.low:+.2f} to {ends.high:+.2f}" if ends else ""
    over = f"{one.sentences} sentence" + ("s" if one.sentences > 1 else "")
    return f"{one.shift:+.2f}{known} over {over}".replace("-", "\u2212")
