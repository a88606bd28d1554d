"""Rules that compare rows: the same audio twice, overlapping cuts of one file, one id for two rows.

Of rows that repeat each other one is kept: the first in the manifest among those that no other rule drops. So a bad row never
pushes out a good one. The same performance in another file (another codec, level, rate or cut) counts as the same audio: the
fingerprint knows it. When the same audio has two different texts, nobody can know which is right, and all of them go.
"""

from bisect import bisect_left, insort
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from voicelathe.config import schema
from voicelathe.data import columns
from voicelathe.data.audit.rule import Rule, drop, shown, warn
from voicelathe.data.clip import MeasuredRow
from voicelathe.data.corpus import Corpus, Mask
from voicelathe.data.measures import fingerprint
from voicelathe.data.near_duplicates import leakage, performances
from voicelathe.data.text import characters
from voicelathe.records import Finding

EXACT_DUPLICATE = drop(
    "exact_duplicate", "The very same samples again: the clip counts twice and can be in two splits."
)
CONFLICTING_TEXT = drop(
    "conflicting_text", "The very same samples have different texts, and only one of them can be right."
)
OVERLAP = drop(
    "overlap",
    "Cut from the same seconds of a file as another clip, so its text is learned from the same audio twice.",
)
NEAR_DUPLICATE = drop(
    "near_duplicate",
    "The same performance in other bytes, such as another codec or level: it counts twice and can be in two splits.",
)
REPEATED_TEXT = warn(
    "repeated_text",
    "Another clip says the same words: harmless if meant, and in another split it is half a leak.",
)
DUPLICATE_ID = warn(
    "duplicate_id", "Another row has the same id, so whoever looks for this one by id can find the other."
)
CER_APART = 0.2  # share of characters misheard more that tells two texts apart
RULES: tuple[Rule, ...] = (
    EXACT_DUPLICATE,
    CONFLICTING_TEXT,
    OVERLAP,
    NEAR_DUPLICATE,
    REPEATED_TEXT,
    DUPLICATE_ID,
)


@dataclass(frozen=True)
class Alike:
    """Two clips that are the same performance, the better ranked or earlier one first, and the share of bits that differ."""

    first: MeasuredRow
    second: MeasuredRow
    error: float


def alike(corpus: Corpus, bad: Mask, audit: schema.Audit) -> list[Alike]:
    """All pairs, exact copies included; `bad` are the rows that another rule drops. Clips without a fingerprint are not compared."""
    import pyarrow.compute as pc

    known = np.flatnonzero(pc.is_valid(corpus.measures["fingerprint"]).to_numpy())
    ranked = known[np.argsort(bad[known], kind="stable")]
    prints = [fingerprint.words(one) for one in corpus.measures["fingerprint"].take(ranked).to_pylist()]
    found = performances.find(prints, audit.max_fingerprint_error, audit.min_twin_share)
    members = sorted({at for pair in found for at in (pair.first, pair.second)})
    clips = dict(zip(members, corpus.clips(ranked[members]), strict=True)) if members else {}
    return [Alike(clips[pair.first], clips[pair.second], pair.error) for pair in found]


def suspects(corpus: Corpus, bad: Mask, pairs: Sequence[Alike]) -> NDArray[np.int64]:
    """Places of the rows that share samples, seconds of a file, a performance, words or an id with another row."""
    import pyarrow.compute as pc

    found = _same(columns.codes(corpus.measures["samples_sha256"])) | _same(
        columns.codes(corpus.rows["user_id"])
    )
    found[leakage.touching(columns.codes(corpus.rows["audio_sha256"]), *corpus.ends)] = True
    twins = {clip.row.clip_id for pair in pairs for clip in (pair.first, pair.second)}
    found |= columns.mask(pc.is_in(corpus.rows["clip_id"], columns.strings(twins)))
    language, said = columns.codes(corpus.rows["language"]), columns.codes(pc.fill_null(corpus.words, "  "))
    both = np.where(bad, -1, language * (said.max(initial=0) + 1) + said)
    return np.flatnonzero(found | _same(np.unique(both, return_inverse=True)[1] - bool(bad.any())))


