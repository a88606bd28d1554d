"""Rules that compare a clip with the rest of its corpus: what is usual is learned from the rows, so no absolute limit is needed.

Usual is the median; how much rows differ is the median absolute deviation, times 1.4826 so that it reads as a standard deviation
(Rousseeuw and Croux, 1993). A third of bad rows moves neither by much. Fewer than MIN_CLIPS rows say nothing, and neither does a clip
that is too short to be judged: the rules say which those are.
"""

import base64
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np
from numpy.typing import NDArray

from voicelathe import digest
from voicelathe.config import schema
from voicelathe.data import columns
from voicelathe.data.audit import pace
from voicelathe.data.audit.rule import drop, warn
from voicelathe.data.clip import MeasuredRow
from voicelathe.data.corpus import Corpus, Floats, Mask
from voicelathe.data.text import characters, languages
from voicelathe.records import Finding
from voicelathe.speech import transcripts, words

MIN_CLIPS = 20
NUM_TEXTS = 200  # that a clip is compared with
AS_DEVIATION = 1.4826
LEAST_CER, LEAST_LIKENESS = 0.05, 0.02  # the smallest deviation that is believed
LEAST_SHARE = 0.03  # of the median: even a corpus read by a machine differs by this much
# A recogniser hears "pipe" and "Console" as anything, and a voice is not known by half a second (benchmarks/real_speech.py).
LEAST_WORDS, LEAST_LETTERS, LEAST_VOICE_S = 3, 25, 1.0
LEAST_FAST_LETTERS = (
    10.0  # of a text that can be too fast; "tre" is said in 0.16 s (benchmarks/real_speech.py)
)
MOST_DOUBT = 1.3  # between the fewest and the most letters of a text that pace is learned from
SLACK = 1e-9  # what a distance may differ in its last digits

