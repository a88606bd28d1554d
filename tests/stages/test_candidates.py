"""What the base hears before it speaks zero-shot."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.factories import runs
from voicelathe import layout, records
from voicelathe.config import params
from voicelathe.errors import LinesError, ParamsError
from voicelathe.process import jobs
from voicelathe.stages import listen
from voicelathe.stages.references import clips


def reference(
    root: Path, monkeypatch: pytest.MonkeyPatch, *lengths: tuple[str, str, float]
) -> jobs.Reference | None:
    """Validation clips as (speaker, recording, seconds)."""
    runs.project(root)
    made = [
        replace(
            runs.clip("validation", number, speaker),
            recording_id=recording,
            end_s=seconds,
            duration_s=seconds,
            text=f"Nobody trained on number {number}.",
        )
        for number, (speaker, recording, seconds) in enumerate(lengths)
    ]
    records.write(root / layout.split("validation"), made)
    monkeypatch.chdir(root)
    return clips.reference(params.load(), "mini-lora")


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


def test_a_chosen_clip_stands_in_front_and_the_usual_one_behind_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert reference(tmp_path, monkeypatch, *MANY) is not None
    params.edit({"recipes/mini-lora/evaluate/reference": "validation-003"})
    found = clips.reference(params.load(), "mini-lora")
    assert found is not None
    assert [clip.clip_id for clip in found.clips] == ["validation-003", "validation-000"]
    usual = clips.reference(params.load(), "mini-full")
    assert usual is not None and usual.clips[0].clip_id == "validation-000", "every recipe has its own"


@pytest.mark.parametrize(
    ("chosen", "why"),
    [
        ("train-000", "that is a clip of the train split"),
        (
            "test-001",
            "that is a clip of the test split, and only a clip of the validation split may be heard",
        ),
        ("validation-007", "that is a clip of rms, not of awb"),
        ("nobody", "no clip of the three splits has that id"),
    ],
)
def test_a_clip_that_the_base_must_not_hear_is_refused_by_where_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chosen: str, why: str
) -> None:
    assert reference(tmp_path, monkeypatch, *MANY) is not None
    params.edit({"recipes/mini-lora/evaluate/reference": chosen})
    with pytest.raises(ParamsError, match=why) as refused:
        clips.reference(params.load(), "mini-lora")
    assert "voicelathe references mini-lora" in str(refused.value)


def test_clips_of_the_chosen_recording_hear_the_second_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A line that is said by the recording in front is refused for the chosen clip, too."""
    assert reference(tmp_path, monkeypatch, *MANY) is not None
    params.edit({"recipes/mini-lora/evaluate/reference": "validation-003"})
    records.write(layout.LINES / "demo.jsonl", [held_out(1), held_out(3)])
    with pytest.raises(
        LinesError, match="held-out-validation-003 are sentences of recording d, which the base"
    ):
        listen.spoken_lines(params.load(), "mini-lora")


@pytest.mark.parametrize(
    ("family", "told"),
    [
        ("voxcpm15", "voxcpm15 takes over a voice by continuation; set it to continuation"),
        ("qwen3_tts", "qwen3_tts takes over no voice from a clip; set it to null"),
    ],
)
def test_a_way_that_a_family_does_not_have_is_refused_with_those_it_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, family: str, told: str
) -> None:
    runs.project(tmp_path)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ParamsError, match=rf"recipes\.mini-lora\.evaluate\.zero_shot = reference: {told}"):
        params.edit({f"bases/{runs.BASE}/family": family})


def test_the_clip_is_heard_in_the_way_that_the_recipe_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = reference(tmp_path, monkeypatch, *MANY)
    assert usual is not None and usual.way == "reference"
    params.edit({"recipes/mini-lora/evaluate/zero_shot": "both"})
    again = clips.reference(params.load(), "mini-lora")
    assert again is not None and (again.way, again.clips) == ("both", usual.clips)
    params.edit({"recipes/mini-lora/evaluate/zero_shot": None})
    assert clips.reference(params.load(), "mini-lora") is None


MANY = [("awb", "a", 4.9), *(("awb", name, 2.0) for name in "bcdefg"), ("rms", "i", 2.0)]


def held_out(number: int) -> records.PackLine:
    """The line of a validation clip as `reference` wrote it."""
    (one,) = (clip for clip in own_clips() if clip.clip_id == f"validation-{number:03d}")
    return records.PackLine(
        records.HELD_OUT + one.clip_id, one.text, one.language, one.speaker_id, "sentence", one.clip_id, one.recording_id
    )  # fmt: skip


def own_clips() -> list[records.CleanClip]:
    return records.read(layout.split("validation"), records.CleanClip)


def test_the_lines_of_a_sweep_are_those_of_the_pack_in_its_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert reference(tmp_path, monkeypatch, *MANY) is not None
    pack = [held_out(3), *runs.pack(runs.LINES), held_out(1)]
    records.write(layout.LINES / "demo.jsonl", pack)
    assert listen.spoken_lines(params.load(), "mini-lora") == pack


def test_a_line_of_the_recording_that_the_base_hears_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert reference(tmp_path, monkeypatch, *MANY) is not None
    records.write(layout.LINES / "demo.jsonl", [held_out(1), held_out(0)])
    with pytest.raises(
        LinesError, match=r"held-out-validation-000 are sentences of recording a, which the base hears"
    ):
        listen.spoken_lines(params.load(), "mini-lora")


def test_a_held_out_line_whose_clip_left_the_validation_split_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert reference(tmp_path, monkeypatch, *MANY) is not None
    pack = [held_out(1), replace(held_out(2), text="He said something else.")]
    records.write(layout.LINES / "demo.jsonl", pack)
    records.write(
        layout.split("validation"), [clip for clip in own_clips() if clip.clip_id != "validation-001"]
    )
    with pytest.raises(LinesError) as refused:
        listen.spoken_lines(params.load(), "mini-lora")
    assert "2 held-out lines do not fit the validation split" in str(refused.value)
    assert "held-out-validation-001: the clip is not in the validation split" in str(refused.value)
    assert (
        "held-out-validation-002: text is 'He said something else.', but that of the clip is 'Nobody trained on number 2.'"
        in str(refused.value)
    )


def test_a_line_that_was_trained_on_is_refused_with_its_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The gate looks at the packs of its time; a recipe may name another one later."""
    assert reference(tmp_path, monkeypatch, *MANY) is not None
    records.write(layout.LINES / "demo.jsonl", runs.pack({"rain": "It rains.", "leak": "sentence 3"}))
    with pytest.raises(
        LinesError, match=r"leak of lines/demo\.jsonl .*100% of it in train-003 \(normalised\)"
    ) as refused:
        listen.spoken_lines(params.load(), "mini-lora")
    assert "rain of" not in str(refused.value) and "split.same_text_together" in str(refused.value)
