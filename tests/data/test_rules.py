"""Every rule fires on its fault and stays silent just beside it; rows that repeat each other lose the copy, not the original."""

from typing import Any

import pytest

from tests.factories import rows
from voicelathe.data import repeats, rules
from voicelathe.data.rules import Clip
from voicelathe.records import Finding


def codes(clip: Clip, **limits: Any) -> list[str]:
    return [finding.rule for finding in rules.judge(clip, rows.limits(**limits))]


def test_clean_speech_breaks_no_rule() -> None:
    assert codes(rows.clip()) == []


FAULTS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "empty_text": ({"text": "\u200b..."}, {}),
    "boilerplate": ({"text": "Thanks for watching, it was a rainy day and a long one!"}, {}),
    "control_characters": ({"text": rows.SENTENCE + "\u202e"}, {}),
    "long_text": ({"text": "word " * 120}, {"duration_s": 25.0}),
    "too_short": (
        {"text": "a"},
        {"duration_s": 0.0999, "leading_silence_s": 0.0, "trailing_silence_s": 0.0, "level_spread_db": None},
    ),
    "too_long": ({"text": "word " * 90}, {"duration_s": 30.01}),
    "nonfinite": ({}, {"num_nonfinite": 1}),
    "clipped": ({}, {"clipped_share": 0.0011}),
    "silent": ({}, {"silence_share": 0.51}),
    "steady": ({}, {"level_spread_db": 5.9}),
    "declared_rate": ({"sample_rate_hz": 24000}, {}),
    "file_rate": ({"sample_rate_hz": 8000}, {"file_rate_hz": 8000}),
    "too_fast": ({}, {"duration_s": 2.2}),
    "too_slow": ({}, {"duration_s": 8.0}),
    "edge_silence": ({}, {"trailing_silence_s": 0.51, "duration_s": 3.5}),
    "channels": ({}, {"num_channels": 2}),
}
BESIDE: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "empty_text": ({"text": "Yes, I will, and you will come along with all of us, too."}, {}),
    "boilerplate": ({"text": "Thanks, we were watching the rain for a day and a half!"}, {}),
    "control_characters": ({"text": rows.SENTENCE + "\n"}, {}),
    "long_text": ({"text": "word " * 100}, {"duration_s": 25.0}),
    "too_short": (
        {"text": "ab"},
        {"duration_s": 0.1, "leading_silence_s": 0.0, "trailing_silence_s": 0.0, "level_spread_db": None},
    ),
    "too_long": ({"text": "word " * 90}, {"duration_s": 30.0}),
    "nonfinite": ({}, {"num_nonfinite": 0}),
    "clipped": ({}, {"clipped_share": 0.001}),
    "silent": ({}, {"silence_share": 0.5}),
    "steady": ({}, {"level_spread_db": 6.0}),
    "declared_rate": ({"sample_rate_hz": None}, {}),
    "file_rate": ({"sample_rate_hz": 24000}, {"file_rate_hz": 24000}),
    "too_fast": ({}, {"duration_s": 2.4}),
    "too_slow": ({}, {"duration_s": 7.5}),
    "edge_silence": ({}, {"trailing_silence_s": 0.5, "duration_s": 3.5}),
    "channels": ({}, {"num_channels": 1}),
}


@pytest.mark.parametrize("code", FAULTS)
def test_a_rule_fires_on_its_fault_alone(code: str) -> None:
    row, measure = FAULTS[code]
    assert codes(rows.clip(row=row, **measure)) == [code]


@pytest.mark.parametrize("code", BESIDE)
def test_a_rule_is_silent_just_beside_its_fault(code: str) -> None:
    row, measure = BESIDE[code]
    assert codes(rows.clip(row=row, **measure)) == []


@pytest.mark.parametrize("code", rules.UNUSABLE_AUDIO)
def test_audio_that_cannot_be_used_is_named_by_its_own_code_only(code: str) -> None:
    assert codes(Clip(rows.manifest_row(), rows.unmeasured(1, code))) == [code]


def test_every_rule_has_a_test_and_a_sentence() -> None:
    assert {rule.code for rule in rules.RULES} == {*FAULTS, *rules.UNUSABLE_AUDIO}
    for rule in (*rules.RULES, *repeats.RULES):
        assert rule.reason[0].isupper() and rule.reason.endswith(".")
        assert (rule.severity, rule.action) in (("critical", "drop"), ("warning", "warn"))


def test_a_clip_cannot_be_measured_for_another_reason_than_those_with_a_rule() -> None:
    import re
    from pathlib import Path

    folder = Path(rules.__file__).parent
    sources = "".join((folder / name).read_text() for name in ("audio.py", "audio_files.py", "containers.py"))
    raised = set(re.findall(r'(?:AudioProblem|return )\(\s*"([a-z_]{4,})"', sources)) | {"symlink"}
    assert raised <= set(rules.UNUSABLE_AUDIO) and len(raised) >= 10


def test_a_finding_shows_the_value_and_the_limit() -> None:
    (short,) = rules.judge(
        rows.clip(
            row={"text": "a"},
            duration_s=0.05,
            leading_silence_s=0.0,
            trailing_silence_s=0.0,
            level_spread_db=None,
        ),
        rows.limits(),
    )
    assert (short.value, short.threshold, short.action) == ("0.050 s", "at least 0.1", "drop")
    (phrase,) = rules.judge(
        rows.clip(row={"text": "Thanks for watching, and goodbye to all of you!"}), rows.limits()
    )
    assert phrase.value == "thanks for watching in 3.00 s, 16.8 characters/s"


