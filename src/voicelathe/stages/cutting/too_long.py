"""Which clips of the manifest are too long, and how would they be cut? What the audit drops as `too_long` is offered instead of lost.

A row's own text is its transcript. The clips stand in the place of the row: the manifest that comes of it holds all other rows as they were.
"""

import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from voicelathe import layout, records
from voicelathe.config import schema
from voicelathe.data import tables
from voicelathe.data.cutting import proposing, tiers
from voicelathe.data.cutting.clips import ClipLimits, Naming
from voicelathe.data.cutting.cues import Parsed
from voicelathe.errors import SubtitleError
from voicelathe.records import Cue, CutRecording, Finding, Listened, ManifestRow, Proposal, Stretch
from voicelathe.stages.cutting import proposals

RULE = "too_long"


def too_long(language: str | None) -> list[ManifestRow]:
    """Rows that the audit found too long, of one language. Raises RecordError before an audit, SubtitleError for none or several languages."""
    dropped = {one.clip_id for one in tables.read(layout.FINDINGS, Finding) if one.rule == RULE}
    rows = [row for row in records.read(layout.MANIFEST, ManifestRow) if row.clip_id in dropped and row.text]
    languages = Counter(row.language for row in rows)
    if language is None and len(languages) > 1:
        counts = ", ".join(f"{code} ({num})" for code, num in sorted(languages.items()))
        raise SubtitleError(
            f"Rows of several languages are too long: {counts}. Say which to cut: --language CODE"
        )
    wanted = [row for row in rows if language in (None, row.language)]
    if not wanted:
        raise SubtitleError("The audit found no row with a text that is too long: there is nothing to cut.")
    return wanted


def propose(rows: Sequence[ManifestRow], chosen: schema.Params, limits: ClipLimits, name: str) -> Proposal:
    """Clips in the place of rows. Raises SubtitleError without a recogniser for their language."""
    naming = Naming(name, rows[0].language, rows[0].speaker_id)
    ref = proposals.recogniser(chosen, naming.language)
    if ref is None:
        raise SubtitleError(
            f"The text of a row has no times, so a recogniser must know {naming.language!r}, and none is pinned. "
            "Pin one: voicelathe recogniser add DIR"
        )
    root, scratch = Path(chosen.ingest.audio_root), layout.CACHE / "cut" / name
    files = sorted({row.audio for row in rows})
    try:
        sources = [proposals.Source(audio, Path(audio)) for audio in files]
        heard = proposals.listen(root, sources, chosen, ref, naming.language, scratch)
        known = dict(zip(files, heard, strict=True))
        made = [_of_row(number, row, known[row.audio], limits, naming) for number, row in enumerate(rows)]
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    clips = [clip for _, cut in made for clip in cut.clips]
    replaced = [
        row.clip_id for number, row in enumerate(rows) if any(one.recording == number for one in clips)
    ]
    recordings = [one for one, _ in made]
    return Proposal(
        proposals.FORMAT, name, layout.in_project(root), naming.language, True, recordings, clips, replaced
    )


def _of_row(
    number: int, row: ManifestRow, heard: Listened, limits: ClipLimits, naming: Naming
) -> tuple[CutRecording, proposing.Cut]:
    inside = _between(heard, row.start_s or 0.0, row.end_s)
    raw, _ = tiers.plain(row.text or "")
    parsed = Parsed("text", [Cue(row.line, None, None, one.text, row.speaker_id) for one in raw])
    of = np.frombuffer(Path(heard.levels).read_bytes(), np.uint8)
    made = proposing.propose(number, row.user_id or row.clip_id, inside, parsed, of, limits, naming)
    where = f"the manifest's line {row.line}"
    recording = CutRecording(
        row.audio,
        heard.sha256,
        row.recording_id,
        inside.duration_s,
        where,
        round(made.speech_s, 3),
        round(sum(one.end_s - one.start_s for one in made.uncovered), 3),
        None,
        proposals.findings(where, inside, made),
        row.channel,
    )
    return recording, made


def _between(heard: Listened, start_s: float, end_s: float | None) -> Listened:
    """What was heard from the beginning to the end of a row."""
    end_s = min(heard.duration_s, end_s) if end_s is not None else heard.duration_s
    stretches = [
        Stretch(max(one.start_s, start_s), min(one.end_s, end_s))
        for one in heard.stretches
        if one.end_s > start_s and one.start_s < end_s
    ]
    words = [one for one in heard.words or [] if start_s <= (one.start_s + one.end_s) / 2 < end_s]
    return replace(heard, duration_s=end_s, stretches=stretches, words=words, begin_s=start_s)


def with_others(proposal: Proposal, rows: Sequence[dict[str, object]]) -> list[dict[str, object]]:
    """The rows of the whole manifest: those that are not replaced as they were, then the clips.

    Raises SubtitleError when the manifest is another one than the proposal was made of.
    """
    if not proposal.replaces:
        return list(rows)
    known = records.read(layout.MANIFEST, ManifestRow)
    gone = set(proposal.replaces) - {row.clip_id for row in known}
    if gone:
        raise SubtitleError(
            f"{layout.MANIFEST} has changed: {len(gone)} of {len(proposal.replaces)} rows that were cut are not in it any more. Propose again: --replace"
        )
    kept = [_as_written(row) for row in known if row.clip_id not in set(proposal.replaces)]
    return [*kept, *rows]


def _as_written(row: ManifestRow) -> dict[str, object]:
    values: dict[str, object] = {
        "id": row.user_id,
        "audio": row.audio,
        "start_s": row.start_s,
        "end_s": row.end_s,
        "text": row.text,
        "recording_id": row.recording_id,
        "speaker_id": row.speaker_id,
        "language": row.language,
        "sample_rate_hz": row.sample_rate_hz,
        "ref_audio": row.ref_audio,
        "channel": row.channel,
        "control": row.control,
    }
    return {**row.extra, **{name: value for name, value in values.items() if value is not None}}
