"""What does git still reach? Every version of one file in all commits of branches, tags, stashes, experiments and git's log.

A branch does not know what another one did: which runs its dvc.lock names, what its journal promoted. Whoever removes or replaces
something asks all of them.
"""

import contextlib
import io
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

from voicelathe import records
from voicelathe.errors import RecordError
from voicelathe.records import Promotion
from voicelathe.registry.history import journal

BY_DVC = "^dvc: commit experiment"  # message of the commit of an experiment: HEAD's log still has it when the experiment is removed

APPLIED = "refs/exps/apply/stash"  # where `dvc exp apply` keeps changes that nobody had committed


def promotions(root: Path) -> list[Promotion]:
    """Everything that is, was or is about to be in production: what only other branches know, then what the journal here says, in its order.

    Raises PromotionError when the journal here is not whole; of the others every line that can be read counts. Without git: only this one.
    """
    own = [one.promotion for one in journal.read(root) if one.event != journal.ABANDONED]
    try:
        others = [one for content in versions(root, journal.FILE.as_posix()) for one in _promotions(content)]
    except (OSError, subprocess.CalledProcessError):
        others = []
    return [*(one for one in others if one not in own), *own]


def _promotions(content: bytes) -> Iterator[Promotion]:
    for line in content.splitlines():
        with contextlib.suppress(RecordError, ValueError, TypeError, KeyError):
            entry = json.loads(line)
            found = records.from_json(Promotion, entry["promotion"], str(journal.FILE))
            if entry["event"] == journal.ABANDONED:
                continue
            if found.kind != "base":
                records.require_inside(found.path, str(journal.FILE))
            yield found


def behind(root: Path, file: Path = journal.FILE) -> str | None:
    """Whether the journal (or another file of chained lines) here lacks what git has behind it, and how to take that back; None when it does not, or without git.

    `dvc exp apply` puts registry/ back to what it was when the experiment began: committed lines are then in the last commit, and those
    that nobody had committed are where DVC keeps the changes it put aside.
    """
    path = root / file
    own = path.read_bytes() if path.is_file() else b""
    known = {ref: _at(root, ref, file) for ref in ("HEAD", *_put_aside(root))}
    longer = {ref: content for ref, content in known.items() if content.startswith(own) and content != own}
    if not longer:
        return None
    newest = max(longer, key=lambda ref: len(longer[ref]))
    num = len(longer[newest].splitlines()) - len(own.splitlines())
    return (
        f"{file} is older than what git has: {num} lines are missing at its end, as after dvc exp apply of an experiment that began "
        f"before them. Take them back, then do the same again: git checkout {newest} -- {file.parent}"
    )


def _put_aside(root: Path) -> list[str]:
    """What DVC put aside when an experiment was applied to this very commit."""
    try:
        made_on, head = _git(root, "rev-parse", f"{APPLIED}^", "HEAD").split()
    except (OSError, subprocess.CalledProcessError):
        return []
    return [APPLIED] if made_on == head else []


def _at(root: Path, ref: str, file: Path) -> bytes:
    try:
        return _git(root, "show", f"{ref}:./{file.as_posix()}")
    except (OSError, subprocess.CalledProcessError):
        return b""


def versions(root: Path, file: str) -> Iterator[bytes]:
    """Every content that a file of the project ever had in a commit that git reaches. Raises OSError or CalledProcessError where git cannot tell.

    What only git's log reaches counts, unless it is the commit that DVC made for an experiment: removing the experiment meant it.
    """
    others = ("--invert-grep", "--basic-regexp", f"--grep={BY_DVC}")
    logged = _git(
        root, "rev-list", "--stdin", "--reflog", "--no-walk", *others
    )  # --stdin: or no log is an error
    every = ("--stdin", "--all", "--full-history", "--objects")
    listed = _git(root, "rev-list", *every, "--", file, told=logged)
    blobs = {line.split()[0] for line in listed.splitlines() if _is_of(line, file)}
    yield from _contents(
        _git(root, "cat-file", "--batch", told=b"\n".join(sorted(blobs)) + b"\n") if blobs else b""
    )


def _is_of(line: bytes, file: str) -> bool:
    """Whether a line names an object and this path; git gives it from the top of its tree, and the project may lie below that."""
    path = line.partition(b" ")[2]
    return path == file.encode() or path.endswith(f"/{file}".encode())


def _contents(batch: bytes) -> Iterator[bytes]:
    """What `git cat-file --batch` gave out: a line with id, type and size before each object. Raises OSError where git lacks one."""
    stream = io.BytesIO(batch)
    while line := stream.readline():
        if not line.split()[-1].isdigit():
            raise OSError(f"git: {line.decode(errors='replace')}")
        yield stream.read(int(line.split()[-1]))
        stream.read(1)  # the line's end behind it


def _git(root: Path, *words: str, told: bytes = b"") -> bytes:
    return subprocess.run(["git", *words], cwd=root, check=True, capture_output=True, input=told).stdout
