"""Can the recording that a row names as ref_audio be a reference? It is opened, decoded and measured once for each content."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from voicelathe import digest, layout, records
from voicelathe.data.audio import files, waveform
from voicelathe.data.audio.files import AudioProblem
from voicelathe.data.measures import loudness

SHORTEST_S = (
    1.0  # less holds a word or two, and little of a voice; VoxCPM's own examples take several seconds
)
LONGEST_S = 30.0  # as the audit's usual limit of a clip: every position of a reference costs what one of the clip costs
SILENT_DBFS = -60.0  # the loudest tenth of a second of a recording in which nobody speaks
CACHE = layout.CACHE / "references" / "files"
REVISION = 2  # of what is measured here


@dataclass(frozen=True)
class Named:
    """A recording as a row names it. `problem` is a code with what was seen; None: it can be used."""

    sha256: str | None
    duration_s: float
    problem: str | None


def look(root: Path, audio: str) -> Named:
    """What a file is worth as a reference. Never raises AudioProblem: it is in the answer."""
    try:
        sha256 = files.hash_file(root, audio)
    except AudioProblem as problem:
        return Named(None, 0.0, f"{problem.code}: {problem.detail}")
    key = digest.of_value([REVISION, sha256, Path(audio).suffix.lower()])
    cached = CACHE / key[:2] / f"{key}.json"
    if not cached.is_file():
        digest.write_json(cached, records.to_json(_measured(root, audio, sha256)))
    return records.read_one(cached, Named)


def _measured(root: Path, audio: str, sha256: str) -> Named:
    try:
        samples, rate_hz = waveform.read_clip(root, audio, None, None, sha256)
    except AudioProblem as problem:
        return Named(sha256, 0.0, f"{problem.code}: {problem.detail}")
    sound = waveform.mono(samples)
    seconds = round(len(sound) / rate_hz, 6)
    return Named(sha256, seconds, _problem(sound, rate_hz, seconds))


def _problem(sound: waveform.Samples, rate_hz: int, seconds: float) -> str | None:
    if not np.isfinite(sound).all():
        return "nonfinite_samples: some samples are no numbers"
    if seconds < SHORTEST_S:
        return f"too_short: {seconds:.2f} s, at least {SHORTEST_S:g}"
    if seconds > LONGEST_S:
        return f"too_long: {seconds:.1f} s, at most {LONGEST_S:g}; cut a few seconds out of it"
    exact = sound.astype(np.float64)
    level = loudness.of(loudness.frame_energies(exact - exact.mean(), rate_hz)[0]).speech_dbfs
    if level is None or level < SILENT_DBFS:
        heard = "digital silence" if level is None else f"{level:.0f} dBFS at its loudest"
        return f"silent: {heard}"
    return None


def as_clip(audio: str, one: Named, like: records.CleanClip) -> records.CleanClip:
    """A row for the encoder, under an id that its content and speaker make: the whole recording, the mean of its channels, as it is.

    Channel, offset and gain of a row of the manifest are of that row's audio, never of the recording that it names.
    """
    assert one.sha256 is not None, "a recording that can be used was read"
    name = digest.of_value([one.sha256, like.speaker_id])[:16]
    return records.CleanClip(
        clip_id=f"reference-{name}", audio=audio, start_s=0.0, end_s=one.duration_s, text="", recording_id=audio,
        speaker_id=like.speaker_id, language=like.language, audio_sha256=one.sha256, samples_sha256=one.sha256,
        duration_s=one.duration_s, ref_audio=None,
    )  # fmt: skip


def looked_at(root: Path, audio: set[str]) -> Mapping[str, Named]:
    """`look` at each of several files."""
    return {name: look(root, name) for name in sorted(audio)}
