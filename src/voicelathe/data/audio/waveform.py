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
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from voicelathe import digest
from voicelathe.data.audio import checking, decoding, files, scales
from voicelathe.data.audio.decoding import Header, Stored
from voicelathe.data.audio.files import AudioProblem
from voicelathe.data.audio.levels import FULL_SCALE
from voicelathe.errors import ManifestError
from voicelathe.records import CleanClip, ClipRef

Samples = NDArray[np.float32]

MAX_CLIP_BYTES = 32 << 20  # of float32, 174 s at 48 kHz: a 1.4 MB FLAC can ask for 2.6 GB
END_TOLERANCE_S = 0.01  # manifests give times with two decimals
NUM_KEPT_OPEN = 2


def read_clip(
    root: Path, audio: str, start_s: float | None, end_s: float | None, expected_sha256: str | None
) -> tuple[Samples, int]:
    """Samples [frames, channels] of a slice and their rate. Raises AudioProblem, and ManifestError when the file changed."""
    with AudioFile(root, audio, expected_sha256) as file:
        return file.clip(start_s, end_s), file.rate_hz


def of_clip(root: Path, clip: CleanClip) -> tuple[Samples, int]:
    """A clip's audio [frames] as it is trained on, at its own rate. Raises AudioProblem, and ManifestError when the file changed."""
    return of_ref(ClipRef.of(str(root), clip))


def of_ref(ref: ClipRef) -> tuple[Samples, int]:
    """The same for audio to measure."""
    with AudioFile(Path(ref.root), ref.audio, ref.sha256) as file:
        sound = mono(as_float(one_channel(file.stored(ref.start_s, ref.end_s), ref.channel)))
        return corrected(sound, ref), file.rate_hz


def read_mono(root: Path, clip: CleanClip, rate_hz: int) -> Samples:
    """A clip's audio [frames], one channel, at the wanted rate.

    The file's sha256 is compared with the manifest's once in a process. The last few files stay open, so clips in the order
    of their files cost one decoding each file. Raises ManifestError when the file changed or cannot be read any more.
    """
    try:
        file = _kept(root, clip.audio, clip.audio_sha256)
        sound = mono(as_float(one_channel(file.stored(clip.start_s, clip.end_s), clip.channel)))
        return resample(corrected(sound, clip), file.rate_hz, rate_hz)
    except AudioProblem as problem:
        raise ManifestError(
            f"{root / clip.audio}: clip {clip.clip_id} could be read when it was measured and cannot be now ({problem.code}: "
            f"{problem.detail}). Restore the file, then: dvc repro"
        ) from None


def header(root: Path, audio: str) -> Header:
    """What a file's header says, checked for lies and limits; nothing is decoded. Raises AudioProblem."""
    file = files.open_file(root, audio)
    try:
        return checking.checked(file, audio, math.inf)[3]
    finally:
        os.close(file)


def full_scale(root: Path, audio: str) -> float:
    """What the samples of a file are divided by: 1, but for a WAV of floats in the scale of integers, and 1 for a file that cannot be read."""
    if files.CONTAINERS.get(Path(audio).suffix.lower()) != "wav":
        return 1.0  # also under a wrong name: such a file is not read
    try:
        if not header(root, audio).is_float:
            return 1.0
        with AudioFile(root, audio, None) as file:
            return file.full_scale
    except AudioProblem:
        return 1.0


def as_float(stored: Stored) -> Samples:
    """Samples as float32 with full scale 1.0."""
    if stored.dtype == np.float32:
        return np.asarray(stored, np.float32)
    return np.multiply(stored, 1 / FULL_SCALE, dtype=np.float32)


def one_channel(stored: Stored, channel: int | None) -> Stored:
    """The channel that a row names, [frames, 1]; all of them where it names none. Raises AudioProblem for one that is not there."""
    if channel is None:
        return stored
    if not 0 <= channel < stored.shape[1]:
        raise AudioProblem("no_channel", f"channel {channel}, counted from 0, of {stored.shape[1]}")
    return stored[:, channel : channel + 1]


def corrected(samples: Samples, clip: CleanClip | ClipRef) -> Samples:
    """Without the offset, and lifted by the gain that the audit recorded."""
    if not clip.offset and not clip.gain_db:
        return samples
    return np.asarray(
        (samples - np.float32(clip.offset)) * np.float32(10.0 ** (clip.gain_db / 20.0)), np.float32
    )


def mono(samples: Samples) -> Samples:
    """The mean of the channels."""
    return samples[:, 0] if samples.shape[1] == 1 else samples.mean(axis=1, dtype=np.float32)


def resample(samples: Samples, from_hz: int, to_hz: int) -> Samples:
    """Band-limited resampling of [frames] or [frames, channels] with soxr at its high quality."""
    if from_hz == to_hz:
        return samples
    import soxr

    return np.asarray(soxr.resample(samples, from_hz, to_hz), np.float32)


def to_16_bit(samples: Stored) -> NDArray[np.int16]:
    """Rounded to 16 bits; what lies beyond full scale is clamped, and NaN becomes 0. Samples of 16 bits stay as they are."""
    if samples.dtype == np.int16:
        return np.asarray(samples, "<i2")
    with np.errstate(invalid="ignore"):  # a signalling NaN says so when it is cast
        scaled = np.round(samples.astype(np.float64) * FULL_SCALE)
    scaled = np.nan_to_num(scaled, nan=0.0, posinf=FULL_SCALE, neginf=-FULL_SCALE)
    return np.clip(scaled, -FULL_SCALE, FULL_SCALE - 1).astype("<i2")


