"""What a file's header may claim: container, rate, channels and length, all looked at before anything is decoded."""

import os
from pathlib import Path

from voicelathe.data.audio import containers, decoding, files, streams
from voicelathe.data.audio.decoding import Header
from voicelathe.data.audio.files import AudioProblem

MIN_RATE_HZ, MAX_RATE_HZ, MAX_CHANNELS = 8_000, 192_000, 8


def misnamed(root: Path, audio: str) -> str | None:
    """What a file is whose content is not of its name, from its first bytes; None where it is, and for one that cannot be opened."""
    try:
        file = files.open_file(root, audio)
    except AudioProblem:
        return None
    try:
        container = containers.kind(os.pread(file, 16, streams.behind_tags(file, os.fstat(file).st_size)))
        if container == files.CONTAINERS[Path(audio).suffix.lower()]:
            return None
        return container or files.strange(os.pread(file, 64, 0)) or "no audio that is read here"
    except OSError:
        return None
    finally:
        os.close(file)


def checked(
    file: int, audio: str, max_file_s: float
) -> tuple[str, containers.Pcm16 | None, list[streams.Stream], Header]:
    """Container, layout of a plain WAV, streams and header, all within limits: headers can claim anything."""
    num_bytes = os.fstat(file).st_size
    container = containers.kind(os.pread(file, 16, streams.behind_tags(file, num_bytes)))
    if container is None and (what := files.strange(os.pread(file, 64, 0))) is not None:
        raise AudioProblem("unsupported_type", f"the file is {what}")
    if container is None or container != files.CONTAINERS[Path(audio).suffix.lower()]:
        raise AudioProblem(
            "unsupported_type",
            f"the content is {container or 'no audio that we read'}, the name says otherwise",
        )
    if container == "wav":
        plain, found = containers.wav(file, num_bytes)
    else:
        plain, found = None, streams.split(file, container, num_bytes)
    head = decoding.header(file, container, plain, found)
    if not MIN_RATE_HZ <= head.rate_hz <= MAX_RATE_HZ:
        raise AudioProblem(
            "over_limit", f"{head.rate_hz} samples a second; {MIN_RATE_HZ} to {MAX_RATE_HZ} are read"
        )
    if not 1 <= head.num_channels <= MAX_CHANNELS:
        raise AudioProblem("over_limit", f"{head.num_channels} channels; at most {MAX_CHANNELS} are read")
    if head.num_frames is not None and head.num_frames > max_file_s * head.rate_hz:
        raise AudioProblem(
            "over_limit", f"{head.num_frames / head.rate_hz:.0f} s; measure.max_file_s is {max_file_s:g}"
        )
    return container, plain, found, head
