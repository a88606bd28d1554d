"""Trainings that differ in their seed only: who belongs together, what they say together, and what `compare` makes of it."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.evaluate.test_comparing import FULL, LORA, finished
from tests.factories import evaluations as make
from voicelathe import digest, layout, records
from voicelathe.errors import RecordError
from voicelathe.evaluate.compare import comparing, replicates
from voicelathe.evaluate.compare import page as comparison_page
from voicelathe.records import RunRecord


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def seeded(
    root: Path, recipe: str, seed: int | None, likeness: float, full: bool = False
) -> comparing.Outcome:
    """A finished recipe with this seed of its own and this likeness (the base has 0.5)."""
    finished(root, recipe, FULL if full else LORA, best=0.8, likeness=likeness)
    path = layout.run(recipe, "run.json")
    run = records.read_one(path, RunRecord)
    identity = replace(run.identity, train=replace(run.identity.train, seed=seed))
    digest.write_json(path, records.to_json(replace(run, identity=identity)))
    return comparing.read(recipe, root)


def trained(
    root: Path, *likenesses: float, recipe: str = "mini-lora", full: bool = False
) -> list[comparing.Outcome]:
    """A recipe and its replicates, one for each likeness."""
    names = {None: recipe} | {seed: f"{recipe}-seed-{seed}" for seed in range(2, len(likenesses) + 1)}
    return [
        seeded(root, name, seed, likeness, full)
        for (seed, name), likeness in zip(names.items(), likenesses, strict=True)
    ]


def test_data_base_and_settings_decide_who_belongs_together_not_the_name() -> None:
    one = make.run()
    other = replace(
        one,
        recipe="called-anything",
        identity=replace(one.identity, train=replace(one.identity.train, seed=2)),
    )
    same_dice = replace(other, recipe="copy")
    longer = replace(
        one,
        recipe="longer",
        identity=replace(one.identity, train=replace(one.identity.train, steps=90, seed=3)),
    )
    elsewhere = replace(other, recipe="other-data", identity=replace(other.identity, latents_digest="f" * 64))
    found = replicates.grouped([other, one, same_dice, longer, elsewhere])
    assert sorted(found) == sorted([[one.recipe, "called-anything"], ["copy"], ["longer"], ["other-data"]])


def test_a_gain_far_beyond_the_spread_is_counted_in_spreads(root: Path) -> None:
    outcomes = trained(root, 0.90, 0.89, 0.91)
    text = "\n".join(comparing.conclusions(outcomes, root))
    assert "mini-lora: 3 trainings that differ in nothing but the seed; 3 of 3 ship a checkpoint." in text
    assert "mini-lora, step 20 of every training: likeness +0.400, 90 % interval +0.3" in text
    assert "the gain is 40.0 spreads between trainings (0.010) (3 trainings, 24 lines)." in text
    assert "mini-lora-seed-2: moved" not in text, "replicates speak with one voice"
    assert "Trained once" not in text


def test_trainings_that_go_apart_are_a_roll_of_the_dice_however_sure_each_looks(root: Path) -> None:
    outcomes = trained(root, 0.60, 0.50, 0.42)
    assert outcomes[0].selection.selected, "alone, the first training ships"
    text = "\n".join(comparing.conclusions(outcomes, root))
    assert "1 of 3 ship a checkpoint." in text
    assert (
        "not distinguishable from another roll of the dice (spread between trainings 0.090; more trainings would tell more)"
        in text
    )


def test_a_recipe_trained_once_is_said_to_be_that(root: Path) -> None:
    text = "\n".join(comparing.conclusions([seeded(root, "mini-lora", None, 0.9)], root))
    assert (
        "Trained once, so whether it was luck is not known: mini-lora. To see: voicelathe replicate mini-lora"
        in text
    )


@pytest.mark.parametrize(
    ("others", "sentence"),
    [((0.901, 0.899), "Loss and voice disagree"), ((0.97, 0.83), "not the bottleneck: stay with LoRA")],
)
def test_full_is_called_nearer_only_beyond_the_spread_of_trainings(
    root: Path, others: tuple[float, float], sentence: str
) -> None:
    """The same two recipes with the same gains; only the replicates of LoRA differ."""
    outcomes = [*trained(root, 0.90, *others), *trained(root, 0.95, recipe="mini-full", full=True)]
    text = "\n".join(comparing.conclusions(outcomes, root))
    assert "mini-full against mini-lora, with 4 trainings: likeness +0.050" in text
    assert sentence in text


def test_the_page_has_the_trainings_beside_each_other_and_none_where_there_are_none(root: Path) -> None:
    outcomes = trained(root, 0.90, 0.88)
    page = comparison_page.render(outcomes, root)
    assert "Was it luck?" in page and "mini-lora-seed-2" in page.split("Was it luck?")[1]
    assert "+0.400" in page.split("Was it luck?")[1] and "+0.380" in page.split("Was it luck?")[1]
    assert "Was it luck?" not in comparison_page.render(outcomes[:1], root)


def test_what_was_not_heard_cannot_be_judged_and_a_missing_file_is_named(root: Path) -> None:
    finished(root, "mini-lora", LORA, best=0.8, likeness=None)
    finished(root, "mini-lora-seed-2", LORA, best=0.8, likeness=None)
    both = [replicates.read(name, root) for name in ("mini-lora", "mini-lora-seed-2")]
    assert "luck cannot be judged" in "\n".join(replicates.conclusions(both))
    layout.run("mini-lora", "metrics.json").unlink()
    with pytest.raises(RecordError, match=r"runs/mini-lora/metrics\.json"):
        replicates.read("mini-lora", root)
