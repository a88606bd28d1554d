"""Training with replay from the parent's side: what preflight says and refuses, which run it is, who has to consent, what the worker makes of it."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from tests.factories import audio, runs
from tests.stages.test_reference_runs import clip, settings
from voicelathe import digest, layout, records
from voicelathe.config import schema
from voicelathe.data.audio import files
from voicelathe.data.latents import general_set
from voicelathe.data.latents import replay as replay_sides
from voicelathe.errors import ConsentError, LinesError, ParamsError, SplitError
from voicelathe.plan import forecast
from voicelathe.process import jobs, runner, together
from voicelathe.runs import identity, replay
from voicelathe.stages import encode, listen, train
from voicelathe.stages.decoding import fresh_lines

NUMBERS = ("No", "Two", "Three", "Four")


def wanted(root: Path, share: float, visits: int = 10) -> schema.Params:
    known = settings(root, 0.0)
    one = known.recipes["mini-lora"]
    changed = replace(one.train, replay_share=share, replay_visits=visits)
    return replace(known, recipes={"mini-lora": replace(one, train=changed)})


def other(root: Path, number: int, speaker: str) -> records.CleanClip:
    name = f"g{number}.wav"
    path = audio.write(root / "audio" / name, audio.speech(1.0 + 0.1 * number, 50 + number))
    return replace(
        clip(root, number), clip_id=f"general{number}", audio=name, speaker_id=speaker, recording_id=name, end_s=1.0 + 0.1 * number,
        audio_sha256=files.hash_file(path.parent, name), duration_s=1.0 + 0.1 * number, text=f"{NUMBERS[number]} lamps are on.",
    )  # fmt: skip


@pytest.fixture(scope="module")
def encoded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("encoded") / "project"
    root.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        clips = [clip(root, number) for number in range(8)]
        for split, members in (("train", clips[:6]), ("validation", clips[6:7]), ("test", clips[7:])):
            records.write(layout.split(split), members)
        known = wanted(root, 0.0)
        encode.encode(known, next(iter(known.bases)))
        general(root, [other(root, number, f"stranger{number % 2}") for number in range(4)])
    return root


@pytest.fixture
def project(tmp_path: Path, encoded: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A split of eight clips and a general set of four clips of two speakers, encoded by the real worker."""
    root = Path(shutil.copytree(encoded, tmp_path / "project"))
    monkeypatch.chdir(root)
    return root


def general(root: Path, members: list[records.CleanClip]) -> None:
    known = wanted(root, 0.0)
    base = next(iter(known.bases))
    folder = layout.general(base)
    records.write(folder / general_set.CLIPS, members)
    made = jobs.EncodeJob(
        identity.target(known, base, None), {"general": str(folder / general_set.CLIPS)}, known.ingest.audio_root,
        str(layout.CACHE / "latents"), str(folder), known.engine,
    )  # fmt: skip
    runner.run(made, base)


def passed(policy: str) -> None:
    digest.write_json(layout.GATE, records.to_json(records.Passed({}, policy, {}, {})))


@pytest.mark.slow
def test_a_run_with_replay_is_another_run_and_the_worker_mixes_clips_in(project: Path) -> None:
    bare = identity.identify(wanted(project, 0.0), "mini-lora", 1)
    assert "replay_digest" not in records.to_json(bare.identity)
    mixed = wanted(project, 0.25)
    finished, index = train.train(mixed, planned := identity.identify(mixed, "mini-lora", 1))
    assert planned.run_digest != bare.run_digest and [one.step for one in index] == [0, 2, 4]
    found = records.read(Path(finished.directory) / "steps.jsonl", records.StepRecord)
    assert sum(len(one.replayed or ()) for one in found) == 4 and finished.num_train_clips == 6
    base = mixed.recipes["mini-lora"].base
    plan = forecast.rehearse(mixed, base, mixed.recipes["mini-lora"].train, "x", False)[0]
    assert plan.size.source.startswith("the largest pass of the run")
    general(
        project,
        [
            replace(one, text="Another text.") if one.clip_id == (found[0].replayed or [""])[0] else one
            for one in records.read(layout.general(base) / general_set.CLIPS, records.CleanClip)
        ],
    )
    assert identity.identify(wanted(project, 0.0), "mini-lora", 1).run_digest == bare.run_digest


def test_preflight_says_who_is_replayed_and_who_is_measured(project: Path) -> None:
    assert replay.notices(wanted(project, 0.0), "mini-lora") == []
    (said,) = replay.notices(wanted(project, 0.25), "mini-lora")
    assert said.startswith("replay: 4 of 16 visits are of 2 clips of the general set (speakers stranger")
    assert "each seen at most 2 times of 10; forgetting is measured on the other 2 (speakers stranger" in said
    general(project, [other(project, number, "lark" if number % 2 else "stranger") for number in range(4)])
    told = replay.notices(wanted(project, 0.25), "mini-lora")
    shared = "speakers lark)" in told[0].split("forgetting")[0]
    assert (len(told) == 2 and told[1].startswith("replay_of_own_speaker: lark")) == shared


