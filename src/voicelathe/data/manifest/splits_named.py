"""A split that a corpus came with (train.jsonl and val.jsonl, a column `split`, LibriTTS' folders): kept as a proposal, recording by recording.

Import writes it to splits/NAME/proposed.json and names it in params.yaml (`split.frozen`). A recording with clips in more than one
part is proposed for none, because it is never divided; a part that the corpus does not have is dealt out of its training recordings.
"""

import re
from collections.abc import Iterable
from pathlib import Path

from voicelathe import digest, layout

PROPOSED = "proposed.json"
NAMES = {
    **dict.fromkeys(("train", "training", "tr"), "train"),
    **dict.fromkeys(("validation", "valid", "val", "dev", "cv", "eval"), "validation"),
    **dict.fromkeys(("test", "testing", "tt"), "test"),
}


def known(written: object) -> str | None:
    """Our name of a split that is named as tools name it: val, dev, train-clean-100, metadata_train; None for anything else."""
    if not isinstance(written, str):
        return None
    parts = [part for part in re.split(r"[^a-z]+", written.strip().lower()) if part]
    found = {NAMES[part] for part in parts if part in NAMES}
    return found.pop() if len(found) == 1 else None


def proposal(rows: Iterable[tuple[str, object]]) -> tuple[dict[str, str], int]:
    """The split of each recording whose rows (recording, split as written) agree, and how many recordings have rows in several.

    Empty where fewer than two splits are named: then nothing is proposed.
    """
    found: dict[str, set[str]] = {}
    for recording, written in rows:
        if (part := known(written)) is not None:
            found.setdefault(recording, set()).add(part)
    whole = {recording: next(iter(parts)) for recording, parts in found.items() if len(parts) == 1}
    torn = len(found) - len(whole)
    several = {part for parts in found.values() for part in parts}
    return (dict(sorted(whole.items())), torn) if len(several) > 1 else ({}, 0)


def path(name: str) -> Path:
    """Where the proposal of a corpus lies."""
    return layout.FROZEN_SPLITS / name / PROPOSED


def write(name: str, proposed: dict[str, str]) -> Path:
    """Write a proposal, one recording a line."""
    digest.write_json(path(name), proposed)
    return path(name)
