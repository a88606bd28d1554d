"""Who may stand in front of whom in training: another recording of the speaker, never one of the clip's own component or of a held-out split.

Recordings that share audio or a performance are one component (data.split): a reference of the clip's own would be the answer beside
the question, and one of validation or test would be trained on. Both are known by path and by content. What no clip of the splits has, as
the audio of rows that the audit dropped, is a recording like any other: nothing here knows whose it is.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from voicelathe.data.references import named
from voicelathe.data.references.named import Named
from voicelathe.data.references.pairs import Pairs
from voicelathe.errors import SplitError, listing
from voicelathe.records import CleanClip, ManifestRow, ReferencePlan, SplitAssignment

SHOWN = 3


@dataclass(frozen=True)
class Planned:
    """The plan, and what people should know of it: codes with their evidence."""

    plan: ReferencePlan
    notices: list[str] = field(default_factory=list)


def plan(
    root: Path,
    splits: Mapping[str, Sequence[CleanClip]],
    assignments: Iterable[SplitAssignment],
) -> Planned:
    """Look at every training clip. `root` is the audio root; `splits` are train, validation and test.

    Raises SplitError when a row of train names a recording of validation or test, and when no clip can have a reference at all.
    """
    train = sorted(splits["train"], key=lambda clip: clip.clip_id)
    component_of = {one.recording_id: one.component for one in assignments}
    files = named.looked_at(root, {clip.ref_audio for clip in train if clip.ref_audio})
    _require_not_held_out(train, files, splits)
    known = _Recordings.of(train, component_of)
    own: dict[str, str] = {}
    rows: dict[str, CleanClip] = {}
    refused: dict[str, list[str]] = defaultdict(list)
    for clip in train:
        if not clip.ref_audio:
            continue
        if (problem := known.problem(clip, files[clip.ref_audio])) is not None:
            refused[problem.partition(":")[0]].append(f"clip {clip.clip_id}, {clip.ref_audio} ({problem})")
            continue
        row = named.as_clip(clip.ref_audio, files[clip.ref_audio], clip)
        rows.setdefault(row.clip_id, row)
        own[clip.clip_id] = row.clip_id
    made = ReferencePlan(
        speakers={clip.clip_id: clip.speaker_id for clip in train},
        components={clip.clip_id: component_of[clip.recording_id] for clip in train},
        usable=[clip.clip_id for clip in train if named.SHORTEST_S <= clip.duration_s <= named.LONGEST_S],
        own=own,
        named=[rows[name] for name in sorted(rows)],
    )
    return Planned(made, _notices(made, refused))


def of_raw(rows: Iterable[ManifestRow], bad: Collection[str]) -> ReferencePlan:
    """As if every row of the raw manifest were trained on: nothing is measured yet, and recordings are components.

    A row that names the audio of other rows hears one of those, a bad one where there is one; what no row has is kept by its path.
    """
    known = list(rows)
    at: dict[str, list[ManifestRow]] = defaultdict(list)
    for row in known:
        for name in {row.audio, row.audio_sha256 or row.audio}:
            at[name].append(row)
    own = {row.clip_id: one for row in known if (one := _heard_by(row, at, bad)) is not None}
    return ReferencePlan(
        speakers={row.clip_id: row.speaker_id for row in known},
        components={row.clip_id: row.recording_id for row in known},
        usable=sorted(row.clip_id for row in known),
        own=own,
        named=[],
    )


def _heard_by(row: ManifestRow, at: Mapping[str, Sequence[ManifestRow]], bad: Collection[str]) -> str | None:
    """What stands in front of a row of the raw manifest because the row names it; None: it names none that `plan` would take."""
    if not row.ref_audio:
        return None
    there = at.get(row.ref_audio, ())
    contents = {one.audio_sha256 for one in there if one.audio_sha256}
    heard = [*there, *(one for content in contents for one in at[content])]
    if any(one.speaker_id != row.speaker_id or one.recording_id == row.recording_id for one in heard):
        return None
    ids = sorted(one.clip_id for one in heard)
    return next((one for one in ids if one in bad), ids[0] if ids else row.ref_audio)


@dataclass(frozen=True)
class _Recordings:
    """Recordings of train, by path and by content."""

    speakers: dict[str, set[str]]
    components: dict[str, set[str]]
    component_of: Mapping[str, str]

    @classmethod
    def of(cls, train: Iterable[CleanClip], component_of: Mapping[str, str]) -> "_Recordings":
        speakers: dict[str, set[str]] = defaultdict(set)
        components: dict[str, set[str]] = defaultdict(set)
        for clip in train:
            for name in (clip.audio, clip.audio_sha256):
                speakers[name].add(clip.speaker_id)
                components[name].add(component_of[clip.recording_id])
        return cls(speakers, components, component_of)

    def problem(self, clip: CleanClip, one: Named) -> str | None:
        """Why the recording that this row names cannot stand in front of it."""
        if one.problem is not None:
            return one.problem
        assert clip.ref_audio is not None and one.sha256 is not None, "only rows that name one are asked"
        names = (clip.ref_audio, one.sha256)
        speakers = set().union(*(self.speakers.get(name, set()) for name in names))
        if speakers - {clip.speaker_id}:
            return f"other_speaker: {', '.join(sorted(speakers))}, the clip is of {clip.speaker_id}"
        components = set().union(*(self.components.get(name, set()) for name in names))
        if self.component_of[clip.recording_id] in components:
            return "own_recording: the clip itself, or what belongs to its recording"
        return None


def _require_not_held_out(
    train: Sequence[CleanClip], files: Mapping[str, Named], splits: Mapping[str, Sequence[CleanClip]]
) -> None:
    held = {
        name: split
        for split, clips in splits.items()
        if split != "train"
        for clip in clips
        for name in (clip.audio, clip.audio_sha256)
    }
    found = []
    for clip in train:
        if clip.ref_audio:
            names = (clip.ref_audio, files[clip.ref_audio].sha256)
            if (split := next((held[name] for name in names if name in held), None)) is not None:
                found.append(f"clip {clip.clip_id} of train: {clip.ref_audio} is a recording of {split}")
    if found:
        raise SplitError(
            f"{len(found)} rows name a reference (ref_audio) that is held out, so training would hear what the voice is judged by:\n"
            f"{listing(found)}\nName other recordings in the manifest, or set train.reference_share to 0.0."
        )


def _notices(made: ReferencePlan, refused: Mapping[str, Sequence[str]]) -> list[str]:
    """How many clips have a reference and whose, what named recordings are not used, and who trains without."""
    pairs = Pairs(made, 1.0, 0)
    alone = [clip_id for clip_id in made.speakers if not pairs.has_any(clip_id)]
    total = len(made.speakers)
    if len(alone) == total:
        raise SplitError(
            f"None of the {total} clips of train can have a reference: no ref_audio can be used, and no speaker has a second recording with "
            f"a clip of {named.SHORTEST_S:g} to {named.LONGEST_S:g} s.{_first(refused)} Add recordings, or set train.reference_share to 0.0."
        )
    said = [
        f"references: {total - len(alone)} of {total} clips can have one, {len(made.own)} of them the ref_audio of their row, the others "
        "another recording of their speaker"
    ]
    if refused:
        counts = Counter({code: len(rows) for code, rows in refused.items()})
        which = ", ".join(f"{num} {code}" for code, num in counts.most_common())
        said.append(
            f"ref_audio_not_used: {which}; another recording of the speaker stands in.{_first(refused)}"
        )
    if alone:
        said.append(
            f"trains_without_reference: {len(alone)} clips, whose speakers have no other recording; first {', '.join(alone[:SHOWN])}"
        )
    return said


def _first(refused: Mapping[str, Sequence[str]]) -> str:
    """The first rows of each reason."""
    rows = [row for code in sorted(refused) for row in refused[code][:SHOWN]]
    return f" First: {'; '.join(rows)}." if rows else ""
