"""Every use of one file by another below a recipe's selection: who used it, what it was then, and what it is now.

Selection -> evaluations, samples, checkpoints -> run -> latents, base -> gate -> splits -> ... -> raw manifest and audio. Records
name the sha256 of what they used; for the data stages dvc.lock does, by md5.
"""

import hashlib
import json
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from voicelathe import checkpoints, digest, layout, records
from voicelathe.config import params, schema
from voicelathe.errors import RecordError
from voicelathe.registry import based
from voicelathe.runs import identity, tombstones
from voicelathe.tracking import files as run_files
from voicelathe.tracking.files import RunFiles

LOCK = "dvc.lock"


@dataclass(frozen=True)
class ChainLink:
    """One use of one file: who used it, what it was then and what it is now."""

    used_by: str
    path: str
    expected: str
    found: str | None  # None: the file is gone

    @property
    def holds(self) -> bool:
        return self.found == self.expected

    def __str__(self) -> str:
        now = "it is gone" if self.found is None else f"it is {self.found} now"
        return f"{self.path}: {self.used_by} used {self.expected}, but {now}"


def recipe_links(recipe: str, root: Path, weights: bool = True) -> Iterator[ChainLink]:
    """Every link below a recipe's selection. Without `weights`: not those and not the base, which the caller has hashed."""
    files = run_files.read(recipe, root)
    selection = layout.run(recipe, "selection.json").as_posix()
    yield from (link(root, path, sha256, selection) for path, sha256 in files.selection.inputs.items())
    yield from _speech(files)
    if weights:
        yield from _weights(files)
        yield from _base(files)
    yield from _run(files)
    yield from _data(root, {"", recipe, files.run.identity.base})


def _speech(files: RunFiles) -> Iterator[ChainLink]:
    used_by = layout.run(files.run.recipe, "samples.jsonl").as_posix()
    for shown in files.candidates:
        for sample in shown.samples:
            if sample.path is not None and sample.sha256 is not None:
                yield link(files.root, sample.path, sample.sha256, used_by)


def _weights(files: RunFiles) -> Iterator[ChainLink]:
    """The manifest of every checkpoint, then every file it lists; files it does not list count as broken, too.

    What was pruned is not looked for, but for the selected checkpoint.
    """
    excuses = tombstones.excused(files.root)
    used_by = layout.run(files.run.recipe, "checkpoints.json").as_posix()
    for one in {shown.checkpoint.path: shown.checkpoint for shown in files.candidates}.values():
        selected = files.selected is not None and files.selected.checkpoint == one
        if one.kind == "base" or (not selected and tombstones.is_excused(one.path, one.sha256, excuses)):
            continue
        manifest = Path(one.path) / checkpoints.MANIFEST
        first = link(files.root, manifest.as_posix(), one.sha256, used_by)
        yield first
        if first.holds:
            listed = digest.read_json(files.root / manifest)["files"]
            expected = {name: entry["sha256"] for name, entry in listed.items()}
            yield from _tree(
                files.root, Path(one.path), expected, manifest.as_posix(), {checkpoints.MANIFEST}
            )


def _run(files: RunFiles) -> Iterator[ChainLink]:
    """What the run was trained on: inputs, identity, encodings, the record of the base."""
    run, root = files.run, files.root
    used_by = layout.run(run.recipe, "run.json").as_posix()
    yield ChainLink(
        used_by, f"{used_by} (identity)", run.run_digest, digest.of_value(records.to_json(run.identity))
    )
    yield from (link(root, path, sha256, used_by) for path, sha256 in run.inputs.items())
    latents = layout.latents(run.identity.base)
    found = identity.trained_on(run.identity.base, run.identity.family, root)
    yield ChainLink(used_by, f"{latents} (train)", run.identity.latents_digest, found)
    facts = records.read_one(root / latents / "base.json", records.BaseFacts)
    yield ChainLink(used_by, f"{latents}/base.json", run.identity.base_digest, facts.digest)
    yield ChainLink(
        f"{latents}/base.json", f"{latents}/base.json (files)", facts.digest, digest.of_value(facts.files)
    )


def _base(files: RunFiles) -> Iterator[ChainLink]:
    name = files.run.identity.base
    record = layout.latents(name) / "base.json"
    facts = records.read_one(files.root / record, records.BaseFacts)
    base = based.find(params.load(files.root / params.FILE), name, files.run.identity.base_digest, files.root)
    yield from _tree(files.root, Path(base.path), facts.files, record.as_posix(), set())


