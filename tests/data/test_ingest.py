"""Ingest: the pins hold, ids are stable, no line is lost, and no path leads out of the audio root."""

import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.factories import audio, rows
from voicelathe import digest
from voicelathe.config import schema
from voicelathe.data.audio import files
from voicelathe.data.manifest import ingest
from voicelathe.errors import ManifestError

ROOT = Path("audio")


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    ROOT.mkdir()
    yield


def corpus(lines: list[dict[str, Any] | bytes] | None = None) -> schema.Ingest:
    """A manifest of three rows (or the given ones) over three short files; not pinned."""
    for number in (1, 2, 3):
        audio.write(ROOT / f"rec_{number:02d}.wav", audio.tone(0.2, 200 + number))
    manifest = rows.json_lines(Path("m.jsonl"), lines or [rows.raw(number) for number in (1, 2, 3)])
    return rows.ingest(manifest, ROOT)


def pinned(wanted: schema.Ingest) -> schema.Ingest:
    sha256, audio_digest = ingest.pins(wanted)
    return replace(wanted, sha256=sha256, audio_digest=audio_digest)


# --- pins ------------------------------------------------------------------------------------------------------------


def test_a_pinned_manifest_is_read_and_nothing_is_lost() -> None:
    found = ingest.read_pinned(pinned(corpus([rows.raw(1), b"no json", rows.raw(2), b"", rows.raw(3)])))
    assert [row.line for row in found.rows] == [1, 3, 5]
    assert [line.line for line in found.rejected] == [2, 4]
    assert found.audio == {f"rec_{n:02d}.wav": digest.of_file(ROOT / f"rec_{n:02d}.wav") for n in (1, 2, 3)}


def test_a_changed_manifest_stops_with_both_hashes_and_the_way_out() -> None:
    wanted = pinned(corpus())
    rows.json_lines(Path("m.jsonl"), [rows.raw(1, text="Another."), rows.raw(2)])
    with pytest.raises(ManifestError) as refused:
        ingest.read_pinned(wanted)
    assert wanted.sha256 in str(refused.value) and digest.of_file(Path("m.jsonl")) in str(refused.value)
    assert "voicelathe pin" in str(refused.value)


def test_changed_audio_stops_with_both_hashes_and_names_the_files() -> None:
    wanted = pinned(corpus())
    ingest.read_pinned(wanted)
    audio.write(ROOT / "rec_02.wav", audio.tone(0.2, 999))
    (ROOT / "rec_03.wav").unlink()
    with pytest.raises(ManifestError) as refused:
        ingest.read_pinned(wanted)
    said = str(refused.value)
    assert wanted.audio_digest in said and ingest.pins(wanted)[1] in said and "voicelathe pin" in said
    assert "changed: rec_02.wav" in said and "gone: rec_03.wav" in said and "rec_01.wav" not in said


def test_files_are_not_named_by_a_list_that_is_not_the_pinned_one() -> None:
    wanted = pinned(corpus())
    ingest.read_pinned(wanted)
    ingest.AUDIO_LIST.write_text("0" * 64 + "  rec_01.wav\n")
    audio.write(ROOT / "rec_02.wav", audio.tone(0.2, 999))
    with pytest.raises(ManifestError) as refused:
        ingest.read_pinned(wanted)
    assert "changed:" not in str(refused.value)


def test_audio_that_no_row_names_changes_no_pin() -> None:
    wanted = pinned(corpus())
    audio.write(ROOT / "unused.wav", audio.tone(0.1))
    assert pinned(wanted) == wanted


def test_pins_are_sha256_of_the_file_and_of_the_list_of_audio() -> None:
    wanted = corpus()
    found = ingest.read(wanted, rows.SERIAL)
    assert ingest.pins(wanted) == (digest.of_file(Path("m.jsonl")), digest.of_value(found.audio))


def test_the_audio_list_is_what_sha256sum_checks() -> None:
    found = ingest.read(corpus(), rows.SERIAL)
    Path("audio/list").write_text(ingest.audio_list(found.audio))
    assert os.system("cd audio && sha256sum --check --quiet list") == 0


