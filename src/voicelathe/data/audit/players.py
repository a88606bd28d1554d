"""The start of what the audit doubts, ready to be heard in its report.

Only clips that were decoded once already, in a process of their own with limits, are decoded here.
"""

from collections.abc import Iterable
from pathlib import Path

from voicelathe.data.audio import opus, waveform
from voicelathe.data.audio.files import AudioProblem
from voicelathe.data.audit.rules import MeasuredRow
from voicelathe.errors import ManifestError

MAX_S = 6.0  # of each clip: enough to hear what is wrong
MAX_BYTES = 8 << 20  # of all of them, so that the page stays under 12 MB


def sounds(clips: Iterable[MeasuredRow], root: Path) -> dict[str, bytes]:
    """Ogg Opus by clip id. A clip that cannot be read, or that would make the page too large, is left out."""
    found: dict[str, bytes] = {}
    total = 0
    heard = (clip for clip in clips if clip.measure.problem is None and clip.measure.duration_s)
    for number, clip in enumerate(sorted(heard, key=lambda one: (one.row.audio, one.row.start_s or 0.0))):
        made = _sound(clip, root, number)
        if made is not None and total + len(made) <= MAX_BYTES:
            found[clip.row.clip_id] = made
            total += len(made)
    return found


def _sound(clip: MeasuredRow, root: Path, number: int) -> bytes | None:
    row, start_s = clip.row, clip.row.start_s or 0.0
    end_s = start_s + min(MAX_S, clip.measure.duration_s or 0.0)
    try:
        samples, rate_hz = waveform.read_clip(root, row.audio, start_s, end_s, row.audio_sha256)
        return opus.encode(
            waveform.mono(waveform.as_float(waveform.one_channel(samples, row.channel))), rate_hz, number
        )
    except (AudioProblem, ManifestError):
        return None
