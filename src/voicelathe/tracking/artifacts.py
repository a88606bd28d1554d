"""What can be opened and heard on the run's page: samples, tables, figures, the listening page and the reports.

A list of what is there, with sha256, is kept among the artifacts, so that a second pass copies only what changed.
A question to MLflow is answered in seconds or never, but files take what their server takes: between a client and a bucket lie servers
that acknowledge an upload only when the last of them has it (mlflow#7564, #8539). While they travel MLflow's own patience counts.
"""

import json
import os
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from voicelathe import digest, layout
from voicelathe.evaluate.report import pictures
from voicelathe.tracking import runs
from voicelathe.tracking.files import RunFiles, sample_files
from voicelathe.tracking.pages import tables
from voicelathe.tracking.store import PATIENCE, QUESTION_S, Store

LISTING = "artifacts.json"
Contents = dict[str, Path | bytes]  # artifact name -> what goes there
_travelling = 0
_counting = threading.Lock()


def mirror(store: Store, run: Any, files: RunFiles) -> dict[str, str]:
    """Copy what is new or changed. Returns the sha256 of every artifact."""
    contents = collect(files)
    listing = {name: _sha256(one) for name, one in sorted(contents.items())}
    held = _held(store, run)
    new = {name: one for name, one in contents.items() if held.get(name) != listing[name]}
    if new:
        listed = [{"path": name, "type": "table"} for name in contents if name.startswith("tables/")]
        runs.write(store, run.info.run_id, {}, {"mlflow.loggedArtifacts": json.dumps(listed)})
        with staged(new) as directory:
            upload(store, run.info.run_id, directory)
        with staged({LISTING: digest.canonical_json(listing).encode()}) as directory:
            upload(store, run.info.run_id, directory)
    return listing


def collect(files: RunFiles) -> Contents:
    """Everything that belongs on the run's page and exists."""
    recipe = files.run.recipe
    pages = {
        "listening.html": layout.run(recipe, "listening.html"),
        "report.html": layout.run(recipe, "report.html"),
        "data/report.html": layout.DATA_REPORT,
        "data/gate.html": layout.GATE_REPORT,
        **{
            f"records/{name}": layout.run(recipe, name)
            for name in ("run.json", "selection.json", "checkpoints.json", "metrics.json", "probes.jsonl")
        },
    }
    contents: Contents = {
        "records/inputs.json": digest.canonical_json(runs.inputs(files.run, files.root)).encode()
    }
    contents |= {name: files.root / path for name, path in pages.items() if (files.root / path).is_file()}
    for title, samples in sample_files(files).items():
        contents |= {f"samples/{title}/{name}": path for name, path in samples.items()}
    contents |= {f"tables/{name}.json": table for name, table in tables.of(files).items()}
    drawn = pictures.files(files.selection, files.steps)
    return contents | {f"figures/{name}": picture.encode() for name, picture in drawn.items()}


@contextmanager
def staged(contents: Mapping[str, Path | bytes]) -> Iterator[Path]:
    """A directory laid out as it will be uploaded: links, not copies; MLflow follows them."""
    with tempfile.TemporaryDirectory() as made:
        for name, content in contents.items():
            path = Path(made) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(content, bytes):
                path.write_bytes(content)
            else:
                path.symlink_to(content.resolve())
        yield Path(made)


def _sha256(content: Path | bytes) -> str:
    return digest.of_bytes(content) if isinstance(content, bytes) else digest.of_file(content)


def _held(store: Store, run: Any) -> dict[str, str]:
    """The list of an earlier pass; empty when there was none."""
    if not any(one.path == LISTING for one in store.client.list_artifacts(run.info.run_id)):
        return {}
    with tempfile.TemporaryDirectory() as directory:
        held = download(store, run.info.run_id, LISTING, Path(directory))
        listing: dict[str, str] = digest.read_json(held)
    return listing


def upload(store: Store, run_id: str, directory: Path) -> None:
    """Everything in a directory, to a run."""
    with _patient():
        store.client.log_artifacts(run_id, str(directory))


def upload_model(store: Store, model_id: str, directory: Path) -> None:
    """Everything in a directory, to a model."""
    with _patient():
        store.client.log_model_artifacts(model_id, str(directory))


def download(store: Store, run_id: str, name: str, directory: Path) -> Path:
    """One artifact of a run, into a directory; returns its path."""
    with _patient():
        return Path(store.client.download_artifacts(run_id, name, str(directory)))


@contextmanager
def _patient() -> Iterator[None]:
    """MLflow reads the setting at every call, in all of its threads; one that a person chose stays."""
    global _travelling
    if os.environ.get(PATIENCE, QUESTION_S) != QUESTION_S:
        yield
        return
    with _counting:
        _travelling += 1
        os.environ.pop(PATIENCE, None)
    try:
        yield
    finally:
        with _counting:
            _travelling -= 1
            if _travelling == 0:
                os.environ[PATIENCE] = QUESTION_S
