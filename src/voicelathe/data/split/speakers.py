"""Whose voice is a split of?"""

from collections import Counter
from collections.abc import Sequence

from voicelathe import records


def main_speaker(clips: Sequence[records.CleanClip]) -> list[records.CleanClip]:
    """Those of the speaker with most of them: whose voice the base hears and whose recordings set the limits of the metrics."""
    counts = Counter(clip.speaker_id for clip in clips)
    speaker = min(counts, key=lambda name: (-counts[name], name))
    return [clip for clip in clips if clip.speaker_id == speaker]
