"""Which clips of other speakers is forgetting measured on? A pinned manifest whose every row must be usable; nothing is audited away."""

from pathlib import Path

from voicelathe import digest
from voicelathe.config import schema
from voicelathe.data import control
from voicelathe.data.audio.files import AudioProblem
from voicelathe.data.audio.waveform import AudioFile
from voicelathe.data.manifest import ingest
from voicelathe.errors import ManifestError, listing
from voicelathe.records import CleanClip, ManifestRow

CLIPS = "clips.jsonl"  # beside the encodings of a base


def clips(general: schema.Ingest) -> list[CleanClip]:
    """Every row, by id. Raises ManifestError when a pin does not fit or a row has no text, no audio or no extent."""
    found = ingest.read(general, ingest.IN_THIS_PROCESS)
    seen = (digest.of_file(Path(general.manifest)), digest.of_value(found.audio))
    if seen != (general.sha256, general.audio_digest):
        raise ManifestError(
            f"{general.manifest} or its audio is not what params.yaml pins: general.sha256 is {general.sha256}, found {seen[0]}; "
            f"general.audio_digest is {general.audio_digest}, found {seen[1]}. Restore the files, or pin these after a look at them."
        )
    problems = [f"line {one.line}: {one.problem}" for one in found.rejected]
    rows = []
    for row in found.rows:
        try:
            rows.append(_clip(row, Path(general.audio_root)))
        except (AudioProblem, ValueError) as problem:
            problems.append(f"line {row.line}: {problem}")
    if problems or not rows:
        raise ManifestError(
            f"{general.manifest}: every row of the general set must be usable.\n{listing(problems or ['it has no rows'])}\n"
            "Correct it, then pin it again in params.yaml (general.sha256, general.audio_digest)."
        )
    return sorted(rows, key=lambda clip: clip.clip_id)


def _clip(row: ManifestRow, root: Path) -> CleanClip:
    if not row.text or not row.text.strip():
        raise ValueError("no text")
    if row.audio_sha256 is None:
        raise ValueError(f"{row.audio}: {row.audio_problem}")
    if row.control and (why := control.problem(row.control)) is not None:
        raise ValueError(f"control {control.shown(row.control)} cannot be used ({why})")
    start_s, end_s = row.start_s or 0.0, row.end_s
    if end_s is None:
        with AudioFile(root, row.audio, row.audio_sha256) as file:
            end_s = round(file.length_s(), 6)
    if end_s <= start_s:
        raise ValueError(f"ends at {end_s} s, before its start at {start_s} s")
    return CleanClip(
        clip_id=row.clip_id, audio=row.audio, start_s=start_s, end_s=end_s, text=row.text, recording_id=row.recording_id,
        speaker_id=row.speaker_id, language=row.language, audio_sha256=row.audio_sha256, samples_sha256=row.audio_sha256,
        duration_s=round(end_s - start_s, 6), ref_audio=row.ref_audio, control=row.control,
    )  # fmt: skip
