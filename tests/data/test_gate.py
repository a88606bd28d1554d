"""The gate fires on data that the audit never saw, never passes by having nothing to judge, and tells failure from breakage."""

import base64
import json
from collections.abc import Iterator
from dataclasses import fields, replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.data.test_clean import dom
from tests.data.test_consent import VALID
from tests.factories import rows
from voicelathe import digest, layout, records
from voicelathe.data import columns
from voicelathe.data.audit import clean
from voicelathe.data.gate import line_leaks, report, suite
from voicelathe.data.gate import table as gate_table
from voicelathe.data.gate.suite import Check, GateVerdict
from voicelathe.data.near_duplicates import leakage
from voicelathe.errors import ConsentError, GateError, RecordError
from voicelathe.records import CleanClip, ClipMeasure, ManifestRow
from voicelathe.stages import gate

TODAY = date(2026, 11, 21)


def of_rows(made: list[gate_table.GateRow]) -> gate_table.Table:
    return columns.of(made, gate_table.GateRow)


def judge(*changes: dict[str, Any]) -> GateVerdict:
    """The verdict on six good rows of which the first are changed."""
    made = [
        rows.gate_row(number, **(changes[number - 1] if number <= len(changes) else {}))
        for number in range(1, 7)
    ]
    return suite.judge(of_rows(made), rows.GATE)


def failed(verdict: GateVerdict) -> dict[str, list[str]]:
    return {check.name: check.clip_ids for check in verdict.checks if not check.passed}


def test_good_rows_pass_every_check() -> None:
    verdict = judge()
    assert failed(verdict) == {} and verdict.num_rows == 6 and len(verdict.checks) > 20


def test_each_fault_fails_its_check_and_names_its_clip() -> None:
    verdict = judge(
        {"text": " \t\u00a0", "plain_text": "", "num_spoken_chars": 0.0},
        {"plain_text": "thank you for watching", "matches_manifest": False},
        {"duration_s": 0.0999, "file_rate_hz": 8000.0},
        {"duration_s": float("inf"), "num_nonfinite": 3.0},
        dict.fromkeys(suite.LEAKS, 2.0),
        {"clip_id": "c0001", "chars_per_s": 40.0},
    )
    assert failed(verdict) == {
        "no_blank_text": ["c0001"],
        "no_empty_text": ["c0001"],
        "no_boilerplate": ["c0002"],
        "as_in_manifest": ["c0002"],
        "duration": ["c0003", "c0004"],
        "sample_rate": ["c0003"],
        "finite_samples": ["c0004"],
        "one_split_per_recording": ["c0005"],
        "one_split_per_audio_file": ["c0005"],
        "one_split_per_second_of_audio": ["c0005"],
        "one_split_per_exact_copy": ["c0005"],
        "one_split_per_performance": ["c0005"],
        "unique_ids": ["c0001", "c0001"],
        "pace": ["c0001"],
    }
    assert "pace" not in {check.name for check in verdict.failures}


def test_an_empty_table_does_not_pass() -> None:
    verdict = suite.judge(of_rows([]), rows.GATE)
    assert {check.name for check in verdict.failures} == {"enough_rows", "three_splits"}


def test_too_few_rows_do_not_pass() -> None:
    verdict = suite.judge(of_rows([rows.gate_row(n) for n in (1, 2, 3)]), replace(rows.GATE, min_rows=4))
    assert [(check.name, check.observed) for check in verdict.failures] == [("enough_rows", "3")]


def test_columns_without_any_value_do_not_pass() -> None:
    nothing = gate_table.GateRow(**dict.fromkeys(field.name for field in fields(gate_table.GateRow)))
    names = {
        check.name for check in suite.judge(of_rows([nothing] * 5), rows.GATE).checks if not check.passed
    }
    assert names == {"three_splits", "pace_given", *(f"{column}_given" for column in suite.FILLED)}


