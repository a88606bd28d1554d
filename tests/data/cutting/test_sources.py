"""Which text belongs to which recording, and what a recording is called."""

from pathlib import Path

import pytest

from voicelathe.errors import SubtitleError
from voicelathe.stages.cutting import proposals


def touch(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")
    return root


def test_each_recording_has_the_text_of_its_name(tmp_path: Path) -> None:
    touch(
        tmp_path, "a.wav", "a.en.srt", "a.extra.wav", "a.extra.vtt", "b/c.MP3", "b/c.TextGrid", "b/notes.txt"
    )
    root, found = proposals.sources(tmp_path, None)
    assert root == tmp_path
    assert {one.audio: one.text.name for one in found} == {
        "a.wav": "a.en.srt",
        "a.extra.wav": "a.extra.vtt",
        "b/c.MP3": "c.TextGrid",
    }
    root, (only,) = proposals.sources(tmp_path / "b/c.MP3", tmp_path / "b/notes.txt")
    assert (root, only.audio, only.text.name) == (tmp_path / "b", "c.MP3", "notes.txt")


def test_all_recordings_without_a_text_are_named_at_once(tmp_path: Path) -> None:
    touch(tmp_path, "a.wav", "b.wav", "c.wav", "c.srt", "c.vtt", "d.wav", "d.srt")
    with pytest.raises(
        SubtitleError, match=r"3 of 4 recordings(.|\n)*a\.wav(.|\n)*b\.wav(.|\n)*several texts"
    ):
        proposals.sources(tmp_path, None)


def test_two_files_are_never_one_recording() -> None:
    names = ["a/b.wav", "a_b.wav", "a_b.flac", "c/d.wav"]
    ids = proposals.recording_ids([proposals.Source(name, Path("x.srt")) for name in names])
    assert len(set(ids)) == 4 and ids[3] == "c_d"
