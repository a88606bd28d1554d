"""The MLflow run of one execution of a recipe: found by its run digest, made when absent, described by params and tags.

A resumed execution has the same run digest and so continues the same MLflow run. What a run is (params) is fixed by
the run digest; who trained it with which code (git, DVC) is written once, by whoever comes first.
"""

import getpass
import json
import os
import subprocess
import time
import typing
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from voicelathe import __version__, digest, layout, records
from voicelathe.data.lexicon import lexicon_file
from voicelathe.records import RunRecord
from voicelathe.redaction import redacted
from voicelathe.tracking.curves import Point, batches
from voicelathe.tracking.live import usage
from voicelathe.tracking.store import BATCH, Store, mlflow

TAG = "voicelathe."
COLOUR = "mlflow.runColor"
COLOURS = (  # of the reports, and four between them; two runs beside each other must not be two shades of one
    *("#0b5cad", "#b3471b", "#2f7d4f", "#7a4bb0", "#8a6a00", "#b02a6b", "#007c84", "#5b6470"),
    *("#c8102e", "#00a3e0", "#6a9b1f", "#e08a00"),
)
PROCESS = f"{TAG}process"  # the stage that trains it: host/pid/start
DATASET_DIGEST_CHARS = 36  # MLflow's limit


@dataclass(frozen=True)
class Known:
    """A value the store holds for a curve at a step."""

    value: float
    at_ms: int


def ensure(store: Store, run: RunRecord, root: Path) -> Any:
    """The MLflow run of this execution, with its params, tags and datasets; writes only what is missing or different."""
    found = find(store, run.recipe, run.run_digest)
    if found is None:
        found = store.client.create_run(
            store.experiment_id,
            run_name=f"{run.recipe}-{run.run_digest[:8]}",
            tags={
                f"{TAG}recipe": run.recipe,
                f"{TAG}run_digest": run.run_digest,
                COLOUR: _colour(store),
            },
            start_time=usage.began_ms(root / run.directory) or int(time.time() * 1000),
        )
    known = found.data.tags
    tags = {key: value for key, value in _tags(run).items() if known.get(key) != value}
    tags |= {key: value for key, value in _circumstances(root).items() if key not in known}
    params = {key: value for key, value in _params(run) if key not in found.data.params}
    write(store, found.info.run_id, params, tags)
    _log_datasets(store, found, run, root)
    return found


def _colour(store: Store) -> str:
    """For the charts: one that none of the newest runs has."""
    newest = store.client.search_runs([store.experiment_id], max_results=len(COLOURS) - 1)
    taken = {one.data.tags.get(COLOUR) for one in newest}
    return next(one for one in COLOURS if one not in taken)


def find(store: Store, recipe: str, run_digest: str) -> Any | None:
    """The MLflow run of a run digest; the oldest, should there be two."""
    runs = store.client.search_runs(
        [store.experiment_id],
        f"tags.`{TAG}run_digest` = '{run_digest}' and tags.`{TAG}recipe` = '{recipe}'",
        order_by=["attributes.start_time ASC"],
        max_results=1,
    )
    return runs[0] if runs else None


def write(store: Store, run_id: str, params: Mapping[str, str], tags: Mapping[str, str]) -> None:
    """Params and tags in one call, without passwords and keys."""
    entities = mlflow("mlflow.entities")
    if params or tags:
        store.client.log_batch(
            run_id,
            params=[entities.Param(key, redacted(value)) for key, value in params.items()],
            tags=[entities.RunTag(key, redacted(value)) for key, value in tags.items()],
        )


def history(store: Store, run: Any, keys: Iterable[str]) -> dict[tuple[str, int], Known]:
    """What the store holds for these curves: the newest value of every step."""
    held: dict[tuple[str, int], Known] = {}
    for key in keys:
        for metric in (
            store.client.get_metric_history(run.info.run_id, key) if key in run.data.metrics else []
        ):
            before = held.get((key, metric.step))
            if before is None or before.at_ms <= metric.timestamp:
                held[key, metric.step] = Known(metric.value, metric.timestamp)
    return held


def send(store: Store, run_id: str, points: list[Point]) -> None:
    """Points in as few calls as possible."""
    metric = mlflow("mlflow.entities").Metric
    for batch in batches(points, BATCH):
        store.client.log_batch(run_id, metrics=[metric(p.key, p.value, p.at_ms, p.step) for p in batch])


def dataset(name: str, sha256: str) -> tuple[str, str]:
    """How MLflow names a dataset: (name, shortened digest)."""
    return name, sha256[:DATASET_DIGEST_CHARS]


def inputs(run: RunRecord, root: Path) -> dict[str, str]:
    """Every file that the run rests on, with its sha256; the pass of the gate among them."""
    gate = root / layout.GATE
    passed = {layout.GATE.as_posix(): digest.of_file(gate)} if gate.is_file() else {}
    return {**run.inputs, **passed}


