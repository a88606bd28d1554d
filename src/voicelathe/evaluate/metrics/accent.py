"""Built-in metric `accent`: how far are the vowels of a line from those of the speaker's own recording of the same sentence?

Speaker similarity is nearly blind to accent. This compares first and second formants, freed of the speaker's own mean and spread,
along a time warping of the two clips (after Zhong, Liu, Wells and Richmond, Interspeech 2025, arXiv 2505.14410), so it needs lines
that the speaker really said: the held-out lines of a pack, or a line with the text of a held-out clip.
"""

from collections.abc import Sequence

import numpy as np

from voicelathe.evaluate.metrics.base import Clip, NotApplicable, Samples, Values
from voicelathe.records import Figure
from voicelathe.speech import formants, warping

FIGURE = "accent_distance"
MIN_PAIRS = 20  # voiced frames of both that meet


class Accent:
    """Distance to the speaker's vowels in the same sentence. No veto: it says where a voice moves, not what is wrong with it."""

    name = "accent"
    languages = None
    needs_real = True
    figures = (
        Figure(FIGURE, "deviations", "lower", None, "of the vowels from the speaker's, same sentence"),
    )

    def missing(self) -> str | None:
        return None

    def measure(self, clips: Sequence[Clip], real: Sequence[Clip]) -> list[Values]:
        """Raises NotApplicable when no clip says what a real one says. Real clips are compared with other takes of the same sentence."""
        takes = [[one for one in real if one is not clip and said(one) == said(clip)] for clip in clips]
        if not any(takes) and not _are_real(clips, real):
            raise NotApplicable(
                "no line has the text of a held-out recording of the speaker; the pack in listen.lines needs held-out lines: voicelathe lines propose"
            )
        rows: list[Values] = []
        for clip, others in zip(clips, takes, strict=True):
            known = [value for one in others if (value := distance(clip.samples, one.samples)) is not None]
            rows.append({FIGURE: float(np.mean(known)) if known else None})
        return rows

    def limits(self, figure: str, real: Sequence[float]) -> tuple[float | None, float | None]:
        return None, None


def said(clip: Clip) -> str:
    """The words alone: punctuation and case differ between a script and a manifest."""
    kept = "".join(letter if letter.isalnum() else " " for letter in clip.text.casefold().replace("'", ""))
    return " ".join(kept.split())


def distance(one: Samples, other: Samples) -> float | None:
    """Mean distance of normalised log F1 and F2 along the warping; None where too few voiced frames of both meet."""
    if not len(one) or not len(other):
        return None
    mine, theirs = formants.tracks(one), formants.tracks(other)
    if mine is None or theirs is None:
        return None
    met = [
        np.linalg.norm(mine[i] - theirs[j])
        for i, j in warping.path(warping.cepstra(one), warping.cepstra(other))
        if i < len(mine) and j < len(theirs)
    ]
    known = np.array(met)[np.isfinite(met)] if met else np.zeros(0)
    return float(known.mean()) if len(known) >= MIN_PAIRS else None


def _are_real(clips: Sequence[Clip], real: Sequence[Clip]) -> bool:
    known = {id(one) for one in real}
    return bool(clips) and all(id(one) in known for one in clips)
