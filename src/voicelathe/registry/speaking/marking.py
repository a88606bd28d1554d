"""What is put into a piece of speech before it leaves? The watermark that params.yaml names, with the number of the version in it.

The setting is read for every request, so that a voice whose speaker demands a mark is silent from the moment in which nobody can make it.
"""

import functools
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from voicelathe import layout
from voicelathe.data import consent, watermark
from voicelathe.errors import ConsentError, WatermarkError
from voicelathe.registry import gates
from voicelathe.registry.speaking import sentences

BASE = 0  # the number of a base that speaks as it is


@dataclass(frozen=True)
class SpokenMark:
    """A plug-in, and what it writes."""

    marker: watermark.Marker
    payload: bytes

    @property
    def about(self) -> dict[str, str]:
        """What the tag of a file says of it."""
        return {"plugin": self.marker.name, "payload": self.payload.hex()}

    def put(self, content: bytes) -> bytes:
        """A WAV of 16-bit frames with the mark in it. Raises WatermarkError rather than give back one whose mark cannot be read."""
        frames, rate_hz = sentences.frames_of(content)
        made = self.marker.marked(np.frombuffer(frames, "<i2").astype(np.int16), rate_hz, self.payload)
        return sentences.wav_of(made.astype("<i2").tobytes(), rate_hz)


def of_project(root: Path, version: int, speakers: Iterable[str] = ()) -> SpokenMark | None:
    """The mark for everything that a version (or `BASE`) says now; None where neither settings nor speakers ask for one.

    Raises ConsentError when a speaker's record demands a mark and none can be made, WatermarkError when only the settings do.
    """
    name, failure = gates.load_params(root).consent.watermark, None
    try:
        marker = None if name is None else _loaded(name)
    except WatermarkError as problem:
        marker, failure = None, problem
    if marker is None:
        _require_no_demand(root, speakers, failure)
    if failure is not None:
        raise failure
    return SpokenMark(marker, (version % 2**16).to_bytes(2, "big")) if marker is not None else None


def _require_no_demand(root: Path, speakers: Iterable[str], failure: WatermarkError | None) -> None:
    for speaker in speakers:
        record = consent.load(speaker, root / layout.CONSENT)
        if record.watermark_required:
            path = consent.path_of(speaker, root / layout.CONSENT)
            why = f"{consent.DEMANDED}: {failure}" if failure else consent.watermark_problem(record, None)
            raise ConsentError(f"{path}: {why}")


@functools.lru_cache(maxsize=4)
def _loaded(name: str) -> watermark.Marker:
    """Once a process: to look through all installed packages takes tens of milliseconds."""
    return watermark.load(name)