def write_wav(path: Path, samples: Samples, rate_hz: int) -> None:
    """Write mono [frames] as 16-bit PCM, whole or not at all."""
    digest.write_bytes(path, wav_of(samples, rate_hz))


def wav_of(samples: Samples, rate_hz: int) -> bytes:
    """Mono [frames] as the bytes of a WAV with 16-bit PCM."""
    assert samples.ndim == 1 and np.isfinite(samples).all(), "only finite mono samples are written"
    content = io.BytesIO()
    with wave.open(content, "wb") as file:
        file.setparams((1, 2, rate_hz, len(samples), "NONE", ""))
        file.writeframes(to_16_bit(samples).tobytes())
    return content.getvalue()


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

    Clips in the order of their start cost one pass over the file. Raises AudioProblem, and ManifestError when the bytes are not
    those whose sha256 ingest wrote down.
    """

    def __init__(
        self,
        root: Path,
        audio: str,
        sha256: str | None,
        max_file_s: float = math.inf,
        *,
        may_seek: bool = True,  # False: the length is what was decoded, whatever the header says
    ) -> None:
        self._file = files.open_file(root, audio)
        self._reader: decoding.Reader | None = None
        try:
            if sha256 is not None:
                files.verify(self._file, root / audio, sha256)
            container, plain, found, head = checking.checked(self._file, audio, max_file_s)
            self.rate_hz, self.num_channels = head.rate_hz, head.num_channels
            self._claimed = head.num_frames
            self._reader = decoding.reader(
                self._file,
                container,
                plain,
                found,
                head,
                may_seek=may_seek,
                max_frames=max_file_s * head.rate_hz,
            )
            self.full_scale = scales.full_scale(self._reader) if head.is_float else 1.0
            if self.full_scale != 1.0:
                self._reader = scales.Scaled(self._reader, self.full_scale)
        except BaseException:
            self.close()
            raise

    def clip(self, start_s: float | None, end_s: float | None) -> Samples:
        """Samples [frames, channels] of a slice, or of the whole file, as float32. Raises AudioProblem."""
        return as_float(self.stored(start_s, end_s))

    def stored(self, start_s: float | None, end_s: float | None) -> Stored:
        """As `clip`, but samples of a 16-bit WAV stay as they are in the file."""
        start, num = self._frames(start_s, end_s)
        most = MAX_CLIP_BYTES // (4 * self.num_channels)
        if num is not None and num - (end_s is None) > most:
            raise self._too_large(num)
        assert self._reader is not None, "the file is closed"
        samples, stop = self._reader.read(start, most + 1 if num is None else num)
        if stop is None and end_s is None:
            raise self._too_large(most + 1) if num is None else self._goes_on()
        if stop is not None and stop.problem is not None:
            raise stop.problem
        if stop is not None and not self._reaches(start, end_s, stop.at):
            raise self._outside(start_s, end_s, stop.at)
        if not len(samples):
            raise AudioProblem("no_samples", "the clip has no samples")
        return samples

    def _frames(self, start_s: float | None, end_s: float | None) -> tuple[int, int | None]:
        """First frame and number of frames; of a slice to the end one more than the header says, None where it does not say."""
        first_s = start_s or 0.0
        if first_s < 0 or (end_s is not None and end_s < first_s):
            raise self._outside(start_s, end_s, self._claimed)
        start = math.floor(first_s * self.rate_hz + 0.5)
        if end_s is not None:
            num = math.floor((end_s - first_s) * self.rate_hz + 0.5)
            if num == 0:
                raise AudioProblem("no_samples", "the clip has no samples")
            return start, num
        return start, None if self._claimed is None else max(
            0, self._claimed - start
        ) + 1  # one more: is it the end?

    def _reaches(self, start: int, end_s: float | None, length: int) -> bool:
        """Whether a slice lies in a file of that many frames; the end may lie END_TOLERANCE_S behind it, no more."""
        if end_s is None:
            return start <= length
        return end_s <= length / self.rate_hz + END_TOLERANCE_S

    def _outside(self, start_s: float | None, end_s: float | None, length: int | None) -> AudioProblem:
        last = "the end" if end_s is None else f"{end_s:g}"
        of = "a file" if length is None else f"a file of {length / self.rate_hz:.3f} s"
        return AudioProblem("bad_slice", f"{start_s or 0.0:g} to {last} s of {of}")

    def _goes_on(self) -> AudioProblem:
        return AudioProblem("bad_header", f"the header says {self._claimed} samples, and more follow")

    def _too_large(self, num: int) -> AudioProblem:
        mebibytes = num * self.num_channels * 4 >> 20
        detail = f"{mebibytes} MiB decoded, more than {MAX_CLIP_BYTES >> 20}: cut it into clips"
        return AudioProblem("over_limit", detail)

    def blocks(self) -> Iterator[Stored]:
        """The whole file from its start to where it really ends, some seconds at a time. Raises AudioProblem."""
        assert self._reader is not None, "the file is closed"
        at, stop = 0, None
        while stop is None:
            samples, stop = self._reader.read(at, decoding.BLOCK_FRAMES)
            if stop is not None and stop.problem is not None:
                raise stop.problem
            at += len(samples)
            if len(samples):
                yield samples

    def length_s(self) -> float:
        """Seconds of the whole file; where its header does not say them, it is decoded to its end."""
        assert self._reader is not None, "the file is closed"
        length, at = self._claimed, 0
        while length is None:
            _, stop = self._reader.read(at, decoding.BLOCK_FRAMES)
            length, at = None if stop is None else stop.at, at + decoding.BLOCK_FRAMES
        return length / self.rate_hz

    def close(self) -> None:
        if self._reader is not None:
            self._reader.close()
            self._reader = None
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def __enter__(self) -> "AudioFile":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
