"""The pipeline as a user runs it: through dvc, in a project of its own, from a raw manifest to a voice that is in production.

Minutes, not seconds: marked slow, run by `.ci/run`. The tests of one module share a project and leave it finished.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.factories import runs
from tests.pipeline.conftest import command, make, write
from voicelathe import digest, layout, records
from voicelathe.config import params

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]
DATA = ["data/raw", "data/measured", "data/audit", "data/split", "data/gate", "data/latents"]


def tree(root: Path, *folders: str) -> dict[str, str]:
    return {
        f"{folder}/{name}": sha for folder in folders for name, sha in digest.of_tree(root / folder).items()
    }


def would_run(root: Path) -> set[str]:
    """Stages that a `dvc repro` would execute now, by their names."""
    said = command(root, "dvc", "repro", "--dry", "-k").stdout
    return {line.split("'")[1] for line in said.splitlines() if line.startswith("Running stage")}


def test_one_repro_makes_every_output_and_every_numbered_checkpoint(project: Path) -> None:
    index = json.loads((project / "runs/tiny/checkpoints.json").read_text())["checkpoints"]
    assert [entry["step"] for entry in index] == [0, 1, 2, 3, 4, 5, 6]
    evaluated = records.read(project / layout.run("tiny", "evaluations.jsonl"), records.EvaluationRecord)
    heard = records.read(project / layout.run("tiny", "samples.jsonl"), records.SampleRecord)
    names = {record.candidate for record in evaluated}
    assert len(names) == 8 and names == {sample.candidate for sample in heard}, (
        "six checkpoints, and the base twice"
    )
    for name in ("listening.html", "report.html", "selection.json", "tracked.json"):
        assert (project / "runs/tiny" / name).stat().st_size > 0


def test_a_second_repro_executes_nothing_and_leaves_the_lock_alone(project: Path) -> None:
    before = (project / "dvc.lock").read_bytes()
    assert "Running stage" not in command(project, "dvc", "repro").stdout
    assert (project / "dvc.lock").read_bytes() == before


def test_a_comment_in_a_stage_s_library_re_runs_nothing_and_an_edited_section_only_what_reads_it(
    project: Path,
) -> None:
    assert would_run(project) == set()
    raw = params.read_yaml(project / "params.yaml")
    original = (project / "params.yaml").read_bytes()
    raw["recipes"]["tiny"]["select"]["loss_weights"]["stop"] = 0.5
    write(project, raw)
    assert {name for name in would_run(project) if not name.startswith("track")} == {"select@tiny"}
    (project / "params.yaml").write_bytes(original)
    assert would_run(project) == set()


def test_decoding_settings_race_after_the_selection_and_a_killed_sweep_leaves_the_same_record(
    project: Path,
) -> None:
    lines = {f"l{number}": f"Line {number} is said." for number in range(8)}
    records.write(project / "lines/other.jsonl", runs.pack(lines))
    asked = [
        "decoding",
        "tiny",
        "--anyway",
        "--checkpoints",
        "1",
        "--grid",
        "steps=2,4",
        "--lines",
        "lines/other.jsonl",
    ]
    refused = command(project, "voicelathe", *[one for one in asked if one != "--anyway"], check=False)
    assert refused.returncode == 1 and "nothing ships" in refused.stderr, "the tiny recipe ships nothing"
    place, record = project / layout.CACHE / "decoding", project / layout.run("tiny", "decoding.json")
    program = Path(sys.executable).parent / "voicelathe"
    with subprocess.Popen(
        [program, *asked], cwd=project, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as one:
        while one.poll() is None and len(list(place.rglob("*.wav"))) < 3:
            time.sleep(0.02)
        one.kill()
    assert one.returncode == -signal.SIGKILL and not record.exists(), "killed while it spoke"
    said = command(project, "voicelathe", *asked).stdout
    found = records.read_one(record, records.DecodingSweep)
    assert {one.decoding["steps"] for one in found.tried} == {
        2.0,
        4.0,
        10.0,
    } and "Nothing can be recommended" in said
    assert {one.standing for one in found.tried} == {"in_use", "not_measured"}, "nothing heard likeness here"
    before, spoken = record.read_bytes(), {path: path.stat().st_mtime_ns for path in place.rglob("*.wav")}
    command(project, "voicelathe", *asked)
    assert {path: path.stat().st_mtime_ns for path in place.rglob("*.wav")} == spoken, (
        "nothing is spoken again"
    )
    shutil.rmtree(place)
    command(project, "voicelathe", *asked)
    assert record.read_bytes() == before, "the same bytes, killed or not"
    times = records.read_one(project / layout.run("tiny", "decoding_times.json"), records.DecodingTimes)
    assert len(times.times) == 3 and all(one.compute_s_per_s > 0 for one in times.times)
    (project / "lines/other.jsonl").unlink()
    assert would_run(project) == set(), "no stage knows of it"


def test_clips_and_ways_race_to_be_the_reference_and_another_one_is_heard_without_training_anew(
    project: Path,
) -> None:
    said = command(project, "voicelathe", "references", "tiny", "--clips", "2")
    place = project / layout.CACHE / "references/voxcpm2-mini"
    tried = sorted(folder.name for folder in place.iterdir())
    own = records.read(project / layout.split("validation"), records.CleanClip)
    clips = {clip.clip_id for clip in own}
    assert len(tried) == 4 and {name.split("-")[0] for name in tried} <= clips
    ways = sorted(name.split("-")[1] for name in tried)
    assert ways == ["both", "continuation", "reference", "reference"], (
        "two clips; the one in use in every way"
    )
    assert all(part in said.stdout for name in tried for part in name.split("-"))
    assert "in use" in said.stdout
    before = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in place.rglob("*.wav")}
    assert len(before) == 4, "one line, one seed"
    command(project, "voicelathe", "references", "tiny", "--clips", "2")
    assert {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in place.rglob("*.wav")} == before
    original = (project / "params.yaml").read_bytes()
    for setting, value in {"reference": tried[0].split("-")[0], "zero_shot": "both"}.items():
        raw = params.parse(original.decode(), "params.yaml")
        raw["recipes"]["tiny"]["evaluate"][setting] = value
        write(project, raw)
        again = would_run(project)
        assert {"evaluate@tiny", "listen@tiny"} <= again, setting
        assert not again & {"encode@voxcpm2-mini", "train@tiny"}, setting
    (project / "params.yaml").write_bytes(original)
    assert would_run(project) == set()


def test_retraining_takes_real_steps_and_gives_the_same_weights_byte_for_byte(project: Path) -> None:
    before = json.loads((project / "runs/tiny/checkpoints.json").read_text())
    said = command(project, "voicelathe", "retrain", "tiny")
    timings = next((project / "checkpoints/tiny").glob("????????????????/timings.jsonl"))
    assert len(timings.read_bytes().splitlines()) == 6, said.stdout
    assert json.loads((project / "runs/tiny/checkpoints.json").read_text()) == before
    aside = list((project / "checkpoints/tiny").glob("*.set-aside*"))
    assert aside, "the first weights are kept beside the new ones"


def test_another_checkout_gives_the_same_bytes_of_every_data_output(project: Path, tmp_path: Path) -> None:
    other = make(tmp_path / "other")
    raw = params.read_yaml(other / "params.yaml")
    raw["engine"] = {"kind": "serial", "workers": 1}
    write(other, raw)
    command(other, "dvc", "repro", "encode", "general")
    made = {path: one for path, one in tree(project, *DATA).items() if not str(path).endswith("ceiling.json")}
    assert tree(other, *DATA) == made, "what the codec loses is heard by a stage of its own"


def test_a_run_killed_in_training_goes_on_and_ends_as_if_it_had_not_been(
    project: Path, tmp_path: Path
) -> None:
    other = tmp_path / "killed"
    shutil.copytree(
        project, other, ignore=shutil.ignore_patterns("checkpoints", "cache", "mlflow.db", "mlruns")
    )
    expected = json.loads((project / "runs/tiny/checkpoints.json").read_text())
    shutil.rmtree(other / "runs")
    dvc = subprocess.Popen(
        [str(Path(sys.executable).parent / "dvc"), "repro", "train@tiny"], cwd=other, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL, start_new_session=True, env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
    )  # fmt: skip
    steps = other / expected["checkpoints"][1]["path"] / ".." / "steps.jsonl"
    end = time.monotonic() + 900
    while not (steps.is_file() and len(steps.read_bytes().splitlines()) >= 1):
        assert time.monotonic() < end and dvc.poll() is None
        time.sleep(0.02)
    os.killpg(dvc.pid, signal.SIGKILL)
    dvc.wait()
    command(other, "dvc", "repro", "train@tiny")
    assert json.loads((other / "runs/tiny/checkpoints.json").read_text()) == expected


def test_lost_weights_are_named_with_the_command_that_brings_them_back(project: Path) -> None:
    index = json.loads((project / "runs/tiny/checkpoints.json").read_text())["checkpoints"]
    chosen = digest.read_json(project / "runs/tiny/selection.json")["step"] or 6
    directory, hidden = project / index[chosen]["path"], project / "hidden"
    directory.rename(hidden)
    try:
        said = command(project, "voicelathe", "summary", check=False)
        assert said.returncode != 0 and "retrain tiny" in said.stdout + said.stderr
        refused = command(project, "voicelathe", "promote", "tiny", "--because", "test", check=False)
        assert refused.returncode != 0 and "Traceback" not in refused.stderr
    finally:
        hidden.rename(directory)


def test_the_chosen_checkpoint_goes_into_production_and_speaks_through_mlflow(project: Path) -> None:
    selection = digest.read_json(project / "runs/tiny/selection.json")
    words = ["--because", "the test wants a voice"] if selection["decision"] == "ship" else [
        "--candidate", "step_0000006@1", "--because", "the base is untrained; the test wants a voice"
    ]  # fmt: skip
    command(project, "voicelathe", "promote", "tiny", *words)
    script = (
        "import mlflow, json, base64, io, soundfile\n"
        "model = mlflow.pyfunc.load_model('models:/voicelathe@production')\n"
        "out = model.predict([{'text': 'The lamp is on.'}], params={'seed': 3, 'lora_scale': 0.5, 'max_seconds': 1.0})\n"
        "print('COLUMNS', list(out.columns), 'ROWS', len(out))\n"
    )
    said = subprocess.run([sys.executable, "-c", script], cwd=project, capture_output=True, text=True, check=False,
                          env={**os.environ, "MLFLOW_TRACKING_URI": f"sqlite:///{project}/mlflow.db"})  # fmt: skip
    assert "ROWS 1" in said.stdout, said.stderr[-3000:]
    spoken = project / "spoken.wav"
    command(project, "voicelathe", "say", "The lamp is on.", "-o", str(spoken))
    assert spoken.stat().st_size > 1000
    command(project, "voicelathe", "verify", "tiny")


def test_the_mlflow_store_holds_runs_checkpoints_curves_audio_and_the_alias(project: Path) -> None:
    import mlflow

    client = mlflow.MlflowClient(f"sqlite:///{project}/mlflow.db")
    (experiment,) = [one for one in client.search_experiments() if one.name == "voicelathe"]
    (run,) = client.search_runs([experiment.experiment_id], "tags.`voicelathe.recipe` = 'tiny'")
    assert [point.step for point in client.get_metric_history(run.info.run_id, "train/loss_total")] == [
        1,
        2,
        3,
        4,
        5,
        6,
    ]
    models = client.search_logged_models([experiment.experiment_id])
    titles = {model.name.removeprefix("tiny ") for model in models}
    assert titles >= {"base", *(f"step {step}" for step in range(1, 7))}
    audio = [
        item.path
        for folder in client.list_artifacts(run.info.run_id, "samples")
        for item in client.list_artifacts(run.info.run_id, folder.path)
    ]
    assert len([path for path in audio if path.endswith(".wav")]) == 8  # the base twice
    assert client.get_model_version_by_alias("voicelathe", "production")


def test_other_weights_in_the_base_are_refused_until_accepted_and_then_everything_is_made_again(
    project: Path, tmp_path: Path
) -> None:
    other = tmp_path / "swapped"
    shutil.copytree(project, other, ignore=shutil.ignore_patterns("mlflow.db", "mlruns"))
    before = digest.read_json(other / "runs/tiny/run.json")
    weights = other / "data/bases/voxcpm2-mini/model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-2] ^= 1
    weights.write_bytes(data)
    refused = command(other, "dvc", "repro", check=False)
    assert refused.returncode != 0 and "is not the base that was pinned" in refused.stderr
    command(
        other, "voicelathe", "base", "add", "data/bases/voxcpm2-mini", "--name", "voxcpm2-mini", "--replace"
    )
    command(other, "dvc", "repro")
    after = digest.read_json(other / "runs/tiny/run.json")
    assert (
        after["run_digest"] != before["run_digest"]
        and after["identity"]["base_digest"] != before["identity"]["base_digest"]
    )
    assert (other / before["directory"]).is_dir(), "the old run's weights stay where they were"


def test_a_gate_that_closes_stops_everything_below_it_and_keeps_its_report(
    project: Path, tmp_path: Path
) -> None:
    other = tmp_path / "closed"
    shutil.copytree(project, other, ignore=shutil.ignore_patterns("mlflow.db", "mlruns", "checkpoints"))
    raw = params.read_yaml(other / "params.yaml")
    raw["gate"]["min_rows"] = 100000
    write(other, raw)
    refused = command(other, "dvc", "repro", check=False)
    assert refused.returncode != 0 and "GateError" in refused.stderr and "Traceback" not in refused.stderr
    assert (other / "data/gate/report.html").is_file()
    assert "encode" not in refused.stdout


def test_a_missing_base_is_one_sentence_and_earlier_outputs_stay(project: Path, tmp_path: Path) -> None:
    other = tmp_path / "baseless"
    shutil.copytree(project, other, ignore=shutil.ignore_patterns("mlflow.db", "mlruns", "checkpoints"))
    shutil.rmtree(other / "data/bases/voxcpm2-mini")
    said = command(other, "voicelathe", "doctor", check=False)
    assert "voxcpm2-mini" in said.stdout + said.stderr
    assert tree(other, "data/split") == tree(project, "data/split")
