"""What a row may say of how it is spoken: what is used of it, what is refused and what is only said; and that nobody counts it as spoken."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.factories import rows
from voicelathe import records
from voicelathe.data import columns, control
from voicelathe.data.audit import clean
from voicelathe.data.lexicon.reading import as_read
from voicelathe.data.manifest import formats
from voicelathe.errors import ManifestError
from voicelathe.records import CleanClip, Lexicon, RejectedLine, Respelling


def clips(*controls: str | None, **changes: Any) -> list[CleanClip]:
    return [rows.clean_clip(number, control=one, **changes) for number, one in enumerate(controls)]


def planned(train: list[CleanClip], validation: list[CleanClip] | None = None) -> list[str]:
    return control.planned({"train": train, "validation": validation or []})


@pytest.mark.parametrize(
    ("given", "code", "seen"),
    [
        ("(slow)", "brackets", "it holds ( )"),
        ("slow\uff09", "brackets", "\uff09"),
        ("[slow]", "brackets", "[ ]"),
        ("slow\nlow", "control_characters", "one line"),
        ("slow\u202elow", "control_characters", "RIGHT-TO-LEFT OVERRIDE"),
        ("x" * 201, "too_long", "201 characters, at most 200"),
        ("...", "no_words", "no letter"),
    ],
)
def test_a_control_that_cannot_be_used_is_refused_by_clip_with_its_value(
    given: str, code: str, seen: str
) -> None:
    found = control.problem(given)
    assert found is not None and found.startswith(f"{code}: ") and seen in found
    bad = replace(rows.clean_clip(1), control=given)
    for train, validation in (([*clips("slow"), bad], []), (clips("slow"), [bad])):
        with pytest.raises(ManifestError) as told:
            planned(train, validation)
        assert f"clip {bad.clip_id}, {bad.audio}: " in str(told.value) and code in str(told.value)
        assert "set train.control to false" in str(told.value) and "\u202e" not in str(told.value)


@pytest.mark.parametrize(
    "given", ["slow", "x" * 200, "in a low, calm voice!", "\u4f4e\u58f0", "", "  ", "speed 0.8"]
)
def test_a_control_in_plain_words_is_taken(given: str) -> None:
    assert control.problem(given) is None


def test_what_stands_in_front_is_the_control_alone_and_never_a_second_one() -> None:
    def used(given: str | None, text: str = "It rains.") -> str | None:
        return control.of(rows.clean_clip(1, control=given, text=text))

    assert used(" slow ") == "slow" and used(None) is used("") is used("  ") is None
    assert used("slow", "(whispering)It rains.") is None, "a text that begins with brackets stays as it is"
    assert used("slow", "It rains (today).") == "slow"


def test_no_lexicon_reads_a_control() -> None:
    lexicon = Lexicon((Respelling("en", "slow", "slo-o-ow"),), True)
    assert (
        as_read(lexicon, "A slow train at 3.", "en", "slow, at 3") == "(slow, at 3)A slo-o-ow train at three."
    )
    assert (
        as_read(None, "It rains.", "en", "slow") == "(slow)It rains."
        and as_read(None, "It rains.", "en") == "It rains."
    )


def test_how_many_clips_have_which_control_is_said() -> None:
    made = clips(*["slow"] * 3, " slow ", "loud", None, None)
    (said,) = planned(made)
    assert said.startswith(
        "control: 5 of 7 clips of train have one, 2 values: slow 4, loud 1; the rarest is 'loud' with 1."
    )
    assert planned(made) == planned(made[::-1])


def test_what_is_left_alone_is_said_with_the_first_rows() -> None:
    train = [*clips("slow", "  "), rows.clean_clip(3, control="loud", text="(so) It rains.")]
    said = planned(train, clips("fast", "\u043c\u0435\u0434\u043b\u0435\u043d\u043d\u043e"))
    assert [one.partition(":")[0] for one in said] == [
        *("control", "control_not_trained", "control_blank", "control_twice", "control_in_other_script"),
    ]
    assert "fast 1" in said[1] and train[1].clip_id in said[2] and f"{train[2].clip_id} ('loud')" in said[3]


def test_a_recipe_that_asks_for_controls_where_no_clip_of_train_has_one_is_refused() -> None:
    with pytest.raises(
        ManifestError, match=r"none of the 3 clips of train has a control. Add a column control"
    ):
        planned(clips(None, "", None), clips("slow"))


def test_controls_that_nothing_is_trained_with_are_counted_once() -> None:
    assert control.not_used(clips(None, "  ")) == []
    assert control.not_used(clips("slow", None, "slow")) == [
        "control_not_used: 2 of 3 clips of train have a control (slow 2), and none is trained with"
    ]


def test_a_manifest_s_column_reaches_the_clean_clips_and_no_rule_counts_it_as_spoken(tmp_path: Path) -> None:
    """The same rows are kept, with the same pace and the same words, whatever their controls say."""
    said = [rows.manifest_row(number, control=None) for number in range(1, 9)]
    told = [replace(row, control="in a very slow and low voice, with long pauses, " * 4) for row in said]
    measures = [rows.measured(number) for number in range(1, 9)]
    plain, controlled = (
        clean.audit(columns.of(some, records.ManifestRow), [], measures, rows.AUDIT, rows.PHRASES)
        for some in (said, told)
    )
    assert controlled.findings == plain.findings and len(controlled.clean) == len(plain.clean) > 0
    assert [one.control for one in controlled.clean] == [row.control for row in told][: len(controlled.clean)]
    assert [replace(one, control=None) for one in controlled.clean] == plain.clean


def test_a_control_that_is_no_text_loses_no_row_and_is_taken_as_it_is_written(tmp_path: Path) -> None:
    path = rows.json_lines(
        tmp_path / "m.jsonl",
        [rows.raw(number, control=given) for number, given in enumerate(("slow", 5, None, ["a", "b"]), 1)],
    )
    found, _ = formats.read(rows.ingest(path, path.parent))
    assert not any(isinstance(one, RejectedLine) for one in found), found
    assert [getattr(one, "control", "lost") for one in found] == ["slow", "5", None, '["a","b"]']
    assert all("control" not in one.extra for one in found if not isinstance(one, RejectedLine))
    assert (control.problem('["a","b"]') or "").startswith("brackets"), "who trains with it is told"
