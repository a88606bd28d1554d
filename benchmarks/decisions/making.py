"""How does a fine-tune of the table come to be? By the real stages, in projects that share corpus, base and latents.

A project is a voice with clean or dirty training rows, its recipes are the cases. What is finished has a mark below marks/ and is not
done again; training and speaking go on where they were killed. DVC and the gate are passed by, as in `benchmarks.dirty_manifest`.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.decisions import hearing, packs
from benchmarks.decisions.cases import DEMO, FULL, LORA, Case
from benchmarks.decisions.finished import inside
from benchmarks.dirty_manifest import run, unaudited
from voicelathe import digest, layout, lines, records
from voicelathe.config import params
from voicelathe.data.manifest import ingest
from voicelathe.records import CleanClip

ROOT = Path(__file__).parents[2]
FOLDERS = ("data/general", "data/bases", "data/phrases", "consent", "splits", "recipes")
PACK = "lines/decision.jsonl"
CORPUS_STAGES = ("ingest", "measure", "hear", "audit", "split", "gate")
OUT = layout.CACHE / "decisions"  # in a project: what candidates said, and what was heard
NOT_KEPT = shutil.ignore_patterns(
    "mlflow.db*", "mlruns", "checkpoints", "runs", "latents", "marks", "decisions"
)
# The demo's generator with another voice: everything else, the planted faults too, stays as it is.
SPEAKS = "import recordings; recordings.VOICE = {voice!r}; import generate; generate.main()"


@dataclass(frozen=True)
class Place:
    """Where a benchmark keeps everything."""

    out: Path

    def project(self, case: Case) -> Path:
        return self.out / "projects" / case.project

    def corpus(self, voice: str) -> Path:
        return self.out / "corpora" / voice

    def failure(self, case: Case) -> Path:
        return self.out / "failed" / f"{case.name}.json"


def make(place: Place, case: Case, cases: Iterable[Case]) -> None:
    """Everything up to what was heard. A stage that fails by itself is recorded, and the case has no decision; a killed one is raised."""
    project = place.project(case)
    _corpus(place, case, [one for one in cases if one.voice == case.voice])
    try:
        for stage in ("encode", "general"):
            _once(project, f"{stage}-base", lambda stage=stage: run(project, stage, _base(project)))  # type: ignore[misc]
        for stage in ("train", "evaluate"):
            _once(project, f"{stage}-{case.name}", lambda stage=stage: run(project, stage, case.name))  # type: ignore[misc]
    except subprocess.CalledProcessError as problem:
        if problem.returncode < 0:
            raise
        digest.write_json(place.failure(case), {"stage": problem.cmd[2:], "exit_code": problem.returncode})
        return
    _once(project, f"heard-{case.name}", lambda: _ignored(heard(project, case.name)))


def heard(project: Path, recipe: str) -> tuple[hearing.Heard, hearing.Heard]:
    """The whole pool as decisions hear it, and for the oracle's likeness; spoken where it is not there yet."""
    with inside(project):
        pool = packs.pool()
        whole = hearing.everybody(recipe, "pool", pool, "validation", hearing.METRICS, OUT)
        likeness = hearing.everybody(recipe, "likeness", pool, "test", hearing.LIKENESS_ALONE, OUT)
    return whole, likeness


def is_heard(place: Place, case: Case) -> bool:
    return (place.project(case) / "marks" / f"heard-{case.name}").is_file()


def _once(project: Path, mark: str, work: Callable[[], None]) -> None:
    done = project / "marks" / mark
    if not done.is_file():
        work()
        digest.write_text(done, "")


def _ignored(_heard: object) -> None:
    """What was heard lies on disk."""


def _base(project: Path) -> str:
    return params.load(project / "params.yaml").recipes[LORA].base


def _corpus(place: Place, case: Case, cases: Iterable[Case]) -> None:
    """The project with its splits; a dirty one is the clean one with every row that can be decoded to train on."""
    clean = place.out / "projects" / f"{case.voice}-clean"
    _once(clean, "built", lambda: _build(place, clean, case.voice, cases))
    for stage in CORPUS_STAGES:
        _once(clean, stage, lambda stage=stage: run(clean, stage))  # type: ignore[misc]
    project = place.project(case)
    if case.dirty:
        _once(project, "built", lambda: _spoil(clean, project))
    _require_unseen(project)


def _spoil(clean: Path, project: Path) -> None:
    shutil.copytree(clean, project, ignore=NOT_KEPT, dirs_exist_ok=True)
    records.write(project / layout.split("train"), unaudited(clean))


def _build(place: Place, project: Path, voice: str, cases: Iterable[Case]) -> None:
    for name in FOLDERS:
        shutil.copytree(ROOT / name, project / name, dirs_exist_ok=True)
    shutil.copy(ROOT / "data/recogniser.json", project / "data")
    shutil.copytree(_spoken(place, voice), project / "data/demo", dirs_exist_ok=True)
    shutil.copy(ROOT / "params.yaml", project)
    lines.write(project / PACK, packs.pool())
    params.edit(_changes(voice, cases), project / "params.yaml")
    _pin(project)


def _spoken(place: Place, voice: str) -> Path:
    """The corpus of a voice; the demo's own lies in the repository."""
    if voice == DEMO:
        return ROOT / "data/demo"
    made, partial = place.corpus(voice), place.corpus(f"{voice}.partial")
    if not made.is_dir():
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        command = [sys.executable, "-B", "-c", SPEAKS.format(voice=voice), str(partial.resolve())]
        subprocess.run(command, cwd=ROOT / "data/demo", check=True, env={**os.environ, "PYTHONPATH": "."})
        partial.rename(made)
    return made


def _changes(voice: str, cases: Iterable[Case]) -> dict[str, object]:
    """Every case as a recipe. Voices but that of the demo have no record of consent: their weights are marked as research."""
    tree: dict[str, Any] = json.loads(json.dumps(params.read_yaml(ROOT / "params.yaml")["recipes"]))
    changes: dict[str, object] = {f"recipes/{name}/listen/lines": PACK for name in (LORA, FULL)}
    for one in cases:
        recipe: dict[str, Any] = json.loads(json.dumps(tree[one.start]))
        recipe["listen"]["lines"] = PACK
        for where, value in one.edits.items():
            section, key = where.split("/")
            recipe[section][key] = value
        changes[f"recipes/{one.name}"] = recipe
    return changes if voice == DEMO else {**changes, "consent/policy": "research"}


def _pin(project: Path) -> None:
    with inside(project):
        sha256, audio = ingest.pins(params.load().ingest)
        params.edit({"ingest/sha256": sha256, "ingest/audio_digest": audio})


def _require_unseen(project: Path) -> None:
    """No line of the pool is a text of training, validation or test."""
    known = [
        one.text for name in layout.SPLITS for one in records.read(project / layout.split(name), CleanClip)
    ]
    if told := packs.strangers(packs.pool(), known):
        raise SystemExit(f"{project}: {', '.join(told)} are in the corpus; a decision must not know them")