def test_a_wrong_audio_root_is_one_error_and_not_a_thousand_rows() -> None:
    wanted = corpus()
    with pytest.raises(ManifestError, match=r"ingest\.audio_root"):
        ingest.pins(replace(wanted, audio_root="elsewhere"))
    Path("empty").mkdir()
    with pytest.raises(ManifestError, match=r"None of the 3 audio files .*\n.*rec_01.wav: missing"):
        ingest.pins(replace(wanted, audio_root="empty"))


# --- ids -------------------------------------------------------------------------------------------------------------


def test_an_id_is_made_of_what_makes_a_clip_and_of_nothing_else() -> None:
    found = ingest.read(corpus([rows.raw(1, start_s=0.0, end_s=0.1)]), rows.SERIAL)
    sha256 = digest.of_file(ROOT / "rec_01.wav")
    assert found.rows[0].clip_id == digest.of_value([sha256, 0.0, 0.1, rows.SENTENCE, "awb"])[:16]
    same = ingest.read(
        corpus([b"no json", rows.raw(1, start_s=0.0, end_s=0.1, id="x", language="de")]), rows.SERIAL
    )
    assert same.rows[0].clip_id == found.rows[0].clip_id


@pytest.mark.parametrize(
    "change", [{"start_s": 0.01}, {"end_s": 0.15}, {"text": "Other."}, {"speaker_id": "rms"}]
)
def test_whatever_makes_another_clip_makes_another_id(change: dict[str, Any]) -> None:
    found = ingest.read(corpus([rows.raw(1), rows.raw(1, **change)]), rows.SERIAL)
    assert len({row.clip_id.partition("-")[0] for row in found.rows}) == 2


def test_exact_repeats_are_numbered_in_the_order_of_the_manifest() -> None:
    found = ingest.read(corpus([rows.raw(1), rows.raw(2), rows.raw(1), rows.raw(1)]), rows.SERIAL)
    first, _, second, third = (row.clip_id for row in found.rows)
    assert (second, third) == (f"{first}-2", f"{first}-3")


def test_the_same_file_under_two_names_is_a_repeat() -> None:
    wanted = corpus([rows.raw(1), rows.raw(1, audio="copy.wav")])
    (ROOT / "copy.wav").write_bytes((ROOT / "rec_01.wav").read_bytes())
    first, second = ingest.read(wanted, rows.SERIAL).rows
    assert second.clip_id == f"{first.clip_id}-2"


def test_missing_files_keep_ids_apart_by_their_path() -> None:
    found = ingest.read(corpus([rows.raw(1), rows.raw(8), rows.raw(9)]), rows.SERIAL)
    assert [row.audio_problem for row in found.rows] == [None, "missing", "missing"]
    assert len({row.clip_id for row in found.rows}) == 3


def test_any_number_of_workers_gives_the_same_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ingest, "FILES_PER_SHARD", 1)
    wanted = corpus()
    assert ingest.read(wanted, rows.SERIAL) == ingest.read(wanted, rows.PARALLEL)


# --- paths -----------------------------------------------------------------------------------------------------------

