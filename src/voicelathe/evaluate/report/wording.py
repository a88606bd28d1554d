"""How are candidates, differences and strata said, in reports, tables and on the command line?"""

from voicelathe.evaluate import evidence
from voicelathe.evaluate.listening import design
from voicelathe.records import AccentShift, LineTest, Selection


def spoken(selection: Selection, name: str | None) -> str:
    """A candidate as people say it; the base with its article."""
    one = next(row for row in selection.ranking if row.candidate == name)
    label = design.label(one.step, one.lora_scale, one.candidate == evidence.ZERO_SHOT)
    return label if one.step else f"the {label}"


def difference(one: LineTest) -> str:
    """`−0.01, 90 % interval −0.03 to 0.02 over 24 lines`."""
    ends = one.interval
    over = f"{one.lines} line" + ("s" if one.lines > 1 else "")
    return f"{one.difference:+.3f}, 90 % interval {ends.low:+.3f} to {ends.high:+.3f} over {over}".replace(
        "-", "\u2212"
    )


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
