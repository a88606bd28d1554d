"""Training with controls: (slow)text as upstream writes it, in training and on held-out clips, and not one byte changed without."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.factories import training
from tests.train.test_loop import final_state, killed_at_step_4, quiet
from voicelathe import families, records
from voicelathe.config import checks, params, schema
from voicelathe.data.latents import cache
from voicelathe.errors import ManifestError
from voicelathe.families.base import ClipItem
from voicelathe.process import jobs
from voicelathe.train import batches, loop, probe
from voicelathe.worker import validate

TOLD = {"train0003": "slow", "train0004": " loud ", "validation0002": "slow"}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny corpus, with three controls."""
    root = training.corpus(tmp_path_factory.mktemp("corpus"))
    for split in ("train", "validation"):
        clips = records.read(root / f"{split}.jsonl", records.CleanClip)
        records.write(root / f"{split}.jsonl", [replace(one, control=TOLD.get(one.clip_id)) for one in clips])
    return root


@pytest.fixture(scope="module")
def opened() -> Any:
    family = families.find("voxcpm2")
    facts = family.describe(training.BASE, "Apache-2.0", False)
    return family, family.open_model(training.BASE, facts, training.target().machine)


def job(corpus: Path, directory: Path, control: bool = True) -> jobs.TrainJob:
    train = replace(training.train_settings(steps=6, every=2), control=control)
    return training.train_job(corpus, directory, train)


def test_a_control_stands_in_front_of_its_own_clip_alone_as_upstream_writes_it(
    corpus: Path, tmp_path: Path, opened: Any
) -> None:
    from voxcpm.cli import build_final_text

    plain, told = (batches.opened(job(corpus, tmp_path, one), *opened).items for one in (False, True))
    for clip_id, item in plain.items():
        assert told[clip_id].text == build_final_text(item.text, TOLD.get(clip_id))
        assert told[clip_id].words == item.text and item.control == ""
    assert [told[one].control for one in ("train0003", "train0004")] == ["(slow)", "(loud)"]


def test_losses_change_for_clips_with_a_control_and_for_no_other(
    corpus: Path, tmp_path: Path, opened: Any
) -> None:
    family, model = opened
    found = []
    for is_on in (False, True):
        items = list(batches.opened(job(corpus, tmp_path, is_on), family, model).items.values())
        batch = model.collate(items)
        with torch.no_grad():
            losses = model.losses(batch, model.draw(batch, list(range(len(items))), None))
        found.append((losses["diff"] + losses["stop"]).tolist())
    moved = {item.clip_id for item, one, other in zip(items, *found, strict=True) if abs(one - other) > 1e-5}
    assert moved == {"train0003", "train0004"}


def test_a_run_with_controls_that_is_killed_and_resumed_ends_with_the_same_weights(
    corpus: Path, tmp_path: Path
) -> None:
    whole = job(corpus, tmp_path / "whole")
    loop.run(whole, quiet)
    stopped = killed_at_step_4(replace(whole, directory=str(tmp_path / "stopped")))
    loop.run(stopped, quiet)
    assert final_state(tmp_path / "stopped") == final_state(tmp_path / "whole")
    loop.run(job(corpus, tmp_path / "bare", control=False), quiet)
    assert final_state(tmp_path / "bare") != final_state(tmp_path / "whole")


def test_without_the_setting_controls_change_no_byte_of_a_run(corpus: Path, tmp_path: Path) -> None:
    loop.run(job(corpus, tmp_path / "told", control=False), quiet)
    plain = training.corpus(tmp_path / "plain")
    loop.run(training.train_job(plain, tmp_path / "never", training.train_settings(steps=6, every=2)), quiet)
    assert final_state(tmp_path / "told") == final_state(tmp_path / "never")
    assert (tmp_path / "told/steps.jsonl").read_bytes() == (tmp_path / "never/steps.jsonl").read_bytes()
    assert "control" not in records.to_json(training.train_settings())


