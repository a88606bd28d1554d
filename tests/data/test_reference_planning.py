"""Who may stand in front of whom in training: never the clip's own component, nothing held out, and what rows name only where it can be used."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.factories import audio, rows
from voicelathe import digest, records
from voicelathe.data.audio import files
from voicelathe.data.references import planning
from voicelathe.data.references.pairs import Pairs
from voicelathe.errors import SplitError
from voicelathe.records import CleanClip, ManifestRow, ReferencePlan, SplitAssignment


def clip(
    number: int, recording: str, speaker: str = "lark", ref: str | None = None, seconds: float = 3.0
) -> CleanClip:
    name = f"{recording}.wav"
    return CleanClip(
        clip_id=f"c{number:03d}", audio=name, start_s=0.0, end_s=seconds, text="It rains.", recording_id=recording,
        speaker_id=speaker, language="en", audio_sha256=digest.of_value(name), samples_sha256=digest.of_value([name, number]),
        duration_s=seconds, ref_audio=ref,
    )  # fmt: skip


def corpus() -> list[CleanClip]:
    """lark has recordings a to d, of which a and b are one component; wren has one."""
    made = [clip(number, recording) for number, recording in enumerate("aabbccddd")]
    return [*made, clip(20, "w", "wren"), clip(21, "d", seconds=0.4)]


def assigned(clips: list[CleanClip], split: str = "train") -> list[SplitAssignment]:
    one_component = {"a": "a", "b": "a"}
    return [
        SplitAssignment(name, one_component.get(name, name), split, 1, 1.0)
        for name in sorted({one.recording_id for one in clips})
    ]


def planned(root: Path, train: list[CleanClip], **held: list[CleanClip]) -> planning.Planned:
    splits = {"train": train, "validation": [], "test": [], **held}
    return planning.plan(root, splits, assigned([one for clips in splits.values() for one in clips]))


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def draws(plan: ReferencePlan, share: float = 1.0, steps: int = 400) -> dict[str, Counter[str | None]]:
    pairs = Pairs(plan, share, 7)
    return {one: Counter(pairs.of(one, step) for step in range(steps)) for one in plan.speakers}


def test_a_partner_is_of_the_same_speaker_and_never_of_the_clip_s_own_component(tmp_path: Path) -> None:
    plan = planned(tmp_path, corpus()).plan
    for one, found in draws(plan).items():
        for partner in set(found) - {None}:
            assert plan.speakers[partner] == plan.speakers[one]
            assert plan.components[partner] != plan.components[one]
    assert set(draws(plan)["c000"]) == {"c004", "c005", "c006", "c007", "c008"}, (
        "not of b, which is a's performance"
    )


def test_every_partner_has_the_same_chance_and_a_short_clip_is_none(tmp_path: Path) -> None:
    found = draws(planned(tmp_path, corpus()).plan, steps=4000)
    assert "c021" not in {partner for counts in found.values() for partner in counts}, "0.4 s"
    counts = found["c006"]
    assert (
        len(counts) == 6 and min(counts.values()) > 0.8 * 4000 / 6 and max(counts.values()) < 1.2 * 4000 / 6
    )


def test_a_clip_of_more_than_thirty_seconds_is_nobody_s_partner(tmp_path: Path) -> None:
    train = [*corpus(), clip(30, "e", seconds=31.0), clip(31, "f", seconds=30.0)]
    partners = {one for counts in draws(planned(tmp_path, train).plan, steps=200).values() for one in counts}
    assert "c030" not in partners and "c031" in partners


def test_whether_and_which_are_drawn_apart_and_for_each_clip(tmp_path: Path) -> None:
    plan = planned(tmp_path, corpus()).plan
    assert set(draws(plan, 0.5)["c000"]) == {None, "c004", "c005", "c006", "c007", "c008"}
    names = [f"c{number:03d}" for number in range(100)]
    wide = replace(
        plan,
        speakers=dict.fromkeys(names, "lark"),
        components={one: str(number % 2) for number, one in enumerate(names)},
        usable=names,
        own={},
    )
    in_front = Pairs(wide, 0.5, 7).of_step(names, 3)
    assert 30 < len(in_front) < 70, "of one step some have a reference and some have none"
    for component in ("0", "1"):
        heard = {one for name, one in in_front.items() if wide.components[name] == component}
        assert len(heard) > 8, "clips that could have the same have different ones"


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_the_share_of_visits_with_a_reference_is_the_one_asked_for(tmp_path: Path, share: float) -> None:
    found = draws(planned(tmp_path, corpus()).plan, share, steps=2000)
    bare = sum(found[f"c00{number}"][None] for number in range(9)) / (9 * 2000)
    assert 1 - bare == pytest.approx(share, abs=0.02 if 0 < share < 1 else 0)
    assert found["c020"][None] == 2000, "wren has no other recording"


def test_pairs_know_no_order_of_rows_clips_or_steps(tmp_path: Path) -> None:
    plan, other = planned(tmp_path, corpus()).plan, planned(tmp_path, corpus()[::-1]).plan
    assert records.to_json(plan) == records.to_json(other)
    names = [f"c00{number}" for number in range(9)]
    ahead = [Pairs(plan, 0.5, 7).of(one, step) for step in range(20) for one in names]
    late = Pairs(plan, 0.5, 7)
    behind = [late.of(one, step) for step in reversed(range(20)) for one in reversed(names)]
    assert ahead == behind[::-1]
    assert late.of_step(names, 3) == {one: found for one in names if (found := late.of(one, 3)) is not None}
    assert ahead != [Pairs(plan, 0.5, 8).of(one, step) for step in range(20) for one in names]


def test_the_recording_of_a_row_stands_in_front_of_it(tmp_path: Path) -> None:
    audio.write(tmp_path / "refs/calm.wav", audio.speech(4.0))
    rows = [
        replace(one, ref_audio="refs/calm.wav") if one.clip_id in ("c000", "c020") else one
        for one in corpus()
    ]
    found = planned(tmp_path, rows)
    (calm,) = {one.clip_id for one in found.plan.named if one.speaker_id == "lark"}
    assert set(draws(found.plan)["c000"]) == {calm}
    assert set(draws(found.plan)["c020"]) == {found.plan.own["c020"]}, "and helps who has no partner"
    assert found.plan.named[0].audio_sha256 == files.hash_file(tmp_path, "refs/calm.wav")
    assert found.notices == [
        "references: 11 of 11 clips can have one, 2 of them the ref_audio of their row, the others another recording of their speaker"
    ]
    audio.write(tmp_path / "refs/calm.wav", audio.speech(4.0, seed=3))
    assert records.to_json(planned(tmp_path, rows).plan) != records.to_json(found.plan), (
        "another content is another plan"
    )


def test_what_cannot_be_a_reference_is_said_with_its_reason_and_a_partner_stands_in(tmp_path: Path) -> None:
    train = corpus()
    audio.write(tmp_path / "short.wav", audio.speech(0.3))
    audio.write(tmp_path / "long.wav", audio.speech(31.0))
    audio.write(tmp_path / "silent.wav", audio.silence(3.0))
    audio.write(tmp_path / "hum.wav", audio.noise(3.0, level=1e-4))
    audio.write(tmp_path / "w.wav", audio.speech(3.0))
    audio.write(tmp_path / "b.wav", audio.speech(3.0, seed=2))
    (tmp_path / "broken.wav").write_bytes(b"RIFF and nothing else")
    named = [
        "short.wav",
        "long.wav",
        "silent.wav",
        "hum.wav",
        "w.wav",
        "b.wav",
        "broken.wav",
        "gone.wav",
        "../out.wav",
    ]
    rows = [replace(one, ref_audio=name) for one, name in zip(train, named, strict=False)] + train[
        len(named) :
    ]
    found = planned(tmp_path, rows)
    assert found.plan.own == {"c005": found.plan.named[0].clip_id}, (
        "b.wav before a clip of c: another component"
    )
    said = next(one for one in found.notices if one.startswith("ref_audio_not_used"))
    for reason in (
        "clip c000, short.wav (too_short: 0.30 s, at least 1)", "clip c001, long.wav (too_long: 31.0 s, at most 30",
        "clip c002, silent.wav (silent: digital silence)", "clip c003, hum.wav (silent: -", "at its loudest)",
        "clip c004, w.wav (other_speaker: wren, the clip is of lark)", "clip c007, gone.wav (missing: ", "clip c008, ../out.wav (outside_root: ",
    ):  # fmt: skip
        assert reason in said
    assert "2 silent" in said and "clip c006, broken.wav (" in said
    assert None not in draws(found.plan)["c000"], "a partner stands in"
    own = [replace(train[0], ref_audio="a.wav"), replace(train[1], ref_audio="b.wav"), *train[2:]]
    audio.write(tmp_path / "a.wav", audio.speech(3.0, seed=1))
    (said,) = [one for one in planned(tmp_path, own).notices if one.startswith("ref_audio_not_used")]
    assert "2 own_recording" in said and "clip c001, b.wav (own_recording" in said


def test_a_copy_of_the_clip_s_own_recording_or_of_another_speaker_s_is_known_by_its_content(
    tmp_path: Path,
) -> None:
    for number, name in enumerate(("a", "w")):
        audio.write(tmp_path / f"{name}.wav", audio.speech(3.0, seed=number))
        (tmp_path / f"copy-{name}.wav").write_bytes((tmp_path / f"{name}.wav").read_bytes())
    real = {name: files.hash_file(tmp_path, f"{name}.wav") for name in ("a", "w")}
    train = [replace(one, audio_sha256=real.get(one.recording_id, one.audio_sha256)) for one in corpus()]
    train[0] = replace(train[0], ref_audio="copy-a.wav")
    train[2] = replace(train[2], ref_audio="copy-a.wav")
    train[4] = replace(train[4], ref_audio="copy-w.wav")
    found = planned(tmp_path, train)
    assert found.plan.own == {}
    said = next(
        one for one in found.notices if one.startswith("ref_audio_not_used: 2 own_recording, 1 other")
    )
    assert "clip c000, copy-a.wav (own_recording" in said
    assert "clip c002, copy-a.wav (own_recording" in said, "of b, the same performance"
    assert "clip c004, copy-w.wav (other_speaker: wren, the clip is of lark)" in said


def test_a_recording_that_rows_of_two_speakers_name_is_a_row_for_each_of_them(tmp_path: Path) -> None:
    audio.write(tmp_path / "calm.wav", audio.speech(4.0))
    train = [
        replace(one, ref_audio="calm.wav") if one.clip_id in ("c000", "c004", "c020") else one
        for one in corpus()
    ]
    plan = planned(tmp_path, train).plan
    of_row = {one.clip_id: one.speaker_id for one in plan.named}
    assert {clip_id: of_row[plan.own[clip_id]] for clip_id in plan.own} == {
        "c000": "lark",
        "c004": "lark",
        "c020": "wren",
    }
    assert len(plan.named) == 2 and plan.own["c000"] == plan.own["c004"]


def test_a_recording_with_samples_that_are_no_numbers_is_refused(tmp_path: Path) -> None:
    broken = audio.speech(3.0)
    broken[100] = np.nan
    audio.write(tmp_path / "nan.wav", broken, subtype="FLOAT")
    found = planned(tmp_path, [replace(corpus()[0], ref_audio="nan.wav"), *corpus()[1:]])
    assert found.plan.own == {}
    assert any("clip c000, nan.wav (nonfinite_samples: " in one for one in found.notices)


@pytest.mark.parametrize("split", ["validation", "test"])
@pytest.mark.parametrize("known_by", ["path", "content"])
def test_a_held_out_recording_is_known_by_its_path_alone_and_by_its_content_alone(
    tmp_path: Path, split: str, known_by: str
) -> None:
    audio.write(tmp_path / "ref.wav", audio.speech(3.0))
    held = clip(50, "ref") if known_by == "path" else clip(50, "held")
    if known_by == "content":
        held = replace(held, audio_sha256=files.hash_file(tmp_path, "ref.wav"))
    rows = [replace(corpus()[0], ref_audio="ref.wav"), *corpus()[1:]]
    with pytest.raises(SplitError, match=f"clip c000 of train: ref.wav is a recording of {split}"):
        planned(tmp_path, rows, **{split: [held]})
    assert planned(tmp_path, rows).plan.own.keys() == {"c000"}, "where it is not held out it can be used"


@pytest.mark.parametrize("split", ["validation", "test"])
@pytest.mark.parametrize("copied", [False, True])
def test_a_reference_that_is_held_out_is_refused_by_name(tmp_path: Path, split: str, copied: bool) -> None:
    audio.write(tmp_path / "held.wav", audio.speech(3.0))
    held = replace(clip(50, "held"), audio_sha256=files.hash_file(tmp_path, "held.wav"))
    name = "held.wav"
    if copied:
        name = "copy.wav"
        (tmp_path / name).write_bytes((tmp_path / "held.wav").read_bytes())
    rows = [replace(corpus()[0], ref_audio=name), *corpus()[1:]]
    with pytest.raises(SplitError, match=rf"clip c000 of train: {name} is a recording of {split}") as seen:
        planned(tmp_path, rows, **{split: [held]})
    assert "1 rows name a reference" in str(seen.value) and "train.reference_share to 0.0" in str(seen.value)
    partners = {
        one
        for counts in draws(planned(tmp_path, corpus(), **{split: [held]}).plan).values()
        for one in counts
    }
    assert held.clip_id not in partners


def test_a_row_of_the_raw_manifest_that_names_other_rows_audio_hears_one_of_them_a_bad_one_first() -> None:
    def row(name: str, recording: str, audio: str, ref: str | None = None, **values: str) -> ManifestRow:
        made = replace(rows.manifest_row(), clip_id=name, recording_id=recording, audio=audio, ref_audio=ref)
        return replace(made, audio_sha256=digest.of_value(audio.removeprefix("copy-")), **values)

    known = [
        *(row("a1", "a", "a.wav"), row("a2", "a", "a.wav"), row("a3", "a2", "copy-a.wav")),
        *(row("b", "b", "b.wav", "a.wav"), row("c", "c", "c.wav", "elsewhere.wav")),
        *(row("d", "d", "d.wav", "copy-a.wav"), row("e", "a2", "e.wav", "a.wav")),
        row("w", "w", "w.wav", "a.wav", speaker_id="another"),
    ]

    def own(bad: set[str]) -> dict[str, str]:
        return planning.of_raw(known, bad).own

    assert own(set()) == {"b": "a1", "c": "elsewhere.wav", "d": "a1"}, (
        "not e, whose recording has a copy of it"
    )
    assert own({"a2"}) == {"b": "a2", "c": "elsewhere.wav", "d": "a2"}
    assert own({"a3"}) == {"b": "a3", "c": "elsewhere.wav", "d": "a3"}, "the same audio under another name"


def test_clips_without_any_partner_are_counted_and_a_corpus_of_them_is_refused(tmp_path: Path) -> None:
    notices = planned(tmp_path, corpus()).notices
    assert (
        notices[-1] == "trains_without_reference: 1 clips, whose speakers have no other recording; first c020"
    )
    alone = [clip(0, "a"), clip(1, "a"), clip(2, "b"), clip(3, "w", "wren", ref="gone.wav")]
    with pytest.raises(
        SplitError, match=r"None of the 4 clips of train can have a reference.*c003, gone.wav \(missing"
    ):
        planned(tmp_path, alone)
