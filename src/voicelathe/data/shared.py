"""Which clips are in more than one split at once, by what they share: the recording, the file, seconds of it, samples, a performance.

This is the gate's own look at leaks: it reads raw rows and measures, whatever the audit and the split thought of them.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from voicelathe.data import fingerprint, twins
from voicelathe.records import ClipMeasure

LEAST_S = 0.05  # of the same file, in two splits; less is how cuts are rounded


@dataclass(frozen=True)
class Placed:
    """A clip in its split, and where its audio comes from. None where there is no audio: such a clip shares it with nobody."""

    clip_id: str
    split: str
    recording_id: str
    audio_sha256: str | None
    samples_sha256: str | None
    start_s: float
    end_s: float | None


@dataclass(frozen=True)
class Sharing:
    """In how many splits each clip's recording, file, seconds, samples and performance are; 1 is as it should be."""

    recording: int
    audio: int
    seconds: int
    samples: int
    performance: int


def count(clips: Sequence[Placed], same: Mapping[str, Sequence[str]]) -> list[Sharing]:
    """For each clip, in order. `same` gives the clips of the same performance (`performances`)."""
    split_of = {clip.clip_id: clip.split for clip in clips}
    recordings = _by((clip.recording_id, clip.split) for clip in clips)
    files = _by((clip.audio_sha256, clip.split) for clip in clips)
    samples = _by((clip.samples_sha256, clip.split) for clip in clips)
    seconds = _overlapping(clips)
    return [
        Sharing(
            recording=len(recordings[clip.recording_id]),
            audio=len(files.get(clip.audio_sha256, {clip.split})),
            seconds=len(seconds.get(clip.clip_id, set()) | {clip.split}),
            samples=len(samples.get(clip.samples_sha256, {clip.split})),
            performance=len(
                {clip.split, *(split_of[one] for one in same.get(clip.clip_id, ()) if one in split_of)}
            ),
        )
        for clip in clips
    ]


def performances(measures: Iterable[ClipMeasure], max_error: float, min_share: float) -> dict[str, list[str]]:
    """The clips that each clip is the same performance as, by fingerprint."""
    known = sorted((one for one in measures if one.fingerprint), key=lambda one: one.clip_id)
    found: dict[str, list[str]] = {}
    for pair in twins.find([fingerprint.words(one.fingerprint or "") for one in known], max_error, min_share):
        one, other = known[pair.first].clip_id, known[pair.second].clip_id
        found.setdefault(one, []).append(other)
        found.setdefault(other, []).append(one)
    return found


def _by(pairs: Iterable[tuple[str | None, str]]) -> dict[str | None, set[str]]:
    found: dict[str | None, set[str]] = {}
    for name, split in pairs:
        if name is not None:
            found.setdefault(name, set()).add(split)
    return found


def _overlapping(clips: Iterable[Placed]) -> dict[str, set[str]]:
    """The other splits that have some of a clip's seconds."""
    files: dict[str, list[Placed]] = {}
    for clip in clips:
        if clip.audio_sha256 is not None and clip.end_s is not None:
            files.setdefault(clip.audio_sha256, []).append(clip)
    found: dict[str, set[str]] = {}
    for members in files.values():
        if len({clip.split for clip in members}) > 1:
            _overlapping_in(sorted(members, key=lambda clip: (clip.start_s, clip.clip_id)), found)
    return found


def _overlapping_in(members: Sequence[Placed], found: dict[str, set[str]]) -> None:
    """A sweep over the starts: whoever has not ended yet overlaps."""
    open_clips: list[Placed] = []
    for clip in members:
        open_clips = [one for one in open_clips if (one.end_s or 0.0) > clip.start_s]
        for one in open_clips:
            shared_s = min(one.end_s or 0.0, clip.end_s or 0.0) - clip.start_s
            if one.split != clip.split and shared_s >= LEAST_S:
                found.setdefault(one.clip_id, set()).add(clip.split)
                found.setdefault(clip.clip_id, set()).add(one.split)
        open_clips.append(clip)