def test_a_control_longer_than_its_clip_is_named_with_both_lengths(
    corpus: Path, tmp_path: Path, opened: Any
) -> None:
    family, model = opened
    clips = records.read(corpus / "train.jsonl", records.CleanClip)
    long = "as slowly as can be said, with a pause behind each word"
    records.write(
        tmp_path / "train.jsonl",
        [replace(one, control=long if one.clip_id == "train0005" else None) for one in clips],
    )
    asked = replace(job(corpus, tmp_path / "run"), clips=str(tmp_path / "train.jsonl"))
    with pytest.raises(
        ManifestError,
        match=r"(?s)1 controls are longer than their clip.*clip train0005: '\(as slowly.*takes \d+ tokens, its words \d+, its audio 4 positions",
    ):
        batches.opened(asked, family, model)
    batches.opened(replace(asked, train=replace(asked.train, control=False)), family, model)


def test_a_control_and_its_clip_fit_into_the_positions_exactly_or_not(
    corpus: Path, tmp_path: Path, opened: Any
) -> None:
    family, model = opened
    items = batches.opened(job(corpus, tmp_path / "run"), family, model).items
    told = {one: items[one] for one in ("train0003",)}
    (tokens,) = model.text_lengths([told["train0003"].text])
    exact = tokens + len(told["train0003"].tensors["latents"]) + 1
    facts = model.facts
    try:
        model.facts = replace(facts, max_clip_s=exact / facts.positions_per_s)
        batches._require_short(model, told)
        model.facts = replace(facts, max_clip_s=(exact - 1) / facts.positions_per_s)
        with pytest.raises(ManifestError, match=f"among the {exact - 1} positions"):
            batches._require_short(model, told)
    finally:
        model.facts = facts


def test_a_probe_swaps_words_and_leaves_every_clip_its_own_control() -> None:
    """A model that hears controls and ignores words would else seem to read."""
    items = [
        ClipItem(name, f"{told}{words}", "en", "lark", {}, told)  # type: ignore[arg-type]
        for name, told, words in (
            ("a", "(slow)", "It rains."),
            ("b", "", "It rains."),
            ("c", "(loud)", "No."),
        )
    ]
    assert [one.text for one in probe.with_other_texts(items)] == ["(slow)No.", "No.", "(loud)It rains."]


def test_a_continued_prompt_has_no_control_and_a_reference_has(opened: Any) -> None:
    family, _ = opened
    item, before = (
        ClipItem(name, f"(slow){name}.", "en", "lark", {"latents": torch.zeros(3, 4, 32)}, "(slow)")  # type: ignore[arg-type]
        for name in ("It rains", "No")
    )
    assert family.prompted(item, before, "reference").text == "(slow)It rains."
    for way in ("continuation", "both"):
        assert family.prompted(item, before, way).text == "No. It rains."


def test_held_out_clips_are_computed_as_the_run_was_trained(corpus: Path, tmp_path: Path) -> None:
    lexicon = None
    for is_on in (False, True):
        made = jobs.ValidateJob(
            training.target(), params.load().recipes["mini-lora"].evaluate, 1, str(corpus / "validation.jsonl"),
            str(corpus / "train.jsonl"), None, str(corpus / "latents"), None, [], None, str(tmp_path), control=is_on,
        )  # fmt: skip
        split = validate._split(made)
        told = {one.clip_id for one in (*split.items.values(), *split.probed.train) if one.control}
        assert told == (
            set(TOLD) & {one.clip_id for one in (*split.items.values(), *split.probed.train)}
            if is_on
            else set()
        )
    plain = cache.items(corpus / "validation.jsonl", corpus / "latents", lexicon)
    assert all(one.control == "" for one in plain.values())


def test_families_without_controls_refuse_the_setting_by_name() -> None:
    able = [name for name in families.TABLE if families.spec(name).trains_with_control]
    assert able == ["voxcpm2"]
    one = params.load().recipes["mini-lora"]
    asked = replace(one, train=replace(one.train, control=True))
    for name in families.TABLE:
        said = [
            line for line in checks.of_family("recipes.x", asked, families.spec(name)) if "control" in line
        ]
        refused = f"recipes.x.train.control = true: upstream's {name} knows no control in front of a text, only voxcpm2; set it to false"
        assert said == ([] if name in able else [refused])
    assert schema.Train.__dataclass_fields__["control"].default is False
