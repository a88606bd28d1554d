"""The project was moved, renamed or copied: where are the files of its embedded MLflow store now?

MLflow writes absolute addresses into its database, and a registered voice names the project's folder. Both are rewritten where the
files came along, so that runs, versions and aliases stay; a copy then uses its own files, not those of the folder it was copied from.
"""

import contextlib
import sqlite3
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from voicelathe import digest
from voicelathe.errors import TrackingError

ADDRESSES = (
    "artifact_location",
    "artifact_uri",
    "storage_location",
)  # columns that hold them, in whatever table
VOICE = "voicelathe.voice"  # tag of a model that can speak: digest of its configuration, the project's folder among it
PATIENCE_S = 10.0


@dataclass(frozen=True)
class Moved:
    """Addresses that begin with `old` although the files lie at `new`."""

    database: Path
    old: str
    new: str

    @property
    def former(self) -> Path:
        """The folder that the project was in."""
        return Path(unquote(urlsplit(self.old).path)).parent

    @property
    def missing(self) -> list[str]:
        """Folders of registered models that did not come along. Raises TrackingError when the database cannot be read."""
        with _corrected(self), _opened(self.database, "ro") as database:
            found = database.execute(
                "select distinct storage_location from model_versions where current_stage != 'Deleted_Internal'"
            ).fetchall()
        places = [_local(here) for (one,) in found if one and (here := self.rewritten(one)) != one]
        return sorted(str(place) for place in places if not place.is_dir())

    def rewritten(self, address: str) -> str:
        """The same place below the new folder; any other address as it is."""
        return self.new + address.removeprefix(self.old) if _is_below(address, self.old) else address


def look(database: Path, artifacts: Path, experiment: str) -> Moved | None:
    """Whether an experiment of this database keeps its files elsewhere than in `artifacts`; changes nothing, imports no MLflow."""
    if not database.is_file():
        return None
    try:
        with _opened(database, "ro") as opened:
            row = opened.execute(
                "select artifact_location from experiments where name = ?", (experiment,)
            ).fetchone()
    except sqlite3.Error:
        return None  # whoever opens it next says what is wrong
    new = artifacts.as_uri()
    if row is None or row[0] is None or row[0] == new or not row[0].endswith(f"/{artifacts.name}"):
        return None
    return Moved(database, row[0], new)


def settle(moved: Moved) -> None:
    """Rewrite every address, all or none. Raises TrackingError when files did not come along, or the database cannot be written.

    Safe to repeat: a kill between the files and the database leaves the database as it was, and the next call does both again.
    """
    if missing := moved.missing:
        raise TrackingError(
            f"{moved.database.name} keeps its files in {moved.old}, but the project is now in {moved.database.parent}, and "
            f"{len(missing)} folders of registered models did not come along (first: {missing[0]}). Bring {_local(moved.new).name}/ here "
            f"from {moved.former}. If it is lost: move {moved.database.name} aside; `voicelathe track RECIPE` and then `voicelathe promote "
            "RECIPE` make a new one."
        )
    with _corrected(moved), _opened(moved.database, "rw") as database:
        voices = dict(_voices(moved))
        database.execute("begin immediate")
        number = sum(_rewrite(database, table, column, moved) for table, column in _columns(database))
        for model_id, voice in voices.items():
            database.execute(
                "update logged_model_tags set tag_value = ? where model_id = ? and tag_key = ?",
                (voice, model_id, VOICE),
            )
        database.execute("commit")
    print(
        f"{moved.database.name}: the project was in {moved.former} and is now in {moved.database.parent}; {number} addresses corrected.",
        file=sys.stderr,
    )


@contextlib.contextmanager
def _corrected(moved: Moved) -> Iterator[None]:
    """Say what stands in the way of correcting the database or a file of a voice."""
    try:
        yield
    except (sqlite3.Error, OSError) as problem:
        raise TrackingError(
            f"The project is now in {moved.database.parent}, but {moved.database} still names {moved.former}, and that cannot be corrected "
            f"({problem}). End other processes that use it, or correct permissions and files; then run the same command again."
        ) from None


def _voices(moved: Moved) -> Iterator[tuple[str, str]]:
    """Name this folder in every registered voice; gives out the new digest of each."""
    import yaml

    now = str(moved.database.parent)
    for path in sorted((_local(moved.new) / "models").glob("*/artifacts/MLmodel")):
        described = _described(path, moved)
        config = described.get("flavors", {}).get("python_function", {}).get("config") or {}
        if "root" not in config:
            continue  # of somebody else's model
        config["root"] = now
        voice = digest.of_value(config)
        described["metadata"] = {**(described.get("metadata") or {}), "voice": voice}
        digest.write_text(path, yaml.safe_dump(described))
        yield path.parents[1].name, voice


def _described(path: Path, moved: Moved) -> dict[str, Any]:
    """What MLflow's file says of a registered model."""
    import yaml

    try:
        found = yaml.safe_load(path.read_bytes())
    except (yaml.YAMLError, UnicodeDecodeError):
        found = None
    if not isinstance(found, dict):
        raise TrackingError(
            f"{path} is damaged. Bring it from {moved.former} or a backup; then run the same command again."
        )
    return found


def _columns(database: sqlite3.Connection) -> list[tuple[str, str]]:
    tables = [name for (name,) in database.execute("select name from sqlite_master where type = 'table'")]
    every = [(table, row[1]) for table in tables for row in database.execute(f'pragma table_info("{table}")')]
    return [(table, column) for table, column in every if column in ADDRESSES]


def _rewrite(database: sqlite3.Connection, table: str, column: str, moved: Moved) -> int:
    done = database.execute(
        f'update "{table}" set {column} = ? || substr({column}, ?) where {column} = ? or substr({column}, 1, ?) = ?',
        (moved.new, len(moved.old) + 1, moved.old, len(moved.old) + 1, f"{moved.old}/"),
    )
    return done.rowcount


def _is_below(address: str, folder: str) -> bool:
    return address == folder or address.startswith(f"{folder}/")


def _local(address: str) -> Path:
    return Path(unquote(urlsplit(address).path))


@contextlib.contextmanager
def _opened(path: Path, mode: str) -> Iterator[sqlite3.Connection]:
    address = f"file:{quote(str(path))}?mode={mode}"
    with contextlib.closing(
        sqlite3.connect(address, uri=True, timeout=PATIENCE_S, isolation_level=None)
    ) as database:
        yield database
