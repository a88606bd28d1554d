"""What can be opened and heard on the run's page: samples, tables, figures, the listening page and the reports.

A list of what is there, with sha256, is kept among the artifacts, so that a second pass copies only what changed.
"""

import json
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from voicelathe import digest, layout
from voicelathe.evaluate.report import pictures
from voicelathe.tracking import runs, tables
from voicelathe.tracking.files import RunFiles, sample_files
from voicelathe.tracking.store import Store

LISTING = "artifacts.json"
Contents = dict[str, Path | bytes]  # artifact name -> what goes there


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
            store.client.log_artifacts(run.info.run_id, str(directory))
        with staged({LISTING: digest.canonical_json(listing).encode()}) as directory:
            store.client.log_artifacts(run.info.run_id, str(directory))
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
        listing: dict[str, str] = digest.read_json(
            Path(store.client.download_artifacts(run.info.run_id, LISTING, directory))
        )
    return listing
