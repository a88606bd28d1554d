"""What `retrain` moves: the directory of a run out of its place, what was promoted linked there at once, and all of it back again."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from voicelathe.errors import RunLocked

if TYPE_CHECKING:
    from voicelathe.records import CheckpointRecord, RunIdentity

SET_ASIDE = ".set-aside-"
OF_TRAINING = ("step_", "state_", ".", "quarantine")


def set_aside(recipe: str, directory: Path, kept: list[Path], who: RunIdentity | None) -> Path:
    """Rename the directory of a run; what is kept is linked at its old place at once, because production speaks with it.

    `who`: the run, for the record beside what is kept. Raises RunLocked while a worker trains in it.
    """
    from voicelathe.runs import locks

    aside = free(directory)
    try:
        with locks.run_directory(directory):
            stand_in = _stand_in(directory, kept, who) if kept else None
            directory.rename(aside)
            if stand_in is not None:
                stand_in.rename(directory)
    except RunLocked as problem:
        raise RunLocked(f"{recipe} cannot be set aside: {problem}") from None
    return aside


def _stand_in(directory: Path, kept: list[Path], who: RunIdentity | None) -> Path:
    """What takes the place of a run: the weights that are kept, who they are, and whether they are for research only."""
    from voicelathe import checkpoints, digest, records
    from voicelathe.runs import identity

    stand_in = directory.with_name(f".{directory.name}.kept")
    shutil.rmtree(stand_in, ignore_errors=True)
    for path in kept:
        shutil.copytree(path, stand_in / path.name, copy_function=_link)
    if who is not None:
        digest.write_json(stand_in / identity.IDENTITY, records.to_json(who))
    if (directory / identity.RESEARCH).is_file():
        shutil.copyfile(directory / identity.RESEARCH, stand_in / identity.RESEARCH)
    digest.write_json(stand_in / checkpoints.KEPT, sorted(path.name for path in kept))
    return stand_in


def put_back(recipe: str, aside: Path, place: Path) -> Path | None:
    """Undo `set_aside`; returns where that is now which lay in the place. Raises RunLocked while a worker trains in it."""
    from voicelathe.runs import locks

    if not place.is_dir():
        aside.rename(place)
        return None
    again = free(place)
    try:
        with locks.run_directory(place):
            place.rename(again)
            aside.rename(place)
    except RunLocked as problem:
        raise RunLocked(f"{recipe}: what was set aside cannot be put back: {problem}") from None
    return again


def left_behind(place: Path, index: Mapping[int, CheckpointRecord]) -> Path | None:
    """The finished run that a failed or killed `retrain` set aside, the newest of several; None while the place is whole.

    `index`: the checkpoints that the recipe's records name. One that came out otherwise than they say is older than the records.
    """
    from voicelathe.runs import identity, tombstones

    listed = {Path(one.path).name: one for one in index.values() if Path(one.path).parent == place}
    excuses = tombstones.excused()
    whole = bool(listed) and all(
        _has(place / name, one) or tombstones.is_excused(one.path, one.sha256, excuses)
        for name, one in listed.items()
    )
    if whole or (place / identity.FINISHED).is_file():
        return None
    for aside in sorted(place.parent.glob(f"{place.name}{SET_ASIDE}*"), key=_number, reverse=True):
        others = [
            name for name, one in listed.items() if (aside / name).is_dir() and not _has(aside / name, one)
        ]
        if (aside / identity.FINISHED).is_file() and not others:
            return aside
    return None


def _has(directory: Path, expected: CheckpointRecord) -> bool:
    from voicelathe import checkpoints

    manifest = directory / checkpoints.MANIFEST
    return manifest.is_file() and checkpoints.identity(directory) == expected.sha256


def _number(aside: Path) -> int:
    number = aside.name.rpartition(SET_ASIDE)[2]
    return int(number) if number.isdecimal() else 0


def free(directory: Path) -> Path:
    """Where this run can be set aside: the highest number is the newest, whatever was deleted between."""
    every = directory.parent.glob(f"{directory.name}{SET_ASIDE}*")
    return directory.with_name(f"{directory.name}{SET_ASIDE}{max(map(_number, every), default=0) + 1}")


def keep_notes(aside: Path, directory: Path) -> None:
    """By which names git knows the run: they stay with its place, whoever trains in it."""
    from voicelathe import digest
    from voicelathe.registry.weights import forgotten

    if known := forgotten.noted(aside) | forgotten.noted(directory):
        digest.write_json(directory / forgotten.NOTED, sorted(known))


def carry_over(aside: Path, directory: Path) -> None:
    """Link what later stages made of the same weights (speech, validation) into the new directory.

    Their index has not changed, so DVC holds those stages for up to date and would not make it again.
    """
    for entry in sorted(aside.iterdir()):
        if (
            entry.is_dir()
            and not entry.name.startswith(OF_TRAINING)
            and not (directory / entry.name).exists()
        ):
            shutil.copytree(entry, directory / entry.name, copy_function=_link)


def _link(source: str, target: str) -> None:
    try:
        Path(target).hardlink_to(source)
    except OSError:
        shutil.copyfile(source, target)
