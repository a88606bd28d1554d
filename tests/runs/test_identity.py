"""A recipe's run from the parent's side: which checkpoints there will be, what is a candidate, when preflight says no."""

import itertools
from dataclasses import replace
from pathlib import Path

import pytest

from tests.factories import training
from tests.factories.evaluations import base_facts
from voicelathe import digest, layout, records
from voicelathe.config import params, schema
from voicelathe.errors import RecordError
from voicelathe.process import jobs, runner
from voicelathe.runs import identity, results
from voicelathe.stages import preflight, train
from voicelathe.train import batches, schedule

PARAMS = params.load()
RECIPE = PARAMS.recipes["mini-lora"]


def step(number: int, total: float) -> records.StepRecord:
    return records.StepRecord(number, {"diff": total, "stop": 0.0}, total, 1.0, {}, 1e-3, ["a"], {}, [])


def sample(candidate: str, number: int, problem: str | None) -> records.SampleRecord:
    return records.SampleRecord(
        candidate, number, 1.0, "x", "text", 1, {}, None, None, 1.0, -3.0, -20.0, True, problem
    )


def test_every_multiple_and_the_last_step_are_kept_and_no_step_twice() -> None:
    assert training.train_settings(steps=10, every=4).checkpoint_steps == [4, 8, 10]
    assert training.train_settings(steps=8, every=4).checkpoint_steps == [4, 8]


def test_the_base_is_one_candidate_whatever_the_strengths() -> None:
    index = [
        records.CheckpointRecord(0, "base", "b", 1, "x"),
        records.CheckpointRecord(5, "lora", "c", 1, "y"),
    ]
    names = [ref.candidate.name for ref in results.candidates(index, [0.35, 1.0])]
    assert names == ["base", "step_0000005@0.35", "step_0000005@1"]


def test_a_corrected_language_is_another_run_where_the_family_reads_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    latents = layout.latents(RECIPE.base)
    training.corpus(tmp_path / "corpus")
    latents.parent.mkdir(parents=True)
    (tmp_path / "corpus" / "latents").rename(latents)
    clips = records.read(tmp_path / "corpus" / "train.jsonl", records.CleanClip)

    def run(family: str, language: str) -> str:
        records.write(layout.split("train"), [replace(clips[0], language=language), *clips[1:]])
        facts = replace(base_facts(), family=family, digest=PARAMS.bases[RECIPE.base].digest)
        digest.write_json(latents / "base.json", records.to_json(facts))
        return identity.identify(PARAMS, "mini-lora", 1).run_digest

    assert run("qwen3_tts", "en") != run("qwen3_tts", "de")
    assert run("voxcpm2", "en") == run("voxcpm2", "de")


def test_preflight_says_no_when_the_loss_explodes_or_a_checkpoint_says_nothing() -> None:
    assert preflight._failures([step(1, 2.0), step(2, 2.1)], [sample("step_2", 2, "runaway")]) == []
    assert preflight._failures([step(1, 2.0), step(2, 4.1)], [])[0].startswith("loss_exploded")
    assert preflight._failures([step(1, 2.0), step(2, 1.9)], [sample("step_2", 2, "silent")])[0].startswith(
        "silent_speech"
    )
    assert preflight._failures([step(1, 2.0), step(2, 1.9)], [sample("base", 0, "silent")]) == []


def test_preflight_says_no_when_the_probes_of_its_last_checkpoint_miss_the_text_or_the_end_of_speech() -> (
    None
):
    def probed(number: int, *signs: str) -> records.StepRecord:
        return replace(
            step(number, 1.9),
            probe={"text_gap": 0.1, "stop": 0.2},
            signs=[records.Reason.read(one) for one in signs],
        )

    ignored, forgotten = "text_ignored: by 0.1%, earlier by 11.0%", "stop_head_forgets: its loss is 0.9"
    assert preflight._failures([probed(1), step(2, 1.9), probed(4, ignored, forgotten)], []) == [
        ignored,
        forgotten,
    ]
    assert preflight._failures([probed(1), probed(2, ignored), probed(4)], []) == [], "it came back"
    assert preflight._failures([probed(1), probed(4, "loss_spike: 3.1")], []) == [], "a spike is no probe"


def test_preflight_looks_at_every_checkpoint_of_its_trial() -> None:
    short = preflight.trial(RECIPE)
    assert (short.steps, short.checkpoint_every, short.probe_every) == (4, 2, 2)
    many = replace(RECIPE, preflight=replace(RECIPE.preflight, steps=500))
    assert preflight.trial(many).probe_every == RECIPE.train.probe_every, "more often if the recipe says so"


def test_preflight_says_no_when_the_disk_cannot_hold_every_checkpoint() -> None:
    assert preflight.disk_reasons(RECIPE, 1000) == []
    assert preflight.disk_reasons(RECIPE, 10**18)[0].startswith("disk")
    greedy = replace(RECIPE, preflight=replace(RECIPE.preflight, min_free_disk_gib=1e9))
    assert preflight.disk_reasons(greedy, 1000)[0].startswith("disk")