def test_every_column_that_a_check_reads_has_a_check_that_refuses_null() -> None:
    columns = {field.name for field in fields(gate_table.GateRow)}
    assert columns - set(suite.FILLED) == {
        "plain_text",
        "chars_per_s",
    }  # null together with text, and a warning


def test_one_null_among_good_rows_does_not_pass() -> None:
    assert failed(
        judge({"duration_s": None}, {"text": None, "plain_text": None}, {"recording_id": None})
    ) == {
        "duration_s_given": ["c0001"],
        "text_given": ["c0002"],
        "recording_id_given": ["c0003"],
    }


def test_a_split_without_rows_does_not_pass() -> None:
    made = [rows.gate_row(number, split="train" if number % 2 else "test") for number in range(1, 7)]
    assert set(failed(suite.judge(of_rows(made), rows.GATE))) == {"three_splits"}


def test_a_check_that_cannot_be_run_is_a_crash_and_no_verdict() -> None:
    table = of_rows([rows.gate_row(number) for number in range(1, 7)])
    with pytest.raises(RuntimeError, match="could not be run"):
        suite.judge(table.drop_columns("duration_s"), rows.GATE)
    with pytest.raises(RuntimeError, match="could not be run"):
        worded = table.drop_columns("duration_s").append_column(
            "duration_s", [["a", "b", "c", "d", "e", "f"]]
        )
        suite.judge(worded, rows.GATE)


# --- data that the audit never saw -----------------------------------------------------------------------------------


PRINT = base64.b64encode(np.random.default_rng(1).integers(0, 1 << 16, 40).astype("<u2").tobytes()).decode()


TEXTS = [
    "The lamp beside the window is on, and the rain has stopped.",
    "A grey cat sleeps in the basket under the kitchen staircase.",
    "Nobody has opened this drawer since the old clock broke down.",
    "We carried the wooden boat along the beach before breakfast.",
    "Her brother repairs bicycles in a yard behind the bakery.",
    "Please leave the muddy boots outside and close the door.",
    "The last bus had gone, so they walked home through the snow.",
    "Every autumn the river rises and covers the lower meadows.",
    "He counted the sheep twice and still one of them was missing.",
]  # all as long as three seconds of speech


def corpus() -> gate.Data:
    """Nine clips of nine recordings in three splits; no audit has judged them."""
    numbers = {name: range(3 * at + 1, 3 * at + 4) for at, name in enumerate(layout.SPLITS)}
    splits = {
        name: [rows.clean_clip(number, text=TEXTS[number - 1]) for number in some]
        for name, some in numbers.items()
    }
    known = [rows.manifest_row(number, text=TEXTS[number - 1]) for number in range(1, 10)]
    inputs = {layout.split(name).as_posix(): digest.of_bytes(name.encode()) for name in layout.SPLITS}
    measures = [rows.measured(number, fingerprint=PRINT if number == 9 else None) for number in range(1, 10)]
    return gate.Data(splits, known, measures, {}, inputs)


def table_of(data: gate.Data) -> gate_table.Table:
    same = leakage.performances(columns.of(data.measures, ClipMeasure), 0.18, 0.7)
    leaks = line_leaks.of_splits(data.splits, data.packs)
    return gate_table.of_splits(data.splits, data.rows, data.measures, same, leaks)


def changed(number: int, row: dict[str, Any] | None = None, **measures: Any) -> gate.Data:
    """The corpus with one clip as a careless owner would have it, in the manifest and in its split."""
    data = corpus()
    in_split = {name: value for name, value in (row or {}).items() if hasattr(rows.clean_clip(), name)}

    def clip(one: CleanClip) -> CleanClip:
        return replace(one, **in_split) if one.clip_id == f"c{number:04d}" else one

    def raw(one: ManifestRow) -> ManifestRow:
        return replace(one, **(row or {})) if one.line == number else one

    def measured(one: ClipMeasure) -> ClipMeasure:
        return replace(one, **measures) if one.clip_id == f"c{number:04d}" else one

    splits = {name: [clip(one) for one in members] for name, members in data.splits.items()}
    return replace(
        data,
        splits=splits,
        rows=[raw(one) for one in data.rows],
        measures=[measured(one) for one in data.measures],
    )


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    layout.CONSENT.mkdir()
    (layout.CONSENT / "awb.json").write_text(json.dumps({**VALID, "speaker_id": "awb"}))
    yield tmp_path / "gate"


