"""What a run says about itself early: spikes with the clips behind them, text that stops to matter, a stop head that forgets."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.factories import training
from voicelathe import families, records
from voicelathe.config import params
from voicelathe.data.latents import cache
from voicelathe.errors import ParamsError
from voicelathe.process import jobs
from voicelathe.train import anomalies, loop, probe


def record(step: int, ending: float = 0.2, norm: float = 2.0, **probed: float) -> records.StepRecord:
    wobble = 0.02 * (step % 3)
    losses = {"diff": 0.8 + wobble, "stop": ending + wobble}
    return records.StepRecord(step, losses, 1.0, norm + wobble, {}, 1e-4, ["a", "b"], probed, [])


def history(length: int = 30, **probed: float) -> list[records.StepRecord]:
    return [record(step, **probed) for step in range(1, length + 1)]


USUAL = {"diff": 0.82, "stop": 0.22}
CLIPS = {"a": {"diff": 0.9, "stop": 0.1}, "b": {"diff": 0.8, "stop": 7.25}}


def kinds(found: list[str]) -> list[str]:
    return [sign.split(":")[0] for sign in found]


def test_a_step_far_above_the_last_twenty_is_named_with_its_worst_clips() -> None:
    watch = anomalies.Watch(history())
    assert watch.spikes(USUAL, 2.1, CLIPS) == []
    (sign,) = watch.spikes(USUAL, 51.0, CLIPS)
    assert sign.startswith("grad_norm_spike: 51.000, the median of the last 20 steps is 2.020")
    assert sign.endswith("b (8.050), a (1.000)")


def test_an_ending_that_is_wrong_stands_out_although_the_total_hardly_moves() -> None:
    watch = anomalies.Watch(history())
    (sign,) = watch.spikes({**USUAL, "stop": 0.9}, 2.0, CLIPS)
    assert sign.startswith("stop_loss_spike: 0.900") and sign.endswith("b (7.250), a (0.100)")
    assert kinds(watch.spikes({"diff": 9.0, "stop": 0.9}, 2.0, CLIPS)) == [
        "diff_loss_spike",
        "stop_loss_spike",
    ]


def test_a_loss_near_zero_may_double() -> None:
    watch = anomalies.Watch([record(step, ending=-0.02 * (step % 3) + 0.001) for step in range(30)])
    assert watch.spikes({**USUAL, "stop": 0.05}, 2.0, CLIPS) == []
    assert kinds(watch.spikes({**USUAL, "stop": 0.1}, 2.0, CLIPS)) == ["stop_loss_spike"]


def test_a_run_that_has_just_begun_has_no_spikes() -> None:
    assert anomalies.Watch(history(9)).spikes({"diff": 100.0, "stop": 100.0}, 100.0, CLIPS) == []
    assert len(anomalies.Watch(history(10)).spikes({"diff": 100.0, "stop": 100.0}, 100.0, CLIPS)) == 3


def test_the_high_losses_of_a_beginning_do_not_hide_what_comes_later() -> None:
    falling = [record(step, ending=3.0 / step + 0.1 * (step % 2)) for step in range(1, 31)]
    assert kinds(anomalies.Watch(falling).spikes({**USUAL, "stop": 1.5}, 2.0, CLIPS)) == ["stop_loss_spike"]


def test_a_noisy_run_is_not_full_of_spikes() -> None:
    noisy = [record(step, norm=1.0 + (step * 7919 % 100) / 50) for step in range(60)]
    assert anomalies.Watch(noisy).spikes(USUAL, 4.5, CLIPS) == [], (
        "more than twice the median, within the noise"
    )


def test_text_that_mattered_and_stops_to_matter_is_a_sign() -> None:
    watch = anomalies.Watch(history(3, text_gap=0.20, stop=0.05))
    assert watch.probed({"text_gap": 0.06, "stop": 0.05}) == []
    (sign,) = watch.probed({"text_gap": 0.04, "stop": 0.05})
    assert sign.startswith("text_ignored: another clip's text raises the loss by 4.0%, earlier by 20.0%")
    assert anomalies.Watch(history(3, text_gap=0.01)).probed({"text_gap": 0.0}) == [], "an untrained base"


def test_a_stop_loss_that_rises_again_is_a_sign() -> None:
    watch = anomalies.Watch([*history(2, stop=0.08), record(3, stop=0.04), record(4, stop=0.05)])
    assert watch.probed({"stop": 0.055}) == []
    assert watch.probed({"stop": 0.061})[0].startswith("stop_head_forgets: its loss is 0.061, earlier 0.040")
    assert anomalies.Watch(history(1, stop=0.001)).probed({"stop": 0.015}) == [], "too small to matter"


def test_a_probe_repeats_exactly_and_leaves_the_model_training(tmp_path: Path) -> None:
    root = training.corpus(tmp_path)
    family = families.find("voxcpm2")
    model = family.open_model(
        training.BASE, family.describe(training.BASE, "", False), training.target().machine
    )
    clips = cache.items(root / "train.jsonl", root / "latents", None)
    chosen = [clips[clip_id] for clip_id in probe.clips(list(clips), seed=1)]
    assert len(chosen) == 8
    model.core.train()
    first = probe.look(family.spec, model, chosen, seed=1)
    assert first == probe.look(family.spec, model, chosen, seed=1)
    assert set(first) == {"text_gap", "stop"} and model.core.training
    assert first["text_gap"] != 0.0
    assert "text_gap" not in probe.look(family.spec, model, chosen[:1], seed=1)


def test_probes_and_signs_are_in_the_journal_and_told_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(anomalies, "ENOUGH", 1)
    monkeypatch.setattr(anomalies, "TIMES", 0.1)
    monkeypatch.setattr(anomalies, "SIGMAS", -1e9)
    monkeypatch.setattr(anomalies, "SHARE", -1e9)
    told: list[str] = []

    def listen(kind: str, values: dict[str, Any]) -> None:
        if kind == jobs.NOTICE:
            told.append(values["text"])

    train = replace(training.train_settings("lora", steps=4, every=4), probe_every=2)
    root = training.corpus(tmp_path)
    loop.run(training.train_job(root, tmp_path / "run", train), listen)
    steps = records.read(tmp_path / "run" / "steps.jsonl", records.StepRecord)
    assert [bool(step.probe) for step in steps] == [True, True, False, True]
    assert [bool(step.signs) for step in steps] == [False, True, True, True]
    assert told == [f"step {step.step}: {text}" for step in steps for text in step.signs]
    assert all(any(clip_id in text for clip_id in step.clip_ids) for step in steps for text in step.signs)


def test_the_encoder_is_cached_only_where_it_is_frozen() -> None:
    tree = params.read_yaml(Path("params.yaml"))
    tree["recipes"]["mini-lora"]["train"]["cache_encoder"] = True
    params.check(tree, "params.yaml")
    tree["recipes"]["mini-lora"]["train"]["lora"]["scope"].append("proj")
    with pytest.raises(ParamsError, match="a scope of dit, lm"):
        params.check(tree, "params.yaml")
    tree["recipes"]["mini-lora"]["train"]["cache_encoder"] = False
    params.check(tree, "params.yaml")
