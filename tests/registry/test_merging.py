"""Two clones that both promoted: their journals become one, with the real git, as a driver and after a conflict."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.registry.test_registry_journal import promotion
from voicelathe.errors import PromotionError
from voicelathe.registry.history import journal, merging
from voicelathe.registry.history.journal import BEGUN, DONE
from voicelathe.runs import tombstones

DRIVER = f"{sys.executable} -m voicelathe.cli merge-history %A %B"
MINUTE = "2026-11-21T12:{:02d}:00+00:00"


def put(root: Path, version: str, minute: int) -> None:
    about = replace(promotion(version), at=MINUTE.format(minute))
    with journal.locked(root) as book:
        book.append(BEGUN, "promote", about)
        book.append(DONE, "promote", about)


def git(root: Path, *arguments: str, ok: bool = True) -> str:
    identity = ["-c", "user.name=anna", "-c", "user.email=anna@example.org"]
    done = subprocess.run(
        ["git", "-C", str(root), *identity, *arguments], capture_output=True, text=True, check=False
    )
    assert (done.returncode == 0) == ok, done.stdout + done.stderr
    return done.stdout + done.stderr


def commit(root: Path, message: str) -> None:
    git(root, "add", "-A")
    git(root, "commit", "-qm", message)


@pytest.fixture
def clones(tmp_path: Path) -> tuple[Path, Path]:
    """Two clones with one promotion in common; then each promotes, and one prunes."""
    mine, other = tmp_path / "mine", tmp_path / "other"
    mine.mkdir()
    git(mine, "init", "-q", "-b", "main")
    lines = (Path(__file__).parents[2] / ".gitattributes").read_text()
    (mine / ".gitattributes").write_text(lines)
    (mine / ".gitignore").write_text("/registry/.lock\n")
    put(mine, "1", 1)
    commit(mine, "first")
    git(tmp_path, "clone", "-q", str(mine), str(other))
    put(mine, "2", 5)
    put(mine, "4", 20)
    commit(mine, "mine")
    put(other, "3", 10)
    removed = tombstones.Pruned("checkpoints/x", "a" * 64, 7, "mara", MINUTE.format(11), None, "plan")
    tombstones.append([removed], other)
    commit(other, "theirs")
    return mine, other


def versions(root: Path) -> list[tuple[str, str]]:
    return [(one.event, one.promotion.version) for one in journal.read(root)]


ALL = [(event, version) for version in ("1", "2", "3", "4") for event in (BEGUN, DONE)]


def test_with_the_driver_git_merges_two_histories_by_itself_and_to_the_same_bytes(
    clones: tuple[Path, Path],
) -> None:
    mine, other = clones
    for root, source in ((mine, other), (other, mine)):
        git(root, "config", "merge.voicelathe.driver", DRIVER)
        git(root, "fetch", "-q", str(source), "main:other")
    git(mine, "merge", "-q", "-m", "both", "other")
    git(other, "merge", "-q", "-m", "both", "other")
    assert versions(mine) == versions(other) == ALL
    assert (mine / journal.FILE).read_bytes() == (other / journal.FILE).read_bytes()
    assert journal.standing(journal.read(mine), "voice").version == "4"
    assert [one.path for one in tombstones.read(mine)] == ["checkpoints/x"]


def test_without_the_driver_the_conflict_is_named_and_put_right_by_one_command(
    clones: tuple[Path, Path],
) -> None:
    mine, other = clones
    before = {one.sha256 for one in [*journal.read(mine), *journal.read(other)]}
    git(mine, "fetch", "-q", str(other), "main:other")
    git(mine, "merge", "-m", "both", "other", ok=False)
    with pytest.raises(PromotionError, match=r"conflict markers.*voicelathe merge-history"):
        journal.read(mine)
    command = [sys.executable, "-m", "voicelathe.cli", "merge-history"]
    done = subprocess.run(command, cwd=mine, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "git add registry/journal.jsonl" in done.stdout, done.stderr
    commit(mine, "both")
    assert versions(mine) == ALL
    assert {one.origin for one in journal.read(mine)} == before, "what MLflow knows each line by"
    put(mine, "5", 30)
    assert versions(mine)[-1] == (DONE, "5")


def test_where_git_left_no_conflict_nothing_is_merged(clones: tuple[Path, Path]) -> None:
    with pytest.raises(PromotionError, match="git knows of no conflict"):
        merging.merge_conflicts(clones[0])


def test_an_edited_side_is_not_merged(clones: tuple[Path, Path]) -> None:
    mine, other = (root / journal.FILE for root in clones)
    with pytest.raises(PromotionError, match=r"theirs:1: .*edited"):
        merging.journals(mine.read_bytes(), other.read_bytes().replace(b'"number":1', b'"number":7', 1))


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 1), st.integers(0, 59), st.booleans()), max_size=12),
    st.integers(0, 4),
)
def test_any_two_histories_merge_to_the_same_whole_from_both_sides_and_again(
    events: list[tuple[int, int, bool]], num_common: int
) -> None:
    """Also when one of them was killed between announcing and closing, and when they merge a second time."""
    sides: list[list[journal.Entry]] = [[], []]
    for number, (side, minute, is_closed) in enumerate(events):
        about = replace(promotion(str(number)), at=MINUTE.format(minute))
        for one in (0, 1) if number < num_common else (side,):
            for event in (BEGUN, DONE) if is_closed else (BEGUN,):
                before = sides[one][-1].sha256 if sides[one] else journal.ORIGIN
                sides[one].append(journal.Entry(len(sides[one]) + 1, before, event, "promote", about))
    ours, theirs = (b"".join(entry.line for entry in side) for side in sides)
    merged = merging.journals(ours, theirs)
    assert merged == merging.journals(theirs, ours)
    whole = journal.parse(merged)
    assert {one.origin for one in whole} == {one.sha256 for side in sides for one in side}
    assert merging.journals(merged, ours) == merging.journals(theirs, merged) == merged
