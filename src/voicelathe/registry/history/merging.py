"""How do the journals of two clones become one, when both promoted, or pruned, since they were last together?

What both have stays as it is. What follows is put in the order of time, each announcement with what closes it, and chained anew; a line
that got another place keeps the sha256 it was first written with, by which MLflow's tag knows it. The result is the same bytes in both
clones. Which of two promotions is in production, the alias decides: `status` compares it with the last line, as always.
"""

import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import takewhile
from pathlib import Path

from voicelathe import digest
from voicelathe.errors import PromotionError
from voicelathe.registry.history import journal
from voicelathe.registry.history.journal import BEGUN, Entry
from voicelathe.runs import tombstones


def journals(ours: bytes, theirs: bytes) -> bytes:
    """One journal of two. Raises PromotionError when one of them is not whole."""
    mine, others = journal.parse(ours, "ours"), journal.parse(theirs, "theirs")
    common = [
        one for one, other in takewhile(lambda pair: pair[0] == pair[1], zip(mine, others, strict=False))
    ]
    apart = [*_groups(mine[len(common) :]), *_groups(others[len(common) :])]
    known = {entry.origin for entry in common}
    chained = list(common)
    for group in sorted(apart, key=lambda group: (group[0].promotion.at, group[0].origin, -len(group))):
        if group[0].origin in known:  # both have it, one of them from an earlier merge
            continue
        for entry in group:
            known.add(entry.origin)
            chained.append(_placed(entry, chained))
    return b"".join(entry.line for entry in chained)


def removals(ours: bytes, theirs: bytes) -> bytes:
    """One list of pruned weights of two."""
    mine, others = tombstones.parse(ours, "ours"), tombstones.parse(theirs, "theirs")
    common = [
        one for one, other in takewhile(lambda pair: pair[0] == pair[1], zip(mine, others, strict=False))
    ]
    facts = {
        replace(one, previous=tombstones.ORIGIN, seal="")
        for one in [*mine[len(common) :], *others[len(common) :]]
    }
    known = {replace(one, previous=tombstones.ORIGIN, seal="") for one in common}
    rest = sorted(facts - known, key=lambda one: (one.at, one.path, one.plan))
    return b"".join(one.line for one in tombstones.chained(common, rest))


MERGED = {journal.FILE: journals, tombstones.FILE: removals}


def merge_files(ours: Path, theirs: Path) -> None:
    """What git's merge driver asks for: the result in `ours`."""
    mine, others = ours.read_bytes(), theirs.read_bytes()
    is_journal = b'"event":' in (mine + others).partition(b"\n")[0]
    ours.write_bytes((journals if is_journal else removals)(mine, others))


def merge_conflicts(root: Path) -> list[Path]:
    """Put together what git left in conflict. Raises PromotionError when it left nothing, or one side is not whole."""
    done = []
    for file, merged in MERGED.items():
        sides = [_side(root, stage, file) for stage in (2, 3)]
        if sides[0] is None or sides[1] is None:
            continue
        digest.write_bytes(root / file, merged(sides[0], sides[1]))
        done.append(file)
    if not done:
        raise PromotionError(
            f"git knows of no conflict in {journal.FILE} or {tombstones.FILE}: there is nothing to merge. If git merged them as text, take "
            "that merge back (git merge --abort, or git reset --merge ORIG_HEAD) and see docs/registry.md for the merge driver."
        )
    return done


def _side(root: Path, stage: int, file: Path) -> bytes | None:
    """One side of a conflict, as git keeps it until it is resolved; None when there is no such side."""
    asked = ["git", "-C", str(root), "cat-file", "blob", f":{stage}:./{file.as_posix()}"]
    done = subprocess.run(asked, capture_output=True, check=False)
    return done.stdout if done.returncode == 0 else None


def _groups(entries: Sequence[Entry]) -> Iterator[list[Entry]]:
    """An announcement and what closes it."""
    group: list[Entry] = []
    for entry in entries:
        if entry.event == BEGUN and group:
            yield group
            group = []
        group.append(entry)
    if group:
        yield group


def _placed(entry: Entry, before: Sequence[Entry]) -> Entry:
    previous = before[-1].sha256 if before else journal.ORIGIN
    if (entry.number, entry.previous) == (len(before) + 1, previous):
        return entry
    return replace(entry, number=len(before) + 1, previous=previous, was=entry.origin)
