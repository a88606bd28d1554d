"""`voicelathe promote`, `status`, `history`, `rollback`, `verify`, `track` and `say` on a real MLflow store."""

import shutil
import subprocess
from pathlib import Path

import pytest
import soundfile

from tests.cli.conftest import ROOT, Run
from tests.factories import mlflow_stores, runs
from voicelathe import checkpoints, digest, layout
from voicelathe.registry.weights import forgotten
from voicelathe.runs import identity


@pytest.mark.slow
def test_into_production_and_back_through_the_command_line(tracked: Path, run: Run) -> None:
    assert run("status").out == "voicelathe: none\n"
    assert "Nothing was ever promoted here." in run("history").out
    assert "Nothing is in production." in run("verify").out
    asked = run("promote", "mini-lora", "--dry-run")
    assert asked.out == "Nothing stands against mini-lora step_0000040@1; nothing was changed.\n"
    assert run("status").out == "voicelathe: none\n"
    done = run("promote", "mini-lora", "--expect", "none")
    assert done.code == 0, done.told
    assert "voicelathe, 1 (before: none)" in done.out and "mini-lora step_0000040@1" in done.out
    second = run(
        "promote",
        "mini-lora",
        "--candidate",
        "step_0000020@1",
        "--because",
        "anna prefers it",
        "--expect",
        "1",
    )
    assert second.code == 0 and "voicelathe, 2 (before: 1)" in second.out and "anna prefers it" in second.out
    back = run("rollback", "--because", "it hums")
    assert back.code == 0 and "voicelathe, 1 (before: 2)" in back.out
    assert "voicelathe: in production, version 1" in run("status").out
    told = [line.split() for line in run("history").out.splitlines()]
    done_events = [(row[2], row[4]) for row in told if "done" in row]
    assert done_events == [("promote", "1"), ("promote", "2"), ("rollback", "1")]


def test_prune_without_names_looks_at_what_recipes_left_that_params_yaml_no_longer_has(
    tracked: Path, run: Run
) -> None:
    """An experiment added a recipe and was removed: its weights are nobody's, and no --recipe can name them."""
    made = runs.finished(tracked, "mini-full", seed=8)
    digest.write_json(made.journal / identity.FINISHED, {"num_trainable": 90_000})
    forgotten.note(made.run, tracked)
    place = (tracked / made.run.directory).parent.rename(
        tracked / "checkpoints/tried-once"
    ) / made.journal.name
    shutil.rmtree(tracked / "runs/mini-full")
    subprocess.run(["git", "init", "-q"], cwd=tracked, check=True)
    named = run("prune", "plan", "--recipe", "mini-lora", "--because", "x")
    assert "tried-once" not in named.out and "step_0000010" in named.out
    found = run("prune", "plan", "--because", "x")
    assert found.code == 0 and found.out.count(f"{place.relative_to(tracked)}/step_") == 6, found.told
    digest_ = found.out.split("prune apply ")[1].split()[0]
    assert run("prune", "apply", digest_, "--because", "x").code == 0 and not list(place.glob("step_*"))


def test_a_stale_promotion_is_refused(tracked: Path, run: Run) -> None:
    assert run("promote", "mini-lora").code == 0
    done = run("promote", "mini-lora", "--candidate", "step_0000020@1", "--because", "x", "--expect", "none")
    assert done.code == 1 and done.err.startswith("PromotionError: stale: expected nothing of")


def test_every_gate_that_says_no_is_listed(tracked: Path, run: Run) -> None:
    runs.select(tracked, "mini-lora", "do_not_ship", None)
    (tracked / "consent/awb.json").unlink()
    done = run("promote", "mini-lora", "--candidate", "step_0000040@1", "--because", "now")
    assert done.code == 1 and done.err.startswith(
        "PromotionError: mini-lora: step_0000040@1 must not go into production"
    )
    assert "consent: " in done.err


def test_a_broken_link_is_named_with_exit_code_3(tracked: Path, run: Run) -> None:
    path = layout.run("mini-lora", "clip_losses.parquet")
    path.write_bytes(path.read_bytes() + b" ")
    done = run("verify", "mini-lora")
    assert done.code == 3 and done.out.startswith("BROKEN after ") and f": {path}: " in done.out
    assert "dvc checkout" in done.out
    assert run("promote", "mini-lora").code == 1


@pytest.mark.parametrize(
    ("path", "way"),
    [
        ("checkpoints/mini-lora/ab/step_0000010/MANIFEST.json", "voicelathe retrain mini-lora"),
        ("checkpoints/mini-lora/ab/speech/base/short-42.wav", "dvc repro -f -s listen@mini-lora"),
        ("checkpoints/_bases/ab/speech/base/short-42.wav", "dvc repro -f -s listen@RECIPE"),
        ("runs/mini-lora/samples.jsonl", "dvc checkout"),
    ],
)
def test_what_is_gone_is_brought_back_by_what_made_it(path: str, way: str) -> None:
    assert way in checkpoints.way_back(path)


def test_an_alias_that_somebody_moved_is_noticed_with_exit_code_3(tracked: Path, run: Run) -> None:
    run("promote", "mini-lora")
    run("promote", "mini-lora", "--candidate", "step_0000020@1", "--because", "x")
    mlflow_stores.client(tracked).set_registered_model_alias("voicelathe", "production", "1")
    done = run("status")
    assert done.code == 3 and "moved" in done.out
    said = run("say", "Hello.")
    assert said.code == 1 and said.err.startswith("PromotionError:")


def test_tracking_twice_says_the_same(tracked: Path, run: Run) -> None:
    first, second = run("track", "mini-lora"), run("track", "mini-lora")
    assert first.code == 0 and first.out == second.out
    assert "7 candidates, 14 samples" in first.out


def test_saying_without_production_says_how_to_promote(tracked: Path, run: Run) -> None:
    done = run("say", "Hello.")
    assert done.code == 1 and "voicelathe promote RECIPE" in done.err


def test_saying_with_a_base_needs_a_base_directory(project: Path, run: Run) -> None:
    assert run("say", "one", "two", "three").code == 2
    done = run("say", "nowhere", "Hello.")
    assert done.code == 1 and "nowhere" in done.err and not Path("said.wav").exists()


@pytest.mark.slow
def test_a_base_speaks_as_it_is_and_the_same_seed_says_the_same(project: Path, run: Run) -> None:
    base = ROOT / "data/bases/voxcpm2-mini"
    for name in ("one.wav", "two.wav"):
        done = run("say", base, "The lamp is on.", "--out", name, "--seed", "7", "--max-seconds", "3")
        assert done.code == 0, done.told
        assert f"{name}: the base {base}, " in done.out
    assert Path("one.wav").read_bytes() == Path("two.wav").read_bytes()
    assert 0.3 < soundfile.info("one.wav").duration <= 3.2


@pytest.mark.parametrize("command", [["promote", "mini-lora"], ["rollback"], ["prune", "plan"]])
def test_a_reason_that_is_no_text_is_refused_and_nothing_is_written(
    tracked: Path, run: Run, command: list[str]
) -> None:
    told = run(*command, "--because", "it \udcff hums")
    assert told.code == 1 and r"RequestError: 'it \udcff hums' holds bytes that are no UTF-8" in told.err
    assert not (tracked / "registry/refused.jsonl").exists()