@pytest.mark.parametrize("clips,per_step", [(10, 4), (7, 7), (5, 8)])
def test_every_clip_is_seen_once_before_any_is_seen_twice(clips: int, per_step: int) -> None:
    names = [f"c{number}" for number in range(clips)]
    stream = [
        name for number in range(1, 4 * clips) for name in batches.Order(names, per_step, 1).of_step(number)
    ]
    for start in range(0, 3 * clips, clips):
        assert sorted(stream[start : start + clips]) == sorted(names)


def test_the_order_of_the_manifest_does_not_matter_to_the_order_of_training() -> None:
    names = [f"c{number}" for number in range(9)]
    assert batches.Order(names, 4, 1).of_step(3) == batches.Order(names[::-1], 4, 1).of_step(3)


def test_the_learning_rate_warms_up_peaks_and_ends_at_zero() -> None:
    train = replace(training.train_settings(steps=100), learning_rate=1.0, warmup_steps=10)
    rates = [schedule.learning_rate(number, train) for number in range(1, 101)]
    assert (
        rates[0] == pytest.approx(0.1)
        and max(rates) == rates[9] == 1.0
        and rates[-1] == pytest.approx(0.0, abs=1e-12)
    )
    assert all(later <= earlier for earlier, later in itertools.pairwise(rates[9:]))


def test_weights_of_data_without_consent_stay_marked_when_consent_comes_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    marked, clean = tmp_path / "marked", tmp_path / "clean"
    for policy, directory in (("research", marked), ("required", marked), ("required", clean)):
        digest.write_json(layout.GATE, records.to_json(records.Passed({}, policy, {}, {})))
        train._stamp(directory)
    assert (marked / identity.RESEARCH).is_file() and not (clean / identity.RESEARCH).exists()


def identified(tmp_path: Path, seed: int | None, project_seed: int = PARAMS.seed) -> records.RunRecord:
    """The run of the demo's LoRA with this training seed."""
    latents = layout.latents(RECIPE.base)
    if not latents.is_dir():
        training.corpus(tmp_path / "corpus")
        latents.parent.mkdir(parents=True)
        (tmp_path / "corpus" / "latents").rename(latents)
        layout.split("train").parent.mkdir(parents=True)
        (tmp_path / "corpus" / "train.jsonl").rename(layout.split("train"))
        facts = replace(base_facts(), digest=PARAMS.bases[RECIPE.base].digest)
        digest.write_json(latents / "base.json", records.to_json(facts))
    seeded = replace(RECIPE, train=replace(RECIPE.train, seed=seed))
    changed = replace(PARAMS, seed=project_seed, recipes={"mini-lora": seeded})
    return identity.identify(changed, "mini-lora", 1)


def test_a_training_seed_makes_another_run_and_none_leaves_every_digest_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    plain, other, third = (identified(tmp_path, seed) for seed in (None, 2, 3))
    assert len({plain.run_digest, other.run_digest, third.run_digest}) == 3
    written = records.to_json(plain.identity)
    assert "seed" not in written["train"], "runs from before the setting existed keep their digest and bytes"
    assert plain.run_digest == digest.of_value(written)
    assert records.from_json(records.RunIdentity, written, "run.json") == plain.identity
    seeded = records.to_json(other.identity)
    assert seeded["train"]["seed"] == 2
    assert records.from_json(records.RunIdentity, seeded, "run.json") == other.identity


def test_a_training_seed_changes_the_training_and_nothing_that_pairs_recipes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    plain, other = identified(tmp_path, None), identified(tmp_path, 2)
    assert (plain.identity.training_seed, other.identity.training_seed) == (PARAMS.seed, 2)
    assert plain.identity.seed == other.identity.seed == PARAMS.seed
    asked: list[jobs.TrainJob] = []

    def stop(job: jobs.TrainJob, label: str) -> dict[str, int]:
        asked.append(job)
        raise InterruptedError

    monkeypatch.setattr(runner, "run", stop)
    for one in (plain, other):
        with pytest.raises(InterruptedError):
            train.train(PARAMS, one)
    assert [job.seed for job in asked] == [PARAMS.seed, 2]


def test_a_record_with_an_unknown_or_a_missing_field_is_still_refused() -> None:
    written = records.to_json(training.train_settings())
    for broken in (
        {**written, "sead": 2},
        {name: value for name, value in written.items() if name != "steps"},
    ):
        with pytest.raises(RecordError):
            records.from_json(schema.Train, broken, "run.json")


@pytest.mark.parametrize("candidate", [
    records.Candidate(0, None), records.Candidate(0, None, prompted=True), records.Candidate(2000, None),
    records.Candidate(40, 0.35), records.Candidate(12_345_678, 1.0),
])  # fmt: skip
def test_a_candidate_is_found_by_its_name(candidate: records.Candidate) -> None:
    assert records.Candidate.named(candidate.name) == candidate
