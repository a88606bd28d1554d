"""The only door to the samples of users' audio: every file is checked before it is decoded, and decoded in one way.

The worker imports this, too, so nothing here knows params, mlflow or great_expectations.
Samples are float32, full scale 1.0, [frames, channels] until `mono` makes them [frames].
"""

import io
import math
import os
import wave
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from voicelathe import digest
from voicelathe.data import audio_files, containers
from voicelathe.data.audio_files import AudioProblem
from voicelathe.errors import ManifestError
from voicelathe.records import CleanClip

Samples = NDArray[np.float32]

EXACT_SEEK = (
    "wav",
    "flac",
)  # libsndfile lands elsewhere in MP3, and an Opus decoder needs to settle after a jump
MIN_RATE_HZ, MAX_RATE_HZ, MAX_CHANNELS = 8_000, 192_000, 8
MAX_FILE_BYTES = (
    512 << 20
)  # of float32, where a file has to be decoded whole: a 1.4 MB FLAC can ask for 2.6 GB
MAX_CLIP_BYTES = (
    64 << 20
)  # of float32; a file up to this size is decoded whole, so that its clips cost nothing more
BLOCK_FRAMES = 1 << 14
END_TOLERANCE_S = 0.01  # manifests give times with two decimals
FULL_SCALE = 32768  # of 16-bit samples
NUM_KEPT_OPEN = 2


def read_clip(
    root: Path, audio: str, start_s: float | None, end_s: float | None, expected_sha256: str | None
) -> tuple[Samples, int]:
    """Samples [frames, channels] of a slice and their rate. Raises AudioProblem, and ManifestError when the file changed."""
    with AudioFile(root, audio, expected_sha256) as file:
        return file.clip(start_s, end_s), file.rate_hz


def read_mono(root: Path, clip: CleanClip, rate_hz: int) -> Samples:
    """A clip's audio [frames], one channel, at the wanted rate.

    The file's sha256 is compared with the manifest's once in a process. The last few files stay open, so clips in the order
    of their files cost one decoding each file. Raises ManifestError when the file changed or cannot be read any more.
    """
    try:
        file = _kept(root, clip.audio, clip.audio_sha256)
        return resample(mono(file.clip(clip.start_s, clip.end_s)), file.rate_hz, rate_hz)
    except AudioProblem as problem:
        raise ManifestError(
            f"{root / clip.audio}: clip {clip.clip_id} could be read when it was measured and cannot be now ({problem.code}: "
            f"{problem.detail}). Restore the file, then: dvc repro"
        ) from None


def mono(samples: Samples) -> Samples:
    """The mean of the channels."""
    return samples[:, 0] if samples.shape[1] == 1 else samples.mean(axis=1, dtype=np.float32)


def resample(samples: Samples, from_hz: int, to_hz: int) -> Samples:
    """Band-limited resampling of [frames] or [frames, channels] with soxr at its high quality."""
    if from_hz == to_hz:
        return samples
    import soxr

    return np.asarray(soxr.resample(samples, from_hz, to_hz), np.float32)


def to_16_bit(samples: Samples) -> NDArray[np.int16]:
    """Rounded to 16 bits; what lies beyond full scale is clamped, and NaN becomes 0."""
    scaled = np.nan_to_num(
        np.round(samples.astype(np.float64) * FULL_SCALE), nan=0.0, posinf=FULL_SCALE, neginf=-FULL_SCALE
    )
    return np.clip(scaled, -FULL_SCALE, FULL_SCALE - 1).astype("<i2")


def write_wav(path: Path, samples: Samples, rate_hz: int) -> None:
    """Write mono [frames] as 16-bit PCM, whole or not at all."""
    assert samples.ndim == 1 and np.isfinite(samples).all(), "only finite mono samples are written"
    content = io.BytesIO()
    with wave.open(content, "wb") as file:
        file.setparams((1, 2, rate_hz, len(samples), "NONE", ""))
        file.writeframes(to_16_bit(samples).tobytes())
    digest.write_bytes(path, content.getvalue())


_open_files: OrderedDict[tuple[Path, str, str], "AudioFile"] = OrderedDict()


def _kept(root: Path, audio: str, sha256: str) -> "AudioFile":
    key = (root, audio, sha256)
    if key not in _open_files:
        _open_files[key] = AudioFile(root, audio, sha256)
    _open_files.move_to_end(key)
    while len(_open_files) > NUM_KEPT_OPEN:
        _open_files.popitem(last=False)[1].close()
    return _open_files[key]


