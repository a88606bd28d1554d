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

from voicelathe import digest, settings
from voicelathe.data import columns
from voicelathe.data.clip import Clip
from voicelathe.data.corpus import Corpus, Mask
from voicelathe.data.rule import drop, warn
from voicelathe.records import Finding
from voicelathe.speech import words

MIN_CLIPS = 20
SLACK = 1e-9  # what a distance may differ in its last digits
NUM_TEXTS = 200  # that a clip is compared with
AS_DEVIATION = 1.4826
LEAST_CER, LEAST_LIKENESS = 0.05, 0.02  # the smallest deviation that is believed
LEAST_SHARE = 0.03  # of the median: even a corpus read by a machine differs by this much

ODD_PACE = drop(
    "odd_pace",
    "Far more or less text for each second of speech than in the rest of the corpus: cut, sped up, or another text.",
)
WRONG_TEXT = drop(
    "wrong_text",
    "A recogniser mishears the clip more than is usual for the speaker, and texts of other rows fit it as well as its own.",
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
    """The pace that is usual in each language: languages differ, also in how many letters they write for a syllable."""
    by_language: dict[str, list[float]] = {}
    for language, pace in zip(languages, paces, strict=True):
        by_language.setdefault(language, []).append(pace)
    known = {language: usual(held) for language, held in sorted(by_language.items())}
    return {language: one for language, one in known.items() if one is not None}


def suspects(corpus: Corpus, paces: Mapping[str, Usual], audit: settings.Audit) -> Mask:
    """Rows that can break one of RULES: an unusual pace, or something that a model heard beyond speech."""
    import pyarrow.compute as pc

    found = pc.is_valid(corpus.heard["cer"]).to_numpy() | pc.is_valid(corpus.heard["voice"]).to_numpy()
    found = found | (pc.equal(corpus.heard["is_aligned"], False).fill_null(False).to_numpy())
    for language, known in paces.items():
        distance = np.abs(corpus.chars_per_s - known.middle) / known.deviation
        of_it = columns.mask(pc.equal(corpus.rows["language"], language))
        found = found | (of_it & (distance > audit.max_pace_deviations - SLACK))
    return np.asarray(found)


def judge(
    clips: Sequence[Clip], dropped: Collection[str], audit: settings.Audit, paces: Mapping[str, Usual]
) -> list[Finding]:
    """Findings over all rows; what is usual is learned from the rows that no other rule drops."""
    return [
        *_odd_pace(clips, paces, audit.max_pace_deviations),
        *_wrong_text(clips, dropped, audit),
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


def _wrong_text(clips: Sequence[Clip], dropped: Collection[str], audit: settings.Audit) -> Iterator[Finding]:
    """How badly a text was heard depends on speaker and luck; whether it was the text, on which texts it could be as well.

    A permutation test (Fisher, 1935): under a wrong text every share of fitting others is as likely, so `max_fitting_share` of
    the wrong texts pass. The deviations keep a speaker whom the recogniser hardly understands from being dropped whole.
    """
    heard = [clip for clip in clips if clip.heard is not None and clip.heard.said is not None]
    others = _texts(clip for clip in heard if clip.row.clip_id not in dropped)
    limit = f"at most {audit.max_cer_deviations:g} deviations or {audit.max_fitting_share:g} of other texts"
    for by_speaker in _by_speaker(heard):
        known = usual([_cer(clip) for clip in by_speaker if clip.row.clip_id not in dropped], LEAST_CER)
        for clip in by_speaker if known else ():
            assert known is not None
            cer = _cer(clip)
            if known.distance(cer) <= audit.max_cer_deviations:
                continue
            share = _fitting(clip, others.get(clip.row.language, []))
            if share is not None and share > audit.max_fitting_share:
                seen = f"{100 * cer:.0f} % character errors, {known.distance(cer):.1f} deviations over {100 * known.middle:.0f} %"
                seen += f"; {100 * share:.0f} % of other texts fit as well"
                yield WRONG_TEXT.finding(clip.row.clip_id, (seen, limit))


def _cer(clip: Clip) -> float:
    return (clip.heard.cer if clip.heard else None) or 0.0


def _fitting(clip: Clip, texts: Sequence[str]) -> float | None:
    """The share of texts that fit what was heard as well as the clip's own; None for too few."""
    own = words.normalise(clip.row.text or "")
    others = [text for text in texts if text != own]
    if len(others) < MIN_CLIPS or clip.heard is None:
        return None
    return words.share_that_fits(clip.heard.said or "", own, others)


def _texts(clips: Iterable[Clip]) -> dict[str, list[str]]:
    """Normalised texts of each language, NUM_TEXTS at most: those with the smallest digests, so that other rows change few of them."""
    found: dict[str, set[str]] = {}
    for clip in clips:
        found.setdefault(clip.row.language, set()).add(words.normalise(clip.row.text or ""))
    return {
        language: sorted(texts, key=lambda text: digest.of_bytes(text.encode()))[:NUM_TEXTS]
        for language, texts in found.items()
    }


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
