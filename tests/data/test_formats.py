"""Raw manifests of every format: each line is one row or one rejected line, never both and never neither."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.factories import rows
from voicelathe.data.manifest import formats
from voicelathe.data.manifest.formats import RawRow
from voicelathe.errors import ManifestError
from voicelathe.records import RejectedLine


def read(path: Path, **changes: Any) -> list[formats.Read]:
    return formats.read(rows.ingest(path, path.parent, **changes))[0]


def codes(found: list[formats.Read]) -> dict[int, str]:
    return {one.line: one.problem for one in found if isinstance(one, RejectedLine)}


def test_a_row_keeps_what_its_owner_wrote(tmp_path: Path) -> None:
    line = rows.raw(start_s=1, end_s=2.5, mood="calm", take=3, nested={"b": 1, "a": [None]})
    (row,) = read(rows.json_lines(tmp_path / "m.jsonl", [line]))
    assert isinstance(row, RawRow)
    assert (row.start_s, row.end_s, row.sample_rate_hz, row.user_id) == (1.0, 2.5, 16000, "clip_0001")
    assert row.extra == {"mood": "calm", "nested": '{"a":[null],"b":1}', "take": "3"}


def test_an_empty_text_is_a_row_and_not_our_business(tmp_path: Path) -> None:
    lines = [rows.raw(1, text=None), rows.raw(2, text=""), rows.raw(3)]
    del lines[2]["text"]
    found = read(rows.json_lines(tmp_path / "m.jsonl", lines))
    assert [one.text for one in found if isinstance(one, RawRow)] == [None, "", None]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"audio": None}, "missing_field"),
        ({"audio": ""}, "missing_field"),
        ({"audio": 7}, "wrong_type"),
        ({"audio": ["a.wav"]}, "wrong_type"),
        ({"text": 7}, "wrong_type"),
        ({"text": ["a"]}, "wrong_type"),
        ({"start_s": "soon"}, "wrong_type"),
        ({"start_s": True}, "wrong_type"),
        ({"end_s": [1]}, "wrong_type"),
        ({"end_s": 10**400}, "wrong_type"),
        ({"end_s": "nan"}, "wrong_type"),
        ({"sample_rate_hz": 16000.5}, "wrong_type"),
        ({"sample_rate_hz": -1}, "wrong_type"),
        ({"sample_rate_hz": 0}, "wrong_type"),
        ({"recording_id": None}, "missing_field"),
        ({"recording_id": ""}, "missing_field"),
        ({"recording_id": 1.5}, "wrong_type"),
        ({"speaker_id": None}, "missing_field"),
        ({"language": {}}, "wrong_type"),
    ],
)
def test_a_field_of_the_wrong_kind_rejects_its_line_and_no_other(
    tmp_path: Path, change: dict[str, Any], code: str
) -> None:
    found = read(rows.json_lines(tmp_path / "m.jsonl", [rows.raw(1), rows.raw(2, **change), rows.raw(3)]))
    assert codes(found) == {2: code}
    assert [one.line for one in found] == [1, 2, 3]


def test_ids_that_are_numbers_become_text(tmp_path: Path) -> None:
    (row,) = read(rows.json_lines(tmp_path / "m.jsonl", [rows.raw(id=7, recording_id=12, speaker_id=3)]))
    assert isinstance(row, RawRow) and (row.user_id, row.recording_id, row.speaker_id) == ("7", "12", "3")


def test_without_recordings_the_manifest_is_refused_with_example_paths(tmp_path: Path) -> None:
    lines = [rows.raw(n, recording_id=None, audio=f"talk{n}_001.wav") for n in range(1, 15)]
    with pytest.raises(ManifestError) as refused:
        read(rows.json_lines(tmp_path / "m.jsonl", lines))
    assert "recording_from" in str(refused.value) and "talk1_001.wav" in str(refused.value)
    assert "talk10_001.wav" in str(refused.value) and "talk11_001.wav" not in str(refused.value)


def test_a_regex_finds_the_recording_in_the_path(tmp_path: Path) -> None:
    lines = [
        rows.raw(1, recording_id=None, audio="a/talk1_001.wav"),
        rows.raw(2, recording_id=None, audio="odd.wav"),
    ]
    found = read(rows.json_lines(tmp_path / "m.jsonl", lines), recording_from=r"([^/]+)_\d+\.wav$")
    assert isinstance(found[0], RawRow) and found[0].recording_id == "talk1"
    assert codes(found) == {2: "missing_field"}


@pytest.mark.parametrize("name", ["speaker_id", "language"])
def test_a_column_that_no_row_has_comes_from_the_settings_or_stops(tmp_path: Path, name: str) -> None:
    path = rows.json_lines(tmp_path / "m.jsonl", [rows.raw(1, **{name: None}), rows.raw(2, **{name: None})])
    with pytest.raises(ManifestError, match=rf"ingest\.{name}"):
        read(path)
    assert [getattr(one, name) for one in read(path, **{name: "xy"})] == ["xy", "xy"]


def test_when_no_line_is_a_row_the_first_ten_are_shown(tmp_path: Path) -> None:
    with pytest.raises(ManifestError) as refused:
        read(rows.json_lines(tmp_path / "m.jsonl", [b"not json"] * 30))
    assert "none of its 30 lines" in str(refused.value) and "line 10:" in str(refused.value)
    assert "line 11:" not in str(refused.value)


def test_an_empty_manifest_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="is empty"):
        read(rows.json_lines(tmp_path / "m.jsonl", []))


def test_voxcpm_rows_need_a_rule_for_the_rest(tmp_path: Path) -> None:
    line = {"audio": "t1/a.wav", "text": "Hello.", "duration": 3.1, "ref_audio": "t1/r.wav", "dataset_id": 2}
    path = rows.json_lines(tmp_path / "m.jsonl", [line])
    (row,) = read(path, format="voxcpm", recording_from="^([^/]+)/", speaker_id="awb", language="en")
    assert isinstance(row, RawRow)
    assert (row.recording_id, row.ref_audio, row.extra) == (
        "t1",
        "t1/r.wav",
        {"dataset_id": "2", "duration": "3.1"},
    )


def test_qwen3_tts_rows_have_a_reference(tmp_path: Path) -> None:
    lines = [rows.raw(1, ref_audio="r.wav"), rows.raw(2)]
    found = read(rows.json_lines(tmp_path / "m.jsonl", lines), format="qwen3-tts")
    assert codes(found) == {2: "missing_field"}


def test_ljspeech_takes_the_normalised_text_and_names_the_wav(tmp_path: Path) -> None:
    path = tmp_path / "metadata.csv"
    path.write_text('LJ001-0001|Dr. "X"|Doctor "X"\nLJ001-0002|Plain.|\nLJ001-0003|Two.\nbroken\n')
    found = read(path, format="ljspeech", recording_from=r"(LJ\d+)-", speaker_id="lj", language="en")
    texts = [(one.audio, one.text, one.recording_id) for one in found if isinstance(one, RawRow)]
    assert texts[0] == ("wavs/LJ001-0001.wav", 'Doctor "X"', "LJ001")
    assert [text for _, text, _ in texts[1:]] == ["Plain.", "Two."]
    assert codes(found) == {4: "wrong_columns"}


CSV = "audio,text,start_s,recording_id,speaker_id,language,note\n"


def test_csv_rows_follow_their_header(tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    path.write_text(CSV + 'a.wav,"Hello, you.",1.5,r1,s,en,\nb.wav,,,r1,s,en,loud\n')
    first, second = read(path, format="csv")
    assert isinstance(first, RawRow) and isinstance(second, RawRow)
    assert (first.text, first.start_s, first.extra, first.line) == ("Hello, you.", 1.5, {}, 2)
    assert (second.text, second.start_s, second.extra) == ("", None, {"note": "loud"})


def test_an_open_quote_in_a_csv_swallows_no_other_row(tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    path.write_text(CSV + 'a.wav,"open,1,r,s,en,\nb.wav,fine,1,r,s,en,\nc.wav,too,few\n')
    found = read(path, format="csv")
    assert codes(found) == {2: "not_csv", 4: "wrong_columns"} and [one.line for one in found] == [2, 3, 4]


@pytest.mark.parametrize("header", ["path,text", "audio,audio", '"audio', ""])
def test_a_csv_header_without_audio_is_refused(tmp_path: Path, header: str) -> None:
    path = tmp_path / "m.csv"
    path.write_text(header + "\na.wav,b\n")
    with pytest.raises(ManifestError, match="must name each column once"):
        read(path, format="csv")


def test_hugging_face_columns_are_understood(tmp_path: Path) -> None:
    path = tmp_path / "metadata.csv"
    path.write_text("file_name,transcription,recording_id,speaker_id,language\na.wav,Hello.,r,s,en\n")
    (row,) = read(path, format="csv")
    assert isinstance(row, RawRow) and (row.audio, row.text) == ("a.wav", "Hello.")


ANY_VALUE = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.lists(st.integers(), max_size=2)
)
HOSTILE = st.one_of(
    st.binary(max_size=120).map(lambda data: data.replace(b"\n", b" ")),
    st.dictionaries(st.sampled_from([*formats.KNOWN, "x"]), ANY_VALUE, max_size=9).map(
        lambda value: json.dumps({**rows.raw(), **value}).encode()
    ),
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(HOSTILE, max_size=12))
def test_whatever_stands_in_a_manifest_every_line_is_accounted_for(
    tmp_path: Path, hostile: list[bytes]
) -> None:
    good = json.dumps(rows.raw()).encode()
    lines = [one for bad in hostile for one in (bad, good)] + [good]
    path = tmp_path / "m.jsonl"
    path.write_bytes(b"\n".join(lines) + b"\n")
    try:
        found = read(path)
    except ManifestError as problem:
        assert "UTF-16" in str(problem)
        return
    assert [one.line for one in found] == list(range(1, len(lines) + 1))
    assert all(isinstance(found[at], RawRow) for at, line in enumerate(lines) if line == good)
