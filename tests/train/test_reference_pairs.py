"""Training with references: pairs that a resume draws again, a prefix without loss, and not one byte changed without them."""

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.factories import training
from tests.train.test_loop import final_state, killed_at_step_4, quiet
from voicelathe import families, records
from voicelathe.data.references.pairs import Pairs
from voicelathe.errors import ManifestError
from voicelathe.process import jobs
from voicelathe.train import batches, loop

OWN = {"train0003": "reference-a", "train0007": "reference-a"}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return training.corpus(tmp_path_factory.mktemp("corpus"))


def job(corpus: Path, directory: Path, share: float = 0.5, **changes: Any) -> jobs.TrainJob:
    train = replace(training.train_settings(steps=6, every=2), reference_share=share, **changes)
    made = training.train_job(corpus, directory, train)
    return replace(made, references=training.references(corpus, directory.parent / "references", OWN))


def steps(directory: Path) -> list[records.StepRecord]:
    return records.read(directory / "steps.jsonl", records.StepRecord)


def test_a_run_that_is_killed_and_resumed_trains_on_the_same_pairs(corpus: Path, tmp_path: Path) -> None:
    whole = job(corpus, tmp_path / "whole")
    loop.run(whole, quiet)
    stopped = killed_at_step_4(replace(whole, directory=str(tmp_path / "stopped")))
    assert len(steps(tmp_path / "stopped")) == 3
    loop.run(stopped, quiet)
    assert final_state(tmp_path / "stopped") == final_state(tmp_path / "whole")
    plan, seen = training.reference_plan(corpus, OWN), steps(tmp_path / "whole")
    pairs = Pairs(plan, 0.5, whole.seed)
    assert [one.references for one in seen] == [pairs.of_step(one.clip_ids, one.step) for one in seen]
    counts = Counter(len(one.references or {}) for one in seen)
    assert counts.total() == 6 and 0 < sum(len(one.references or {}) for one in seen) < 24, "some, not all"


def test_references_change_the_losses_of_their_clips_alone(corpus: Path, tmp_path: Path) -> None:
    """The first step, whose weights are the base's: a clip that has a reference has another loss, and no other clip has."""
    spied: dict[str, dict[str, float]] = {}
    family = families.find("voxcpm2")
    facts = family.describe(training.BASE, "Apache-2.0", False)
    model = family.open_model(training.BASE, facts, training.target().machine)
    held = batches.opened(job(corpus, tmp_path / "run"), family, model)
    clip_ids = list(held)
    before = held.in_front(clip_ids, 1)
    assert before and len(before) < len(clip_ids)
    for name, items in (("bare", held.bare(clip_ids)), ("with", held.of_step(clip_ids, 1))):
        batch = model.collate(items)
        noise = model.draw(batch, list(range(len(items))), None)
        with torch.no_grad():
            found = model.losses(batch, noise)
        spied[name] = dict(zip(clip_ids, (found["diff"] + found["stop"]).tolist(), strict=True))
    moved = {one for one in clip_ids if abs(spied["bare"][one] - spied["with"][one]) > 1e-5}
    assert moved == set(before)


@pytest.mark.parametrize("share", [0.5, 1.0])
def test_a_cached_encoder_gives_the_losses_of_one_that_is_not(
    corpus: Path, tmp_path: Path, share: float
) -> None:
    plain, cached = job(corpus, tmp_path / "plain", share), job(corpus, tmp_path / "cached", share)
    cached = replace(cached, train=replace(cached.train, cache_encoder=True))
    for one in (plain, cached):
        loop.run(one, quiet)
    for ours, theirs in zip(steps(tmp_path / "cached"), steps(tmp_path / "plain"), strict=True):
        assert ours.references == theirs.references and ours.total == pytest.approx(theirs.total, rel=1e-5)
    named = {heard for one in steps(tmp_path / "plain") for heard in (one.references or {}).values()}
    assert "reference-a" in named and len(named) > 1, "the recording of a row, and other clips"


def test_a_clip_that_does_not_fit_behind_the_longest_reference_is_named(corpus: Path, tmp_path: Path) -> None:
    family: Any = families.find("voxcpm2")
    facts = family.describe(training.BASE, "Apache-2.0", False)
    model = family.open_model(training.BASE, facts, training.target().machine)
    asked = job(corpus, tmp_path / "run")
    held = batches.opened(asked, family, model)
    (text,) = model.text_lengths([held.items["train0000"].text])
    clip, reference = held.items["train0000"], max(len(one.tensors["latents"]) for one in held.items.values())
    exact = (len(clip.tensors["latents"]) + text + reference + 3) / facts.positions_per_s
    others = {"train0000": clip}
    known = list(held.items.values())
    model.facts = replace(facts, max_clip_s=exact)
    batches._require_room(model, others, known)
    model.facts = replace(facts, max_clip_s=exact - 1 / facts.positions_per_s)
    with pytest.raises(
        ManifestError, match=r"(?s)the longest reference, train\d+, takes .*clip train0000: \d+ positions"
    ):
        batches._require_room(model, others, known)


def test_training_does_not_begin_where_a_clip_does_not_fit_behind_the_longest_recording_that_a_row_names(
    corpus: Path, tmp_path: Path
) -> None:
    family: Any = families.find("voxcpm2")
    facts = family.describe(training.BASE, "Apache-2.0", False)
    model = family.open_model(training.BASE, facts, training.target().machine)
    bare = training.train_job(corpus, tmp_path / "run", training.train_settings())
    items = batches.opened(bare, family, model).items
    texts = model.text_lengths([one.text for one in items.values()])
    longest = max(text + len(one.tensors["latents"]) for one, text in zip(items.values(), texts, strict=True))
    model.facts = replace(facts, max_clip_s=(longest + 3 + 20) / facts.positions_per_s)

    def asked(positions: int) -> jobs.TrainJob:
        made = job(corpus, tmp_path / "run")
        return replace(
            made, references=training.references(corpus, tmp_path / str(positions), OWN, positions)
        )

    batches.opened(asked(20), family, model)
    with pytest.raises(ManifestError, match="the longest reference, reference-a, takes 24 of them"):
        batches.opened(asked(21), family, model)


def test_without_references_nothing_that_is_written_knows_of_them(corpus: Path, tmp_path: Path) -> None:
    bare = training.train_job(corpus, tmp_path / "bare", training.train_settings(steps=6, every=2))
    loop.run(bare, quiet)
    assert b"reference" not in (tmp_path / "bare/steps.jsonl").read_bytes()
    assert "reference_share" not in records.to_json(bare.train)
    loop.run(job(corpus, tmp_path / "with"), quiet)
    assert final_state(tmp_path / "with") != final_state(tmp_path / "bare")
