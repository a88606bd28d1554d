"""Clips of other speakers are mixed in against forgetting: how many, which, how often; a resume draws them again; and off, nothing changes."""

import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.factories import training
from tests.train.test_loop import final_state, killed_at_step_4, quiet
from voicelathe import families, records
from voicelathe.config import checks, params, schema
from voicelathe.data.audit import contamination, spikes
from voicelathe.data.latents import general_set, replay
from voicelathe.data.references import pairs
from voicelathe.errors import ManifestError
from voicelathe.process import jobs
from voicelathe.records import Reason
from voicelathe.train import batches, loop
from voicelathe.worker import rehearse, validate

OWN, OTHERS = [f"own{n}" for n in range(11)], [f"other{n}" for n in range(5)]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = training.corpus(tmp_path_factory.mktemp("corpus"))
    training.general(root)
    return root


def job(corpus: Path, directory: Path, share: float = 0.3) -> jobs.TrainJob:
    train = replace(training.train_settings(steps=6, every=2), replay_share=share)
    made = training.train_job(corpus, directory, train)
    return replace(made, general=str(corpus / "latents/general") if share else None)


def sides(corpus: Path) -> replay.Sides:
    return replay.sides(records.read(corpus / "latents/general" / general_set.CLIPS, records.CleanClip))


def steps(directory: Path) -> list[records.StepRecord]:
    return records.read(directory / "steps.jsonl", records.StepRecord)


@pytest.mark.parametrize("share", [0.1, 0.25, 0.5, 0.93])
def test_every_clip_is_seen_once_before_any_is_seen_twice_on_both_sides(share: float) -> None:
    seen: Counter[str] = Counter()
    for number, clips in enumerate(batches.every_step(OWN, 60, 4, 7, OTHERS, share), 1):
        assert len(clips) == 4
        seen.update(clips)
        for some in (OWN, OTHERS):
            counts = [seen[one] for one in some]
            assert max(counts) - min(counts) <= 1, number
        assert sum(seen[one] for one in OTHERS) == replay.num_replayed(number, 4, share)
    assert max(seen[one] for one in OTHERS) == replay.most_visits(
        replay.num_replayed(60, 4, share), len(OTHERS)
    )


def test_a_step_is_a_function_of_the_seed_and_the_step_alone() -> None:
    order = batches.Order(OWN, 4, 7, OTHERS, 0.3)
    straight = [order.of_step(number) for number in range(1, 30)]
    assert [
        batches.Order(OWN[::-1], 4, 7, OTHERS[::-1], 0.3).of_step(n) for n in range(29, 0, -1)
    ] == straight[::-1]
    assert straight != [batches.Order(OWN, 4, 8, OTHERS, 0.3).of_step(number) for number in range(1, 30)]
    places = {clips.index(one) for clips in straight for one in clips if one in OTHERS}
    assert places == {0, 1, 2, 3}, "nowhere in particular"


def test_without_a_share_the_order_is_what_it_was() -> None:
    assert list(batches.every_step(OWN, 20, 4, 7)) == list(batches.every_step(OWN, 20, 4, 7, OTHERS, 0.0))


def test_a_run_that_is_killed_and_resumed_replays_the_same_clips(corpus: Path, tmp_path: Path) -> None:
    whole = job(corpus, tmp_path / "whole")
    told = loop.run(whole, quiet)
    assert told["num_train_clips"] == 12, "of the voice"
    stopped = killed_at_step_4(replace(whole, directory=str(tmp_path / "stopped")))
    loop.run(stopped, quiet)
    assert final_state(tmp_path / "stopped") == final_state(tmp_path / "whole")
    known = {one.clip_id for one in sides(corpus).replayed}
    found = steps(tmp_path / "whole")
    assert found == steps(tmp_path / "stopped")
    for one in found:
        assert one.replayed == [clip_id for clip_id in one.clip_ids if clip_id in known]
    assert sum(len(one.replayed or ()) for one in found) == replay.num_replayed(6, 4, 0.3) == 7


