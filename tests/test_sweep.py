"""What the base hears before it speaks zero-shot."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.factories import evaluations as make
from tests.factories import runs
from voicelathe import jobs, layout, params, records, sweep
from voicelathe.errors import RecordError


def reference(
    root: Path, monkeypatch: pytest.MonkeyPatch, *lengths: tuple[str, str, float]
) -> jobs.Reference | None:
    """Validation clips as (speaker, recording, seconds)."""
    runs.project(root)
    clips = [
        replace(
            runs.clip("validation", number, speaker),
            recording_id=recording,
            end_s=seconds,
            duration_s=seconds,
        )
        for number, (speaker, recording, seconds) in enumerate(lengths)
    ]
    records.write(root / layout.split("validation"), clips)
    monkeypatch.chdir(root)
    return sweep.reference(params.load())


def test_the_base_hears_a_clip_of_about_five_seconds_and_one_of_another_recording(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = reference(
        tmp_path,
        monkeypatch,
        ("awb", "a", 2.0),
        ("awb", "a", 5.2),
        ("awb", "a", 4.9),
        ("awb", "b", 1.0),
        ("rms", "c", 5.0),
    )
    assert found is not None
    assert [(clip.recording_id, clip.duration_s) for clip in found.clips] == [("a", 4.9), ("b", 1.0)]
    assert {clip.speaker_id for clip in found.clips} == {"awb"}, "the speaker with most held-out clips"


def test_a_single_held_out_clip_gives_no_reference(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert reference(tmp_path, monkeypatch, ("awb", "a", 5.0)) is None


def test_a_family_without_references_refuses_to_be_asked_for_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from voicelathe.errors import ParamsError

    runs.project(tmp_path)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        ParamsError, match=r"recipes\.mini-lora\.evaluate\.zero_shot = true: voxcpm15 takes no reference clip"
    ):
        params.edit({f"bases/{runs.BASE}/family": "voxcpm15"})


def test_held_out_sentences_become_lines_but_none_of_the_recording_that_the_base_hears(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    many = [
        ("awb", "a", 4.9),
        *(("awb", name, 2.0) for name in "bcdefg"),
        ("awb", "h", 9.0),
        ("rms", "i", 2.0),
    ]
    assert reference(tmp_path, monkeypatch, *many) is not None
    chosen = params.load()
    how = replace(params.recipe(chosen, "mini-lora").listen, held_out_lines=2)
    found = sweep.with_held_out(chosen, how, 7)
    own = {one.clip_id: one for one in records.read(layout.split("validation"), records.CleanClip)}
    added = found.lines[len(how.lines) :]
    assert len(added) == 2 and found == sweep.with_held_out(chosen, how, 7)
    for line in added:
        clip = own[line.id.removeprefix(records.HELD_OUT)]
        assert (line.text, line.language) == (clip.text, clip.language)
        assert clip.recording_id in "bcdefg" and clip.speaker_id == "awb"
    assert sweep.with_held_out(chosen, replace(how, held_out_lines=0), 7).lines == how.lines


def test_more_held_out_lines_than_there_are_is_refused_with_their_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reference(tmp_path, monkeypatch, ("awb", "a", 5.0), ("awb", "a", 4.0), ("awb", "b", 2.0))
    chosen = params.load()
    how = replace(params.recipe(chosen, "mini-lora").listen, held_out_lines=2)
    with pytest.raises(RecordError, match=r"held_out_lines = 2, but .* holds 1 clips.*Ask for 1"):
        sweep.with_held_out(chosen, how, 7)


def test_the_long_lines_are_for_the_bases_and_the_two_lowest_totals() -> None:
    known = [*make.candidates(10, 20, 30), records.Candidate(0, None, True)]
    totals = {10: 0.9, 20: 0.7, 30: 0.8}
    rows = [
        records.EvaluationRecord(one.name, one.step, one.lora_scale, "", {}, totals.get(one.step, 1.0), 1, 1)
        for one in known
    ]
    assert sweep.long_form(rows) == {"base", "base_zero_shot", "step_0000020@1", "step_0000030@1"}