def decide(data: gate.Data, out: Path, policy: str = "required") -> records.Passed:
    return gate.decide(data, rows.GATE, policy, TODAY, out)


MISSION = {
    "empty text": (changed(5, {"text": "\u200b..."}), {"no_empty_text": ["c0005"], "pace": ["c0005"]}),
    "boilerplate": (
        changed(2, {"text": "Tha\u200bnks  for \uff57atching all"}),
        {"no_boilerplate": ["c0002"]},
    ),
    "a clip of 99 ms": (changed(8, {"text": "a"}, duration_s=0.099), {"duration": ["c0008"]}),
    "a recording in two splits": (
        changed(1, {"recording_id": "rec_09"}),
        {"one_split_per_recording": ["c0001", "c0009"]},
    ),
    "a file in two splits": (
        changed(1, {"audio_sha256": rows.clean_clip(5).audio_sha256}),
        {"one_split_per_audio_file": ["c0001", "c0005"], "one_split_per_second_of_audio": ["c0001", "c0005"]},
    ),
    "another cut of a file in two splits": (
        changed(1, {"audio_sha256": rows.clean_clip(5).audio_sha256, "start_s": 3.0, "end_s": 6.0}),
        {"one_split_per_audio_file": ["c0001", "c0005"]},
    ),
    "a performance in two splits": (
        changed(1, fingerprint=PRINT),
        {"one_split_per_performance": ["c0001", "c0009"]},
    ),
    "a copy in two splits": (
        changed(1, samples_sha256=rows.measured(9).samples_sha256),
        {"one_split_per_exact_copy": ["c0001", "c0009"]},
    ),
}


@pytest.mark.parametrize("case", MISSION)
def test_a_rule_of_the_mission_fires_on_data_that_no_audit_has_seen(case: str) -> None:
    data, expected = MISSION[case]
    found = failed(suite.judge(table_of(data), rows.GATE))
    assert {name: sorted(ids) for name, ids in found.items()} == expected


# --- lines and validation texts that were trained on -----------------------------------------------------------------


def spoken(*texts: str, language: str = "en") -> line_leaks.Packs:
    """A pack of written lines of these texts, called a, b, c."""
    some = zip("abcdefgh", texts, strict=False)
    return {
        "lines/own.jsonl": [
            records.PackLine(name, said, language, None, "sentence", None, None) for name, said in some
        ]
    }


LEAKS = {
    "exact": (TEXTS[1], ["c0002"], "a of lines/own.jsonl", "100% of it in c0002 (exact)"),
    "other case and punctuation": (
        "a GREY cat sleeps in the basket, under the kitchen staircase!",
        ["c0002"],
        "a of",
        "(normalised)",
    ),
    "two runs of eight words of five": (
        "A grey cat sleeps in the basket under the warm old stove",
        ["c0002"],
        "a of",
        "40% of it in c0002 (runs)",
    ),
    "a short line inside a row": ("The clock broke down", [], "", ""),
    "five words inside a row": (
        "since the old clock broke",
        ["c0003"],
        "a of",
        "100% of it in c0003 (contained)",
    ),
    "one run of seven": ("We know that a grey cat sleeps in the basket under our bed", [], "", ""),
    "of the test split": (TEXTS[7], [], "", ""),
    "of nowhere": ("Nothing like this was ever recorded by anybody at all.", [], "", ""),
}