def _same(code: NDArray[np.int64]) -> Mask:
    """Rows whose code another row has, too; -1 is nobody's."""
    return np.asarray((code >= 0) & (np.bincount(code + 1)[code + 1] > 1)) if len(code) else np.zeros(0, bool)


def judge(
    clips: Sequence[MeasuredRow], dropped: Collection[str], audit: schema.Audit, pairs: Sequence[Alike]
) -> list[Finding]:
    """Findings over all rows; `dropped` are the ids of the clips that another rule drops, `pairs` what `alike` found."""
    ranked = _ranked(clips, dropped)
    found = list(_same_audio(ranked, dropped))
    found += _overlaps(_without(ranked, found), audit.min_overlap_share)
    found += _near_duplicates(_without(ranked, found), dropped, pairs, audit.max_fingerprint_error)
    alone = _without(ranked, found)
    return [
        *found,
        *_same_texts([clip for clip in alone if clip.row.clip_id not in dropped]),
        *_same_ids(ranked),
    ]


def _ranked(clips: Iterable[MeasuredRow], dropped: Collection[str]) -> list[MeasuredRow]:
    return sorted(clips, key=lambda clip: (clip.row.clip_id in dropped, clip.row.line))


def _without(ranked: Sequence[MeasuredRow], found: Iterable[Finding]) -> list[MeasuredRow]:
    repeated = {finding.clip_id for finding in found}
    return [clip for clip in ranked if clip.row.clip_id not in repeated]


def _groups(ranked: Iterable[MeasuredRow], key: str) -> list[list[MeasuredRow]]:
    """Clips that agree in a field of their row or measure, in the order of their rank; None agrees with nothing."""
    groups: dict[str, list[MeasuredRow]] = {}
    for clip in ranked:
        value = getattr(clip.measure if hasattr(clip.measure, key) else clip.row, key)
        if value is not None:
            groups.setdefault(value, []).append(clip)
    return list(groups.values())


def _same_audio(ranked: Sequence[MeasuredRow], dropped: Collection[str]) -> Iterator[Finding]:
    groups = (members for members in _groups(ranked, "samples_sha256") if len(members) > 1)
    for first, *others in groups:
        sound = [clip for clip in (first, *others) if clip.row.clip_id not in dropped]
        if len({characters.words(clip.row.text) for clip in sound}) > 1:
            lines = ", ".join(str(clip.row.line) for clip in sound[:5])
            yield from (
                CONFLICTING_TEXT.finding(clip.row.clip_id, (f"lines {lines}", "one text")) for clip in sound
            )
        for clip in others:
            yield EXACT_DUPLICATE.finding(clip.row.clip_id, (f"as line {first.row.line}", "once"))


def _overlaps(ranked: Sequence[MeasuredRow], min_share: float) -> Iterator[Finding]:
    """Two people on two channels may speak at once; a row without a channel has all of them."""
    for members in _groups(ranked, "audio_sha256"):
        heard = [clip for clip in members if clip.measure.duration_s]
        channels = {clip.row.channel for clip in heard}
        if None in channels:
            yield from _overlaps_in_file(heard, min_share)
            continue
        for channel in sorted(one for one in channels if one is not None):
            yield from _overlaps_in_file([clip for clip in heard if clip.row.channel == channel], min_share)


def _overlaps_in_file(ranked: Sequence[MeasuredRow], min_share: float) -> Iterator[Finding]:
    """Take clips by rank; what shares enough of the shorter one's time with a clip already taken is an overlap."""
    taken: list[tuple[float, float, int]] = []
    longest_s = max((clip.measure.duration_s or 0.0 for clip in ranked), default=0.0)
    for clip in ranked:
        start_s, length_s = clip.row.start_s or 0.0, clip.measure.duration_s or 0.0
        end_s = start_s + length_s
        shared_s, with_line = 0.0, 0
        for at in range(bisect_left(taken, (start_s - longest_s,)), len(taken)):
            start, end, line = taken[at]
            if start >= end_s:
                break
            share = (min(end, end_s) - max(start, start_s)) / min(length_s, end - start)
            if share >= min_share and share > shared_s:
                shared_s, with_line = share, line
        if with_line:
            yield OVERLAP.finding(
                clip.row.clip_id, (f"{shared_s:.2f} of it with line {with_line}", f"less than {min_share:g}")
            )
        else:
            insort(taken, (start_s, end_s, clip.row.line))


