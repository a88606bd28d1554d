"""Links below the audio root are not followed, wherever they point and in whatever part of the path they stand."""

import os

import pytest

from tests.attacks.conftest import Lab
from tests.factories import audio as sounds
from tests.factories import rows


@pytest.mark.parametrize(
    "target", ["../secret.wav", "rec_01.wav", "link.wav", "/dev/zero", "/etc/passwd", "nowhere.wav"]
)
def test_a_link_to_a_file_is_refused(lab: Lab, target: str) -> None:
    sounds.write(lab.root.parent / "secret.wav", sounds.tone(0.1))
    (lab.root / "link.wav").symlink_to(target)
    assert lab.rejected(rows.raw(2, audio="link.wav")) == "symlink"


@pytest.mark.parametrize("target", ["..", ".", "/", "folder"])
def test_a_link_to_a_folder_is_refused(lab: Lab, target: str) -> None:
    sounds.write(lab.root.parent / "secret.wav", sounds.tone(0.1))
    sounds.write(lab.root / "folder" / "secret.wav", sounds.tone(0.1))
    (lab.root / "link").symlink_to(target)
    assert lab.rejected(rows.raw(2, audio="link/secret.wav")) == "symlink"


def test_a_file_swapped_for_a_link_after_ingest_is_refused_by_measure(lab: Lab) -> None:
    """What was checked is what is read: the link is met when measure opens the file, and its target never."""
    sounds.write(lab.root.parent / "secret.wav", sounds.speech(0.3))
    sounds.write(lab.root / "rec_02.wav", sounds.speech(0.3))
    assert lab.code(rows.raw(2)) is None
    (lab.root / "rec_02.wav").unlink()
    (lab.root / "rec_02.wav").symlink_to("../secret.wav")
    assert [one.problem for one in lab.measures(["rec_01.wav", "rec_02.wav"])] == [None, "symlink"]


def test_a_hard_link_is_a_file_like_any_other(lab: Lab) -> None:
    os.link(lab.root / "rec_01.wav", lab.root / "rec_02.wav")
    assert lab.code(rows.raw(2)) is None