def test_controls_of_replayed_clips_are_said_and_make_another_run(project: Path) -> None:
    members = [other(project, number, f"stranger{number % 2}") for number in range(4)]
    bare = identity.identify(wanted(project, 0.25), "mini-lora", 1).run_digest
    general(project, [replace(one, control="slow") for one in members])
    assert replay.notices(wanted(project, 0.25), "mini-lora")[1] == (
        "replay_control: 2 of 2 replayed clips have a control in front (slow 2), whatever train.control is"
    )
    slow = identity.identify(wanted(project, 0.25), "mini-lora", 1).run_digest
    general(project, [replace(one, control="fast") for one in members])
    fast = identity.identify(wanted(project, 0.25), "mini-lora", 1).run_digest
    assert len({bare, slow, fast}) == 3
    general(project, members)
    assert identity.identify(wanted(project, 0.25), "mini-lora", 1).run_digest == bare


def test_too_many_visits_are_refused_before_anything_is_trained(project: Path) -> None:
    few = wanted(project, 0.25, visits=1)
    with pytest.raises(
        ParamsError, match=r"recipes.mini-lora.train.replay_share: 4 of 16 visits .* enough for 2"
    ):
        replay.notices(few, "mini-lora")
    more = identity.identify(wanted(project, 0.25), "mini-lora", 1)
    assert identity.identify(few, "mini-lora", 1).run_digest == more.run_digest, (
        "a bound makes no other weights"
    )
    with pytest.raises(ParamsError, match="replay_visits = 1"):
        train.train(few, identity.identify(few, "mini-lora", 1))


def test_a_general_clip_that_is_held_out_is_refused_by_name(project: Path) -> None:
    held = records.read(layout.split("test"), records.CleanClip)[0]
    members = [other(project, number, f"stranger{number % 2}") for number in range(4)]
    sides = replay_sides.sides(members)
    for which, side in (("replayed", sides.replayed), ("measured", sides.measured)):
        own = replace(side[0], audio=held.audio, audio_sha256=held.audio_sha256, end_s=held.end_s)
        general(project, [own if one.clip_id == own.clip_id else one for one in members])
        if which == "measured":
            assert replay.notices(wanted(project, 0.25), "mini-lora"), "nothing is trained on there"
            continue
        with pytest.raises(
            SplitError, match=rf"clip {own.clip_id}, 7.wav: its audio is that of 7.wav of test"
        ):
            replay.notices(wanted(project, 0.25), "mini-lora")


def test_machines_that_train_together_must_have_the_same_general_set(project: Path) -> None:
    """Or each would replay other clips."""
    mixed = wanted(project, 0.25)
    base = mixed.recipes["mini-lora"].base
    target, train_ = identity.target(mixed, base, None), mixed.recipes["mini-lora"].train
    job = jobs.TrainJob(target, train_, 1, "c", "l", "a", "d", "d", general=replay.place(base, train_))
    assert {layout.general(base) / name for name in ("clips.jsonl", "index.parquet")} <= set(
        map(Path, together.needed(job).files)
    )


def test_a_plan_is_made_with_assumed_lengths_while_the_general_set_is_not_encoded(project: Path) -> None:
    mixed = wanted(project, 0.25)
    base = mixed.recipes["mini-lora"].base
    (layout.general(base) / general_set.CLIPS).unlink()
    plan, assumed = forecast.rehearse(mixed, base, mixed.recipes["mini-lora"].train, "x", False)
    assert not plan.size.source.startswith("the largest pass of the run") and assumed


def test_who_is_replayed_must_have_consented_where_the_gate_asks_for_it(project: Path) -> None:
    mixed = wanted(project, 0.25)
    passed("required")
    with pytest.raises(
        ConsentError, match=r"(?s)1 speakers of the general set.*stranger\d.*voicelathe consent new SPEAKER"
    ):
        replay.notices(mixed, "mini-lora")
    with pytest.raises(ConsentError):
        train.train(mixed, identity.identify(mixed, "mini-lora", 1))
    assert replay.notices(wanted(project, 0.0), "mini-lora") == []
    passed("research")
    assert replay.notices(mixed, "mini-lora")


def test_a_line_that_somebody_says_whose_clips_are_mixed_in_is_no_line_to_judge_by(project: Path) -> None:
    """It would be recited, whoever said it in training."""
    mixed = wanted(project, 0.25)
    one = mixed.recipes["mini-lora"]
    (said, *_), (other, *_) = (
        getattr(replay_sides.of_directory(layout.general(one.base)), side)
        for side in ("replayed", "measured")
    )
    for text in (said.text, other.text, "Nobody says this in any of the clips."):
        records.write(Path(one.listen.lines), runs.pack({"first": text}))
        assert listen.spoken_lines(wanted(project, 0.0), "mini-lora"), (
            "nothing of the general set is trained on"
        )
        if text == said.text:
            with pytest.raises(LinesError, match=rf"first of .*100% of it in {said.clip_id} "):
                listen.spoken_lines(mixed, "mini-lora")
            with pytest.raises(LinesError, match=rf"100% of it in {said.clip_id} "):
                fresh_lines.of_pack(mixed, "mini-lora", Path(one.listen.lines))
        else:
            assert [line.text for line in listen.spoken_lines(mixed, "mini-lora")] == [text]