ESCAPES = {
    "../secret.wav": "outside_root",
    "a/../../secret.wav": "outside_root",
    "a/b/../../../secret.wav": "outside_root",
    "./../secret.wav": "outside_root",
    "..": "outside_root",
    "/etc/passwd": "absolute_path",
    "/etc/passwd.wav": "absolute_path",
    "//server/secret.wav": "absolute_path",
    "~/secret.wav": "absolute_path",
    "~root/secret.wav": "absolute_path",
    "file:///etc/secret.wav": "absolute_path",
    "https://example.org/secret.wav": "absolute_path",
    "C:/secret.wav": "absolute_path",
    "C:secret.wav": "absolute_path",
    "..\\secret.wav": "invalid_path",
    "a\\b.wav": "invalid_path",
    "a\x00.wav": "invalid_path",
    "../secret\x00.wav": "invalid_path",
    "a\n.wav": "invalid_path",
    "a\u2028.wav": "invalid_path",
    "x" * 2000 + ".wav": "invalid_path",
    "x" * 500 + ".wav": "unreadable",
    "%2e%2e/secret.wav": "missing",
    "..%2fsecret.wav": "missing",
    "\u2024\u2024/secret.wav": "missing",
    ".../secret.wav": "missing",
    "link_out.wav": "symlink",
    "link_in.wav": "symlink",
    "link_loop.wav": "symlink",
    "link_dir/secret.wav": "symlink",
    "link_dir/../rec_01.wav": "outside_root",
    "rec_01.wav/x.wav": "unreadable",
    "fifo.wav": "not_regular",
    "folder.wav": "not_regular",
    "zero.wav": "symlink",
    "notes.txt": "unsupported_type",
    "rec_01": "unsupported_type",
    "a.raw": "unsupported_type",
    "a.wav.exe": "unsupported_type",
    ".": "unsupported_type",
}


def traps() -> None:
    outside = Path("outside")
    outside.mkdir()
    audio.write(outside / "secret.wav", audio.tone(0.1))
    audio.write(Path("secret.wav"), audio.tone(0.1))
    (ROOT / "link_out.wav").symlink_to(outside.absolute() / "secret.wav")
    (ROOT / "link_in.wav").symlink_to("rec_01.wav")
    (ROOT / "link_loop.wav").symlink_to("link_loop.wav")
    (ROOT / "link_dir").symlink_to(outside.absolute())
    (ROOT / "zero.wav").symlink_to("/dev/zero")
    os.mkfifo(ROOT / "fifo.wav")
    (ROOT / "folder.wav").mkdir()
    (ROOT / "notes.txt").write_text("not audio")
    (ROOT / "a.raw").write_bytes(b"\0" * 100)


@pytest.mark.timeout(20)
def test_no_spelling_of_a_path_leads_out_of_the_root_and_none_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = corpus([*(rows.raw(1, audio=name) for name in ESCAPES), rows.raw(1)])
    traps()
    opened: list[str] = []
    really = os.open

    def watched(path: Any, flags: int, *rest: Any, **more: Any) -> int:
        file = really(path, flags, *rest, **more)
        opened.append(str(Path(f"/proc/self/fd/{file}").readlink()))
        return file

    with monkeypatch.context() as patch:
        patch.setattr(files.os, "open", watched)
        found = ingest.read(wanted, rows.SERIAL)
    assert {row.audio: row.audio_problem for row in found.rows} == {**ESCAPES, "rec_01.wav": None}
    root = str(ROOT.absolute())
    assert opened and all(path == root or path.startswith(root + "/") for path in opened)


def test_a_path_is_taken_with_dots_spaces_and_any_script() -> None:
    names = ["./rec_01.wav", "sub/./a b.wav", "\u58f0.wav", "a..b.wav", ".hidden.wav", "A.WAV"]
    for name in names:
        audio.write(ROOT / name, audio.tone(0.1)) if name != "A.WAV" else (ROOT / name).write_bytes(
            audio.wav_bytes()
        )
    found = ingest.read(corpus([rows.raw(1, audio=name) for name in names]), rows.SERIAL)
    assert [row.audio_problem for row in found.rows] == [None] * len(names)


def test_descriptors_are_given_back() -> None:
    wanted = corpus([*(rows.raw(1, audio=name) for name in ESCAPES), rows.raw(1)])
    traps()
    before = len(list(Path("/proc/self/fd").iterdir()))
    ingest.read(wanted, rows.SERIAL)
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_rows_can_be_written_and_read_back() -> None:
    from voicelathe import records

    found = ingest.read(corpus([rows.raw(1, text="\u202e<b>\u2028\x00", note="x")]), rows.SERIAL)
    records.write(Path("out.jsonl"), found.rows)
    assert records.read(Path("out.jsonl"), records.ManifestRow) == found.rows
    assert json.loads(Path("out.jsonl").read_bytes().split(b"\n")[0])["text"] == "\u202e<b>\u2028\x00"
