"""Every candidate, the base included, as a LoggedModel: step, LoRA scale, identity, losses, samples, weights.

A LoggedModel is found again by (candidate, sha256 of its weights), so nothing is made twice and retrained weights
never slip under a name that was judged before. Its metrics also are points of the run: that is the validation curve.
"""

import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from voicelathe import checkpoints, digest, records
from voicelathe.evaluate import scores
from voicelathe.evaluate.report import exclusions, wording
from voicelathe.runs import tombstones
from voicelathe.tracking import artifacts, runs
from voicelathe.tracking.artifacts import Contents
from voicelathe.tracking.files import RunFiles, Shown, sample_files
from voicelathe.tracking.runs import TAG
from voicelathe.tracking.store import BATCH, Store, mlflow

PAGE = 100
Samples = Mapping[str, Path]  # artifact name -> WAV


def mirror(store: Store, run: Any, files: RunFiles, upload: str) -> None:
    """Bring all candidates of a run up to date."""
    there = {_key(model.tags): model for model in of_run(store, run.info.run_id)}
    models = []
    for shown in files.candidates:
        key = (shown.candidate.name, shown.checkpoint.sha256)
        models.append(there.get(key) or _create(store, run.info.run_id, files, shown))
    _log_outputs(store, run, files, models)
    _log_metrics(store, run, files, models)
    samples = sample_files(files)
    for shown, model in zip(files.candidates, models, strict=True):
        _mark(store, model, files, shown)
        _bring_files(store, model, files, shown, samples.get(shown.title, {}), uploads(files, shown, upload))
        if str(model.status) != "READY":
            store.client.finalize_logged_model(model.model_id, "READY")


def of_run(store: Store, run_id: str) -> Iterator[Any]:
    """All LoggedModels of an MLflow run, the oldest first."""
    token = None
    while True:
        page = store.client.search_logged_models(
            [store.experiment_id],
            filter_string=f"source_run_id = '{run_id}'",
            max_results=PAGE,
            order_by=[{"field_name": "creation_time", "ascending": True}],
            page_token=token,
        )
        yield from page
        token = page.token
        if not token:
            return


def uploads(files: RunFiles, shown: Shown, policy: str) -> bool:
    """Whether the weights themselves are copied into MLflow; otherwise their sha256 and place are."""
    if shown.checkpoint.kind == "base":
        return False
    is_selected = files.selected is not None and files.selected.checkpoint == shown.checkpoint
    wanted = {"adapters": shown.checkpoint.kind == "lora", "selected": is_selected, "all": True}[policy]
    return wanted and shown.section == "val"  # other LoRA scales are the same files


def _key(tags: Mapping[str, str]) -> tuple[str | None, str | None]:
    return tags.get(f"{TAG}candidate"), tags.get(f"{TAG}checkpoint_sha256")


def _create(store: Store, run_id: str, files: RunFiles, shown: Shown) -> Any:
    scale = shown.candidate.lora_scale
    return store.client.create_logged_model(
        store.experiment_id,
        name=_name(files, shown),
        source_run_id=run_id,
        params={"step": str(shown.candidate.step), **({} if scale is None else {"lora_scale": f"{scale:g}"})},
        tags={
            f"{TAG}candidate": shown.candidate.name,
            f"{TAG}checkpoint_sha256": shown.checkpoint.sha256,
            f"{TAG}checkpoint": shown.checkpoint.path,
            f"{TAG}bytes": str(shown.checkpoint.bytes),
            f"{TAG}recipe": files.run.recipe,
            f"{TAG}run_digest": files.run.run_digest,
            f"{TAG}base_digest": files.run.identity.base_digest,
        },
        model_type=shown.checkpoint.kind,
    )


def _name(files: RunFiles, shown: Shown) -> str:
    """`mini-lora step 50`: models of all recipes stand in one list. MLflow allows no point in a name."""
    where = wording.spoken(files.selection, shown.candidate.name).removeprefix("the ")
    return f"{files.run.recipe} {where}".replace(".", "p")


def _mark(store: Store, model: Any, files: RunFiles, shown: Shown) -> None:
    """Say on the model what it is and whether it is the one to ship; a later decision changes it."""
    tags = {
        f"{TAG}selected": str(shown is files.selected).lower(),
        "mlflow.note.content": _note(files, shown),
    }
    new = {key: value for key, value in tags.items() if model.tags.get(key) != value}
    if new:
        store.client.set_logged_model_tags(model.model_id, new)


def _note(files: RunFiles, shown: Shown) -> str:
    """Markdown for the model's page, which shows no tags."""
    name, kept = shown.candidate.name, shown.checkpoint
    place = next((one for one in files.selection.ranking if one.candidate == name), None)
    lines = [f"**{name}** of {files.run.recipe}"]
    if shown is files.selected:
        lines[0] += ": **selected**"
    found = next((one for one in files.selection.evidence if one.candidate == name), None)
    if found is not None:
        lines += [f"{one} {found.levels[one].mean:.3f}" for one in scores.MEASURES if one in found.levels]
    if place is not None:
        lines.append(f"validation total {place.total:.4f}")
        lines += [f"veto: {one}" for one in place.vetoes]
        why = exclusions.why(files.selection, name) if place.step and not place.vetoes else None
        lines += [f"cannot ship: {why}"] if why else []
    lines.append(f"weights: `{kept.path}`, {kept.bytes / 1e6:,.1f} MB, sha256 `{kept.sha256}`")
    if shown.samples:
        lines.append("listen: artifacts, `samples/`")
    return "\n".join([lines[0], "", *(f"- {one}" for one in lines[1:])])


