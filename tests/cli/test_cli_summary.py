"""`voicelathe summary`, which ends `make repro`: rows by reason, recipes with their losses, and weights that are really there."""

import shutil
from pathlib import Path

import pytest

from tests.cli.conftest import Run
from tests.factories import runs as factory
from voicelathe import digest, layout, records
from voicelathe.records import PreflightRecord, Quarantined, RunRecord


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both recipes of the shipped params.yaml, through every stage."""
    root = tmp_path_factory.mktemp("summary") / "project"
    for recipe in ("mini-lora", "mini-full"):
        factory.finished(root, recipe)
    clips = [factory.clip("train", at) for at in range(30)]
    records.write(root / "data/audit/clean.jsonl", clips)
    rows = [
        quarantined(1, "empty_text"),
        quarantined(2, "empty_text", "too_short"),
        quarantined(3, "boilerplate"),
    ]
    records.write(root / "data/audit/quarantine.jsonl", rows)
    return root


@pytest.fixture
def finished(built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it for one test."""
    shutil.copytree(built, tmp_path / "project")
    monkeypatch.chdir(tmp_path / "project")
    return tmp_path / "project"


def quarantined(line: int, *reasons: str) -> Quarantined:
    return Quarantined(line, None, None, None, None, list(reasons), list(reasons))


def checkpoint(recipe: str, step: int) -> Path:
    run = records.read_one(layout.run(recipe, "run.json"), RunRecord)
    return Path(run.directory) / f"step_{step:07d}"


def test_a_finished_project_in_one_screen(finished: Path, run: Run) -> None:
    done = run("summary")
    assert done.code == 0, done.told
    lines = [line.split() for line in done.out.splitlines()]
    assert ["kept", "30"] in lines and ["dropped", "3"] in lines
    assert ["empty_text", "2"] in lines and ["too_short", "1"] in lines and ["boilerplate", "1"] in lines
    assert ["split", "train", "20"] in lines and ["split", "test", "5"] in lines
    assert ["mini-lora", "mini-full"] in lines
    assert ["decision", "ship", "ship"] in lines and ["selected", "step_0000040@1", "step_0000040"] in lines
    assert ["validation", "0.8500", "0.8500"] in lines
    assert ["validation", "diff", "0.8000", "0.8000"] in lines and [
        "base",
        "stop",
        "0.0567",
        "0.0567",
    ] in lines
    assert ["base", "0.9233", "(untrained)", "0.9233", "(untrained)"] in lines
    assert ["words,", "base", "0.900,", "0.900", "0.900,", "0.900"] in lines, (
        "of the selected one, then of the base"
    )
    assert ["likeness,", "base", "0.800,", "0.600", "0.800,", "0.600"] in lines
    assert ["samples", "14", "14"] in lines and ["weights", "7", "of", "7", "7", "of", "7"] in lines
    for page in ("data/audit/report.html", "runs/mini-lora/listening.html", "runs/mini-full/report.html"):
        assert page in done.out
    assert done.out.rstrip().endswith("make ui")


@pytest.mark.parametrize("deep", [False, True])
def test_weights_that_are_gone_are_missed(finished: Path, run: Run, deep: bool) -> None:
    shutil.rmtree(checkpoint("mini-lora", 20))
    done = run("summary", *(["--deep"] if deep else []))
    assert done.code == 3
    assert "6 of 7 MISSING" in done.out and "step 20: " in done.out
    assert "voicelathe retrain mini-lora" in done.out and "retrain mini-full" not in done.out


@pytest.mark.parametrize(
    "change", ["shorter", "file gone", "other manifest", "manifest gone", "base shorter"]
)
def test_weights_that_changed_are_noticed_without_reading_them(finished: Path, run: Run, change: str) -> None:
    directory = checkpoint("mini-full", 30)
    weights = directory / "model.safetensors"
    if change == "shorter":
        weights.write_bytes(weights.read_bytes()[:-1])
    elif change == "file gone":
        weights.unlink()
    elif change == "other manifest":
        (directory / "MANIFEST.json").write_text("{}")
    elif change == "manifest gone":
        (directory / "MANIFEST.json").unlink()
    else:
        (finished / "data/bases/voxcpm2-mini/tokenizer.json").write_text("{}")
    done = run("summary")
    assert done.code == 3 and "MISSING" in done.out
    assert ("step 0: " if change == "base shorter" else "step 30: ") in done.out


def test_one_flipped_bit_is_found_by_deep_only(finished: Path, run: Run) -> None:
    weights = checkpoint("mini-full", 30) / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    assert run("summary").code == 0
    done = run("summary", "--deep")
    assert done.code == 3 and f"{weights}: sha256 is" in done.out


def test_an_unfinished_recipe_says_what_is_missing(finished: Path, run: Run) -> None:
    layout.run("mini-lora", "evaluations.jsonl").unlink()
    shutil.rmtree("runs/mini-full")
    done = run("summary")
    assert done.code == 0
    assert "not finished: no runs/mini-lora/evaluations.jsonl" in done.out and "7 of 7" in done.out
    assert "not finished: no runs/mini-full/preflight.json" in done.out


def test_a_recipe_that_preflight_stopped_shows_the_reasons(finished: Path, run: Run) -> None:
    shutil.rmtree("runs/mini-full")
    found = PreflightRecord("no_go", ["disk: the run needs about 99 GiB"], [], [], [], None, [], [], {})
    digest.write_json(layout.run("mini-full", "preflight.json"), records.to_json(found))
    assert "stopped by preflight: disk: the run needs about 99 GiB" in run("summary").out


def test_an_untouched_project_says_how_to_begin(project: Path, run: Run) -> None:
    done = run("summary")
    assert done.code == 0 and "data: not audited yet. Run: make repro" in done.out


def test_a_recipe_that_does_not_ship_shows_its_best_checkpoint_and_why(finished: Path, run: Run) -> None:
    factory.select(finished, "mini-lora", "do_not_ship", None)
    done = run("summary")
    assert "do not ship" in done.out and "none; best: step_0000040@1" in done.out
    assert ["validation", "0.8500", "0.8500"] in [line.split() for line in done.out.splitlines()]
    assert "mini-lora: the nearest to the speaker" in done.out


def test_failed_samples_are_counted(finished: Path, run: Run) -> None:
    path = layout.run("mini-lora", "samples.jsonl")
    rows = path.read_text().splitlines(keepends=True)
    path.write_text("".join([rows[0].replace('"problem":null', '"problem":"silent"'), *rows[1:]]))
    assert "14, 1 failed" in run("summary").out