class AudioFile:
    """One file, verified and within limits, out of which clips are cut. Closed by `close` or at the end of a `with`.

    Small files and those without exact seeking are decoded whole; of a long WAV or FLAC only the clips are read.
    Raises AudioProblem, and ManifestError when the bytes are not those whose sha256 ingest wrote down.
    """

    def __init__(self, root: Path, audio: str, sha256: str | None, max_file_s: float = math.inf) -> None:
        self._file = audio_files.open_file(root, audio)
        try:
            if sha256 is not None:
                audio_files.verify(self._file, root / audio, sha256)
            container = _container(self._file, audio)
            self.rate_hz, self.num_channels, self.num_frames = _facts(self._file, max_file_s)
            decoded_bytes = self.num_frames * self.num_channels * 4
            self._samples: Samples | None = None
            self._stopped: AudioProblem | None = None
            if decoded_bytes <= MAX_CLIP_BYTES or container not in EXACT_SEEK:
                _require_room(decoded_bytes, MAX_FILE_BYTES)
                with _quiet(container == "mp3"):
                    self._samples, self._stopped = _decode(self._file, 0, self.num_frames, self.num_channels)
        except BaseException:
            self.close()
            raise

    def clip(self, start_s: float | None, end_s: float | None) -> Samples:
        """Samples [frames, channels] of a slice, or of the whole file. Raises AudioProblem."""
        start, num = self._frames(start_s, end_s)
        _require_room(num * self.num_channels * 4, MAX_CLIP_BYTES)
        if self._samples is None:
            samples, stopped = _decode(self._file, start, num, self.num_channels)
        else:
            samples, stopped = self._samples[start : start + num], self._stopped
        if len(samples) < num:
            assert stopped is not None
            raise stopped
        return samples

    def _frames(self, start_s: float | None, end_s: float | None) -> tuple[int, int]:
        """First frame and number of frames; the end may lie END_TOLERANCE_S behind the file's, no more."""
        length_s = self.num_frames / self.rate_hz
        first_s, last_s = start_s or 0.0, length_s if end_s is None else end_s
        if not 0 <= first_s <= last_s <= length_s + END_TOLERANCE_S:
            raise AudioProblem("bad_slice", f"{first_s:g} to {last_s:g} s of a file of {length_s:.3f} s")
        start = math.floor(first_s * self.rate_hz + 0.5)
        num = min(math.floor((last_s - first_s) * self.rate_hz + 0.5), self.num_frames - start)
        if num <= 0:
            raise AudioProblem("no_samples", "the clip has no samples")
        return start, num

    def close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def __enter__(self) -> "AudioFile":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _container(file: int, audio: str) -> str:
    container = containers.kind(os.pread(file, 16, 0))
    if container != audio_files.CONTAINERS[Path(audio).suffix.lower()]:
        raise AudioProblem(
            "unsupported_type",
            f"the content is {container or 'no audio that we read'}, the name says otherwise",
        )
    if fault := containers.fault(file, container, os.fstat(file).st_size):
        raise AudioProblem(*fault)
    return container


def _facts(file: int, max_file_s: float) -> tuple[int, int, int]:
    """Rate, channels and frames as the header says, all within limits: headers can claim anything."""
    with _sound(file) as sound:
        rate_hz, num_channels, num_frames = sound.samplerate, sound.channels, sound.frames
    if not MIN_RATE_HZ <= rate_hz <= MAX_RATE_HZ:
        raise AudioProblem(
            "over_limit", f"{rate_hz} samples a second; {MIN_RATE_HZ} to {MAX_RATE_HZ} are read"
        )
    if not 1 <= num_channels <= MAX_CHANNELS:
        raise AudioProblem("over_limit", f"{num_channels} channels; at most {MAX_CHANNELS} are read")
    if num_frames > max_file_s * rate_hz:
        raise AudioProblem(
            "over_limit", f"{num_frames / rate_hz:.0f} s; measure.max_file_s is {max_file_s:g}"
        )
    return rate_hz, num_channels, num_frames


def _require_room(num_bytes: int, limit: int) -> None:
    if num_bytes > limit:
        detail = f"{num_bytes >> 20} MiB decoded, more than {limit >> 20}: cut it into clips, or convert a long file to FLAC"
        raise AudioProblem("over_limit", detail)


@contextmanager
def _sound(file: int) -> Iterator[Any]:
    """A soundfile over an open descriptor; its file offset is where libsndfile believes the file to begin."""
    import soundfile

    os.lseek(file, 0, os.SEEK_SET)
    try:
        with soundfile.SoundFile(file, closefd=False) as sound:
            yield sound
    except (soundfile.LibsndfileError, ValueError, TypeError, MemoryError) as problem:
        raise AudioProblem("unreadable", str(problem)) from None


def _decode(file: int, start: int, num: int, channels: int) -> tuple[Samples, AudioProblem | None]:
    """`num` frames from `start`; fewer, with the reason, where the file cannot be decoded any further."""
    samples, done, stopped = np.empty((num, channels), np.float32), 0, "the file ends there"
    try:
        with _sound(file) as sound:
            if start:
                sound.seek(start)
            while done < num:
                block = sound.read(out=samples[done : done + BLOCK_FRAMES])
                if not len(block):
                    break
                done += len(block)
    except AudioProblem as problem:
        stopped = problem.detail
    if done == num:
        return samples, None
    return samples[:done], AudioProblem("truncated", f"decoded {done} of {num} samples: {stopped}")


@contextmanager
def _quiet(is_needed: bool) -> Iterator[None]:
    """Keep libmpg123 from writing thousands of lines to descriptor 2 about one damaged file."""
    if not is_needed:
        yield
        return
    saved, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(nowhere)
