"""Is a frozen pack still what it was? Years of results can be compared only on the same lines."""

from collections.abc import Iterator, Sequence
from dataclasses import fields
from pathlib import Path

from voicelathe import digest, records
from voicelathe.errors import LinesError, RecordError, listing
from voicelathe.records import PackLine

FROZEN = "frozen"  # folder beside the packs with the copies that say what changed


def identity(pack: Sequence[PackLine]) -> str:
    """sha256 of the pack as `records.write` writes it: layout and order of keys in the file do not matter, the order of lines does."""
    return digest.of_bytes(
        b"".join(f"{digest.canonical_json(records.to_json(line))}\n".encode() for line in pack)
    )


def copy_of(path: Path) -> Path:
    """Where `freeze` keeps what a pack was."""
    return path.parent / FROZEN / path.name


def freeze(pack: Sequence[PackLine], path: Path) -> str:
    """Keep a copy of the pack beside it; gives its digest. Raises LinesError when another one is frozen under this name."""
    kept = copy_of(path)
    if kept.is_file() and (problems := list(changes(_read(kept), pack))):
        raise LinesError(
            f"{kept} is frozen already, and {path} has changed since:\n{listing(problems)}\n"
            f"A frozen pack is not changed. Give the new one another name, or restore the old one: cp {kept} {path}"
        )
    records.write(kept, pack)
    return identity(pack)


def require(pack: Sequence[PackLine], path: Path, pinned: str | None, recipe: str) -> None:
    """Raises LinesError with what changed, when `pinned` is not the digest of the pack."""
    if pinned is None or (found := identity(pack)) == pinned:
        return
    kept = copy_of(path)
    said = "What it was cannot be told: the copy is missing or another one; look for it with git log."
    if kept.is_file() and identity(frozen := _read(kept)) == pinned:
        said = f"{listing(changes(frozen, pack))}\nRestore it: cp {kept} {path}."
    raise LinesError(
        f"{path} is frozen by recipes.{recipe}.listen.lines_digest = {pinned}, but its digest is {found}. {said}\n"
        "To go on with other lines on purpose, give the pack another name, or set lines_digest to null; results on different lines "
        "cannot be compared."
    )


def changes(before: Sequence[PackLine], now: Sequence[PackLine]) -> Iterator[str]:
    """What is different, a line each; nothing for equal packs."""
    old, new = {line.id: line for line in before}, {line.id: line for line in now}
    yield from (f"{name}: removed ({old[name].text!r:.80})" for name in old if name not in new)
    yield from (f"{name}: added ({new[name].text!r:.80})" for name in new if name not in old)
    for name in (name for name in old if name in new):
        for field in fields(PackLine):
            was, is_ = getattr(old[name], field.name), getattr(new[name], field.name)
            if was != is_:
                yield f"{name}: {field.name} was {was!r:.80}, is {is_!r:.80}"
    shared = [name for name in old if name in new]
    if shared != [name for name in new if name in old]:
        yield "the order of the lines changed; racing hears the first lines first"


def _read(path: Path) -> list[PackLine]:
    try:
        return records.read(path, PackLine)
    except RecordError as problem:
        raise LinesError(f"{problem} Restore it from git: git checkout {path}") from None
