"""Verb `cut`: where somebody speaks in long recordings, and which words when. Each is decoded once, and never in memory as a whole.

The sound at RATE_HZ lies in a scratch file of 16 bits (115 MB an hour), which is removed at the end; what is read of it is some seconds.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from voicelathe import digest, records
from voicelathe.data.audio.files import AudioProblem
from voicelathe.data.audio.levels import FULL_SCALE
from voicelathe.data.audio.waveform import AudioFile, as_float, mono, to_16_bit
from voicelathe.errors import ManifestError
from voicelathe.process import jobs
from voicelathe.records import HeardWord, Listened, Stretch
from voicelathe.speech import RATE_HZ, activity, edges, recogniser

Samples = NDArray[np.float32]

BLOCK = edges.STEP * 1000  # 10 s at RATE_HZ


def run(job: jobs.CutJob, emit: Any) -> dict[str, Any]:
    """Listen to each recording and write what was found. Raises ManifestError for one that cannot be decoded to its end."""
    out = Path(job.out)
    out.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(job.recordings):
        emit(jobs.PHASE, {"name": "decode", "step": number, "micro": 0})
        scratch = out / f"{number}.scratch"
        try:
            rate_hz, sha256 = _decode(Path(job.audio_root), name, scratch)
            found = _listen(job, number, name, scratch, rate_hz, sha256, emit)
        finally:
            scratch.unlink(missing_ok=True)
        digest.write_json(out / f"{number}.json", records.to_json(found))
    return {"recordings": len(job.recordings)}


def _decode(root: Path, name: str, scratch: Path) -> tuple[int, str]:
    """Write the mean of the channels at RATE_HZ; returns the file's own rate and its sha256."""
    import soxr

    try:
        with AudioFile(root, name, None, may_seek=False) as file, scratch.open("wb") as out:
            stream = soxr.ResampleStream(file.rate_hz, RATE_HZ, 1, dtype="float32")
            for block in file.blocks():
                out.write(_pcm(stream.resample_chunk(np.nan_to_num(mono(as_float(block))))))
            out.write(_pcm(stream.resample_chunk(np.zeros(0, np.float32), last=True)))
            return file.rate_hz, digest.of_file(root / name)
    except AudioProblem as problem:
        raise ManifestError(
            f"{root / name}: cannot be read ({problem.code}: {problem.detail}). Repair it, or convert it: ffmpeg -i {name} OUT.wav"
        ) from None


def _pcm(samples: Samples) -> bytes:
    return to_16_bit(samples).tobytes()


def _listen(
    job: jobs.CutJob, number: int, name: str, scratch: Path, rate_hz: int, sha256: str, emit: Any
) -> Listened:
    pcm = _opened(scratch)
    emit(jobs.PHASE, {"name": "listen for speech", "step": number, "micro": 0})
    of = np.concatenate([edges.levels(block) for block in _blocks(pcm)] or [np.zeros(0, np.uint8)])
    found = activity.segments_of_stream(_blocks(pcm))
    levels = Path(job.out) / f"{number}.levels"
    digest.write_bytes(levels, of.tobytes())
    sharp = edges.sharpened(found, of)
    emit(jobs.PHASE, {"name": "listen for words", "step": number, "micro": 0})
    return Listened(
        name,
        sha256,
        rate_hz,
        round(len(pcm) / RATE_HZ, 3),
        [Stretch(one.start_s, one.end_s) for one in sharp],
        None if job.recogniser is None else list(_words(pcm, job, found, emit)),
        str(levels),
    )


def _words(
    pcm: NDArray[np.int16], job: jobs.CutJob, found: list[activity.Segment], emit: Any
) -> Iterator[HeardWord]:
    assert job.recogniser is not None
    total = round(len(pcm) / RATE_HZ)
    for words in recogniser.of(job.recogniser).words(_Floats(pcm), job.language, found):
        for one in words:
            yield HeardWord(one.text, one.start_s, one.end_s)
        if words:
            emit(jobs.PROGRESS, {"done": round(words[-1].end_s), "total": total, "unit": "s"})


class _Floats:
    """16-bit samples on disk that are floats when a slice of them is asked for."""

    def __init__(self, pcm: NDArray[np.int16]) -> None:
        self._pcm = pcm

    def __len__(self) -> int:
        return len(self._pcm)

    def __getitem__(self, part: slice) -> Samples:
        return np.multiply(self._pcm[part], 1 / FULL_SCALE, dtype=np.float32)


def _opened(scratch: Path) -> NDArray[np.int16]:
    if not scratch.stat().st_size:
        return np.zeros(0, "<i2")
    return np.memmap(scratch, "<i2", "r")


def _blocks(pcm: NDArray[np.int16]) -> Iterator[Samples]:
    floats = _Floats(pcm)
    for at in range(0, len(pcm), BLOCK):
        yield floats[at : at + BLOCK]
