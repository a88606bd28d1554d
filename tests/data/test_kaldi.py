"""A Kaldi folder as one manifest: each line of wav.scp keeps its number, and nothing of the three files is lost."""

import json
from pathlib import Path

import pytest

from tests.factories import rows
from voicelathe.data.manifest import formats, kaldi
from voicelathe.data.manifest.formats import RawRow
from voicelathe.errors import ManifestError


def folder(root: Path, **files: bytes) -> Path:
    for name, content in files.items():
        (root / {"wavs": "wav.scp"}.get(name, name)).write_bytes(content)
    return root


def joined(root: Path, **files: bytes) -> list[formats.Read]:
    path = root / "joined.jsonl"
    path.write_bytes(kaldi.join(folder(root, **files)))
    return formats.read(rows.ingest(path, root, recording_from="(.+)", speaker_id="x", language="en"))[0]


def test_the_three_files_meet_by_id(tmp_path: Path) -> None:
    found = joined(
        tmp_path,
        wavs=b"a wavs/a.wav\nb\twavs/b  b.wav\n",
        text="b  Grüße, wie geht's \na hello  there\n".encode(),
        utt2spk=b"a anna\n",
    )
    seen = [
        (one.line, one.audio, one.text, one.speaker_id, one.user_id)
        for one in found
        if isinstance(one, RawRow)
    ]
    assert seen == [
        (1, "wavs/a.wav", "hello  there", "anna", "a"),
        (2, "wavs/b  b.wav", "Grüße, wie geht's", "x", "b"),
    ]


def test_a_line_that_is_no_row_keeps_its_number_and_a_text_without_audio_is_not_lost(tmp_path: Path) -> None:
    found = joined(
        tmp_path, wavs=b"a wavs/a.wav\n\nb\nc \xff.wav\nd wavs/d.wav\n", text=b"a one\nz nobody's\n"
    )
    assert [one.line for one in found if isinstance(one, RawRow)] == [1, 5]
    assert {one.line: one.problem for one in found if not isinstance(one, RawRow)} == {
        **{2: "blank_line", 3: "missing_field", 4: "not_utf8", 6: "missing_field"}
    }
    assert isinstance(found[4], RawRow) and found[4].text is None  # the audit will say so


def test_a_command_in_wav_scp_is_a_path_that_is_not_run(tmp_path: Path) -> None:
    (found,) = joined(tmp_path, wavs=b"a touch /tmp/owned; sox a.wav -t wav - |\n", text=b"a one\n")
    assert isinstance(found, RawRow) and found.audio.endswith("|")


@pytest.mark.parametrize(
    ("files", "told"),
    [
        ({"text": b"a one\na two\n"}, "text:2: a is given twice"),
        ({"utt2spk": b"a x\na y\n"}, "utt2spk:2: a is given twice"),
        ({"text": b"a \xff\n"}, "text:1: not_utf8"),
    ],
)
def test_what_has_two_meanings_is_refused(tmp_path: Path, files: dict[str, bytes], told: str) -> None:
    with pytest.raises(ManifestError, match=told):
        kaldi.join(folder(tmp_path, wavs=b"a a.wav\n", **files))


def test_json_is_written_so_that_no_text_ends_a_line(tmp_path: Path) -> None:
    content = kaldi.join(folder(tmp_path, wavs=b"a a.wav\n", text='a "x"\u2028\\n\n'.encode()))
    assert json.loads(content)["text"] == '"x"\u2028\\n' and content.count(b"\n") == 1


def test_segments_cut_the_files_of_wav_scp(tmp_path: Path) -> None:
    found = joined(
        tmp_path,
        wavs=b"talk1 long/talk1.wav\n",
        segments=b"u1 talk1 0.5 2.25\nbroken\nu2 talk1 2.25 -1\nu3 gone 0 1\nu4 talk1 0 nan\n",
        text=b"u1 one\nu2 two\nu9 nobody's\n",
        utt2spk=b"u1 anna\n",
    )
    rows_found = [one for one in found if isinstance(one, RawRow)]
    assert [
        (one.line, one.audio, one.start_s, one.end_s, one.text, one.recording_id) for one in rows_found
    ] == [
        (1, "long/talk1.wav", 0.5, 2.25, "one", "talk1"),
        (3, "long/talk1.wav", 2.25, None, "two", "talk1"),
    ]
    assert rows_found[0].speaker_id == "anna"
    assert [one.line for one in found if not isinstance(one, RawRow)] == [2, 4, 5, 6]
