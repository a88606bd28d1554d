"""The clean split in the layout of other trainers, so that who trains elsewhere can still use the audit, the split and the gate.

Every clip becomes a WAV of its own, one channel, 16 bits: no other format knows cuts of a long file. Each split gets its own
manifest, and `provenance.json` says what all of it came from.
"""

import csv
import io
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from voicelathe import digest, records
from voicelathe.data import control
from voicelathe.data.audio import waveform
from voicelathe.data.audio.files import AudioProblem
from voicelathe.data.audio.waveform import AudioFile
from voicelathe.data.lexicon.reading import in_front
from voicelathe.data.manifest.names import ExportFormat
from voicelathe.errors import ManifestError, listing
from voicelathe.records import CleanClip

QWEN_RATE_HZ = 24_000  # upstream asserts it deep inside a run
REFERENCE_S = (3.0, 10.0)  # of a clip that serves as its speaker's reference
PLAIN_ID = re.compile(r"[^A-Za-z0-9.]+")


@dataclass(frozen=True)
class ExportedClip:
    """One clip as it was written."""

    clip: CleanClip
    id: str  # speaker, recording and clip, in letters that every format takes
    wav: Path
    ref_wav: Path | None


def export(
    splits: Mapping[str, Sequence[CleanClip]], audio_root: Path, form: ExportFormat, to: Path
) -> dict[str, list[ExportedClip]]:
    """Write every split below an empty or new folder; gives what was written.

    Raises ManifestError when the folder holds something, when audio cannot be read any more, and when a text does not fit the format.
    """
    if to.exists() and any(to.iterdir()):
        raise ManifestError(f"{to} is not empty. Name a new folder: an export never overwrites.")
    _require_fit(splits, form)
    written = {name: _write_clips(clips, audio_root, form, to / name) for name, clips in splits.items()}
    references = _references(written.get("train", ()))
    for name, clips in written.items():
        for path, content in _MANIFESTS[form](clips, references).items():
            digest.write_text(to / name / path, content)
    return written


def _require_fit(splits: Mapping[str, Sequence[CleanClip]], form: ExportFormat) -> None:
    unfit = [
        f"{clip.clip_id}: {clip.text[:60]}" for clips in splits.values() for clip in clips if "|" in clip.text
    ]
    if form == "ljspeech" and unfit:
        raise ManifestError(
            f"{len(unfit)} texts hold a |, which separates columns in LJSpeech's metadata.csv:\n{listing(unfit)}\n"
            "Choose another format, for example: --format audiofolder"
        )


def _write_clips(
    clips: Sequence[CleanClip], root: Path, form: ExportFormat, folder: Path
) -> list[ExportedClip]:
    found: list[ExportedClip] = []
    wavs = folder if form == "audiofolder" else folder / "wavs"
    for clip in clips:
        name = "-".join((_plain(clip.speaker_id), _plain(clip.recording_id), clip.clip_id.replace("-", "x")))
        reference = _write_reference(clip, root, form, folder / "references") if clip.ref_audio else None
        found.append(ExportedClip(clip, name, wavs / f"{name}.wav", reference))
        rate_hz = QWEN_RATE_HZ if form == "qwen3-tts" else _rate_hz(root, clip)
        waveform.write_wav(wavs / f"{name}.wav", waveform.read_mono(root, clip, rate_hz), rate_hz)
    return found


def _rate_hz(root: Path, clip: CleanClip) -> int:
    try:
        return waveform.header(root, clip.audio).rate_hz
    except AudioProblem as problem:
        raise ManifestError(
            f"{root / clip.audio} cannot be read any more ({problem}). Restore it, then: dvc repro"
        ) from None


def _write_reference(clip: CleanClip, root: Path, form: ExportFormat, folder: Path) -> Path | None:
    """A reference of the voice that the manifest names: only where the format has a place for it."""
    if form not in ("voxcpm", "qwen3-tts"):
        return None
    assert clip.ref_audio is not None
    path = folder / f"{digest.of_value(clip.ref_audio)[:16]}.wav"
    if not path.is_file():
        try:
            with AudioFile(root, clip.ref_audio, None) as file:
                samples, rate_hz = waveform.mono(file.clip(None, None)), file.rate_hz
        except AudioProblem as problem:
            raise ManifestError(
                f"ref_audio {clip.ref_audio!r} of clip {clip.clip_id} cannot be read ({problem.code}: {problem.detail}). "
                "Correct the manifest, then: dvc repro"
            ) from None
        to_hz = QWEN_RATE_HZ if form == "qwen3-tts" else rate_hz
        waveform.write_wav(path, waveform.resample(samples, rate_hz, to_hz), to_hz)
    return path


def _plain(name: str) -> str:
    """A speaker or recording as a part of a file name; one that had to be changed gets a digest, so that none become one."""
    plain = PLAIN_ID.sub("_", name)[:48]
    return plain if plain == name else f"{plain}.{digest.of_value(name)[:6]}"


