"""What can be opened and heard on the run's page: samples, tables, the listening page and the reports.

A list of what is there, with sha256, is kept among the artifacts, so that a second pass copies only what changed.
"""

import json
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from voicelathe import digest, layout, records
from voicelathe.tracking import runs
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
        tables = [{"path": name, "type": "table"} for name in contents if name.startswith("tables/")]
        runs.write(store, run.info.run_id, {}, {"mlflow.loggedArtifacts": json.dumps(tables)})
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
            for name in ("run.json", "selection.json", "checkpoints.json", "metrics.json")
        },
    }
    contents: Contents = {
        name: files.root / path for name, path in pages.items() if (files.root / path).is_file()
    }
    for title, samples in sample_files(files).items():
        contents |= {f"samples/{title}/{name}": path for name, path in samples.items()}
    contents["tables/candidates.json"] = _table(_candidate_rows(files))
    contents["tables/samples.json"] = _table(_sample_rows(files))
    measured = files.root / layout.run(recipe, "metrics.json")
    if measured.is_file():
        contents["tables/metrics.json"] = _table(_metric_rows(measured))
    return contents


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


def _table(rows: list[dict[str, Any]]) -> bytes:
    """The form in which MLflow's pages show a table (pandas' `split` orientation, as `mlflow.log_table` writes it)."""
    columns = list(rows[0]) if rows else []
    data = [[_shown(row[name]) for name in columns] for row in rows]
    return digest.canonical_json({"columns": columns, "data": data}).encode()


def _shown(value: Any) -> Any:
    return round(value, 6) if isinstance(value, float) else value


def _candidate_rows(files: RunFiles) -> list[dict[str, Any]]:
    ranked = {one.candidate: one for one in files.selection.ranking}
    components = sorted(
        {name for one in files.candidates if one.evaluation for name in one.evaluation.losses}
    )
    rows = []
    for shown in files.candidates:
        evaluation, place = shown.evaluation, ranked.get(shown.candidate.name)
        losses = evaluation.losses if evaluation else {}
        rows.append(
            {
                "candidate": shown.candidate.name,
                "selected": shown.candidate.name == files.selection.selected,
                "loss_total": evaluation.total if evaluation else None,
                **{f"loss_{name}": losses.get(name) for name in components},
                "behind_best": place.behind if place else None,
                "vetoes": ", ".join(place.vetoes) if place else "",
                "samples_stopped": f"{sum(one.stopped for one in shown.samples)} of {len(shown.samples)}",
                "checkpoint_sha256": shown.checkpoint.sha256,
                "bytes": shown.checkpoint.bytes,
            }
        )
    return rows


def _metric_rows(path: Path) -> list[dict[str, Any]]:
    measures = records.read_one(path, records.SpeechMeasures)
    names = [one.figure.name for one in measures.figures]
    return [
        {
            "candidate": one.candidate,
            "line": one.line_id,
            "seed": one.seed,
            **{name: one.values.get(name) for name in names},
            "vetoes": "; ".join(f"{code}: {said}" for code, said in sorted(one.vetoes.items())),
        }
        for one in measures.samples
    ]


def _sample_rows(files: RunFiles) -> list[dict[str, Any]]:
    dropped = ("path", "step", "lora_scale")
    rows = []
    for shown in files.candidates:
        for sample in shown.samples:
            listen = (
                None if sample.path is None else f"samples/{shown.title}/{sample.line_id}-{sample.seed}.wav"
            )
            plain = {key: value for key, value in records.to_json(sample).items() if key not in dropped}
            rows.append({**plain, "artifact": listen})
    return rows