@pytest.mark.parametrize("case", LEAKS)
def test_a_line_in_the_training_text_closes_the_gate_with_its_rows_and_the_remedy(
    project: Path, case: str
) -> None:
    said, ids, name, how = LEAKS[case]
    data = replace(corpus(), packs=spoken(said, "Something else that is harmless."))
    if not ids:
        decide(data, project)
        assert failed(suite.judge(table_of(data), rows.GATE)) == {}
        return
    assert failed(suite.judge(table_of(data), rows.GATE)) == {"line_in_training": ids}
    with pytest.raises(GateError, match=f"line_in_training: {len(ids)} of 9 rows, {ids[0]}") as closed:
        decide(data, project)
    told = str(closed.value)
    assert name in told and how in told and "lines propose" in told and "split.same_text_together" in told
    assert "b of lines" not in told, "the harmless line is not blamed"
    page, report = (project / "report.html").read_text(), digest.read_json(project / "report.json")
    assert "a of lines/own.jsonl" in page and ids[0] in page
    assert [one["rows"][0][:5] for one in report["lines"]["in_training"]] == ids and report["lines"][
        "looked_for"
    ] == 2


def test_every_row_that_holds_a_line_is_named() -> None:
    data = changed(1, {"text": TEXTS[1]})
    assert failed(suite.judge(table_of(replace(data, packs=spoken(TEXTS[1]))), rows.GATE)) == {
        "line_in_training": ["c0001", "c0002"]
    }


def test_writing_without_spaces_is_compared_by_characters() -> None:
    data = changed(2, {"text": "今天天气很好，我们一起去公园里散步吧。", "language": "zh"})
    for said, ids in (
        ("我们一起去公园里散步吧，今天天气很好。", []),  # eleven characters in a row
        ("今天天气很好，我们一起去公园里散步吧，好吗？", ["c0002"]),
        ("一起去公园里散步", ["c0002"]),
        ("我们一起去公园", ["c0002"]),
        ("散步吧", []),
        ("今天天气很好，可是我们哪里也不想去。", []),
    ):
        found = failed(suite.judge(table_of(replace(data, packs=spoken(said, language="zh-CN"))), rows.GATE))
        assert found.get("line_in_training", []) == ids, said


def test_a_limit_decides_how_much_of_a_line_may_be_known() -> None:
    data = replace(corpus(), packs=spoken(LEAKS["two runs of eight words of five"][0]))
    table = table_of(data)
    assert failed(suite.judge(table, replace(rows.GATE, max_text_overlap=0.4))) == {}
    assert failed(suite.judge(table, replace(rows.GATE, max_text_overlap=0.39))) == {
        "line_in_training": ["c0002"]
    }


def test_validation_texts_in_training_are_told_and_close_nothing(project: Path) -> None:
    data = changed(5, {"text": TEXTS[2].upper()})
    verdict = suite.judge(table_of(data), rows.GATE)
    assert failed(verdict) == {"validation_text_in_training": ["c0005"]} and verdict.failures == []
    decide(data, project)
    page, report = (project / "report.html").read_text(), digest.read_json(project / "report.json")
    assert report["validation_texts"] == {
        "looked_for": 3,
        "found": 1,
        "in_training": [
            {"name": "c0005", "text": TEXTS[2].upper(), "share": 1.0, "rows": ["c0003 (normalised)"]}
        ],
    }
    assert "1 of 3 validation texts in the training text" in page and "split.same_text_together: true" in page


def test_held_out_lines_are_not_looked_for_in_a_manifest_that_holds_them_all() -> None:
    held = records.PackLine("held-out-c0002", TEXTS[1], "en", "awb", "sentence", "c0002", "rec_02")
    known = [rows.manifest_row(number, text=TEXTS[number - 1]) for number in range(1, 10)]
    measures = [rows.measured(number) for number in range(1, 10)]
    trained = [row.clip_id for row in known if gate_table._row_split(row.clip_id) == 0]
    assert "c0002" in trained

    def judged(line: records.PackLine) -> dict[str, list[str]]:
        return failed(
            suite.judge(gate_table.of_manifest(known, measures, {}, {"lines/x.jsonl": [line]}), rows.GATE)
        )

    assert "line_in_training" not in judged(held)
    assert judged(replace(held, id="a", clip_id=None))["line_in_training"] == ["c0002"]