def _references(train: Iterable[ExportedClip]) -> dict[str, Path]:
    """For each speaker a clip of the training split of a usual length, the first by id."""
    found: dict[str, ExportedClip] = {}
    for one in sorted(train, key=lambda one: (not _serves(one.clip), one.clip.clip_id)):
        found.setdefault(one.clip.speaker_id, one)
    return {speaker: one.wav for speaker, one in found.items()}


def _serves(clip: CleanClip) -> bool:
    return REFERENCE_S[0] <= clip.duration_s <= REFERENCE_S[1]


# --- one function for each format: the files of a split, by name -----------------------------------------------------

Manifests = dict[str, str]


def _voxcpm(clips: Sequence[ExportedClip], _: Mapping[str, Path]) -> Manifests:
    """Upstream's trainer reads the text alone: a control stands in front of it."""
    rows = ({**_json_row(one, one.ref_wav), "text": _controlled(one.clip)} for one in clips)
    return {"train.jsonl": _json_lines(rows)}


def _controlled(clip: CleanClip) -> str:
    return f"{in_front(control.of(clip))}{clip.text}"


def _qwen3_tts(clips: Sequence[ExportedClip], references: Mapping[str, Path]) -> Manifests:
    """Every row needs a reference; who has none gets a clip of the same speaker from the training split."""
    rows = [_json_row(one, one.ref_wav or references.get(one.clip.speaker_id)) for one in clips]
    if without := [row for row in rows if "ref_audio" not in row]:
        raise ManifestError(
            f"{len(without)} clips of speakers without a clip in the training split have no ref_audio, which every "
            "row of Qwen3-TTS needs. Choose another format, or add ref_audio to the manifest."
        )
    return {"train_raw.jsonl": _json_lines(rows)}


def _cosyvoice(clips: Sequence[ExportedClip], _: Mapping[str, Path]) -> Manifests:
    ordered = sorted(clips, key=lambda one: one.id)
    speakers: dict[str, list[str]] = {}
    for one in ordered:
        speakers.setdefault(_plain(one.clip.speaker_id), []).append(one.id)
    return {
        "wav.scp": _lines(f"{one.id} {one.wav.absolute()}" for one in ordered),
        "text": _lines(f"{one.id} {_one_line(one)}" for one in ordered),
        "utt2spk": _lines(f"{one.id} {_plain(one.clip.speaker_id)}" for one in ordered),
        "spk2utt": _lines(f"{speaker} {' '.join(ids)}" for speaker, ids in sorted(speakers.items())),
    }


def _ljspeech(clips: Sequence[ExportedClip], _: Mapping[str, Path]) -> Manifests:
    return {"metadata.csv": _lines(f"{one.id}|{_one_line(one)}|{_one_line(one)}" for one in clips)}


def _audiofolder(clips: Sequence[ExportedClip], _: Mapping[str, Path]) -> Manifests:
    content = io.StringIO()
    writer = csv.writer(content, lineterminator="\n")
    writer.writerow(["file_name", "transcription", "id", "recording_id", "speaker_id", "language"])
    for one in clips:
        clip = one.clip
        writer.writerow(
            [one.wav.name, _one_line(one), clip.clip_id, clip.recording_id, clip.speaker_id, clip.language]
        )
    return {"metadata.csv": content.getvalue()}


_MANIFESTS: dict[ExportFormat, Callable[[Sequence[ExportedClip], Mapping[str, Path]], Manifests]] = {
    "voxcpm": _voxcpm,
    "qwen3-tts": _qwen3_tts,
    "cosyvoice": _cosyvoice,
    "ljspeech": _ljspeech,
    "audiofolder": _audiofolder,
}


def _json_row(one: ExportedClip, reference: Path | None) -> dict[str, object]:
    """Paths are absolute: upstream's trainers start them from wherever they are run."""
    row: dict[str, object] = {"audio": str(one.wav.absolute()), "text": one.clip.text}
    return row if reference is None else {**row, "ref_audio": str(reference.absolute())}


def _json_lines(rows: Iterable[dict[str, object]]) -> str:
    return _lines(digest.canonical_json(row) for row in rows)


def _lines(lines: Iterable[str]) -> str:
    return "".join(f"{line}\n" for line in lines)


def _one_line(one: ExportedClip) -> str:
    """The text with runs of white space as one space: these formats have a line for each clip."""
    return " ".join(one.clip.text.split())


def provenance(
    passed: records.Passed, form: ExportFormat, written: Mapping[str, Sequence[ExportedClip]]
) -> dict[str, object]:
    """What the export came from, without a word about who speaks: policy, digests of splits and consent records, counts."""
    return {
        "format": form,
        "consent_policy": passed.policy,
        "promotable": passed.policy == "required",
        "consent_sha256": sorted(value for value in passed.speakers.values() if value),
        "splits": dict(passed.splits),
        "inputs": dict(passed.inputs),
        "clips": {name: len(clips) for name, clips in written.items()},
    }
