"""Which recordings are one component: those that share audio, the same performance or, if it is asked for, a sentence."""

from collections.abc import Iterable

import numpy as np

from voicelathe.data import columns
from voicelathe.data.columns import Table
from voicelathe.data.text import characters
from voicelathe.data.text import columns as text_columns
from voicelathe.records import CleanClip, Link

LINKS = ("audio", "audio_sha256", "samples_sha256")  # what two recordings must not share across splits


def telling(table: Table, same_text: bool) -> list[CleanClip]:
    """Clips enough to know what joins recordings: one of each recording and file, and those that share samples or words."""
    chosen = np.zeros(len(table), bool)
    together = np.zeros(len(table), np.int64)
    for name in ("recording_id", "audio", "audio_sha256"):
        code = columns.codes(table[name])
        pairs = together * (code.max(initial=0) + 2) + code + 1
        _, first, together = np.unique(pairs, return_index=True, return_inverse=True)
    chosen[first] = True
    shared = [table["samples_sha256"]] + ([text_columns.words(table["text"])] if same_text else [])
    for column in shared:
        code = columns.codes(column)
        chosen |= np.bincount(code, minlength=1)[code] > 1
    return columns.rows_of(table, CleanClip, np.flatnonzero(chosen))


def of(clips: Iterable[CleanClip], links: Iterable[Link] = ()) -> dict[str, str]:
    """The component of each recording, named by its smallest recording id: shared audio joins recordings."""
    return joined(clips, links, False)[0]


def joined(
    clips: Iterable[CleanClip], links: Iterable[Link], same_text: bool
) -> tuple[dict[str, str], dict[str, list[str]]]:
    """The component of each recording, and what joined those of more than one recording."""
    parent: dict[str, str] = {}
    joins: list[tuple[str, str]] = []

    def root(name: str) -> str:
        while parent.setdefault(name, name) != name:
            parent[name] = parent[parent[name]]
            name = parent[name]
        return name

    def join(one: str, other: str, why: str) -> None:
        if one != other:
            joins.append((one, f"{why}: {' and '.join(sorted((one, other)))}"))
        here, there = root(one), root(other)
        parent[max(here, there)] = min(here, there)

    first_with: dict[tuple[str, str], str] = {}
    for clip in sorted(clips, key=lambda clip: clip.recording_id):
        root(clip.recording_id)
        shared = [(link, getattr(clip, link)) for link in LINKS]
        shared += [("text", characters.words(clip.text))] if same_text else []
        for link in shared:
            join(clip.recording_id, first_with.setdefault(link, clip.recording_id), f"same {link[0]}")
    for pair in links:
        if pair.one in parent and pair.other in parent:
            join(pair.one, pair.other, pair.why)
    why: dict[str, set[str]] = {}
    for name, reason in joins:
        why.setdefault(root(name), set()).add(reason)
    joined_by = {name: sorted(reasons) for name, reasons in sorted(why.items())}
    return {recording: root(recording) for recording in sorted(parent)}, joined_by
