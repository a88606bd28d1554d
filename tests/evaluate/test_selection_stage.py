"""The stage `select` as DVC runs it: files in, files out, errors as one sentence, the same bytes each time."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.factories import evaluations as make
from voicelathe import digest, records
from voicelathe.config import params
from voicelathe.evaluate.listening import verdicts
from voicelathe.records import Selection

ROOT = Path(__file__).parents[2]
KNOWN = make.candidates(10, 20)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    rows = make.paired_losses({one: {"diff": 0.8 - 0.01 * one.step, "stop": 0.1} for one in KNOWN})
    make.write_run(tmp_path, KNOWN, rows, make.samples(KNOWN, make.MANY, root=tmp_path, seconds=0.1))
    shutil.copy(ROOT / "params.yaml", tmp_path / "params.yaml")
    params.edit(
        {"recipes/mini-lora/select/guards/quality": None}, tmp_path / "params.yaml"
    )  # nothing judged it here
    return tmp_path


def stage(project: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'src'}"}
    command = [sys.executable, "-m", "pipelines.selection", make.RECIPE]
    return subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, check=False)


def selected(project: Path) -> Selection:
    return records.read_one(project / "runs/mini-lora/selection.json", Selection)


def test_the_stage_writes_decision_and_report_with_every_input_digest(project: Path) -> None:
    done = stage(project)
    assert done.returncode == 0, done.stderr
    found = selected(project)
    assert (found.decision, found.step) == ("ship", 20) and not found.base_trained
    assert set(found.inputs) == {
        "data/latents/voxcpm2-mini/base.json",
        "data/latents/voxcpm2-mini/ceiling.json",
        *(
            f"runs/mini-lora/{name}"
            for name in ("run.json", "steps.jsonl", "checkpoints.json", "evaluations.jsonl", "samples.jsonl")
        ),
        "runs/mini-lora/clip_losses.parquet",
        "runs/mini-lora/metrics.json",
        "runs/mini-lora/probes.jsonl",
        "runs/mini-lora/race.json",
    }
    assert all(value == digest.of_file(project / name) for name, value in found.inputs.items())
    assert "Ship step 20" in (project / "runs/mini-lora/report.html").read_text()


def test_the_report_says_where_and_why_a_run_stopped_early(project: Path) -> None:
    path = project / "runs/mini-lora/run.json"
    early = records.EarlyStop(20, 60, 10, 2)
    digest.write_json(path, {**digest.read_json(path), "stopped_early": records.to_json(early)})
    assert stage(project).returncode == 0
    said = "stopped at step 20 of 60: neither validation loss nor speech improved after step 10 (patience: 2 checkpoints)"
    assert said in (project / "runs/mini-lora/report.html").read_text()


def test_running_it_again_gives_the_same_bytes_and_a_verdict_becomes_an_input(project: Path) -> None:
    stage(project)
    before = {
        name: digest.of_file(project / "runs/mini-lora" / name) for name in ("selection.json", "report.html")
    }
    stage(project)
    assert before == {name: digest.of_file(project / "runs/mini-lora" / name) for name in before}
    spoken = records.read(project / "runs/mini-lora/samples.jsonl", records.SampleRecord)
    records_of = make.sitting(spoken, lambda *_: 0.0)
    digest.write_json(project / "export.json", records.to_json(records_of))
    verdicts.import_file(project / "export.json", make.RECIPE, project)
    stage(project)
    found = selected(project)
    assert found.inputs["verdicts/mini-lora.json"] == digest.of_file(project / "verdicts/mini-lora.json")
    assert found.listening is not None and found.listening.units == 8, "of many lines a person hears eight"


def test_what_the_guards_of_params_yaml_ask_and_nothing_measured_ships_nothing(project: Path) -> None:
    params.edit({"recipes/mini-lora/select/guards/quality": 0.2}, project / "params.yaml")
    done = stage(project)
    assert done.returncode == 0, done.stderr
    found = selected(project)
    assert (found.decision, found.selected, found.nominee, found.unheard) == (
        "not_heard",
        None,
        "step_0000020@1",
        "not_measured",
    )


BROKEN: dict[str, tuple[Callable[[Path], object], str]] = {
    "evaluation missing": (
        lambda runs: (runs / "evaluations.jsonl").unlink(),
        "RecordError: runs/mini-lora/evaluations.jsonl is missing",
    ),
    "sample torn": (
        lambda runs: next(runs.parents[1].glob("checkpoints/**/*.wav")).write_bytes(b"RIFF"),
        "torn or replaced",
    ),
    "a candidate cut out": (
        lambda runs: (runs / "evaluations.jsonl").write_text(
            "".join((runs / "evaluations.jsonl").read_text().splitlines(True)[:-1])
        ),
        "SelectionError: runs/mini-lora: no decision is possible",
    ),
    "verdict edited": (
        lambda runs: (runs.parents[1] / "verdicts/mini-lora.json").write_text("{}"),
        "SelectionError: verdicts/mini-lora.json",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_a_user_can_break_ends_in_a_sentence_without_a_traceback(project: Path, name: str) -> None:
    breaking, message = BROKEN[name]
    breaking(project / "runs/mini-lora")
    done = stage(project)
    assert done.returncode == 1 and message in done.stderr and "Traceback" not in done.stderr
