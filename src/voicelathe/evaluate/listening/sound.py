"""How do spoken samples get into a page that needs no other file, at equal loudness, with the same bytes each time?

Samples are read only when they are the very files that samples.jsonl names. A small set is embedded without loss (FLAC), a large
one as Opus, whose random stream number is replaced, because the same page must be the same bytes.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from voicelathe import digest
from voicelathe.data.audio.files import AudioProblem
from voicelathe.data.audio.opus import RATES_HZ, with_serial
from voicelathe.data.audio.waveform import of_clip, resample
from voicelathe.errors import RecordError
from voicelathe.records import CleanClip, SampleRecord

Samples = NDArray[np.float32]

LOSSLESS_BYTES = 2_000_000  # of all FLAC files together; above, Opus
PAGE_BYTES = 10_500_000  # of all audio before base64: a page stays under 15 MB
OPUS_BITS_PER_S = 96_000  # transparent for one voice (Opus listening tests: Hoene et al. 2011)
MIN_OPUS_BITS_PER_S = 24_000
TARGET_LUFS = -23.0  # EBU R 128
MAX_PEAK_DBFS = -1.0
MAX_GAIN_DB = 30.0
GATED_S = 0.4  # shorter audio has no gated loudness block (BS.1770); its RMS stands in


@dataclass(frozen=True)
class DecodedSample:
    """One sample, decoded: mono, full scale 1.0."""

    samples: Samples
    rate_hz: int

    @property
    def duration_s(self) -> float:
        return len(self.samples) / self.rate_hz


@dataclass(frozen=True)
class Encoded:
    """A sample as a page carries it."""

    mime: str
    data: bytes


def load(sample: SampleRecord, root: Path) -> DecodedSample:
    """Decode a sample of samples.jsonl. Raises RecordError when its file is missing, torn or another one."""
    import soundfile

    assert sample.path is not None and sample.sha256 is not None, "only what was spoken can be loaded"
    path = root / sample.path
    again = (
        "Run the stage listen of this recipe again; it speaks what is missing: dvc repro -f -s listen@RECIPE"
    )
    if not path.is_file():
        raise RecordError(f"{path} is missing, although samples.jsonl lists it. {again}")
    if (found := digest.of_file(path)) != sample.sha256:
        raise RecordError(
            f"{path} has sha256 {found}, samples.jsonl says {sample.sha256}: torn or replaced. {again}"
        )
    frames, rate_hz = soundfile.read(path, dtype="float32", always_2d=True)
    if not len(frames) or not np.isfinite(frames).all():
        raise RecordError(f"{path} holds no finite audio, although samples.jsonl reports no problem. {again}")
    return DecodedSample(frames.mean(axis=1, dtype=np.float32), int(rate_hz))


def recording(clip: CleanClip, audio_root: str) -> DecodedSample:
    """A real clip at its own rate. Raises RecordError when it cannot be read any more, ManifestError when its file is another one."""
    try:
        sound, rate_hz = of_clip(Path(audio_root), clip)
    except AudioProblem as problem:
        raise RecordError(
            f"{Path(audio_root, clip.audio)}: the recording of clip {clip.clip_id} cannot be read ({problem.code}: {problem.detail}). "
            "It is a held-out line of the pack (listen.lines). Restore the file, then: dvc repro"
        ) from None
    return DecodedSample(np.ascontiguousarray(sound, np.float32), rate_hz)


def matched_gains_db(sounds: Sequence[DecodedSample]) -> list[float]:
    """Gains that make the sounds equally loud, at -23 LUFS or at the highest level that none of them clips at.

    Silence gets no gain, and nothing more than 30 dB.
    """
    levels = [loudness_lufs(sound) for sound in sounds]
    rooms = [
        level + MAX_PEAK_DBFS - 20.0 * float(np.log10(np.abs(sound.samples).max()))
        for sound, level in zip(sounds, levels, strict=True)
        if level is not None
    ]
    target = min([TARGET_LUFS, *rooms])
    return [0.0 if level is None else round(min(target - level, MAX_GAIN_DB), 1) for level in levels]


def loudness_lufs(sound: DecodedSample) -> float | None:
    """Gated loudness (ITU-R BS.1770-4); the RMS level where there is none to gate; None for digital silence."""
    power = float(np.mean(np.square(sound.samples, dtype=np.float64))) if len(sound.samples) else 0.0
    if power <= 0.0:
        return None
    if sound.duration_s >= GATED_S:
        import pyloudnorm

        gated = float(pyloudnorm.Meter(sound.rate_hz).integrated_loudness(sound.samples.astype(np.float64)))
        if np.isfinite(gated):
            return gated
    return float(10.0 * np.log10(power))


def encode(sounds: Sequence[DecodedSample]) -> list[Encoded]:
    """All sounds of a page in one format; the same sounds give the same bytes."""
    lossless: list[Encoded] = []
    for sound in sounds:
        lossless.append(
            Encoded("audio/flac", _write(sound.samples, sound.rate_hz, format="FLAC", subtype="PCM_16"))
        )
        if sum(len(one.data) for one in lossless) > LOSSLESS_BYTES:
            break
    else:
        return lossless
    seconds = sum(sound.duration_s for sound in sounds)
    bits_per_s = max(MIN_OPUS_BITS_PER_S, min(OPUS_BITS_PER_S, 8 * PAGE_BYTES / seconds))
    return [Encoded("audio/ogg", _opus(sound, bits_per_s, number)) for number, sound in enumerate(sounds)]


def _opus(sound: DecodedSample, bits_per_s: float, number: int) -> bytes:
    rate_hz = next((rate for rate in RATES_HZ if rate >= sound.rate_hz), RATES_HZ[-1])
    samples = resample(sound.samples, sound.rate_hz, rate_hz)
    level = 1.0 - (bits_per_s - 6_000) / 250_000  # libsndfile maps its level 0..1 to 256..6 kbit/s a channel
    return with_serial(
        _write(samples, rate_hz, format="OGG", subtype="OPUS", compression_level=level), number
    )


def _write(samples: Samples, rate_hz: int, **how: Any) -> bytes:
    import soundfile

    content = io.BytesIO()
    soundfile.write(content, samples, rate_hz, **how)
    return content.getvalue()
