"""The proof of a split: every component with its place, its recordings and what joined them, and how close the shares came."""

import math
from typing import Any

from voicelathe.config import schema
from voicelathe.data.columns import Table
from voicelathe.data.split.assign import Splits
from voicelathe.layout import SPLITS
from voicelathe.records import SplitAssignment


def of(found: Splits, split: schema.Split, seed: int) -> dict[str, Any]:
    """Plain JSON, the same for the same split."""
    shares = {"validation": split.validation_share, "test": split.test_share}
    shares["train"] = 1.0 - sum(shares.values())
    everything = sum(map(len, found.tables.values()))
    return {
        "method": found.method,
        "seed": seed,
        "frozen": split.frozen,
        "splits": {
            name: {
                "wanted_share": round(shares[name], 6),
                "share": round(len(clips) / everything, 6),
                "clips": len(clips),
                "minutes": round(math.fsum(clips["duration_s"].to_pylist()) / 60, 3),
                "recordings": len(clips["recording_id"].unique()),
                "speakers": _by_speaker(clips),
            }
            for name, clips in ((name, found.tables[name]) for name in SPLITS)
        },
        "components": _components(found),
    }


def _by_speaker(clips: Table) -> dict[str, int]:
    counts = clips["speaker_id"].value_counts().to_pylist()
    return dict(sorted((one["values"], one["counts"]) for one in counts))


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
            "seconds": round(math.fsum(one.duration_s for one in members), 3),
            "joined_by": found.joined_by.get(name, []),
        }
        for name, members in sorted(held.items())
    ]
