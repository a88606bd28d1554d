"""Following a journal that grows, is torn by a kill and is cut back by a resume."""

from pathlib import Path

from voicelathe.tracking.live.tail import Tail


def test_every_complete_line_is_given_out_once(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    tail = Tail(path)
    assert tail.read() == (False, [])
    path.write_bytes(b"one\ntwo\n")
    assert tail.read() == (False, [b"one", b"two"])
    assert tail.read() == (False, [])
    with path.open("ab") as file:
        file.write(b"three\n")
    assert tail.read() == (False, [b"three"])


def test_a_torn_line_waits_until_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    tail = Tail(path)
    path.write_bytes(b"one\ntw")
    assert tail.read() == (False, [b"one"])
    path.write_bytes(b"one\ntwo\n")
    assert tail.read() == (False, [b"two"])


def test_a_journal_that_was_cut_back_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    tail = Tail(path)
    path.write_bytes(b"one\ntwo\nthree\n")
    tail.read()
    path.write_bytes(b"one\n")
    assert tail.read() == (True, [b"one"])


def test_a_cut_is_noticed_even_when_the_file_has_outgrown_the_old_one_since(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    tail = Tail(path)
    path.write_bytes(b"one\ntwo\nthree\n")
    tail.read()
    path.write_bytes(b"one\nzwei\ndrei\nvier\nfuenf\n")
    assert tail.read() == (True, [b"one", b"zwei", b"drei", b"vier", b"fuenf"])
