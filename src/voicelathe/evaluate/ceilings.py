"""What follows from the ceiling that a base's codec sets? A codec that loses more than a guard allows is the bottleneck, whatever the recipe."""

from collections.abc import Iterator, Mapping

from voicelathe.evaluate import guards, scores
from voicelathe.records import Ceiling, LineTest, Selection

CODE = "codec_ceiling"
_LOST = {scores.WORDS: "words", scores.QUALITY: "quality", scores.LIKENESS: "likeness"}


def bottlenecks(found: Ceiling, margins: Mapping[str, float]) -> list[str]:
    """One sentence a measure in which the codec itself is shown to lose more than a guard allows."""
    return [
        f"{found.base}'s own codec loses more {_LOST[one.measure]} than a guard allows: real clips that it encoded and decoded "
        f"{_levels(found, one)}, {_difference(one)}; {margins[one.measure]:g} may be lost. Training moves a voice toward such copies, "
        "so the base is the bottleneck and no recipe: take one with a better codec (docs/choosing.md)"
        for one in found.lost
        if one.measure in margins
        and one.p_worse < guards.SIGNIFICANT
        and one.difference < -margins[one.measure]
    ]


def notes(selection: Selection) -> Iterator[str]:
    """What the ceiling says of a decision."""
    found = selection.ceiling
    if found is None or found.missing:
        return
    margins = {one.measure: one.margin for part in selection.evidence for one in part.guards}
    yield from (f"Codec ceiling: {text}." for text in bottlenecks(found, margins))
    base = next((one for one in selection.evidence if one.candidate == selection.base), None)
    best, own = found.copies.get(scores.LIKENESS), base.levels.get(scores.LIKENESS) if base else None
    if best and own and best.mean <= own.mean:
        yield (
            f"Codec ceiling: the speaker's own clips, copied by the codec of {found.base}, have a likeness of {best.mean:.3f}, and the base "
            f"has {own.mean:.3f} already: training on such copies can hardly bring it nearer."
        )


def _levels(found: Ceiling, one: LineTest) -> str:
    have = [found.copies[one.measure].mean, found.originals[one.measure].mean]
    verb = "keep" if one.measure == scores.WORDS else "have"
    return f"{verb} {have[0]:.3f} where they {'kept' if verb == 'keep' else 'had'} {have[1]:.3f} before"


def _difference(one: LineTest) -> str:
    ends = one.interval
    return f"{one.difference:+.3f} (90 % interval {ends.low:+.3f} to {ends.high:+.3f} over {one.lines} clips)".replace(
        "-", "\u2212"
    )