def test_pace_is_measured_between_the_edge_silences() -> None:
    clip = rows.clip(duration_s=6.0, leading_silence_s=1.5, trailing_silence_s=1.5)
    assert clip.chars_per_s == pytest.approx(59 / 3.0)
    assert rows.clip(duration_s=2.0, leading_silence_s=2.0, trailing_silence_s=2.0).chars_per_s is None


# --- repeats ---------------------------------------------------------------------------------------------------------


def repeated(clips: list[Clip], dropped: set[str] = frozenset()) -> dict[str, list[str]]:  # type: ignore[assignment]
    found: dict[str, list[str]] = {}
    for finding in repeats.judge(clips, dropped, rows.AUDIT):
        assert isinstance(finding, Finding)
        found.setdefault(finding.clip_id, []).append(finding.rule)
    return found


def same_samples(number: int, **row: Any) -> Clip:
    return rows.clip(number, row=row, samples_sha256="a" * 64)


def test_of_exact_copies_the_first_in_the_manifest_is_kept() -> None:
    clips = [same_samples(3), same_samples(1), same_samples(2), rows.clip(4)]
    assert repeated(clips) == {"c0002": ["exact_duplicate"], "c0003": ["exact_duplicate"]}


def test_a_bad_row_never_pushes_out_a_good_one() -> None:
    clips = [same_samples(1, text=""), same_samples(2), same_samples(3)]
    assert repeated(clips, {"c0001"}) == {"c0001": ["exact_duplicate"], "c0003": ["exact_duplicate"]}


def test_the_same_audio_with_two_texts_goes_altogether() -> None:
    clips = [same_samples(1), same_samples(2, text="Something else entirely was said here, was it not?")]
    assert repeated(clips) == {
        "c0001": ["conflicting_text"],
        "c0002": ["conflicting_text", "exact_duplicate"],
    }


def test_the_same_audio_with_one_text_in_two_spellings_is_a_copy() -> None:
    clips = [same_samples(1), same_samples(2, text=rows.SENTENCE.lower().replace(",", ""))]
    assert repeated(clips) == {"c0002": ["exact_duplicate"]}


def test_clips_that_could_not_be_measured_are_no_copies_of_each_other() -> None:
    clips = [Clip(rows.manifest_row(n), rows.unmeasured(n, "missing")) for n in (1, 2)]
    assert repeated(clips) == {}


def cut(number: int, start_s: float, duration_s: float = 3.0, file: str = "f") -> Clip:
    row = {"start_s": start_s, "end_s": start_s + duration_s, "audio_sha256": file}
    return rows.clip(number, row=row, duration_s=duration_s)


def test_of_overlapping_cuts_the_first_in_the_manifest_is_kept() -> None:
    assert repeated([cut(2, 1.0), cut(1, 0.0), cut(3, 3.2)]) == {"c0002": ["overlap"]}


def test_the_share_of_the_shorter_cut_decides() -> None:
    assert repeated([cut(1, 0.0), cut(2, 2.41)]) == {}
    assert repeated([cut(1, 0.0), cut(2, 2.39)]) == {"c0002": ["overlap"]}
    assert repeated([cut(1, 0.0, 30.0), cut(2, 29.0, 2.0)]) == {"c0002": ["overlap"]}


def test_cuts_of_other_files_do_not_overlap() -> None:
    assert repeated([cut(1, 0.0), cut(2, 0.5, file="g")]) == {}


def test_a_file_used_whole_overlaps_every_cut_of_it() -> None:
    whole = rows.clip(2, row={"audio_sha256": "f"}, duration_s=20.0)
    assert repeated([cut(1, 5.0), whole]) == {"c0002": ["overlap"]}


def test_a_dropped_cut_does_not_push_out_what_it_overlaps() -> None:
    assert repeated([cut(1, 0.0), cut(2, 0.5)], {"c0001"}) == {"c0001": ["overlap"]}


def test_a_chain_of_overlaps_loses_every_other_cut_only() -> None:
    chain = [cut(n, 2.0 * n) for n in range(1, 6)]
    assert set(repeated(chain)) == {"c0002", "c0004"}


def test_overlaps_are_found_as_a_plain_double_loop_finds_them() -> None:
    import random

    draw = random.Random(3)
    for _ in range(40):
        clips = [cut(n, round(draw.uniform(0, 20), 2), round(draw.uniform(0.2, 6), 2)) for n in range(1, 15)]
        taken: list[tuple[float, float]] = []
        expected = set()
        for clip in clips:
            start, length = clip.row.start_s or 0.0, clip.measure.duration_s or 0.0
            shares = [(min(e, start + length) - max(s, start)) / min(length, e - s) for s, e in taken]
            if any(share >= 0.2 for share in shares):
                expected.add(clip.row.clip_id)
            else:
                taken.append((start, start + length))
        assert set(repeated(clips)) == expected


def test_an_id_given_twice_is_reported_and_nothing_is_dropped() -> None:
    found = repeats.judge(
        [rows.clip(1, row={"user_id": "x"}), rows.clip(2, row={"user_id": "x"}), rows.clip(3)],
        set(),
        rows.AUDIT,
    )
    assert [(one.clip_id, one.rule, one.action, one.value) for one in found] == [
        ("c0002", "duplicate_id", "warn", "id of line 1, too")
    ]


def test_rows_without_an_id_do_not_share_one() -> None:
    assert repeated([rows.clip(1, row={"user_id": None}), rows.clip(2, row={"user_id": None})]) == {}
