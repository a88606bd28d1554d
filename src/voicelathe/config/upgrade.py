"""How does an older params.yaml become one that this version reads?

The file says its `version`; one without is of version 1. What came, moved and went since then stands in CHANGES, with the comments of the
shipped file. What somebody chose is kept: a former default is replaced only where it was left as it was. Settings that are missing are added
whatever version the file says, as after a recipe was pasted from an older one; and the changes of the newest version are looked through
for a file of that version, too, because others join them until it is released.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from voicelathe.config import params
from voicelathe.config.changes import CHANGES, Add, AddDecoding, inserted, joined
from voicelathe.config.version import KEY, VERSION, of
from voicelathe.errors import ParamsError

REMARK = "of this file; an older one is brought up to date by: voicelathe params upgrade"
PACK = "lines/{recipe}.jsonl"  # for lines that stood in params.yaml itself


@dataclass(frozen=True)
class Upgrade:
    """What an upgrade would make of a file."""

    text: str
    notes: list[str]  # one for each change, in their order
    packs: Mapping[str, list[dict[str, str]]] = field(
        default_factory=dict
    )  # path -> lines that stood in the file


def upgrade(text: str, where: str = str(params.FILE)) -> Upgrade:
    """The file as this version reads it. Raises ParamsError when it is newer, no YAML, or still wrong after the upgrade."""
    tree: Any = params.parse(text, where)
    if not isinstance(tree, dict):
        raise ParamsError(f"{where} holds no sections. Restore it: git checkout {where}")
    found = of(tree, where)
    try:
        packs, notes = _packs(tree) if found < 2 else ({}, [])
        for version, changes in CHANGES.items():
            for change in changes:
                if version > found or version == VERSION or isinstance(change, Add | AddDecoding):
                    for place, section in _sections(tree, change.place):
                        notes += change.apply(place, section)
    except KeyError as problem:  # ruamel cannot take away what a merge brings
        raise ParamsError(
            f"{where}: a merge (`<<: *name`) cannot be upgraded ({problem}). Write these settings out, then upgrade again."
        ) from None
    if found == VERSION and not notes:
        params.check(tree, where)
        return Upgrade(text, [])
    tree.pop(KEY, None)
    made = params.parse(f"{KEY}: {VERSION} # {REMARK}", "the version")
    inserted(tree, "", KEY, made, at=0)
    params.check(tree, f"{where} (upgraded)")
    return Upgrade(params.dump(tree), notes, packs)


def _packs(tree: Any) -> tuple[dict[str, list[dict[str, str]]], list[str]]:
    """Lines of recipes become files below lines/, because several recipes and years share them."""
    packs: dict[str, list[dict[str, str]]] = {}
    notes = []
    for where, section in _sections(tree, "recipes.*.listen"):
        if isinstance(lines := section.get("lines"), list):
            path = PACK.format(recipe=where.split(".")[1])
            packs[path] = [{key: str(one[key]) for key in ("id", "text", "language")} for one in lines]
            section["lines"] = path
            notes.append(f"{where}.lines: {len(lines)} lines are in {path}")
    return packs, notes


def _sections(tree: Any, place: str) -> Iterator[tuple[str, Any]]:
    """The sections of a place that are there; one that an anchor shares comes once."""
    known: set[int] = set()
    for where, section in _walk(tree, [part for part in place.split(".") if part], ""):
        if isinstance(section, Mapping) and id(section) not in known:
            known.add(id(section))
            yield where, section


def _walk(node: Any, parts: list[str], where: str) -> Iterator[tuple[str, Any]]:
    if not parts:
        yield where, node
    elif isinstance(node, Mapping):
        for key in list(node) if parts[0] == "*" else [parts[0]]:
            if key in node:
                yield from _walk(node[key], parts[1:], joined(where, key))


def write(made: Upgrade, path: Path) -> list[Path]:
    """Write the file and the packs that it names. Returns what was written. Raises ParamsError rather than overwrite a pack."""
    from voicelathe import lines
    from voicelathe.digest import write_text
    from voicelathe.lines import strata
    from voicelathe.records import PackLine

    root = path.parent
    if there := [name for name in made.packs if (root / name).exists()]:
        raise ParamsError(
            f"{', '.join(there)}: there already, and nothing was written. Move it away, then upgrade again."
        )
    for name, said in made.packs.items():
        spoken = [(one["id"], one["text"], one["language"]) for one in said]
        pack = [PackLine(*one, None, strata.of(*one[1:]), None, None) for one in spoken]
        lines.write(root / name, pack)
    write_text(path, made.text)
    return [*(root / name for name in made.packs), path]