def test_a_failure_is_reported_first_and_then_stops_with_the_rule_and_its_clips(project: Path) -> None:
    project.mkdir()
    (project / "passed.json").write_text("of an earlier run")
    with pytest.raises(GateError, match="a threshold under audit or gate in params") as closed:
        decide(changed(5, {"text": ""}), project)
    assert "no_empty_text: 1 of 9 rows, c0005" in str(closed.value) and "report.html" in str(closed.value)
    assert not (project / "passed.json").exists()
    assert digest.read_json(project / "report.json")["passed"] is False
    assert "The gate is closed" in (project / "report.html").read_text()


def test_an_open_gate_writes_exactly_what_may_be_trained_on(project: Path) -> None:
    passed = decide(corpus(), project)
    assert records.read_one(project / "passed.json", records.Passed) == passed
    assert passed.splits == {name: digest.of_bytes(name.encode()) for name in layout.SPLITS}
    assert passed.policy == "required" and passed.speakers == {
        "awb": digest.of_file(layout.CONSENT / "awb.json")
    }
    assert passed.inputs == corpus().inputs
    assert "The gate is open" in (project / "report.html").read_text()


def test_the_same_data_gives_the_same_bytes(project: Path) -> None:
    for name in ("one", "two"):
        decide(corpus(), project / name)
    for file in ("passed.json", "report.json", "report.html"):
        assert (project / "one" / file).read_bytes() == (project / "two" / file).read_bytes()


def test_rows_split_one_by_one_fail_where_whole_recordings_pass(project: Path) -> None:
    known = [rows.manifest_row(number, recording_id=f"rec_{number % 4}") for number in range(1, 41)]
    verdict = suite.judge(
        gate_table.of_manifest(known, [rows.measured(number) for number in range(1, 41)], {}, {}), rows.GATE
    )
    assert {check.name for check in verdict.failures} == {"one_split_per_recording"}


def test_the_gate_sees_texts_as_they_are_and_as_they_look() -> None:
    said = ["As it is.", "In\u200bvisible", None, "  Two  spaces ", "As it is."]
    known = [rows.manifest_row(number, text=one) for number, one in enumerate(said, 1)]
    made = gate_table.of_manifest(known, [rows.measured(number) for number in range(1, 6)], {}, {})
    assert made["text"].to_pylist() == said
    assert made["plain_text"].to_pylist() == ["As it is.", "Invisible", None, "Two spaces", "As it is."]


def test_a_clip_that_is_not_as_in_the_manifest_does_not_pass() -> None:
    data = corpus()
    edited = replace(data.splits["test"][0], text="Something nobody wrote, on a day like this.")
    splits = {**data.splits, "test": [edited, *data.splits["test"][1:]]}
    table = table_of(replace(data, splits=splits))
    assert failed(suite.judge(table, rows.GATE)) == {"as_in_manifest": ["c0007"]}


def test_a_clip_may_be_narrower_than_its_raw_row_and_never_wider() -> None:
    data = changed(7, {"start_s": 1.0, "end_s": 4.0})
    trimmed = replace(data.splits["test"][0], start_s=1.5, end_s=3.2, duration_s=1.7)
    narrow = replace(data, splits={**data.splits, "test": [trimmed, *data.splits["test"][1:]]})
    assert failed(suite.judge(table_of(narrow), rows.GATE)) == {"pace": ["c0007"]}  # 59 characters in 1.7 s
    wide = replace(trimmed, start_s=0.5)
    data = replace(data, splits={**data.splits, "test": [wide, *data.splits["test"][1:]]})
    assert "as_in_manifest" in failed(suite.judge(table_of(data), rows.GATE))