def _near_duplicates(
    ranked: Sequence[MeasuredRow], dropped: Collection[str], pairs: Sequence[Alike], max_error: float
) -> Iterator[Finding]:
    """By rank: whoever is the twin of a clip that stays goes. Of twins with different texts the one whose text was heard ranks first."""
    place = {clip.row.clip_id: at for at, clip in enumerate(_by_evidence(ranked, dropped, pairs))}
    known = [pair for pair in pairs if pair.first.row.clip_id in place and pair.second.row.clip_id in place]
    ordered = sorted((_better_first(pair, place) for pair in known), key=lambda pair: _places(pair, place))
    staying = set(place)
    for pair in ordered:
        if {pair.first.row.clip_id, pair.second.row.clip_id} <= staying:
            staying.remove(pair.second.row.clip_id)
            seen = f"as line {pair.first.row.line}, {100 * pair.error:.0f} % of the bits differ{_two_texts(pair)}"
            yield NEAR_DUPLICATE.finding(pair.second.row.clip_id, (seen, f"more than {100 * max_error:g} %"))


def _by_evidence(
    ranked: Sequence[MeasuredRow], dropped: Collection[str], pairs: Sequence[Alike]
) -> list[MeasuredRow]:
    """As they are ranked, but whoever was misheard far more than a twin with another text comes after those that were not."""
    losers = {clip.row.clip_id for pair in pairs if (clip := _less_heard(pair)) is not None}
    return sorted(ranked, key=lambda clip: (clip.row.clip_id in dropped, clip.row.clip_id in losers))


def _less_heard(pair: Alike) -> MeasuredRow | None:
    """Of twins with two texts the one whose text the recogniser misheard more, by CER_APART or more."""
    first, second = (clip.heard.cer if clip.heard is not None else None for clip in (pair.first, pair.second))
    if not _differ(pair) or first is None or second is None or abs(first - second) < CER_APART:
        return None
    return pair.first if first > second else pair.second


def _better_first(pair: Alike, place: Mapping[str, int]) -> Alike:
    first, second = _places(pair, place)
    return pair if first < second else Alike(pair.second, pair.first, pair.error)


def _places(pair: Alike, place: Mapping[str, int]) -> tuple[int, int]:
    return place[pair.first.row.clip_id], place[pair.second.row.clip_id]


def _differ(pair: Alike) -> bool:
    return characters.words(pair.first.row.text) != characters.words(pair.second.row.text)


def _two_texts(pair: Alike) -> str:
    """Both texts where they differ, and why the first is believed."""
    if not _differ(pair):
        return ""
    kept, gone = pair.first, pair.second
    said = f"; kept {shown(kept.row.text)}, dropped {shown(gone.row.text)}"
    if _less_heard(pair) is not gone:
        return f"{said}: which is right was not heard, listen to both"
    errors = [100 * (clip.heard.cer or 0.0) for clip in (kept, gone) if clip.heard is not None]
    return f"{said}: {errors[0]:.0f} % against {errors[1]:.0f} % of the characters misheard"


def _same_texts(ranked: Sequence[MeasuredRow]) -> Iterator[Finding]:
    first_with: dict[tuple[str, str], int] = {}
    for clip in sorted(ranked, key=lambda clip: clip.row.line):
        said = (clip.row.language, characters.words(clip.row.text))
        line = first_with.setdefault(said, clip.row.line)
        if line != clip.row.line and clip.num_spoken_chars:
            yield REPEATED_TEXT.finding(clip.row.clip_id, (f"as line {line}", "once"))


def _same_ids(ranked: Sequence[MeasuredRow]) -> Iterator[Finding]:
    for members in _groups(ranked, "user_id"):
        first, *others = sorted(members, key=lambda clip: clip.row.line)
        for clip in others:
            yield DUPLICATE_ID.finding(clip.row.clip_id, (f"id of line {first.row.line}, too", "once"))
