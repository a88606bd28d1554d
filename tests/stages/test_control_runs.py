"""Training with controls from the parent's side: what preflight says, which run it is, and what the worker makes of it."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.stages.test_reference_runs import clip, settings
from voicelathe import layout, records
from voicelathe.config import schema
from voicelathe.errors import ManifestError
from voicelathe.plan import forecast
from voicelathe.runs import controls, identity
from voicelathe.stages import encode, train


def wanted(root: Path, control: bool, family: str | None = None) -> schema.Params:
    known = settings(root, 0.0)
    one = known.recipes["mini-lora"]
    made = replace(known, recipes={"mini-lora": replace(one, train=replace(one.train, control=control))})
    if family is None:
        return made
    return replace(made, bases={one.base: replace(made.bases[one.base], family=family)})


def write(members: list[records.CleanClip], told: dict[str, str]) -> None:
    for split, some in (("train", members[:6]), ("validation", members[6:7]), ("test", members[7:])):
        records.write(layout.split(split), [replace(one, control=told.get(one.clip_id)) for one in some])


@pytest.fixture
def members(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[records.CleanClip]:
    monkeypatch.chdir(tmp_path)
    return [clip(tmp_path, number) for number in range(8)]


@pytest.mark.slow
def test_a_run_with_controls_is_another_run_and_another_control_another_one(
    tmp_path: Path, members: list[records.CleanClip]
) -> None:
    write(members, {})
    encode.encode(wanted(tmp_path, False), next(iter(wanted(tmp_path, False).bases)))
    bare = identity.identify(wanted(tmp_path, False), "mini-lora", 1)
    assert "controls_digest" not in records.to_json(bare.identity)
    found = []
    for told in ({"c0": "slow"}, {"c0": "slow", "c7": "low"}, {"c0": "fast"}, {"c1": "slow"}):
        write(members, told)
        assert identity.identify(wanted(tmp_path, False), "mini-lora", 1).run_digest == bare.run_digest
        found.append(identity.identify(wanted(tmp_path, True), "mini-lora", 1).run_digest)
    assert found[0] == found[1], "a held-out control trains nothing"
    assert len({bare.run_digest, *found}) == 4
    write(members, {"c0": "slow", "c2": "slow"})
    on = wanted(tmp_path, True)
    plan = forecast.rehearse(on, next(iter(on.bases)), on.recipes["mini-lora"].train, "x", False)[0]
    off = forecast.rehearse(
        wanted(tmp_path, False),
        next(iter(on.bases)),
        wanted(tmp_path, False).recipes["mini-lora"].train,
        "x",
        False,
    )[0]
    assert sum(plan.size.text_tokens) > sum(off.size.text_tokens), "the plan knows the longer texts"
    finished, index = train.train(on, identity.identify(on, "mini-lora", 1))
    assert [one.step for one in index] == [0, 2, 4] and finished.identity.controls_digest


def test_preflight_says_controls_that_are_used_and_those_that_are_not(
    tmp_path: Path, members: list[records.CleanClip]
) -> None:
    write(members, {})
    assert controls.notices(wanted(tmp_path, False), "mini-lora") == []
    write(members, {"c0": "slow", "c3": "slow"})
    (said,) = controls.notices(wanted(tmp_path, True), "mini-lora")
    assert said.startswith("control: 2 of 6 clips of train have one, 1 values: slow 2")
    (said,) = controls.notices(wanted(tmp_path, False), "mini-lora")
    assert (
        said
        == "control_not_used: 2 of 6 clips of train have a control (slow 2), and none is trained with: train.control is false"
    )
    (said,) = controls.notices(wanted(tmp_path, False, "cosyvoice3"), "mini-lora")
    assert said.endswith("none is trained with: cosyvoice3 knows none")


def test_a_control_of_a_held_out_clip_that_cannot_be_used_stops_preflight_too(
    tmp_path: Path, members: list[records.CleanClip]
) -> None:
    write(members, {"c0": "slow", "c6": "(low)"})
    with pytest.raises(ManifestError, match=r"clip c6, 6.wav: '\(low\)' \(brackets"):
        controls.notices(wanted(tmp_path, True), "mini-lora")
    assert controls.notices(wanted(tmp_path, False), "mini-lora"), "who trains without is not stopped"
