"""The index of a base's cached encodings, readable without torch."""

from pathlib import Path

from voicelathe import digest, records
from voicelathe.data import tables

FILE = "index.parquet"


def read(directory: Path) -> list[records.LatentEntry]:
    """Every encoded clip, in the order of the clip ids."""
    return tables.read(directory / FILE, records.LatentEntry)


def split_digest(entries: list[records.LatentEntry], split: str) -> str:
    """Identity of one split's encodings."""
    return digest.of_value({entry.clip_id: entry.sha256 for entry in entries if entry.split == split})
