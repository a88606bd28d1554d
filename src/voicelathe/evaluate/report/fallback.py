"""With what to speak where nothing ships."""

from collections.abc import Iterator

from voicelathe.evaluate import scores
from voicelathe.evaluate.evidence import BASES, ZERO_SHOT
from voicelathe.evaluate.report import exclusions, wording
from voicelathe.records import Selection


def sentence(selection: Selection) -> Iterator[str]:
    """One sentence where there are two bases, none otherwise."""
    found = selection.fallback
    if found is None or (found.test is None and not found.because):
        return
    use = (
        f"Until a checkpoint ships, speak with {wording.spoken(selection, found.candidate)}{_how(selection)}"
    )
    if found.test is None:
        name = next(one for one in BASES if one != found.candidate)
        vetoes = next(row.vetoes for row in selection.ranking if row.candidate == name)
        named = f" ({vetoes[0]})" if vetoes else ""
        yield f"{use}: {wording.spoken(selection, name)} {found.because}{named}."
        return
    here, other = (
        exclusions.of(selection, name).levels for name in (found.test.candidate, found.test.against)
    )
    levels = [
        f"{name} {here[measure].mean:.3f} for {other[measure].mean:.3f}"
        for measure, name in ((scores.WORDS, "words kept"), (scores.LIKENESS, "likeness"))
        if measure in here and measure in other
    ]
    yield (
        f"{use}: against {wording.spoken(selection, found.test.against)} {wording.difference(found.test)} in words kept \u00d7 likeness "
        f"({', '.join(levels)})."
    )


def _how(selection: Selection) -> str:
    """Which clip the zero-shot base hears, and the commands; nothing for the plain base."""
    found, prompt = selection.fallback, selection.race.prompt
    if found is None or found.candidate != ZERO_SHOT or prompt is None:
        return ""
    heard, recipe = f"clip {prompt.clip_id}, {prompt.way}", selection.recipe
    into = f"voicelathe promote {recipe} --candidate {ZERO_SHOT} --because TEXT"
    return f" ({heard}; voicelathe say TEXT --zero-shot {recipe}, and into production: {into})"