ODD_PACE = drop(
    "odd_pace",
    "Far more or less time than this speaker takes for a text of this length: cut, sped up, slowed down, or another text.",
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
class UsualValue:
    """The middle of a measure, and its robust deviation."""

    middle: float
    deviation: float

    def distance(self, value: float) -> float:
        """How many deviations away, with its sign."""
        return (value - self.middle) / self.deviation


def usual(values: Sequence[float], least: float = 1e-9) -> UsualValue | None:
    """The deviation is at least `least` and LEAST_SHARE of the middle. None for too few values."""
    if len(values) < MIN_CLIPS:
        return None
    middle = median(values)
    spread = AS_DEVIATION * median(abs(value - middle) for value in values)
    return UsualValue(middle, max(spread, LEAST_SHARE * abs(middle), least))


def pace_distances(corpus: Corpus, bad: Mask) -> Floats:
    """Deviations of each row from the time that its speaker takes for a text of its length; learned from the rows not in `bad`.

    NaN where there is no text, no sound, or too few rows to say what is usual.
    """
    fewest, most = corpus.num_letters
    known = ~np.isnan(fewest) & ~np.isnan(corpus.speech_s)
    sure = known & ~bad & (most <= MOST_DOUBT * fewest)  # a number can be read in too many ways to learn from
    learned = pace.of_groups(
        corpus.speakers[sure], corpus.languages[sure], (fewest[sure] + most[sure]) / 2, corpus.speech_s[sure]
    )
    found = np.full(len(corpus), np.nan)
    found[known] = pace.distances(
        learned,
        corpus.speakers[known],
        corpus.languages[known],
        (fewest[known], most[known]),
        corpus.speech_s[known],
    )
    # Where a word begins and ends in silence decides more about its pace than how it is said.
    return np.where((found < 0) & (most < LEAST_FAST_LETTERS), 0.0, found)


def suspects(corpus: Corpus, distances: Floats, audit: schema.Audit) -> Mask:
    """Rows that can break one of RULES: an unusual pace, or something that a model heard beyond speech."""
    import pyarrow.compute as pc

    found = pc.is_valid(corpus.heard["cer"]).to_numpy() | pc.is_valid(corpus.heard["voice"]).to_numpy()
    found = found | (pc.equal(corpus.heard["is_aligned"], False).fill_null(False).to_numpy())
    return np.asarray(found | (np.abs(distances) > audit.max_pace_deviations - SLACK))


def judge(
    clips: Sequence[MeasuredRow], dropped: Collection[str], audit: schema.Audit, distances: Floats
) -> list[Finding]:
    """Findings over clips with their `pace_distances`; what is usual is learned from the rows that no other rule drops."""
    return [
        *_odd_pace(clips, distances, audit.max_pace_deviations),
        *_wrong_text(clips, dropped, audit),
        *(
            NOT_ALIGNED.finding(clip.row.clip_id, ("alignment failed", "the whole text"))
            for clip in clips
            if clip.heard is not None and clip.heard.is_aligned is False and is_comparable(clip)
        ),
        *_wrong_speaker(clips, dropped, audit.max_voice_deviations),
    ]


def _odd_pace(clips: Sequence[MeasuredRow], distances: Floats, limit: float) -> Iterator[Finding]:
    for clip, distance in zip(clips, distances.tolist(), strict=True):
        if abs(distance) > limit:
            how = "slower" if distance > 0 else "faster"
            seen = f"{clip.chars_per_s or 0.0:.1f} characters/s, {abs(distance):.1f} deviations {how} than usual for its length"
            yield ODD_PACE.finding(clip.row.clip_id, (seen, f"at most {limit:g} deviations"))


def is_comparable(clip: MeasuredRow) -> bool:
    """Whether a text is long enough to be told from others by what was heard, and says in letters how it is read."""
    said = characters.words(clip.row.text)
    fewest, most = clip.num_letters
    has_spaces = len(said.split()) >= LEAST_WORDS or most > len(
        said
    )  # scripts without spaces count more than characters
    return fewest >= LEAST_LETTERS and has_spaces and not any(map(str.isdigit, said))


def comparable(corpus: Corpus) -> Mask:
    """`is_comparable` of every row."""
    import pyarrow.compute as pc

    fewest, most = corpus.num_letters
    spaces, length = (
        columns.numbers(some)
        for some in (pc.count_substring(corpus.words, " "), pc.utf8_length(corpus.words))
    )
    has_digits = columns.mask(pc.match_substring_regex(corpus.words, r"\p{Nd}"))
    return np.asarray(
        (fewest >= LEAST_LETTERS) & ((spaces - 1 >= LEAST_WORDS) | (most > length)) & ~has_digits
    )


def _wrong_text(
    clips: Sequence[MeasuredRow], dropped: Collection[str], audit: schema.Audit
) -> Iterator[Finding]:
    """How badly a text was heard depends on speaker and luck; whether it was the text, on which texts it could be as well.

    A permutation test (Fisher, 1935): under a wrong text every share of fitting others is as likely, so `max_fitting_share` of
    the wrong texts pass. The deviations keep a speaker whom the recogniser hardly understands from being dropped whole.
    """
    heard = [
        clip
        for clip in clips
        if clip.heard is not None and clip.heard.said is not None and is_comparable(clip)
    ]
    others = _texts(clip for clip in heard if clip.row.clip_id not in dropped)
    limit = f"at most {audit.max_cer_deviations:g} deviations or {audit.max_fitting_share:g} of other texts"
    for by_speaker in _by_speaker(heard):
        known = usual([_cer(clip) for clip in by_speaker if clip.row.clip_id not in dropped], LEAST_CER)
        for clip in by_speaker if known else ():
            assert known is not None
            cer = _cer(clip)
            if known.distance(cer) <= audit.max_cer_deviations:
                continue
            share = _fitting(clip, others.get(languages.primary(clip.row.language), []))
            if share is not None and share > audit.max_fitting_share:
                seen = f"{100 * cer:.0f} % character errors, {known.distance(cer):.1f} deviations over {100 * known.middle:.0f} %"
                seen += f"; {100 * share:.0f} % of other texts fit as well"
                yield WRONG_TEXT.finding(clip.row.clip_id, (seen, limit))


def _cer(clip: MeasuredRow) -> float:
    return (clip.heard.cer if clip.heard else None) or 0.0


def _fitting(clip: MeasuredRow, texts: Sequence[str]) -> float | None:
    """The share of texts that fit what was heard as well as the clip's own; None for too few."""
    own = transcripts.normalise(clip.row.text or "", clip.row.language)
    others = [text for text in texts if text != own]
    if len(others) < MIN_CLIPS or clip.heard is None:
        return None
    return words.share_that_fits(clip.heard.said or "", own, others)


def _texts(clips: Iterable[MeasuredRow]) -> dict[str, list[str]]:
    """Normalised texts of each language, NUM_TEXTS at most: those with the smallest digests, so that other rows change few of them."""
    found: dict[str, set[str]] = {}
    for clip in clips:
        found.setdefault(languages.primary(clip.row.language), set()).add(
            transcripts.normalise(clip.row.text or "", clip.row.language)
        )
    return {
        language: sorted(texts, key=lambda text: digest.of_bytes(text.encode()))[:NUM_TEXTS]
        for language, texts in found.items()
    }


def _wrong_speaker(clips: Sequence[MeasuredRow], dropped: Collection[str], limit: float) -> Iterator[Finding]:
    """Likeness is the cosine to the mean voice of the half of the speaker's clips that are most alike."""
    for said in _by_speaker(clip for clip in clips if _has_voice(clip)):
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


def _has_voice(clip: MeasuredRow) -> bool:
    return clip.heard is not None and clip.heard.voice is not None and clip.heard.speech_s >= LEAST_VOICE_S


def _by_speaker(clips: Iterable[MeasuredRow]) -> list[list[MeasuredRow]]:
    found: dict[str, list[MeasuredRow]] = {}
    for clip in clips:
        found.setdefault(clip.row.speaker_id, []).append(clip)
    return [found[name] for name in sorted(found)]


def _voice(clip: MeasuredRow) -> NDArray[np.float64]:
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
