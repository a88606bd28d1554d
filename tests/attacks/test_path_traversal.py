"""Paths that lead out of the audio root are refused by their text; nothing outside is ever opened."""

import sys
from collections.abc import Iterator

import pytest

from tests.attacks.conftest import Lab
from tests.factories import audio as sounds
from tests.factories import rows

SPELLINGS = {
    "../secret.wav": "outside_root",
    "../../secret.wav": "outside_root",
    "a/../../secret.wav": "outside_root",
    "./../secret.wav": "outside_root",
    "audio/../../audio/../secret.wav": "outside_root",
    "..": "outside_root",
    "a/..": "outside_root",
    "/etc/passwd": "absolute_path",
    "/secret.wav": "absolute_path",
    "//secret.wav": "absolute_path",
    "~/secret.wav": "absolute_path",
    "~root/secret.wav": "absolute_path",
    "file:///secret.wav": "absolute_path",
    "http://example.org/secret.wav": "absolute_path",
    "s3://bucket/secret.wav": "absolute_path",
    "C:/secret.wav": "absolute_path",
    "C:secret.wav": "absolute_path",
    "..\\secret.wav": "invalid_path",
    "\\\\server\\share\\secret.wav": "invalid_path",
    "C:\\secret.wav": "invalid_path",
    "secret.wav\0.wav": "invalid_path",
    "\0../secret.wav": "invalid_path",
    "secret\n.wav": "invalid_path",
    "secret\u2028.wav": "invalid_path",
    "a" * 2000 + ".wav": "invalid_path",
    "a" * 300 + ".wav": "unreadable",  # longer than a name may be
    "%2e%2e/secret.wav": "missing",  # no decoding: a folder of that name, which is not there
    "..%2fsecret.wav": "missing",
    "\uff0e\uff0e/secret.wav": "missing",  # full-width dots stay what they are
    ".../secret.wav": "missing",
    "rec_01.wav/../../secret.wav": "outside_root",
    "rec_01.wav/secret.wav": "unreadable",  # a file is no folder
    "": "missing_field",
    "secret": "unsupported_type",
    "secret.wav.": "unsupported_type",
    ".wav": "unsupported_type",
}
_opened: list[str] = []
_is_watching = False


def _watch(event: str, arguments: tuple[object, ...]) -> None:
    if _is_watching and event == "open":
        _opened.append(str(arguments[0]))


sys.addaudithook(_watch)


@pytest.fixture
def opened() -> Iterator[list[str]]:
    """Every path that this process opens, as Python's audit hook reports it."""
    global _is_watching
    _opened.clear()
    _is_watching = True
    yield _opened
    _is_watching = False


@pytest.mark.parametrize("path", SPELLINGS)
def test_a_path_out_of_the_root_is_refused_unopened(lab: Lab, path: str, opened: list[str]) -> None:
    secret = lab.root.parent / "secret.wav"
    assert sounds.write(secret, sounds.tone(0.1)).read_bytes() and str(secret) in opened  # the watch works
    opened.clear()
    assert lab.rejected(rows.raw(2, audio=path)) == SPELLINGS[path]
    assert "rec_01.wav" in opened and not {"secret.wav", str(secret), "passwd"} & set(opened)


def test_the_same_paths_are_refused_as_a_reference(lab: Lab) -> None:
    """A row names a second file, ref_audio; nothing of the data stages opens it."""
    assert lab.rejected(rows.raw(2, audio="rec_01.wav", ref_audio="../secret.wav")) is None
