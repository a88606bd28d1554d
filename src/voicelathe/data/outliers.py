"""Rules that compare a clip with the rest of its corpus: what is usual is learned from the rows, so no absolute limit is needed.

Usual is the median; how much rows differ is the median absolute deviation, times 1.4826 so that it reads as a standard deviation
(Rousseeuw and Croux, 1993). A third of bad rows moves neither by much. Fewer than MIN_CLIPS rows say nothing.
"""

import base64
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np
from numpy.typing import NDArray

from voicelathe import settings
from voicelathe.data.rules import Clip, drop, warn
from voicelathe.records import Finding

MIN_CLIPS = 20
AS_DEVIATION = 1.4826
LEAST_CER, LEAST_LIKENESS = 0.05, 0.02  # the smallest deviation that is believed
LEAST_SHARE = 0.03  # of the median: even a corpus read by a machine differs by this much

ODD_PACE = drop(
    "odd_pace",
    "Far more or less text for each second of speech than in the rest of the corpus: cut, sped up, or another text.",
)
WRONG_TEXT = drop(
    "wrong_text", "A recogniser hears something else, far more than it mishears this speaker's other clips."
)
NOT_ALIGNED = warn(
    "not_aligned",
    "The text does not fit the audio to its end: the last words may be missing, or be other words.",
)
WRONG_SPEAKER = drop(
    "wrong_speaker", "The voice is not like that of this speaker's other clips, so two voices would be mixed."
)
RULES = (ODD_PACE, WRONG_TEXT, NOT_ALIGNED, WRONG_SPEAKER)


@dataclass(frozen=True)
class Usual:
    """The middle of a measure, and its robust deviation."""

    middle: float
    deviation: float

    def distance(self, value: float) -> float:
        """How many deviations away, with its sign."""
        return (value - self.middle) / self.deviation


def usual(values: Sequence[float], least: float = 1e-9) -> Usual | None:
    """The deviation is at least `least` and LEAST_SHARE of the middle. None for too few values."""
    if len(values) < MIN_CLIPS:
        return None
    middle = median(values)
    spread = AS_DEVIATION * median(abs(value - middle) for value in values)
    return Usual(middle, max(spread, LEAST_SHARE * abs(middle), least))


def usual_paces(languages: Sequence[str], paces: Sequence[float]) -> dict[str, Usual]:
    """The pace that is usual in each language: a Chinese second holds fewer characters than an English one."""
    by_language: dict[str, list[float]] = {}
    for language, pace in zip(languages, paces, strict=True):
        by_language.setdefault(language, []).append(pace)
    known = {language: usual(held) for language, held in sorted(by_language.items())}
    return {language: one for language, one in known.items() if one is not None}


def judge(
    clips: Sequence[Clip], dropped: Collection[str], audit: settings.Audit, paces: Mapping[str, Usual]
) -> list[Finding]:
    """Findings over all rows; what is usual is learned from the rows that no other rule drops."""
    return [
        *_odd_pace(clips, paces, audit.max_pace_deviations),
        *_wrong_text(clips, dropped, audit.max_cer_deviations),
        *(
            NOT_ALIGNED.finding(clip.row.clip_id, ("alignment failed", "the whole text"))
            for clip in clips
            if clip.heard is not None and clip.heard.is_aligned is False
        ),
        *_wrong_speaker(clips, dropped, audit.max_voice_deviations),
    ]


def _odd_pace(clips: Sequence[Clip], paces: Mapping[str, Usual], limit: float) -> Iterator[Finding]:
    for clip in clips:
        known = paces.get(clip.row.language)
        if known is None or not clip.chars_per_s:
            continue
        distance = known.distance(clip.chars_per_s)
        if abs(distance) > limit:
            seen = f"{clip.chars_per_s:.1f} characters/s, {distance:+.1f} deviations from {known.middle:.1f}"
            yield ODD_PACE.finding(clip.row.clip_id, (seen, f"at most {limit:g} deviations"))


def _wrong_text(clips: Sequence[Clip], dropped: Collection[str], limit: float) -> Iterator[Finding]:
    for said in _by_speaker(clip for clip in clips if clip.heard is not None and clip.heard.cer is not None):
        errors = {clip.row.clip_id: clip.heard.cer or 0.0 for clip in said if clip.heard is not None}
        known = usual([cer for clip_id, cer in errors.items() if clip_id not in dropped], LEAST_CER)
        for clip_id, cer in errors.items() if known else ():
            assert known is not None
            if known.distance(cer) > limit:
                seen = f"{100 * cer:.0f} % character errors, {known.distance(cer):.1f} deviations over {100 * known.middle:.0f} %"
                yield WRONG_TEXT.finding(clip_id, (seen, f"at most {limit:g} deviations"))


def _wrong_speaker(clips: Sequence[Clip], dropped: Collection[str], limit: float) -> Iterator[Finding]:
    """Likeness is the cosine to the mean voice of the half of the speaker's clips that are most alike."""
    for said in _by_speaker(clip for clip in clips if clip.heard is not None and clip.heard.voice):
        voices = np.stack([_voice(clip) for clip in said])
        is_sound = np.array([clip.row.clip_id not in dropped for clip in said])
        if is_sound.sum() < MIN_CLIPS:
            continue
        likeness = voices @ _middle(voices[is_sound])
        known = usual([float(one) for one in likeness[is_sound]], LEAST_LIKENESS)
        assert known is not None
        for clip, like in zip(said, likeness, strict=True):
            if known.distance(float(like)) < -limit:
                seen = f"likeness {like:.2f}, {-known.distance(float(like)):.1f} deviations under {known.middle:.2f}"
                yield WRONG_SPEAKER.finding(clip.row.clip_id, (seen, f"at most {limit:g} deviations"))


def _by_speaker(clips: Iterable[Clip]) -> list[list[Clip]]:
    found: dict[str, list[Clip]] = {}
    for clip in clips:
        found.setdefault(clip.row.speaker_id, []).append(clip)
    return [found[name] for name in sorted(found)]


def _voice(clip: Clip) -> NDArray[np.float64]:
    assert clip.heard is not None and clip.heard.voice is not None
    return np.frombuffer(base64.b64decode(clip.heard.voice), "<f2").astype(np.float64)


def _middle(voices: NDArray[np.float64]) -> NDArray[np.float64]:
    """The mean direction of the half that is nearest to the mean, so that a third of strangers does not draw it to them."""
    middle = voices.mean(axis=0)
    for _ in range(3):
        nearest = np.argsort(-(voices @ middle), kind="stable")[: max(1, len(voices) // 2)]
        middle = voices[nearest].mean(axis=0)
        middle = middle / np.linalg.norm(middle)
    return np.asarray(middle)
