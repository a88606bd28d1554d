"""What is no regular file is refused at once: a FIFO that nobody writes to would block for ever."""

import os
import socket
import stat

import pytest

from tests.attacks.conftest import Lab
from tests.factories import rows

pytestmark = pytest.mark.timeout(20)


def test_a_fifo_is_refused_without_waiting(lab: Lab) -> None:
    os.mkfifo(lab.root / "rec_02.wav")
    assert lab.code(rows.raw(2)) == "not_regular"


def test_a_fifo_in_the_place_of_a_folder_is_refused_without_waiting(lab: Lab) -> None:
    os.mkfifo(lab.root / "folder")
    assert lab.rejected(rows.raw(2, audio="folder/a.wav")) == "unreadable"


def test_a_socket_is_refused(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(lab.root)  # the path of a socket may have 108 bytes
    with socket.socket(socket.AF_UNIX) as one:
        one.bind("rec_02.wav")
        assert lab.rejected(rows.raw(2)) == "unreadable"


def test_a_folder_is_refused(lab: Lab) -> None:
    (lab.root / "rec_02.wav").mkdir()
    assert lab.rejected(rows.raw(2)) == "not_regular"


def test_an_endless_device_is_refused(lab: Lab) -> None:
    """The zero device as a node of its own where that is allowed, as root, and else through a link."""
    try:
        os.mknod(lab.root / "rec_02.wav", stat.S_IFCHR | 0o600, os.makedev(1, 5))
    except PermissionError:
        (lab.root / "rec_02.wav").symlink_to("/dev/zero")
    assert lab.rejected(rows.raw(2)) in ("not_regular", "symlink", "unreadable")