def test_what_is_measured_is_never_trained_on(corpus: Path, tmp_path: Path) -> None:
    loop.run(job(corpus, tmp_path / "run", 0.9), quiet)
    met = {clip_id for one in steps(tmp_path / "run") for clip_id in one.clip_ids}
    asked = validation(corpus, tmp_path)
    found = sides(corpus)
    looked_at = {one.clip_id for one in validate._split(asked).probed.general}
    assert looked_at == {one.clip_id for one in found.measured} and not looked_at & met
    assert {one.clip_id for one in found.replayed} <= met
    every = {one.clip_id for one in validate._split(replace(asked, replays=False)).probed.general}
    assert every == {one.clip_id for one in (*found.measured, *found.replayed)}, (
        "of a run without replay, as before"
    )


def test_replayed_clips_have_no_reference_and_others_keep_theirs(corpus: Path, tmp_path: Path) -> None:
    made = job(corpus, tmp_path / "run", 0.5)
    both = replace(
        made,
        train=replace(made.train, reference_share=1.0, cache_encoder=True),
        references=training.references(corpus, tmp_path / "references"),
    )
    loop.run(both, quiet)
    for one in steps(tmp_path / "run"):
        assert set(one.references or {}) == set(one.clip_ids) - set(one.replayed or ())


def test_a_replayed_clip_keeps_its_control_although_the_voice_is_trained_without(
    corpus: Path, tmp_path: Path
) -> None:
    """A slow reading without its `(slow)` in front would teach a model to speak slowly unasked, and to ignore the word."""
    shutil.copytree(corpus, tmp_path / "told")
    file = tmp_path / "told/latents/general" / general_set.CLIPS
    clips = records.read(file, records.CleanClip)
    records.write(file, [replace(one, control="a" if n % 4 < 2 else None) for n, one in enumerate(clips)])
    made = job(tmp_path / "told", tmp_path / "run", 0.5)
    family: Any = families.find("voxcpm2")
    facts = family.describe(training.BASE, "Apache-2.0", False)
    model = family.open_model(training.BASE, facts, training.target().machine)
    replayed = batches.opened(made, family, model).replayed
    measured = validate._split(validation(tmp_path / "told", tmp_path)).probed.general
    for item in (*replayed.values(), *measured):
        has_one = next(
            one.control for one in records.read(file, records.CleanClip) if one.clip_id == item.clip_id
        )
        assert item.text.startswith("(a)") == (has_one is not None) and not item.words.startswith("(")
    assert {item.control for item in replayed.values()} == {item.control for item in measured} == {"", "(a)"}
    lengths = rehearse._others(rehearsal(tmp_path / "told", made.train), model, {}, {})
    (*whole,) = model.text_lengths([replayed[one].text for one in lengths])
    assert list(lengths.values()) == whole
    long = "as slowly as can be said, with a pause behind each word"
    records.write(file, [replace(one, control=long) for one in clips])
    with pytest.raises(
        ManifestError, match=r"controls are longer than their clip(?s:.*)of general\.manifest"
    ):
        batches.opened(made, family, model)


def validation(corpus: Path, out: Path) -> jobs.ValidateJob:
    return jobs.ValidateJob(
        training.target(), params.load().recipes["mini-lora"].evaluate, 1, str(corpus / "validation.jsonl"), str(corpus / "train.jsonl"),
        str(corpus / "latents/general"), str(corpus / "latents"), None, [], None, str(out), replays=True,
    )  # fmt: skip


def rehearsal(corpus: Path, train: schema.Train) -> jobs.RehearseJob:
    return jobs.RehearseJob(
        "voxcpm2", {}, str(training.BASE), train, 1, None, str(corpus / "train.jsonl"), str(corpus / "latents"), 1, False,
        general=str(corpus / "latents/general"),
    )  # fmt: skip


def test_without_replay_nothing_that_is_written_knows_of_it(corpus: Path, tmp_path: Path) -> None:
    bare = job(corpus, tmp_path / "bare", 0.0)
    loop.run(bare, quiet)
    assert b"replayed" not in (tmp_path / "bare/steps.jsonl").read_bytes()
    assert not {"replay_share", "replay_visits"} & set(records.to_json(bare.train))