def _log_outputs(store: Store, run: Any, files: RunFiles, models: list[Any]) -> None:
    """Link the models to the run, so that its page lists them."""
    output = mlflow("mlflow.entities").LoggedModelOutput
    linked = {one.model_id for one in run.outputs.model_outputs} if run.outputs else set()
    steps = [
        (model.model_id, shown.candidate.step) for model, shown in zip(models, files.candidates, strict=True)
    ]
    new = [output(model_id, step) for model_id, step in steps if model_id not in linked]
    if new:
        store.client.log_outputs(run.info.run_id, new)


def _log_metrics(store: Store, run: Any, files: RunFiles, models: list[Any]) -> None:
    """Losses and speech figures of every candidate, as metrics of its model and points of the run's curves.

    What is there with the same value is not sent again. A changed value is added with a later time, so it wins.
    """
    values = [
        [*_values(shown), *_heard(files, shown), *_delivered(files, shown), *_probed(files, shown)]
        for shown in files.candidates
    ]
    held = runs.history(store, run, {key for one in values for key, _value in one})
    validation = (
        runs.dataset("validation", files.validation_sha256) if files.validation_sha256 else (None, None)
    )
    now, metrics = int(time.time() * 1000), []
    for shown, model, named in zip(files.candidates, models, values, strict=True):
        on_model = {metric.key: metric.value for metric in model.metrics or []}
        for key, value in named:
            before = held.get((key, shown.candidate.step))
            if before is not None and before.value == value and on_model.get(key) == value:
                continue
            at_ms = before.at_ms if before is not None and before.value == value else now
            data = validation if key.startswith("val") else (None, None)
            step = shown.candidate.step
            metric = mlflow("mlflow.entities").Metric
            metrics.append(metric(key, value, at_ms, step, model.model_id, *data, run_id=run.info.run_id))
    for start in range(0, len(metrics), BATCH):
        store.client.log_batch(run.info.run_id, metrics=metrics[start : start + BATCH])


def _values(shown: Shown) -> Iterator[tuple[str, float]]:
    if shown.evaluation is not None:
        yield f"{shown.section}/loss_total", shown.evaluation.total
        for name, value in sorted(shown.evaluation.losses.items()):
            yield f"{shown.section}/loss_{name}", value
    if shown.samples:
        speech = shown.section.replace(
            "val", "voice", 1
        )  # MLflow sorts chart sections by name: after train and val
        yield f"{speech}/stopped_share", sum(sample.stopped for sample in shown.samples) / len(shown.samples)
        yield f"{speech}/num_problems", float(sum(sample.problem is not None for sample in shown.samples))


def _heard(files: RunFiles, shown: Shown) -> Iterator[tuple[str, float]]:
    """What the decision rests on, as curves over the steps: character errors, likeness, endings, quality."""
    section = shown.section.replace("val", "speech", 1)
    for one in files.selection.evidence:
        if one.candidate == shown.candidate.name:
            for measure, level in sorted(one.levels.items()):
                yield f"{section}/{measure}", level.mean
            if words := one.levels.get("words"):
                yield f"{section}/cer", 1.0 - words.mean
            if one.gain is not None:
                yield f"{section}/likeness_gain", one.gain.difference
            if shown.candidate.step:
                yield f"{section}/selected", float(shown is files.selected)


def _delivered(files: RunFiles, shown: Shown) -> Iterator[tuple[str, float]]:
    """Distances from the speaker's own delivery, in deviations of the real clips: 0 is the speaker."""
    section = shown.section.replace("val", "speech_prosody", 1)
    for one in files.selection.prosody:
        if one.candidate == shown.candidate.name:
            yield from ((f"{section}/{name}", found.distance) for name, found in sorted(one.figures.items()))


def _probed(files: RunFiles, shown: Shown) -> Iterator[tuple[str, float]]:
    """Probes as curves beside the losses; what could not be asked has no point."""
    section = shown.section.replace("val", "val_probe", 1)
    for one in files.selection.probes:
        if one.candidate == shown.candidate.name:
            figures = {
                "text_gap": one.text_gap, "stops_early_share": one.stops_early_share, "runs_on_share": one.runs_on_share,
                "overfitting": one.overfitting, "forgetting": one.forgetting, "adapter_shift": one.adapter_shift, "control_kept": one.control_kept,
            }  # fmt: skip
            yield from ((f"{section}/{name}", value) for name, value in figures.items() if value is not None)


def _bring_files(
    store: Store, model: Any, files: RunFiles, shown: Shown, samples: Samples, weights: bool
) -> None:
    """Copy what the model does not hold yet; a tag that is written last says what it holds."""
    record = digest.canonical_json(records.to_json(shown.checkpoint)).encode()
    contents: Contents = {
        "checkpoint.json": record,
        **{f"samples/{name}": path for name, path in samples.items()},
    }
    spoken = sorted((f"{sample.line_id}-{sample.seed}", sample.sha256) for sample in shown.samples)
    held = model.tags.get(f"{TAG}artifacts")
    if held == digest.of_value([record.decode(), spoken, weights]):
        return
    gone = tombstones.is_excused(
        shown.checkpoint.path, shown.checkpoint.sha256, tombstones.excused(files.root)
    )
    identity = digest.of_value([record.decode(), spoken, weights and not gone])
    if held == identity:
        return
    if weights and not gone:
        directory = files.root / shown.checkpoint.path
        names = [*checkpoints.verify(directory, shown.checkpoint.sha256)["files"], checkpoints.MANIFEST]
        contents |= {f"weights/{name}": directory / name for name in names}
    with artifacts.staged(contents) as directory:
        artifacts.upload_model(store, model.model_id, directory)
    store.client.set_logged_model_tags(model.model_id, {f"{TAG}artifacts": identity})
