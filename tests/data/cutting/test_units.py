"""Times of a file that only has numbers: seconds, hundredths and thousandths are told by the recording, and nothing is guessed beyond it."""

import json
from pathlib import Path

import pytest

from voicelathe.data.cutting import cues

SAID = (
    "The lamp beside the window is on today.", "Rain fell.", "Nobody wanted to leave the house before noon.",
    "They talked for a long time.", "Then all went home.",
)  # fmt: skip
SPOKEN = ((0.0, 3.0), (3.0, 4.0), (5.0, 8.5), (900.0, 902.0), (1798.0, 1800.0))


def written(folder: Path, factor: int, kind: str = "json", first: str = "start", last: str = "end") -> Path:
    """A file with those sentences, in whole numbers of a unit."""
    times = [(int(start * factor), int(end * factor)) for start, end in SPOKEN]
    path = folder / f"talk.{kind}"
    if kind == "json":
        held = [
            {first: one, last: other, "text": text} for (one, other), text in zip(times, SAID, strict=True)
        ]
        path.write_text(json.dumps({"segments": held}))
    else:
        path.write_text(
            "".join(f"{one}\t{other}\t{text}\n" for (one, other), text in zip(times, SAID, strict=True))
        )
    return path


@pytest.mark.parametrize("kind", ["json", "txt"])
@pytest.mark.parametrize(("factor", "name"), [(100, "hundredths"), (1000, "thousandths")])
def test_whole_numbers_that_only_fit_in_another_unit_are_taken_in_it(
    tmp_path: Path, factor: int, name: str, kind: str
) -> None:
    path = written(tmp_path, factor, kind)
    found = cues.in_seconds(cues.read(path), path, 1801.0)
    assert [one.start_s for one in found.cues] == pytest.approx([start for start, _ in SPOKEN])
    assert [one.end_s for one in found.cues] == pytest.approx([end for _, end in SPOKEN])
    assert name in found.notes[0] and not found.problems


def test_seconds_stay_seconds_also_in_a_recording_that_is_cut_off(tmp_path: Path) -> None:
    for duration_s in (1801.0, 600.0, 4.0):
        path = written(tmp_path, 1)
        found = cues.in_seconds(cues.read(path), path, duration_s)
        assert found.cues[-1].end_s == 1800.0 and not found.notes


def test_times_that_fit_in_no_unit_stay_as_they_are_and_are_told_of_elsewhere(tmp_path: Path) -> None:
    path = written(tmp_path, 48_000)  # samples
    assert cues.in_seconds(cues.read(path), path, 1801.0).cues[0].end_s == 144_000.0


def test_chapters_of_whole_seconds_are_no_hundredths(tmp_path: Path) -> None:
    path = tmp_path / "chapters.txt"
    path.write_text("0\t600\tIntroduction\n600\t1500\tThe house\n1500\t2400\tThe end\n")
    assert cues.in_seconds(cues.read(path), path, 1200.0).cues[-1].end_s == 2400.0


@pytest.mark.parametrize(("first", "last"), [("t0", "t1"), ("start_time", "end_time")])
def test_names_of_times_that_other_tools_give_them(tmp_path: Path, first: str, last: str) -> None:
    path = written(tmp_path, 100, "json", first, last)
    assert cues.in_seconds(cues.read(path), path, 1801.0).cues[2].end_s == pytest.approx(8.5)


def test_a_table_with_fractions_is_in_seconds_and_one_without_in_thousandths(tmp_path: Path) -> None:
    path = tmp_path / "a.tsv"
    for line, end_s in (("0.5\t2.25\tHello there.", 2.25), ("500\t2250\tHello there.", 2.25)):
        path.write_text(f"start\tend\ttext\n{line}\n")
        assert cues.read(path).cues[0].end_s == end_s