def test_the_plan_finds_the_largest_pass_with_replayed_clips(corpus: Path, tmp_path: Path) -> None:
    train = replace(training.train_settings(steps=6), replay_share=0.5)
    family: Any = families.find("voxcpm2")
    lengths = {one: n for n, one in enumerate(["a", "b"])}
    made = rehearsal(corpus, train)
    facts = family.describe(training.BASE, "Apache-2.0", False)
    model = family.open_model(training.BASE, facts, training.target().machine)
    texts, known = dict(lengths), dict(lengths)
    others = rehearse._others(made, model, texts, known)
    assert set(others) == {one.clip_id for one in sides(corpus).replayed}
    assert set(texts) == set(known) == {*lengths, *others}
    size = rehearse._largest(made, family, model)
    order = batches.Order([f"train{n:04d}" for n in range(12)], 4, 1, list(others), 0.5)
    opened = batches.opened(job(corpus, tmp_path, 0.5), family, model)
    items = {**opened.items, **opened.replayed}

    def positions(clip_ids: list[str]) -> int:
        (*tokens,) = model.text_lengths([items[one].text for one in clip_ids])
        return sum(tokens) + sum(len(items[one].tensors["latents"]) for one in clip_ids)

    passes = [order.of_step(step)[at : at + 2] for step in range(1, 7) for at in (0, 2)]
    assert size.num_positions == max(map(positions, passes))


def test_contamination_counts_a_bad_row_less_often_where_others_are_mixed_in() -> None:
    bad = {"own3"}
    plain = contamination.of("x", OWN, bad, batches.every_step(OWN, 50, 4, 7))
    mixed = contamination.of("x", OWN, bad, batches.every_step(OWN, 50, 4, 7, ["general"], 0.5), None, 0.5)
    assert len(mixed.bad_steps) < len(plain.bad_steps) and mixed.closed_form < plain.closed_form
    assert abs(mixed.exact - mixed.closed_form) < 0.1
    plan = records.ReferencePlan(dict.fromkeys(OWN, "lark"), {one: one for one in OWN}, OWN, {}, [])
    steps_ = batches.every_step(OWN, 50, 4, 7, ["general"], 0.5)
    both = contamination.of("x", OWN, bad, steps_, pairs.Pairs(plan, 1.0, 7), 0.5)
    assert len(both.bad_steps) > len(mixed.bad_steps), (
        "and references stand in front of the voice's own clips alone"
    )


def test_a_spike_names_a_replayed_clip_as_one() -> None:
    record = records.StepRecord(
        1,
        {},
        1.0,
        1.0,
        {},
        0.1,
        ["own1", "other2"],
        {},
        [Reason("diff_loss_spike", "high")],
        None,
        ["other2"],
    )
    (spike,) = spikes.find([record], [], [])
    assert {one.clip_id: one.is_replayed for one in spike.clips} == {"own1": False, "other2": True}


def test_families_whose_checkpoints_carry_speakers_refuse_replay_by_name() -> None:
    able = [name for name in families.TABLE if families.spec(name).replays_others]
    assert able == ["voxcpm2", "voxcpm15"]
    known = params.load()
    one = known.recipes["mini-lora"]
    asked = replace(one, train=replace(one.train, replay_share=0.2))
    for name in families.TABLE:
        said = [
            line for line in checks.of_family("recipes.x", asked, families.spec(name)) if "replay" in line
        ]
        assert (said == []) == (name in able)
        assert name in able or said[0].startswith(
            f"recipes.x.train.replay_share = 0.2: a checkpoint of {name} would carry the other speakers, too; only voxcpm2, voxcpm15 can"
        )
    all_of_it = replace(one, train=replace(one.train, replay_share=1.0))
    assert "recipes.x.train.replay_share = 1.0: no clip of the voice would be trained on" in "\n".join(
        checks.of_recipe("recipes.x", all_of_it, known)
    )
