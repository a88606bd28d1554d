"""The journal of promotions: append-only, chained, one writer at a time."""

import multiprocessing
import time
from dataclasses import replace
from pathlib import Path

import pytest

from voicelathe import digest
from voicelathe.errors import PromotionError
from voicelathe.records import Promotion
from voicelathe.registry.history import journal
from voicelathe.registry.history.journal import ABANDONED, BEGUN, DONE, Standing


def promotion(version: str, previous: str | None = None, name: str = "voice") -> Promotion:
    return Promotion(
        name, version, previous, "mini-lora", "d" * 64, "step_0000040@1", "lora", "checkpoints/x", "c" * 64, "mini",
        "data/bases/mini", "b" * 64, "Apache-2.0", {"awb": ["en"]}, "anna", "2026-11-21T12:00:00+00:00", None, [], {},
    )  # fmt: skip


def write(root: Path, *events: tuple[str, Promotion]) -> None:
    with journal.locked(root) as book:
        for event, about in events:
            book.append(event, "promote", about)


def test_each_line_names_the_sha256_of_the_line_before(tmp_path: Path) -> None:
    write(tmp_path, (BEGUN, promotion("1")), (DONE, promotion("1")), (BEGUN, promotion("2", "1")))
    lines = (tmp_path / journal.FILE).read_bytes().splitlines(keepends=True)
    entries = journal.read(tmp_path)
    assert entries[0].previous == journal.ORIGIN
    assert [entry.previous for entry in entries[1:]] == [digest.of_bytes(line) for line in lines[:-1]]


@pytest.mark.parametrize(
    "damage, line",
    [
        (lambda lines: [lines[0].replace(b"anna", b"mara"), *lines[1:]], 2),
        (lambda lines: [lines[0], *lines[2:]], 2),
        (lambda lines: lines[1:], 1),
        (lambda lines: [lines[0], lines[2], lines[1]], 2),
        (lambda lines: [*lines, lines[-1]], 4),
        (lambda lines: [*lines[:-1], lines[-1][:-9]], 3),
        (lambda lines: [*lines[:-1], lines[-1].rstrip()], 3),
        (lambda lines: [lines[0], lines[1].replace(b'":', b'": ', 1), lines[2]], 2),
    ],
    ids=["changed", "removed", "beheaded", "swapped", "repeated", "torn", "no newline", "respelled"],
)
def test_a_journal_that_was_edited_is_refused_at_the_line(tmp_path: Path, damage: object, line: int) -> None:
    write(tmp_path, (BEGUN, promotion("1")), (DONE, promotion("1")), (BEGUN, promotion("2", "1")))
    path = tmp_path / journal.FILE
    path.write_bytes(b"".join(damage(path.read_bytes().splitlines(keepends=True))))  # type: ignore[operator]
    with pytest.raises(PromotionError, match=rf"journal\.jsonl:{line}: .*git checkout"):
        journal.read(tmp_path)


def test_a_promotion_counts_when_it_is_done_and_is_pending_until_then() -> None:
    one, two = promotion("1"), promotion("2", "1")
    entries = [
        journal.Entry(1, journal.ORIGIN, BEGUN, "promote", one),
        journal.Entry(2, "", DONE, "promote", one),
        journal.Entry(3, "", BEGUN, "promote", two),
    ]
    assert journal.standing(entries[:1], "voice") == Standing(None, entries[0])
    assert journal.standing(entries[:2], "voice") == Standing(one, None)
    assert journal.standing(entries, "voice") == Standing(one, entries[2])
    assert journal.standing([*entries, replace(entries[2], event=ABANDONED)], "voice") == Standing(one, None)
    assert journal.standing([*entries, replace(entries[2], event=DONE)], "voice") == Standing(two, None)


def test_models_of_other_names_do_not_count() -> None:
    entries = [journal.Entry(1, journal.ORIGIN, DONE, "promote", promotion("7", name="other"))]
    assert journal.standing(entries, "voice") == Standing(None, None)


def test_the_lock_lets_one_process_write_at_a_time(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=_append_slowly, args=(tmp_path, str(number))) for number in range(6)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert len(journal.read(tmp_path)) == 6


def _append_slowly(root: Path, version: str) -> None:
    with journal.locked(root) as book:
        time.sleep(0.02)
        book.append(BEGUN, "promote", promotion(version))


def test_readers_without_the_lock_never_meet_half_a_change(tmp_path: Path) -> None:
    write(tmp_path, (BEGUN, promotion("0")))
    writer = multiprocessing.get_context("fork").Process(target=_append_many, args=(tmp_path, 60))
    writer.start()
    lengths = []
    while writer.is_alive():
        lengths.append(len(journal.read(tmp_path)))
    assert lengths == sorted(lengths) and len(set(lengths)) > 5


def _append_many(root: Path, number: int) -> None:
    for version in range(number):
        write(root, (BEGUN, promotion(str(version))))


@pytest.mark.parametrize("word", ["voice", "done", "step_0000040@1", "promote", "anna"])
def test_the_last_line_repeats_what_it_closes(tmp_path: Path, word: str) -> None:
    """A thousand flipped bits found this: the last line has no successor that names its sha256."""
    write(tmp_path, (BEGUN, promotion("1")), (DONE, promotion("1")))
    path = tmp_path / journal.FILE
    first, last = path.read_bytes().splitlines(keepends=True)
    changed = last.replace(f'"{word}"'.encode(), f'"{word[:-1]}x"'.encode(), 1)
    assert changed != last
    path.write_bytes(first + changed)
    with pytest.raises(PromotionError, match=r"journal\.jsonl:2: .*closes nothing that was announced"):
        journal.read(tmp_path)
