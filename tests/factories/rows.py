"""Rows, measures, clips and limits of the data stages, so that a test states only what matters to it."""

import json
from collections.abc import Collection, Iterable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from voicelathe import digest
from voicelathe.config import schema
from voicelathe.data import corpus
from voicelathe.data.audit import clean
from voicelathe.data.audit.rules import Limits, MeasuredRow, outliers, repeats
from voicelathe.data.audit.rules.repeats import Alike
from voicelathe.data.gate.table import GateRow
from voicelathe.data.text.phrases import Phrases
from voicelathe.records import CleanClip, ClipMeasure, Finding, ManifestRow

SERIAL, PARALLEL = schema.Engine("serial", 1), schema.Engine("processes", 2)
AUDIT = schema.Audit(
    min_duration_s=0.1,
    max_duration_s=30.0,
    phrases="phrases.txt",
    min_chars_per_s=4.0,
    max_chars_per_s=35.0,
    max_clipped_share=0.001,
    max_silence_share=0.5,
    min_level_spread_db=6.0,
    min_speech_share=0.25,
    max_cer_deviations=2.0,
    max_fitting_share=0.05,
    max_voice_deviations=6.0,
    max_pace_deviations=6.0,
    min_level_dbfs=-35.0,
    max_offset=0.008,
    max_hum_share=0.85,
    correct=True,
    max_edge_silence_s=0.5,
    kept_edge_silence_s=0.2,
    max_text_chars=500,
    min_script_share=0.5,
    min_band_share=0.8,
    min_overlap_share=0.2,
    max_fingerprint_error=0.18,
    min_twin_share=0.7,
    sample_rates_hz=[16000, 24000],
)
GATE = schema.Gate(
    min_rows=3,
    min_duration_s=0.1,
    max_duration_s=30.0,
    boilerplate=[r"(?i)thanks? (you )?for watching", r"\[[^\]]*\]"],
    sample_rates_hz=[16000, 24000],
    min_chars_per_s=3.0,
    max_chars_per_s=30.0,
    max_fingerprint_error=0.18,
    min_twin_share=0.7,
    max_text_overlap=0.2,
)
SPLIT = schema.Split(validation_share=0.1, test_share=0.1, same_text_together=False, frozen=None)
MEASURE = schema.Measure(silence_over_floor_db=8.0, silence_under_speech_db=40.0, max_file_s=7200.0)
PHRASES = Phrases((" thanks for watching ",), (), frozenset({" thank you "}), frozenset(), True)
SENTENCE = "The lamp beside the window is on, and the rain has stopped."  # 59 characters


def raw(number: int = 1, **changes: Any) -> dict[str, Any]:
    """A line of a raw manifest."""
    row = {
        "id": f"clip_{number:04d}",
        "audio": f"rec_{number:02d}.wav",
        "start_s": None,
        "end_s": None,
        "text": SENTENCE,
        "recording_id": f"rec_{number:02d}",
        "speaker_id": "awb",
        "language": "en",
        "sample_rate_hz": 16000,
    }
    return {**row, **changes}


def json_lines(path: Path, lines: Iterable[dict[str, Any] | bytes]) -> Path:
    """A manifest of rows, and of raw bytes where a line is meant to be wrong."""
    path.parent.mkdir(parents=True, exist_ok=True)
    parts = [
        line if isinstance(line, bytes) else json.dumps(line, ensure_ascii=False).encode() for line in lines
    ]
    path.write_bytes(b"".join(part + b"\n" for part in parts))
    return path


def ingest(manifest: Path, root: Path, **changes: Any) -> schema.Ingest:
    """Settings that read a manifest; nothing is pinned."""
    plain = schema.Ingest(str(manifest), "0" * 64, str(root), "0" * 64, "voicelathe", None, None, None)
    return replace(plain, **changes)


def manifest_row(number: int = 1, **changes: Any) -> ManifestRow:
    row = ManifestRow(
        clip_id=f"c{number:04d}",
        line=number,
        audio=f"rec_{number:02d}.wav",
        start_s=None,
        end_s=None,
        text=SENTENCE,
        recording_id=f"rec_{number:02d}",
        speaker_id="awb",
        language="en",
        sample_rate_hz=16000,
        audio_sha256=digest.of_bytes(f"file {number}".encode()),
        audio_problem=None,
        ref_audio=None,
        user_id=f"clip_{number:04d}",
        extra={},
    )
    return replace(row, **changes)


