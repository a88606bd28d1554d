"""The proof of a split: every component with its place, its recordings and what joined them, and how close the shares came."""

from collections.abc import Iterable
from typing import Any

from voicelathe import settings
from voicelathe.data.splits import Splits
from voicelathe.layout import SPLITS
from voicelathe.records import CleanClip, SplitAssignment


def of(found: Splits, split: settings.Split, seed: int) -> dict[str, Any]:
    """Plain JSON, the same for the same split."""
    shares = {"validation": split.validation_share, "test": split.test_share}
    shares["train"] = 1.0 - sum(shares.values())
    everything = sum(map(len, found.clips.values()))
    return {
        "method": found.method,
        "seed": seed,
        "frozen": split.frozen,
        "splits": {
            name: {
                "wanted_share": round(shares[name], 6),
                "share": round(len(clips) / everything, 6),
                "clips": len(clips),
                "minutes": round(sum(clip.duration_s for clip in clips) / 60, 3),
                "recordings": len({clip.recording_id for clip in clips}),
                "speakers": _by_speaker(clips),
            }
            for name, clips in ((name, found.clips[name]) for name in SPLITS)
        },
        "components": _components(found),
    }


def _by_speaker(clips: Iterable[CleanClip]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for clip in clips:
        counts[clip.speaker_id] = counts.get(clip.speaker_id, 0) + 1
    return dict(sorted(counts.items()))


def _components(found: Splits) -> list[dict[str, Any]]:
    held: dict[str, list[SplitAssignment]] = {}
    for one in found.assignments:
        held.setdefault(one.component, []).append(one)
    return [
        {
            "component": name,
            "split": members[0].split,
            "recordings": [one.recording_id for one in members],
            "clips": sum(one.num_clips for one in members),
            "seconds": round(sum(one.duration_s for one in members), 3),
            "joined_by": found.joined_by.get(name, []),
        }
        for name, members in sorted(held.items())
    ]
