"""What lies beside the weights of an archived run, and which of it does a place hold? One sealed list for each run says so.

No record of the project knows the sha256 of these files: who the run is, that it is finished, its journals, by which names git knows it,
and the mark of data that was for research only. So the list grows and never forgets: who archives without the mark leaves it there.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

from voicelathe import digest
from voicelathe.errors import CheckpointError
from voicelathe.registry.weights.place import Place
from voicelathe.runs import identity

NAMES = (
    identity.RESEARCH,  # first: nobody has weights without their mark, whatever kills a restore
    identity.IDENTITY,
    identity.NOTED,
    "steps.jsonl",
    "timings.jsonl",
    identity.FINISHED,
)
LISTS = "runs"  # folder of the place
SEAL = "seal"  # beside the paths in a list: digest of all of them


class Run(Protocol):
    """What names a run: its record has it, and so has every promotion."""

    @property
    def directory(self) -> str: ...

    @property
    def run_digest(self) -> str: ...


def here(run: Run, root: Path) -> dict[str, str]:
    """path -> sha256 of what lies beside these weights on this machine."""
    paths = [f"{run.directory}/{name}" for name in NAMES]
    return {path: digest.of_file(root / path) for path in paths if (root / path).is_file()}


def listed(place: Place, run: Run) -> dict[str, str] | None:
    """path -> sha256 as the place's list says; None where there is none. Raises CheckpointError for a list that is damaged."""
    content = place.read(name_of(run))
    if content is None:
        return None
    found = _parsed(content)
    if found is None:
        raise CheckpointError(f"{place.shown}/{name_of(run)} is damaged")
    paths = (f"{run.directory}/{name}" for name in NAMES)
    return {path: found[path] for path in paths if path in found}


def _parsed(content: bytes) -> dict[str, str] | None:
    """None for anything but such a list; those of earlier versions have no seal."""
    try:
        found: Any = json.loads(content)
    except ValueError:
        return None
    if not isinstance(found, dict) or not all(isinstance(value, str) for value in found.values()):
        return None
    seal = found.pop(SEAL, None)
    return found if seal in (None, digest.of_value(found)) else None


def name_of(run: Run) -> str:
    """Where the place has a run's list."""
    return f"{LISTS}/{run.run_digest}.json"


def is_current(place: Place, run: Run, files: Mapping[str, str]) -> bool:
    """Whether the list says just this, under its seal."""
    return place.read(name_of(run)) == _content(files)


def write(place: Place, run: Run, files: Mapping[str, str]) -> None:
    place.write(name_of(run), _content(files))


def _content(files: Mapping[str, str]) -> bytes:
    return digest.canonical_json({**files, SEAL: digest.of_value(dict(files))}).encode()


def take_notes(place: Place, run: Run, root: Path, theirs: Mapping[str, str]) -> None:
    """Add the names by which git knows the run elsewhere to those known here; a file of them that the place holds damaged adds none."""
    path = f"{run.directory}/{identity.NOTED}"
    mine, beside = root / path, root / f"{path}.brought"
    if path not in theirs or not mine.is_file() or digest.of_file(mine) == theirs[path]:
        return
    if not place.fetch(beside, theirs[path]):
        return
    known = {*digest.read_json(beside), *digest.read_json(mine)}
    beside.unlink()
    digest.write_json(mine, sorted(known))


def wanting(run: Run, root: Path, theirs: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """What the list names and is not here."""
    return ((path, sha256) for path, sha256 in theirs.items() if not (root / path).exists())