@pytest.mark.parametrize("start_s", [1.0004, 1.23449, 7.123456])  # as forced aligners write them
def test_what_the_audit_trims_is_never_wider_than_its_raw_row(start_s: float) -> None:
    data = changed(7, {"start_s": start_s, "end_s": start_s + 5.0})
    at = next(at for at, row in enumerate(data.rows) if row.clip_id == "c0007")
    silence = {"duration_s": 5.0, "trailing_silence_s": 1.9, "silence_share": 0.4}
    measures = [replace(one, **silence) if one.clip_id == "c0007" else one for one in data.measures]
    measure = next(one for one in measures if one.clip_id == "c0007")
    found = clean.audit([data.rows[at]], [], [measure], rows.AUDIT, rows.PHRASES)
    assert [one.rule for one in found.findings] == ["edge_silence"]
    splits = {**data.splits, "test": [*found.clean, *data.splits["test"][1:]]}
    assert failed(suite.judge(table_of(replace(data, splits=splits, measures=measures)), rows.GATE)) == {}


def test_a_look_at_the_raw_manifest_reports_what_fails_and_stops_nothing(tmp_path: Path) -> None:
    known = [rows.manifest_row(number, text="" if number == 3 else rows.SENTENCE) for number in range(1, 41)]
    page = tmp_path / "raw.html"
    verdict = gate.look(known, [rows.measured(number) for number in range(1, 41)], rows.GATE, page, {})
    assert gate.failures(verdict) == [
        "no_blank_text: 1 of 40 rows, c0003",
        "no_empty_text: 1 of 40 rows, c0003",
    ]
    assert "2 critical checks failed" in page.read_text() and dom(page.read_text()).active == []


def test_a_clip_that_the_manifest_does_not_know_is_an_error_of_the_stages_before(project: Path) -> None:
    data = corpus()
    with pytest.raises(RecordError, match="first c0001"):
        decide(replace(data, rows=data.rows[1:]), project)


def test_a_speaker_without_consent_closes_the_gate_after_the_report(project: Path) -> None:
    (layout.CONSENT / "awb.json").unlink()
    with pytest.raises(ConsentError, match=r"awb\.json is missing"):
        decide(corpus(), project)
    assert not (project / "passed.json").exists()
    assert "awb.json is missing" in (project / "report.html").read_text()


def test_consent_is_asked_for_every_language_of_a_speaker_in_any_split() -> None:
    data = changed(9, {"language": "de"})
    assert gate.languages_of(data.splits) == {"awb": ["de", "en"]}


def test_research_opens_the_gate_without_consent_and_is_stamped(project: Path) -> None:
    (layout.CONSENT / "awb.json").unlink()
    passed = decide(corpus(), project, "research")
    assert (passed.policy, passed.speakers) == ("research", {"awb": ""})
    assert "nothing that is trained on this may be promoted" in (project / "report.html").read_text()


def test_nothing_in_the_data_becomes_part_of_the_page() -> None:
    attack = "</code><script>alert(1)</script>"

    def page(text: str) -> str:
        check = Check("no_empty_text", "q", "critical", "e", text, False, 2, text, [text, text])
        leak = line_leaks.Leak(text, text, 1.0, [text])
        leaks = line_leaks.Leaks(None, None, [leak], [leak], 1, 1, 1)
        return report.render(GateVerdict(9, [check]), GateVerdict(9, [check]), text, [text], [text], leaks)

    assert dom(page(attack)).active == [] and dom(page(attack)).tags == dom(page("harmless")).tags


def test_the_first_hundred_clips_that_fail_are_named_wherever_they_stand(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(suite, "ROWS_AT_FIRST", 4)
    made = [
        rows.gate_row(number, duration_s=0.01 if number > 150 else 3.0, clip_id=f"c{min(number, 299):04d}")
        for number in range(1, 301)
    ]
    checks = {check.name: check for check in suite.judge(of_rows(made), rows.GATE).checks}
    assert checks["duration"].num_unexpected == 150
    assert checks["duration"].clip_ids == [f"c{number:04d}" for number in range(151, 251)]
    assert checks["unique_ids"].clip_ids == ["c0299", "c0299"]
