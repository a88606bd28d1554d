"""Files that are whole or not at all, read back: one that is damaged is an error in one sentence, wherever it is read."""

from pathlib import Path

import pytest

from voicelathe import digest
from voicelathe.data import consent
from voicelathe.data.split import frozen
from voicelathe.errors import ConsentError, RecordError
from voicelathe.registry.weights import forgotten


@pytest.mark.parametrize(
    "content", [b"", b'{"a": ', b"\xff\xfe", b"<html>"], ids=["empty", "cut off", "bytes", "page"]
)
def test_a_file_that_is_not_json_is_named_with_what_to_do(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "finished.json"
    path.write_bytes(content)
    with pytest.raises(
        RecordError, match=r"finished\.json is not JSON \(.+\)\. Restore it, or delete it and"
    ):
        digest.read_json(path)


def test_whoever_knows_what_to_do_about_it_can_say_so(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text("{")
    with pytest.raises(ValueError, match="is not JSON"):
        digest.read_json(tmp_path / "x.json")
    consent.path_of("anna", tmp_path).write_text("{")
    with pytest.raises(ConsentError) as caught:
        consent.load("anna", tmp_path)
    assert "is not a consent record" in str(caught.value) and "stage" not in str(caught.value)


def test_readers_far_from_records_say_it_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / forgotten.NOTED).write_text("[")
    with pytest.raises(RecordError, match="is not JSON"):
        forgotten.noted(tmp_path)
    proposed = frozen.splits_named.path("mine")
    proposed.parent.mkdir(parents=True)
    proposed.write_text("{")
    with pytest.raises(RecordError, match=r"splits/mine/.+ is not JSON"):
        frozen.read("mine")
