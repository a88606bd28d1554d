"""`voicelathe replicate` on the shipped params.yaml: what it adds, what it refuses, what it says is missing."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.cli.conftest import Run
from tests.evaluate.test_replicates import trained
from voicelathe import digest, layout, records
from voicelathe.config import params


def test_replicates_are_added_and_every_line_that_was_there_stays(project: Path, run: Run) -> None:
    before = (project / "params.yaml").read_text()
    done = run("replicate", "mini-lora", "--seeds", 3)
    assert done.code == 0, done.told
    assert "dvc repro track@mini-lora track@mini-lora-seed-2 track@mini-lora-seed-3" in done.out
    after = (project / "params.yaml").read_text()
    assert after.startswith(before), "comments, order and spelling of all that was there"
    recipes = params.load().recipes
    original = records.to_json(recipes["mini-lora"])
    for seed in (2, 3):
        copy = records.to_json(recipes[f"mini-lora-seed-{seed}"])
        assert copy["train"].pop("seed") == seed and copy == original
    assert "listen: *listen" in after[len(before) :], "what recipes share stays shared"


def test_doing_it_again_changes_nothing_and_more_seeds_add_only_what_is_missing(
    project: Path, run: Run
) -> None:
    run("replicate", "mini-lora", "--seeds", 2)
    before = (project / "params.yaml").read_bytes()
    assert "has them already: mini-lora-seed-2" in run("replicate", "mini-lora", "--seeds", 2).out
    assert (project / "params.yaml").read_bytes() == before
    assert "added mini-lora-seed-3;" in run("replicate", "mini-lora").out
    assert (project / "params.yaml").read_bytes().startswith(before)


def test_the_seed_that_the_recipe_has_itself_is_not_rolled_again(project: Path, run: Run) -> None:
    params.edit({"recipes/mini-lora/train/seed": 2})
    run("replicate", "mini-lora", "--seeds", 3)
    assert [name for name in params.load().recipes if "-seed-" in name] == [
        "mini-lora-seed-3",
        "mini-lora-seed-4",
    ]


@pytest.mark.parametrize("seeds", [1, 0, -3])
def test_one_training_has_no_spread(project: Path, run: Run, seeds: int) -> None:
    before = (project / "params.yaml").read_bytes()
    done = run("replicate", "mini-lora", "--seeds", seeds)
    assert done.code == 1 and f"--seeds {seeds}: one training has no spread" in done.err
    assert (project / "params.yaml").read_bytes() == before


def test_a_replicate_is_not_replicated(project: Path, run: Run) -> None:
    run("replicate", "mini-lora", "--seeds", 2)
    done = run("replicate", "mini-lora-seed-2")
    assert done.code == 1 and "is itself a replicate of mini-lora" in done.err
    assert "voicelathe replicate mini-lora" in done.err


def test_a_name_that_another_recipe_has_is_refused_with_what_differs(project: Path, run: Run) -> None:
    run("replicate", "mini-lora", "--seeds", 2)
    params.edit({"recipes/mini-lora/train/steps": 80})
    before = (project / "params.yaml").read_bytes()
    done = run("replicate", "mini-lora", "--seeds", 3)
    assert done.code == 1 and "recipes.mini-lora-seed-2 exists and is no replicate of mini-lora" in done.err
    assert "train.steps: 40 here, 80 expected" in done.err
    assert (project / "params.yaml").read_bytes() == before


def test_a_shared_training_section_is_not_changed_for_its_other_users(project: Path, run: Run) -> None:
    text = (
        (project / "params.yaml")
        .read_text()
        .replace("    train:\n      mode: lora", "    train: &mine\n      mode: lora")
    )
    (project / "params.yaml").write_text(text)
    assert run("replicate", "mini-lora", "--seeds", 2).code == 0
    found = params.load().recipes
    assert found["mini-lora"].train.seed is None and found["mini-lora-seed-2"].train.seed == 2


def test_unfinished_trainings_are_named_with_their_next_command(project: Path, run: Run) -> None:
    assert "has no replicates in params.yaml" in run("replicate", "mini-lora", "--report").err
    run("replicate", "mini-lora", "--seeds", 3)
    done = run("replicate", "mini-lora", "--report")
    assert done.code == 1 and "too few trainings of mini-lora are finished" in done.err
    for name in ("mini-lora", "mini-lora-seed-2", "mini-lora-seed-3"):
        assert f"runs/{name}/run.json is missing. Run: dvc repro track@{name}" in done.err
    assert run("replicate", "mini-lora", "--run", "--report").code == 1


def test_the_report_of_finished_trainings_leaves_out_and_names_the_others(project: Path, run: Run) -> None:
    run("replicate", "mini-lora", "--seeds", 4)
    trained(project, 0.90, 0.89, 0.91, 0.90)
    layout.run("mini-lora-seed-4", "metrics.json").unlink()
    path = layout.run("mini-lora-seed-3", "run.json")
    found = records.read_one(path, records.RunRecord)
    older = replace(found, identity=replace(found.identity, revision=0))
    digest.write_json(path, records.to_json(older))
    done = run("replicate", "mini-lora", "--report")
    assert done.code == 0, done.told
    assert "left out: mini-lora-seed-4: runs/mini-lora-seed-4/metrics.json is missing" in done.out
    assert "left out: mini-lora-seed-3: was trained on other data or with other settings" in done.out
    assert "mini-lora: 2 trainings" in done.out and "spreads between trainings" in done.out