def _data(root: Path, items: set[str]) -> Iterator[ChainLink]:
    """The gate, the splits it passed, what dvc.lock knows of the stages of these items, and the raw manifest with its audio."""
    if (root / layout.GATE).is_file():
        passed = records.read_one(root / layout.GATE, records.Passed)
        yield from (
            link(root, path, sha256, layout.GATE.as_posix()) for path, sha256 in passed.inputs.items()
        )
    if not (root / LOCK).is_file():
        yield ChainLink("git", LOCK, "the md5 of every file of the data stages", None)
    yield from _stages(root, items)
    ingest = params.load(root / params.FILE).ingest
    yield link(root, ingest.manifest, ingest.sha256, "params.yaml (ingest.sha256)")
    yield from _audio(root, ingest)


def _audio(root: Path, ingest: schema.Ingest) -> Iterator[ChainLink]:
    """Every source recording, and the list of them against its pin."""
    listing = root / "data/raw/audio.sha256"
    lines = listing.read_text(encoding="utf-8", errors="replace").splitlines() if listing.is_file() else []
    listed = {name: sha256 for sha256, _, name in (line.partition("  ") for line in lines)}
    yield ChainLink(
        "params.yaml (ingest.audio_digest)",
        "data/raw/audio.sha256",
        ingest.audio_digest,
        digest.of_value(listed),
    )
    for name, sha256 in listed.items():
        yield link(root, f"{ingest.audio_root}/{name}", sha256, "data/raw/audio.sha256")


def _stages(root: Path, items: set[str]) -> Iterator[ChainLink]:
    """Files that DVC stages read and wrote, by the md5 in dvc.lock; those of the data only, the others have sha256.

    `items` are what may stand behind the @ of a stage: another recipe's stages may be behind, nothing of this one came from them.
    """
    seen: set[tuple[str, str]] = set()
    for name, stage in _lock(root).items():
        if name.partition("@")[2] not in items:
            continue
        for entry in [*stage.get("deps", []), *stage.get("outs", [])]:
            path, md5 = entry["path"], entry.get("md5")
            if (
                md5 is None
                or not path.startswith("data/")
                or (path, md5) in seen
                or path.startswith("data/bases/")
            ):
                continue
            seen.add((path, md5))
            yield ChainLink(f"{LOCK} ({name})", path, md5, _md5(root / path))


def _lock(root: Path) -> dict[str, Any]:
    """The stages of dvc.lock with every scalar as text, by libyaml: the round-trip parser of params.yaml takes 0.3 s for it."""
    import yaml

    path = root / LOCK
    if not path.is_file():
        return {}
    try:
        stages: dict[str, Any] = yaml.load(path.read_bytes(), Loader=yaml.CBaseLoader)["stages"]
    except (yaml.YAMLError, KeyError, TypeError) as problem:
        raise RecordError(f"{LOCK} is not readable ({problem}). Restore it: git checkout {LOCK}") from None
    return stages


def _tree(
    root: Path, directory: Path, expected: dict[str, str], used_by: str, besides: set[str]
) -> Iterator[ChainLink]:
    """Every expected file, hashed on all cores (hashlib lets go of the interpreter), and every file that is there besides."""
    paths = [(directory / name).as_posix() for name in sorted(expected)]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        found = [pool.submit(_sha256, root / path) for path in paths]
        for name, path, one in zip(sorted(expected), paths, found, strict=True):
            yield ChainLink(used_by, path, expected[name], one.result())
    here = {
        path.relative_to(root / directory).as_posix()
        for path in (root / directory).rglob("*")
        if path.is_file()
    }
    for name in sorted(here - set(expected) - besides):
        yield ChainLink(
            used_by, (directory / name).as_posix(), "no such file", digest.of_file(root / directory / name)
        )


def link(root: Path, path: str, sha256: str, used_by: str) -> ChainLink:
    place = root / path
    if place.is_dir():
        return ChainLink(used_by, path, sha256, digest.of_value(digest.of_tree(place)))
    return ChainLink(used_by, path, sha256, _sha256(place))


def _sha256(path: Path) -> str | None:
    return digest.of_file(path) if path.is_file() else None


def _md5(path: Path) -> str | None:
    """As DVC computes it: of a file's bytes, or of the listing of a directory (dvc_data 3.18, hashfile/tree.py)."""
    if path.is_file():
        with path.open("rb") as file:
            return hashlib.file_digest(file, "md5").hexdigest()
    if not path.is_dir():
        return None
    inside = sorted((one.relative_to(path).as_posix(), one) for one in path.rglob("*") if one.is_file())
    entries: list[dict[str, Any]] = [{"md5": _md5(one), "relpath": name} for name, one in inside]
    return hashlib.md5(json.dumps(entries, sort_keys=True).encode()).hexdigest() + ".dir"
