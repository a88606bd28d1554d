"""`track`: everything local is in MLflow afterwards, once, however often it is repeated."""

import json
import shutil
import sqlite3
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from tests.factories import mlflow_stores as stores
from tests.factories import runs
from voicelathe import digest, layout, records
from voicelathe.errors import CheckpointError, RecordError
from voicelathe.tracking import replay
from voicelathe.tracking.live import usage

RECIPE = "mini-lora"
NUM_STEPS, NUM_CURVES = 60, 8


def track(root: Path, upload: str = "adapters") -> dict[str, Any]:
    return replay.mirror_all(RECIPE, runs.tracking(upload=upload), root)


@pytest.fixture
def tracked(tracked_project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What `track` leaves, shared by the tests that only look at it."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return tracked_project


def rows(root: Path, table: str) -> int:
    with sqlite3.connect(root / "mlflow.db") as database:
        return int(database.execute(f"select count(*) from {table}").fetchone()[0])


def files(root: Path) -> set[str]:
    inside = (root / "mlruns").rglob("*")
    return {path.relative_to(root / "mlruns").as_posix() for path in inside if path.is_file()}


def test_every_step_of_every_curve_is_in_the_store_exactly_once(tracked: Path) -> None:
    client = stores.client(tracked)
    run = stores.only_run(client)
    steps = records.read(tracked / layout.run(RECIPE, "steps.jsonl"), records.StepRecord)
    expected = {
        "train/loss_total": [step.total for step in steps],
        "train/loss_diff": [step.losses["diff"] for step in steps],
        "train/loss_stop": [step.losses["stop"] for step in steps],
        "train_gradients/norm": [step.grad_norm for step in steps],
        "train_gradients/norm_lm": [step.part_norms["lm"] for step in steps],
        "train/signs": [0.0] * NUM_STEPS,
        "train/lr": [step.learning_rate for step in steps],
        "train_speed/clips_per_s": [32.0] * NUM_STEPS,
    }
    for key, values in expected.items():
        assert stores.history(client, run.info.run_id, key) == list(enumerate(values, 1)), key


def test_the_mlflow_run_says_where_and_why_a_run_stopped_early(project: Path) -> None:
    path = project / layout.run(RECIPE, "run.json")
    early = records.EarlyStop(NUM_STEPS, 90, 40, 2)
    digest.write_json(path, {**digest.read_json(path), "stopped_early": records.to_json(early)})
    track(project)
    assert stores.only_run(stores.client(project)).data.tags["voicelathe.stopped_early"] == early.told


def test_a_second_replay_adds_nothing_and_returns_the_same(project: Path) -> None:
    tables = ("metrics", "params", "tags", "runs", "logged_models", "logged_model_metrics", "inputs")
    first, before, kept = track(project), {table: rows(project, table) for table in tables}, files(project)
    assert before["metrics"] >= NUM_STEPS * NUM_CURVES
    assert track(project) == first
    assert {table: rows(project, table) for table in tables} == before
    assert files(project) == kept


def test_what_is_returned_holds_no_ids_and_no_dates(root: Path, empty_database: Path) -> None:
    first = track(root)
    shutil.copy(empty_database, root / "mlflow.db")
    assert track(root) == first, "another store, another time, the same record"
    run = stores.only_run(stores.client(root))
    text = json.dumps(first)
    assert run.info.run_id not in text and str(run.info.start_time)[:6] not in text
    assert first["curves"]["train/loss_total"] == NUM_STEPS and first["num_samples"] == 14


def test_the_run_says_what_was_chosen_and_what_it_rests_on(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DVC_STAGE", f"track@{RECIPE}")
    monkeypatch.setenv("DVC_EXP_NAME", "brave-tit")
    track(root)
    run = stores.only_run(stores.client(root))
    record = records.read_one(root / layout.run(RECIPE, "run.json"), records.RunRecord)
    assert run.data.params["train.learning_rate"] == "0.002" and run.data.params["train.lora.rank"] == "16"
    assert run.data.params["train.lora.scope"] == "lm" and run.data.params["seed"] == "7"
    assert set(records.to_json(record.identity.train)) - {"lora"} <= {
        key.removeprefix("train.") for key in run.data.params
    }
    tags = run.data.tags
    assert tags["voicelathe.run_digest"] == record.run_digest
    assert tags["voicelathe.base_digest"] == record.identity.base_digest
    stored = stores.client(root).download_artifacts(run.info.run_id, "records/inputs.json", str(tmp_path))
    inputs = json.loads(Path(stored).read_text())
    assert inputs == {**record.inputs, "data/gate/passed.json": digest.of_file(root / layout.GATE)}
    assert (
        tags["voicelathe.dvc_stage"] == f"track@{RECIPE}" and tags["voicelathe.dvc_experiment"] == "brave-tit"
    )
    assert tags["voicelathe.torch"] == "2.13.0" and tags["voicelathe.selected"] == "step_0000040@1"
    assert run.info.status == "FINISHED"


def test_every_recipes_run_names_the_splits_it_used_and_mlflow_opens_them(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import mlflow.data

    runs.finished(project, "mini-full")
    replay.mirror_all("mini-full", runs.tracking(), project)
    monkeypatch.chdir(project)
    client = stores.client(project)
    found = client.search_runs([client.get_experiment_by_name("voicelathe").experiment_id])
    assert {run.data.tags["voicelathe.recipe"] for run in found} == {"mini-lora", "mini-full"}
    for run in found:
        named = {one.dataset.name: one for one in run.inputs.dataset_inputs}
        assert set(named) == {"train", "validation"}
        for split, one in named.items():
            path = layout.split(split)
            assert digest.of_file(path).startswith(one.dataset.digest) and len(one.dataset.digest) == 36
            assert json.loads(one.dataset.profile) == {"num_rows": runs.NUM_CLIPS[split]}
            columns = json.loads(one.dataset.schema)["mlflow_colspec"]
            row = json.loads(path.read_text().splitlines()[0])
            unsaid = {"control"}  # left out of rows that have none
            assert {column["name"] for column in columns} == set(row) | unsaid
            assert {"name": "ref_audio", "type": "string", "required": False} in columns
            assert {"name": "duration_s", "type": "double", "required": True} in columns
            assert [(tag.key, tag.value) for tag in one.tags] == [("mlflow.data.context", split)]
            assert Path(mlflow.data.get_source(one).load()).read_bytes() == path.read_bytes()


def test_the_memory_plan_is_charted_after_what_was_trained(root: Path) -> None:
    phase = records.Phase("forward", 4_000_000_000, 1_000_000_000, 0, 2_000_000_000)
    size = records.PassSize([10], [50], "the longest clips")
    planned = records.Rehearsal(
        "mini",
        5_000_000,
        90_000,
        1,
        size,
        [phase],
        500_000_000,
        0,
        300_000_000,
        0,
        0,
        0,
        [],
        600_000,
        0,
        0,
        0,
        1.0,
        1.0,
    )
    plan = records.PreflightRecord("go", [], [], [], [], planned, [], [], {})
    digest.write_json(root / layout.run(RECIPE, "preflight.json"), records.to_json(plan))
    track(root)
    run = stores.only_run(stores.client(root))
    assert (
        run.data.metrics["vram_plan/device_gb"] == 7.8 and run.data.metrics["vram_plan/gradients_gb"] == 1.0
    )
    names = list(run.data.metrics)
    assert (
        names.index("train/loss_total") < names.index("val/loss_total") < names.index("vram_plan/weights_gb")
    )
    before = rows(root, "metrics")
    track(root)
    assert rows(root, "metrics") == before


def test_a_repository_is_named_by_its_revision_and_whether_it_was_changed(root: Path) -> None:
    import subprocess

    def git(*arguments: str) -> str:
        options = ["-c", "user.name=x", "-c", "user.email=x@example.org"]
        done = subprocess.run(
            ["git", *options, "-C", root, *arguments], capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    git("init")
    git("add", "params.yaml")
    git("commit", "-m", "first")
    track(root)
    tags = stores.only_run(stores.client(root)).data.tags
    assert (
        tags["mlflow.source.git.commit"] == git("rev-parse", "HEAD")
        and tags["voicelathe.git_dirty"] == "true"
    )


def test_the_base_and_every_checkpoint_are_logged_models_with_their_losses(tracked: Path) -> None:
    models = stores.models(stores.client(tracked))
    assert sorted(models) == ["base", *(f"step_{step:07d}" for step in range(10, 61, 10))]
    evaluations = records.read(tracked / layout.run(RECIPE, "evaluations.jsonl"), records.EvaluationRecord)
    for evaluation in evaluations:
        model = models["base" if evaluation.step == 0 else f"step_{evaluation.step:07d}"]
        found = {metric.key: (metric.value, metric.step, metric.dataset_name) for metric in model.metrics}
        assert found["val/loss_total"] == (evaluation.total, evaluation.step, "validation")
        assert found["val/loss_diff"] == (evaluation.losses["diff"], evaluation.step, "validation")
        assert found["val/loss_stop"] == (evaluation.losses["stop"], evaluation.step, "validation")
        assert model.params["step"] == str(evaluation.step) and str(model.status) == "READY"
        assert model.tags["voicelathe.checkpoint_sha256"] == evaluation.checkpoint_sha256
    assert [name for name, model in models.items() if model.tags.get("voicelathe.selected") == "true"] == [
        "step_0000040"
    ]
    assert {name: model.name for name, model in models.items() if name in ("base", "step_0000040")} == {
        "base": "mini-lora base",
        "step_0000040": "mini-lora step 40",
    }, "models of all recipes stand in one list"
    marks = {
        name: [one.value for one in model.metrics if one.key == "speech/selected"]
        for name, model in models.items()
    }
    assert marks == {
        "base": [],
        **{name: [float(name == "step_0000040")] for name in marks if name != "base"},
    }


def test_a_candidates_page_says_what_it_is_and_where_its_weights_lie(tracked: Path) -> None:
    models = stores.models(stores.client(tracked))
    note = models["step_0000040"].tags["mlflow.note.content"]
    kept = models["step_0000040"].tags
    assert note.startswith(
        "**step_0000040@1** of mini-lora: **selected**\n\n- words 0.900\n- endings 1.000\n- likeness 0.800\n- validation total "
    )
    assert (
        f"- weights: `{kept['voicelathe.checkpoint']}`, " in note
        and f"sha256 `{kept['voicelathe.checkpoint_sha256']}`" in note
    )
    assert "selected" not in models["base"].tags["mlflow.note.content"]


def test_the_validation_losses_are_a_curve_of_the_run_that_starts_at_the_base(tracked: Path) -> None:
    client = stores.client(tracked)
    evaluations = records.read(tracked / layout.run(RECIPE, "evaluations.jsonl"), records.EvaluationRecord)
    curve = stores.history(client, stores.only_run(client).info.run_id, "val/loss_total")
    assert curve == [(evaluation.step, evaluation.total) for evaluation in evaluations]
    assert curve[0][0] == 0


def test_every_sample_and_page_can_be_downloaded_from_the_run(tracked: Path, tmp_path: Path) -> None:
    client = stores.client(tracked)
    run_id = stores.only_run(client).info.run_id
    for sample in records.read(tracked / layout.run(RECIPE, "samples.jsonl"), records.SampleRecord):
        title = sample.candidate.split("@")[0]
        place = client.download_artifacts(
            run_id, f"samples/{title}/{sample.line_id}-{sample.seed}.wav", str(tmp_path)
        )
        assert digest.of_file(Path(place)) == sample.sha256
    for page in ("listening.html", "report.html", "data/report.html", "data/gate.html"):
        assert (
            Path(client.download_artifacts(run_id, page, str(tmp_path)))
            .read_text()
            .startswith("<!doctype html>")
        )
    table = digest.read_json(Path(client.download_artifacts(run_id, "tables/samples.json", str(tmp_path))))
    assert len(table["data"]) == 14 and "artifact" in table["columns"]


def test_every_picture_of_the_report_is_a_figure_and_every_table_a_table(
    tracked: Path, tmp_path: Path
) -> None:
    client = stores.client(tracked)
    run_id = stores.only_run(client).info.run_id
    drawn = [Path(one.path).name for one in client.list_artifacts(run_id, "figures")]
    assert {
        "words-against-likeness.svg",
        "validation-weighted-total.svg",
        "probe-another-text-raises-the-loss-by.svg",
        "training-loss-diff.svg",
    } <= set(drawn)
    for name in drawn:
        text = Path(client.download_artifacts(run_id, f"figures/{name}", str(tmp_path))).read_text()
        assert ElementTree.fromstring(text).tag == "{http://www.w3.org/2000/svg}svg"
    table = digest.read_json(Path(client.download_artifacts(run_id, "tables/probes.json", str(tmp_path))))
    assert len(table["data"]) == 7 and {"text_gap", "runs_on_share", "findings"} <= set(table["columns"])
    table = digest.read_json(Path(client.download_artifacts(run_id, "tables/speech.json", str(tmp_path))))
    assert len(table["data"]) == 7
    assert {"words_against_base", "likeness_low", "standing", "dropped"} <= set(table["columns"])
    assert stores.history(client, run_id, "val_probe/text_gap") == [(step, 0.1) for step in range(0, 61, 10)]


def test_words_and_likeness_are_curves_over_the_steps_and_figures_to_sort_runs_by(tracked: Path) -> None:
    client = stores.client(tracked)
    run = stores.only_run(client)
    assert stores.history(client, run.info.run_id, "speech/cer") == [
        (step, pytest.approx(0.1)) for step in range(0, 61, 10)
    ]
    likeness = dict(stores.history(client, run.info.run_id, "speech/likeness"))
    assert likeness[0] == 0.6 and likeness[40] == 0.8 and likeness[60] == pytest.approx(0.774)
    found = run.data.metrics
    assert found["speech_selected/likeness"] == 0.8
    assert found["speech_selected/cer"] == pytest.approx(0.1)
    assert found["speech_selected/likeness_gain"] == pytest.approx(0.2)
    assert found["val_selected/loss_below_base"] == pytest.approx(0.9233 - 0.85, abs=1e-4)


@pytest.mark.parametrize(
    "policy, steps",
    [("adapters", [10, 20, 30, 40, 50, 60]), ("selected", [40]), ("all", [10, 20, 30, 40, 50, 60])],
)
def test_the_upload_policy_decides_which_weights_are_copied(
    root: Path, policy: str, steps: list[int]
) -> None:
    names = track(root, policy)["weights_in_mlflow"]
    assert names == [f"step_{step:07d}" for step in steps]
    client = stores.client(root)
    for name, model in stores.models(client).items():
        inside = {one.path for one in client.list_logged_model_artifacts(model.model_id)}
        assert ("weights" in inside) == (name in names)
        assert model.tags["voicelathe.checkpoint"] and int(model.tags["voicelathe.bytes"]) > 0


def test_full_checkpoints_are_recorded_by_reference_unless_all_are_wanted(root: Path) -> None:
    runs.finished(root, "mini-full")
    assert replay.mirror_all("mini-full", runs.tracking(), root)["weights_in_mlflow"] == []
    uploaded = replay.mirror_all("mini-full", runs.tracking(upload="all"), root)["weights_in_mlflow"]
    assert len(uploaded) == 6 and "base" not in uploaded


def test_a_strength_of_its_own_gets_a_curve_of_its_own(root: Path) -> None:
    runs.finished(root, scales=(0.35, 1.0))
    track(root)
    client = stores.client(root)
    run_id = stores.only_run(client).info.run_id
    assert len(stores.history(client, run_id, "val/loss_total")) == 7
    assert len(stores.history(client, run_id, "val_scale_0.35/loss_total")) == 6
    models = stores.models(client)
    assert models["step_0000020@0.35"].params["lora_scale"] == "0.35"
    assert models["step_0000020"].params["lora_scale"] == "1"


def test_two_trainings_have_two_colours_and_the_experiment_says_what_it_holds(project: Path) -> None:
    for recipe in ("mini-lora", "mini-full"):
        runs.finished(project, recipe)
        replay.mirror_all(recipe, runs.tracking(), project)
    client = stores.client(project)
    experiment = client.get_experiment_by_name("voicelathe")
    colours = [run.data.tags["mlflow.runColor"] for run in client.search_runs([experiment.experiment_id])]
    assert len(colours) == 2 and len(set(colours)) == 2
    assert "report.html" in experiment.tags["mlflow.note.content"]


def test_a_mirror_that_is_rebuilt_keeps_when_the_training_was(root: Path) -> None:
    run = runs.finished(root).run
    first, last = 1_700_000_000_000, 1_700_000_060_000
    lines = [usage.Usage(step, at, 1.0, 1.0, 1.0, 1.0, None, None) for step, at in ((1, first), (9, last))]
    text = "".join(digest.canonical_json(records.to_json(one)) + "\n" for one in lines)
    (root / run.directory / usage.FILE).write_text(text)
    track(root)
    found = stores.only_run(stores.client(root))
    assert (found.info.start_time, found.info.end_time) == (first, last)


def test_a_changed_evaluation_replaces_the_old_value_and_nothing_else(project: Path) -> None:
    path = project / layout.run(RECIPE, "evaluations.jsonl")
    evaluations = records.read(path, records.EvaluationRecord)
    evaluations[-1] = replace(evaluations[-1], total=9.5)
    records.write(path, evaluations)
    before = rows(project, "metrics")
    track(project)
    assert rows(project, "metrics") == before + 1
    assert stores.only_run(stores.client(project)).data.metrics["val/loss_total"] == 9.5
    track(project)
    assert rows(project, "metrics") == before + 1


def test_a_changed_report_is_copied_again_and_nothing_else(project: Path, tmp_path: Path) -> None:
    stamps = {path: path.stat().st_ctime_ns for path in (project / "mlruns").rglob("*.wav")}
    digest.write_text(project / layout.run(RECIPE, "report.html"), "<!doctype html>new")
    track(project)
    client = stores.client(project)
    page = client.download_artifacts(stores.only_run(client).info.run_id, "report.html", str(tmp_path))
    assert Path(page).read_text() == "<!doctype html>new"
    assert {path: path.stat().st_ctime_ns for path in (project / "mlruns").rglob("*.wav")} == stamps


def test_two_recipes_with_equal_settings_are_two_runs(project: Path) -> None:
    copy_recipe(project, "twin")
    replay.mirror_all("twin", runs.tracking(), project)
    client = stores.client(project)
    found = client.search_runs([client.get_experiment_by_name("voicelathe").experiment_id])
    assert sorted(run.data.tags["voicelathe.recipe"] for run in found) == [RECIPE, "twin"]


def copy_recipe(root: Path, name: str) -> None:
    shutil.copytree(root / "runs" / RECIPE, root / "runs" / name)
    run = digest.read_json(root / layout.run(name, "run.json"))
    digest.write_json(root / layout.run(name, "run.json"), {**run, "recipe": name})


def test_a_sample_that_changed_or_is_gone_stops_the_replay(root: Path) -> None:
    sample = records.read(root / layout.run(RECIPE, "samples.jsonl"), records.SampleRecord)[3]
    assert sample.path is not None
    (root / sample.path).write_bytes(b"other sound")
    with pytest.raises(RecordError, match=f"{sample.path}.*changed"):
        track(root)
    (root / sample.path).unlink()
    with pytest.raises(RecordError, match=f"{sample.path}.*gone"):
        track(root)


def test_changed_weights_are_never_uploaded(root: Path) -> None:
    run = records.read_one(root / layout.run(RECIPE, "run.json"), records.RunRecord)
    path = root / run.directory / "step_0000020" / "lora_weights.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(CheckpointError, match="lora_weights"):
        track(root)


def test_files_of_different_runs_are_not_mixed(root: Path) -> None:
    selection = digest.read_json(root / layout.run(RECIPE, "selection.json"))
    digest.write_json(root / layout.run(RECIPE, "selection.json"), {**selection, "run_digest": "f" * 64})
    with pytest.raises(RecordError, match=r"selection\.json is of run ffff"):
        track(root)


def test_an_evaluation_of_other_weights_stops_the_replay(root: Path) -> None:
    path = root / layout.run(RECIPE, "evaluations.jsonl")
    evaluations = records.read(path, records.EvaluationRecord)
    records.write(path, [*evaluations[:-1], replace(evaluations[-1], checkpoint_sha256="0" * 64)])
    with pytest.raises(RecordError, match="judged step_0000060@1"):
        track(root)


def test_curves_are_replayed_even_when_the_timings_are_gone(root: Path) -> None:
    run = records.read_one(root / layout.run(RECIPE, "run.json"), records.RunRecord)
    (root / run.directory / "timings.jsonl").unlink()
    track(root)
    client = stores.client(root)
    run_id = stores.only_run(client).info.run_id
    assert len(stores.history(client, run_id, "train/loss_total")) == NUM_STEPS
    assert stores.history(client, run_id, "train_speed/clips_per_s") == []