def _params(run: RunRecord) -> Iterator[tuple[str, str]]:
    """Everything that was chosen, flat, so that runs compare column by column."""
    if run.identity.lexicon is not None:
        yield "lexicon", lexicon_file.identity(run.identity.lexicon)
    identity = {
        **records.to_json(run.identity),
        "lexicon": None,
    }  # its entries would be longer than a parameter may be
    for key, value in sorted(_flat(identity)):
        if not key.endswith("_digest"):
            yield key, value
    yield "clips.train", str(run.num_train_clips)
    yield "parameters.total", str(run.num_parameters)
    if run.num_trainable is not None:  # known once the run has finished
        yield "parameters.trainable", str(run.num_trainable)


def _flat(value: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, one in value.items():
        if isinstance(one, Mapping):
            yield from _flat(one, f"{prefix}{key}.")
        elif isinstance(one, list):
            yield f"{prefix}{key}", ", ".join(str(item) for item in one)
        elif one is not None:
            yield f"{prefix}{key}", str(one)


def _tags(run: RunRecord) -> dict[str, str]:
    """What the run rests on. The sha256 of every input is in `records/run.json` and `records/inputs.json`: MLflow cuts long tags."""
    return {
        f"{TAG}version": __version__,
        f"{TAG}base_digest": run.identity.base_digest,
        f"{TAG}latents_digest": run.identity.latents_digest,
        f"{TAG}torch": run.identity.torch,
        f"{TAG}weights": run.directory,
        **({f"{TAG}stopped_early": run.stopped_early.told} if run.stopped_early else {}),
    }


def _circumstances(root: Path) -> dict[str, str]:
    """Who trained it with which code. Kept from the first time, because tracking may run later than training."""
    commit = _git(root, "rev-parse", "HEAD")
    dvc = {"DVC_STAGE": "dvc_stage", "DVC_EXP_NAME": "dvc_experiment", "DVC_EXP_BASELINE_REV": "dvc_baseline"}
    return {
        "mlflow.user": getpass.getuser(),
        "mlflow.source.name": "voicelathe",
        "mlflow.source.type": "LOCAL",
        **({"mlflow.source.git.commit": commit} if commit else {}),
        **({f"{TAG}git_dirty": str(bool(_git(root, "status", "--porcelain"))).lower()} if commit else {}),
        **{f"{TAG}{tag}": os.environ[name] for name, tag in dvc.items() if os.environ.get(name)},
    }


def _git(root: Path, *arguments: str) -> str:
    """What git says, or nothing when there is no git, no repository or no answer."""
    try:
        done = subprocess.run(
            ["git", "-C", root, *arguments], capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _log_datasets(store: Store, found: Any, run: RunRecord, root: Path) -> None:
    """The splits as dataset inputs of the run, by sha256; nothing is copied."""
    entities = mlflow("mlflow.entities")
    there = (
        {(one.dataset.name, one.dataset.digest) for one in found.inputs.dataset_inputs}
        if found.inputs
        else set()
    )
    inputs = []
    for split in ("train", "validation"):
        path = root / layout.split(split)
        sha256 = run.inputs.get(layout.split(split).as_posix()) or (
            digest.of_file(path) if path.is_file() else None
        )
        if sha256 is None or dataset(split, sha256) in there:
            continue
        source = json.dumps({"uri": layout.split(split).as_posix()})
        profile = json.dumps({"num_rows": _num_lines(path)}) if path.is_file() else None
        one = entities.Dataset(*dataset(split, sha256), "local", source, _columns(), profile)
        inputs.append(entities.DatasetInput(one, [entities.InputTag("mlflow.data.context", split)]))
    if inputs:
        store.client.log_inputs(found.info.run_id, inputs)


def _columns() -> str:
    """The columns of a split, in the form in which MLflow shows them."""
    hints = typing.get_type_hints(records.CleanClip)
    columns = [
        {"name": name, "type": "double" if kind is float else "string", "required": kind in (str, float)}
        for name, kind in hints.items()
    ]
    return json.dumps({"mlflow_colspec": columns})


def _num_lines(path: Path) -> int:
    with path.open("rb") as file:
        return sum(1 for _ in file)


def log_plan(store: Store, found: Any, run: RunRecord, root: Path) -> None:
    """What preflight computed of memory, files and arithmetic, as metrics.

    Their names put their charts after those of training. The list on the run's page is in the order of sending, so this comes last.
    """
    path = root / layout.run(run.recipe, "preflight.json")
    planned = records.read_one(path, records.PreflightRecord).rehearsal if path.is_file() else None
    if planned is None:
        return
    peak = planned.peak
    sizes = {
        "weights": peak.weights, "masters": planned.masters, "gradients": peak.gradients, "casts": peak.casts,
        "optimizer": planned.moments - planned.paged, "activations": peak.activations, "fragmentation": planned.fragmentation,
    }  # fmt: skip
    values = {f"vram_plan/{name}_gb": size / 1e9 for name, size in sizes.items()}
    values["vram_plan/device_gb"] = sum(sizes.values()) / 1e9
    values["vram_plan/host_gb"] = planned.paged / 1e9
    values["vram_plan/checkpoint_gb"] = planned.checkpoint / 1e9
    values["vram_plan/tflop_per_step"] = planned.flops / 1e12
    held = history(store, found, values)
    at_ms = found.info.start_time
    known = {key: one.value for (key, _), one in held.items()}
    send(store, found.info.run_id, [Point(k, v, 0, at_ms) for k, v in values.items() if known.get(k) != v])
