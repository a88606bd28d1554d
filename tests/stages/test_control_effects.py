"""Lines under opposite controls are spoken by real weights, heard again and compared; a failed sample has no effect."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.stages.test_control_runs import wanted, write
from tests.stages.test_reference_runs import clip
from tests.stages.test_replay_runs import encoded as encoded
from tests.stages.test_replay_runs import project as project
from voicelathe import digest, layout, records
from voicelathe.config import schema
from voicelathe.data.audio import waveform
from voicelathe.runs import identity
from voicelathe.runs.results import FULL_SCALE, candidates
from voicelathe.speech.manner import Manner
from voicelathe.stages import encode, evaluate, train
from voicelathe.stages.controls import effects


def asked(root: Path, lines: int) -> schema.Params:
    known = wanted(root, False)
    one = known.recipes["mini-lora"]
    return replace(
        known, recipes={"mini-lora": replace(one, evaluate=replace(one.evaluate, control_lines=lines))}
    )


@pytest.fixture(autouse=True)
def _brief(monkeypatch: pytest.MonkeyPatch) -> None:
    """Random weights never end by themselves."""
    monkeypatch.setattr(effects, "TIMES", 0.5)


def test_effects_are_above_zero_where_speech_is_as_it_was_asked_for() -> None:
    one, other = Manner(2.0, -20.0, 200.0), Manner(1.0, -26.0, 100.0)
    found = {kind: compare(one, other) for kind, compare in effects.COMPARE.items()}
    assert found == pytest.approx({"pace": math.log(2), "level": 6.0, "pitch": 12.0})
    assert set(effects.COMPARE) == set(effects.PAIRS)
    assert effects.PAIRS == {
        "pace": ("slow", "fast"), "level": ("loud", "soft"), "pitch": ("high", "low"),
    }  # fmt: skip
    assert effects.COMPARE["pitch"](one, replace(other, pitch_hz=None)) is None


def test_a_sample_that_failed_or_is_not_there_has_no_manner(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    at = np.arange(32000) / 16000
    waveform.write_wav(path, (0.3 * np.sin(2 * np.pi * 200 * at)).astype(np.float32), 16000)
    sample = records.SampleRecord(
        "base",
        0,
        None,
        "x",
        "It rains.",
        1,
        {},
        path.as_posix(),
        digest.of_file(path),
        2.0,
        -10.0,
        -12.0,
        True,
        None,
    )
    found = effects.heard(sample)
    assert found is not None and found.seconds == pytest.approx(2.0, abs=0.05)
    assert effects.heard(replace(sample, problem="runaway")) is None
    assert effects.heard(replace(sample, path=None, sha256=None)) is None


@pytest.mark.slow
def test_every_candidate_speaks_the_same_lines_under_six_controls(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    members = [clip(tmp_path, number) for number in range(8)]
    write(members, {})
    known = asked(tmp_path, 4)
    encode.encode(known, next(iter(known.bases)))
    assert [one.clip_id for one in effects.chosen(1, 4)] == ["c6"], "of validation alone"
    records.write(layout.split("validation"), [replace(members[6], text="(soft) It rains.")])
    assert effects.chosen(1, 4) == [], "a text that begins with brackets has a control already"
    again = [replace(members[6], clip_id="c5", text=f"  {members[6].text.upper()}"), members[6]]
    records.write(layout.split("validation"), again)
    assert [one.clip_id for one in effects.chosen(1, 4)] == ["c6"], "one sentence in two manners is one line"
    records.write(layout.split("validation"), members[6:7])
    finished, index = train.train(known, identity.identify(known, "mini-lora", 1))
    refs = candidates([index[0], index[-1]], [FULL_SCALE])
    found = effects.of(known, finished, refs)
    assert set(found) == {one.candidate.name for one in refs}
    assert all(
        set(one) == set(effects.PAIRS) and all(set(held) <= {"c6"} for held in one.values())
        for one in found.values()
    )
    spoken = sorted(path.stem for path in (Path(finished.directory) / "controls/base").glob("*.json"))
    assert len(spoken) == 6 and spoken[0].startswith("level-loud-c6")
    before = {
        path: path.stat().st_mtime_ns for path in (Path(finished.directory) / "controls").rglob("*.wav")
    }
    assert len({digest.of_file(path) for path in before if path.parent.name == "base"}) > 1, (
        "a control changes what is said"
    )
    assert effects.of(known, finished, refs) == found
    assert {path: path.stat().st_mtime_ns for path in before} == before, "nothing is spoken again"


@pytest.mark.slow
def test_the_stage_evaluate_keeps_effects_beside_the_other_probes(project: Path) -> None:
    known = asked(project, 2)
    one = known.recipes["mini-lora"]
    known = replace(
        known, recipes={"mini-lora": replace(one, evaluate=replace(one.evaluate, zero_shot=None))}
    )
    finished, index = train.train(known, identity.identify(known, "mini-lora", 1))
    digest.write_json(layout.run("mini-lora", "run.json"), records.to_json(finished))
    listed = {"run_digest": finished.run_digest, "checkpoints": [records.to_json(entry) for entry in index]}
    digest.write_json(layout.run("mini-lora", "checkpoints.json"), listed)
    evaluations, _, probes = evaluate.evaluate(known, "mini-lora")
    assert {one.candidate for one in probes} == {one.candidate for one in evaluations} and len(probes) >= 3
    assert all(one.controls is not None and set(one.controls) == set(effects.PAIRS) for one in probes)
    how = replace(one.evaluate, zero_shot=None, control_lines=0)
    bare = replace(known, recipes={"mini-lora": replace(one, evaluate=how)})
    assert all(one.controls is None for one in evaluate.evaluate(bare, "mini-lora")[2])
