"""A proposal of three clips of one recording, the last of which waits for a person, and its audio: three tones."""

from pathlib import Path

import numpy as np

from voicelathe import digest
from voicelathe.data.audio import waveform
from voicelathe.records import CutRecording, Proposal, ProposedClip

RATE_HZ, SECONDS = 16_000, 5.0


def proposal(root: Path | None = None, text: str = "The first text.") -> Proposal:
    """With `root`, rec.wav is written below it."""
    sha256 = "0" * 64 if root is None else _recording(root / "rec.wav")
    clips = [
        _clip(1, 0.5, 1.5, text, []),
        _clip(2, 2.0, 3.0, "The second text.", []),
        _clip(3, 3.5, 4.5, "A wrong text.", ["text_differs"]),
    ]
    recording = CutRecording(
        "rec.wav", sha256, "rec", SECONDS, "rec.srt", 3.0, 0.0, None, ["A note\nof two lines."]
    )
    return Proposal("voicelathe-cut/1", "talk", str(root or "."), "en", True, [recording], clips, [])


def _clip(number: int, start_s: float, end_s: float, text: str, flags: list[str]) -> ProposedClip:
    return ProposedClip(
        f"rec_{number:04d}",
        0,
        start_s,
        end_s,
        start_s + 0.1,
        end_s - 0.1,
        text,
        "what was heard",
        "anna",
        flags,
    )


def _recording(path: Path) -> str:
    time_s = np.arange(round(SECONDS * RATE_HZ)) / RATE_HZ
    tone = sum(
        0.3 * np.sin(2 * np.pi * 220 * number * time_s) * ((time_s >= start_s) & (time_s < start_s + 0.8))
        for number, start_s in ((1, 0.6), (2, 2.1), (3, 3.6))
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    waveform.write_wav(path, np.asarray(tone, np.float32), RATE_HZ)
    return digest.of_file(path)
