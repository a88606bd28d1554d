"""Which samples does a report play, and where? A few at the top, base and chosen checkpoint side by side; below them all of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from voicelathe.evaluate.report import reasons, wording
from voicelathe.records import Ranked, SampleRecord, Selection

PROBLEMS = {
    "empty": "nothing was spoken",
    "silent": "only silence",
    "nonfinite": "not a number in the audio",
    "runaway": "cut at the length limit",
    "not_spoken": "not spoken: upstream's code is not installed",
}
MOST_FIRST = 4  # lines at the top
REAL = "the speaker"
Places = Mapping[tuple[str, str, int], int]  # candidate, line, seed -> place of the sound in the page
Recordings = Mapping[str, tuple[int, float]]  # line -> place of what the speaker really said, and its seconds


@dataclass(frozen=True)
class Cell:
    """One sample to play, or why it cannot be played."""

    who: str
    line: str
    seed: int
    place: int | None
    seconds: float
    problem: str | None
    is_chosen: bool = False


def lines(samples: Sequence[SampleRecord]) -> list[tuple[str, int, str]]:
    """Line, seed and text of everything that was spoken."""
    return sorted({(one.line_id, one.seed, one.text) for one in samples})


def table(
    selection: Selection, samples: Sequence[SampleRecord], places: Places
) -> list[tuple[Ranked, list[Cell]]]:
    """One row a candidate by step, one cell a line: a player, or the failure that stays visible."""
    by_step = sorted(selection.ranking, key=lambda row: (row.step, row.lora_scale or 0.0, row.candidate))
    known = _by_place(samples)
    spoken = lines(samples)
    return [
        (row, [_cell(selection, row.candidate, line, seed, known, places) for line, seed, _ in spoken])
        for row in by_step
    ]


def first(
    selection: Selection, samples: Sequence[SampleRecord], places: Places, real: Recordings
) -> list[tuple[str, list[Cell]]]:
    """Texts from the shortest to the longest, each said by the base to beat, by the checkpoint that the decision is about, and by the speaker
    where the line is a recording."""
    name = reasons.chosen(selection)
    if name is None:
        return []
    known = _by_place(samples)
    both = [
        (line, seed, text)
        for line, seed, text in lines(samples)
        if all((who, line, seed) in places for who in (selection.base, name))
    ]
    by_length = sorted(both, key=lambda one: (len(one[2]), one))
    num = min(MOST_FIRST, len(by_length))
    picked = [by_length[at * (len(by_length) - 1) // max(1, num - 1)] for at in range(num)]
    return [
        (
            text,
            [_cell(selection, who, line, seed, known, places) for who in (selection.base, name)]
            + ([Cell(REAL, line, seed, *real[line], None)] if line in real else []),
        )
        for line, seed, text in picked
    ]


def _by_place(samples: Sequence[SampleRecord]) -> dict[tuple[str, str, int], SampleRecord]:
    return {(one.candidate, one.line_id, one.seed): one for one in samples}


def _cell(
    selection: Selection,
    candidate: str,
    line: str,
    seed: int,
    known: Mapping[tuple[str, str, int], SampleRecord],
    places: Places,
) -> Cell:
    who, is_chosen = wording.spoken(selection, candidate), candidate == selection.selected
    one = known.get((candidate, line, seed))
    if one is None:  # a long line, which only the best candidates speak
        return Cell(who, line, seed, None, 0.0, None, is_chosen)
    problem = PROBLEMS.get(one.problem, one.problem) if one.problem else None
    return Cell(who, line, seed, places.get((candidate, line, seed)), one.duration_s, problem, is_chosen)
