"""What must hold of a project whatever is done to it: production speaks the right bytes or refuses, and nothing promoted is lost.

This knows nothing of the program: it hashes files, reads MLflow's tables by SQL and keeps its own books.
"""

import hashlib
import json
import sqlite3
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

NAME = "voicelathe"


class Violation(Exception):
    """Something that must hold does not."""


@dataclass(frozen=True)
class Weights:
    """One checkpoint with its bytes."""

    recipe: str
    path: str  # relative to the project
    sha256: str  # of all names and bytes


@dataclass
class Model:
    """What was promoted, where it must be, and what may speak now."""

    ever: set[Weights] = field(default_factory=set)  # promoted at any time, in any branch
    lost: set[Weights] = field(default_factory=set)  # of these: deleted by hand, and not back yet
    books: dict[str, list[tuple[str, Weights]]] = field(
        default_factory=lambda: {"main": []}
    )  # branch -> (version, weights)
    branch: str = "main"
    versions: dict[str, Weights] = field(default_factory=dict)  # in the MLflow there is now
    alias: str | None = None
    archived: set[Weights] = field(default_factory=set)

    @property
    def stack(self) -> list[tuple[str, Weights]]:
        return self.books[self.branch]

    @property
    def voice(self) -> Weights | None:
        """Who may speak: the journal of this branch and MLflow name the same version, and it is the same weights."""
        if self.alias is None or not self.stack or self.stack[-1][0] != self.alias:
            return None
        return self.stack[-1][1] if self.versions.get(self.alias) == self.stack[-1][1] else None

    def promoted(self, root: Path, recipe: str, step: int) -> None:
        """After a promotion that succeeded: the alias names exactly these weights."""
        weights = at(root, recipe, run_of(root, recipe), step)
        version = alias_of(root)
        if version is None:
            raise Violation("a promotion succeeded, and nothing is in production")
        if self.versions.setdefault(version, weights) != weights:
            raise Violation(f"version {version} was {self.versions[version]} and is promoted as {weights}")
        self.alias = version
        self.ever.add(weights)
        if self.stack and self.stack[-1][1] == weights:
            self.stack.pop()
        self.stack.append((version, weights))

    def before(self) -> Weights | None:
        """Where a rollback leads."""
        return next((one for _, one in reversed(self.stack[:-1]) if one != self.stack[-1][1]), None)

    def rolled_back(self, root: Path, wanted: Weights) -> None:
        """After a rollback that succeeded."""
        version = alias_of(root)
        if version is None or self.versions.get(version) != wanted:
            raise Violation(
                f"the rollback led to version {version}, {self.versions.get(str(version))}, not to {wanted}"
            )
        self.alias = version
        known = [one for _, one in self.stack]
        if wanted in known:
            del self.stack[len(known) - known[::-1].index(wanted) - 1 :]
        self.stack.append((version, wanted))

    def check(self, root: Path) -> None:
        """Raises Violation when something promoted is gone or changed, or the alias is not where the last promotion put it."""
        self.lost = {one for one in self.lost if tree(root / one.path) != one.sha256}
        for one in sorted(self.ever - self.lost, key=lambda one: one.path):
            if tree(root / one.path) != one.sha256:
                raise Violation(f"promoted weights are gone or changed: {one}")
        if (found := alias_of(root)) != self.alias:
            raise Violation(f"production is version {found} in MLflow, and {self.alias} was promoted last")

    def deleted(self, root: Path) -> None:
        """After somebody deleted something by hand: what of the promoted is lost by that."""
        self.lost |= {one for one in self.ever if tree(root / one.path) != one.sha256}


def at(root: Path, recipe: str, directory: str, step: int) -> Weights:
    path = f"{directory}/step_{step:07d}"
    found = tree(root / path)
    if found is None:
        raise Violation(f"{path} was promoted and is not there")
    return Weights(recipe, path, found)


def run_of(root: Path, recipe: str) -> str:
    return str(json.loads((root / f"runs/{recipe}/run.json").read_text())["directory"])


def tree(directory: Path) -> str | None:
    """sha256 over every name and every byte; None for what is not there."""
    files = sorted(path for path in directory.rglob("*") if path.is_file())
    total = hashlib.sha256()
    for path in files:
        total.update(
            f"{path.relative_to(directory)} {hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode()
        )
    return total.hexdigest() if files else None


def alias_of(root: Path) -> str | None:
    """The version in production, as MLflow's tables have it."""
    with sqlite3.connect(f"file:{quote(str(root / 'mlflow.db'))}?mode=ro", uri=True) as database:
        asked = "select version from registered_model_aliases where name = ? and alias = 'production'"
        found = database.execute(asked, (NAME,)).fetchone()
    database.close()
    return str(found[0]) if found else None


def missing(root: Path, recipe: str) -> list[str]:
    """Checkpoints that the records name, that are not there as they were written, and that nobody pruned."""
    index = root / f"runs/{recipe}/checkpoints.json"
    listed = json.loads(index.read_text())["checkpoints"] if index.is_file() else []
    notes = root / "registry/pruned.jsonl"
    pruned = (
        {json.loads(line)["path"] for line in notes.read_text().splitlines()} if notes.is_file() else set()
    )
    return [
        one["path"]
        for one in listed
        if one["step"] and not _is_whole(root / one["path"], one["sha256"], one["path"] in pruned)
    ]


def _is_whole(directory: Path, sha256: str, is_pruned: bool) -> bool:
    manifest = directory / "MANIFEST.json"
    if not directory.exists():
        return is_pruned
    if not manifest.is_file() or hashlib.sha256(manifest.read_bytes()).hexdigest() != sha256:
        return False
    files = json.loads(manifest.read_text())["files"]
    return all(
        (directory / name).is_file()
        and hashlib.sha256((directory / name).read_bytes()).hexdigest() == one["sha256"]
        for name, one in files.items()
    )
