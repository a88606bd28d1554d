"""What does the registry say, without importing MLflow? For looking only; whatever changes something goes through MLflow.

MLflow takes four seconds of CPU to import and open a store; the three tables below are read from its database in milliseconds.
A database of another layout, and every server, is asked through MLflow itself. A test compares both answers.
"""

import contextlib
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from voicelathe.config import schema
from voicelathe.tracking import registered, store
from voicelathe.tracking.registered import Registered

LAYOUT = "dc11669786a5"  # alembic revision of mlflow 3.17.2, whose tables are named here


@dataclass(frozen=True)
class Seen:
    """One registered model at one moment."""

    aliases: dict[str, str]  # alias -> version
    tags: dict[str, dict[str, str]]  # version -> its tags; only the versions that exist


def look(tracking: schema.Tracking, root: Path) -> Seen:
    """Aliases and version tags of the project's model; empty when nothing was registered. Raises TrackingError."""
    uri, name = store.address(root), registered.name_of(tracking)
    if store.is_embedded(uri):
        path = Path(uri.removeprefix("sqlite:///"))
        if not path.is_file():
            return Seen({}, {})
        store.require_database(path)
        with contextlib.suppress(sqlite3.Error, _OtherLayout), _opened(path) as database:
            return _read(database, name)
    return _ask(tracking, root, name)


def num_running(root: Path) -> int | None:
    """How many runs the embedded store shows as running; None when that cannot be told without MLflow."""
    path = Path(store.address(root).removeprefix("sqlite:///"))
    if not path.is_file():
        return 0
    with contextlib.suppress(sqlite3.Error), _opened(path) as database:
        return int(database.execute("select count(*) from runs where status = 'RUNNING'").fetchone()[0])
    return None


class _OtherLayout(Exception):
    """A database of another MLflow."""


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    with contextlib.closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True)) as database:
        database.execute("begin")  # one state for all three questions
        yield database


def _read(database: sqlite3.Connection, name: str) -> Seen:
    if database.execute("select version_num from alembic_version").fetchall() != [(LAYOUT,)]:
        raise _OtherLayout
    asked = "from {} where workspace = 'default' and name = ?"
    versions = database.execute(
        f"select version {asked.format('model_versions')} and current_stage != 'Deleted_Internal'", (name,)
    )
    tags: dict[str, dict[str, str]] = {str(version): {} for (version,) in versions}
    for version, key, value in database.execute(
        f"select version, key, value {asked.format('model_version_tags')}", (name,)
    ):
        tags.get(str(version), {})[key] = value
    aliases = database.execute(
        f"select alias, version {asked.format('registered_model_aliases')}", (name,)
    ).fetchall()
    return Seen({alias: str(version) for alias, version in aliases}, tags)


def _ask(tracking: schema.Tracking, root: Path, name: str) -> Seen:
    opened = store.connect(tracking, root)
    with store.usable(opened.uri):
        models = Registered(opened, name)
        return Seen(models.aliases(), models.all_tags())
