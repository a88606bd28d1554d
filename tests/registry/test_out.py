"""`--out FILE` of a user who is root in a container: devices and pipes stay what they are, and every refusal is one sentence."""

import os
import stat
import threading
from pathlib import Path

import pytest

from tests.factories import training
from voicelathe import digest
from voicelathe.errors import DiskFull, RequestError
from voicelathe.registry.speaking import say


@pytest.fixture
def device(tmp_path: Path) -> Path:
    """A private /dev/full, so that a test that fails destroys no real one."""
    made = tmp_path / "full"
    try:
        os.mknod(made, stat.S_IFCHR | 0o600, os.makedev(1, 7))
        made.open("wb").close()
    except OSError:
        pytest.skip("only root, where device nodes are allowed, can make one")
    return made


def test_a_device_is_written_into_and_never_replaced(device: Path) -> None:
    with pytest.raises(DiskFull, match="there is no room"):
        digest.deliver(device, b"RIFF")
    assert stat.S_ISCHR(device.stat().st_mode)


def test_a_pipe_gets_the_bytes_and_stays_a_pipe(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    read: list[bytes] = []
    reader = threading.Thread(target=lambda: read.append((tmp_path / "pipe").read_bytes()))
    reader.start()
    digest.deliver(tmp_path / "pipe", b"RIFF")
    reader.join(10)
    assert read == [b"RIFF"] and stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)


def test_a_link_is_followed_and_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "old.wav").write_bytes(b"old")
    (tmp_path / "link.wav").symlink_to("old.wav")
    digest.deliver(tmp_path / "link.wav", b"new")
    assert (tmp_path / "link.wav").is_symlink() and (tmp_path / "old.wav").read_bytes() == b"new"


@pytest.mark.parametrize("place", [".", "file/below.wav"])
def test_a_place_that_cannot_be_written_is_one_sentence(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").write_bytes(b"x")
    with pytest.raises(RequestError, match=r"--out .*: cannot be written \(.*\)\. Give another file"):
        digest.deliver(tmp_path / place, b"RIFF")


@pytest.mark.parametrize(
    "text, options, message",
    [
        (" ", {}, "text is empty"),
        ("Hello.", {"max_seconds": float("nan")}, "max_seconds = nan"),
        ("Hello.", {"max_seconds": 1e9}, "at most 60"),
        ("x" * 5000, {}, "5,000 characters in one request"),
    ],
)
def test_a_base_takes_no_more_than_a_voice_in_production(
    promoted_project: Path, text: str, options: dict[str, float], message: str
) -> None:
    with pytest.raises(RequestError, match=message):
        say.speak_base(text, training.BASE, promoted_project / "out.wav", promoted_project, options)