def measured(number: int = 1, **changes: Any) -> ClipMeasure:
    """What clean speech of three seconds measures."""
    measure = ClipMeasure(
        clip_id=f"c{number:04d}",
        problem=None,
        detail="",
        file_rate_hz=16000,
        num_channels=1,
        num_samples=48000,
        duration_s=3.0,
        peak_dbfs=-6.0,
        rms_dbfs=-24.0,
        clipped_share=0.0,
        num_nonfinite=0,
        offset=0.0,
        speech_dbfs=-18.0,
        floor_dbfs=-60.0,
        hum_share=0.1,
        channel_loss_db=None,
        channel_spread_db=None,
        channel_likeness=None,
        loudest_channel=None,
        leading_silence_s=0.1,
        trailing_silence_s=0.1,
        silence_share=0.15,
        level_spread_db=30.0,
        bandwidth_hz=4000.0,
        cutoff_hz=None,
        fingerprint=None,
        samples_sha256=digest.of_bytes(f"samples {number}".encode()),
    )
    return replace(measure, **changes)


def unmeasured(number: int, problem: str) -> ClipMeasure:
    nothing = dict.fromkeys(
        one.name for one in fields(ClipMeasure) if one.name not in ("clip_id", "problem", "detail")
    )
    return replace(measured(number), problem=problem, detail="seen", **nothing)


def clip(number: int = 1, row: dict[str, Any] | None = None, **measures: Any) -> MeasuredRow:
    """A row with its measure; `row` changes the one, keywords the other."""
    return MeasuredRow(manifest_row(number, **(row or {})), measured(number, **measures))


def limits(phrases: Phrases = PHRASES, **changes: Any) -> Limits:
    return Limits(replace(AUDIT, **changes), phrases)


def clean_clip(number: int = 1, **changes: Any) -> CleanClip:
    """A clip of a recording of its own."""
    made = CleanClip(
        clip_id=f"c{number:04d}",
        audio=f"rec_{number:02d}.wav",
        start_s=0.0,
        end_s=3.0,
        text=SENTENCE,
        recording_id=f"rec_{number:02d}",
        speaker_id="awb",
        language="en",
        audio_sha256=digest.of_bytes(f"file {number}".encode()),
        samples_sha256=digest.of_bytes(f"samples {number}".encode()),
        duration_s=3.0,
        ref_audio=None,
    )
    return replace(made, **changes)


def recordings(num: int, clips_each: int = 5) -> list[CleanClip]:
    """Clips of that many recordings, each in one file."""
    return [
        clean_clip(
            recording * 100 + number,
            recording_id=f"rec_{recording:03d}",
            audio=f"rec_{recording:03d}.wav",
            audio_sha256=digest.of_bytes(f"recording {recording}".encode()),
            start_s=4.0 * number,
            end_s=4.0 * number + 3.0,
        )
        for recording in range(num)
        for number in range(clips_each)
    ]


def gate_row(number: int = 1, **changes: Any) -> GateRow:
    """A row that the gate lets through; rows 1, 2 and 3 are in the three splits in turn."""
    row = GateRow(
        clip_id=f"c{number:04d}",
        split=("train", "validation", "test")[(number - 1) % 3],
        text=SENTENCE,
        plain_text=SENTENCE,
        num_spoken_chars=46.0,
        duration_s=3.0,
        num_nonfinite=0.0,
        file_rate_hz=16000.0,
        chars_per_s=19.7,
        recording_id=f"rec_{number:02d}",
        speaker_id="awb",
        num_splits_of_recording=1.0,
        num_splits_of_audio=1.0,
        num_splits_of_seconds=1.0,
        num_splits_of_samples=1.0,
        num_splits_of_performance=1.0,
        line_overlap=0.0,
        training_overlap=0.0,
        matches_manifest=True,
    )
    return replace(row, **changes)


def alike(clips: list[MeasuredRow], dropped: Collection[str]) -> list[Alike]:
    """Pairs of the same performance among clips of which a rule drops some."""
    heard = [clip.heard for clip in clips if clip.heard is not None]
    known = corpus.of([clip.row for clip in clips], [clip.measure for clip in clips], heard)
    bad = [one in dropped for one in known.rows["clip_id"].to_pylist()]
    return repeats.alike(known, np.array(bad, bool), AUDIT)


def outlying(clips: list[MeasuredRow]) -> list[Finding]:
    """What the whole audit finds unusual among clips."""
    known = [clip.row for clip in clips]
    measures = [replace(clip.measure, clip_id=clip.row.clip_id) for clip in clips]
    heard = [replace(clip.heard, clip_id=clip.row.clip_id) for clip in clips if clip.heard is not None]
    found = clean.audit(known, [], measures, AUDIT, PHRASES, heard)
    codes = {rule.code for rule in outliers.RULES}
    return [finding for finding in found.findings if finding.rule in codes]
