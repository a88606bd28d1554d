"""Who speaks no further: what no line can make good any more. And who speaks the long lines."""

import pytest

from tests.factories import evaluations as make
from voicelathe.evaluate import racing, scores
from voicelathe.evaluate.scores import LIKENESS
from voicelathe.records import LONG, Drop, Round
from voicelathe.stages import listen

KNOWN = make.candidates(10, 20, 30)
BASE, FIRST, SECOND, THIRD = (one.name for one in KNOWN)
PLANNED = 24  # samples of a candidate in the whole race; a quarter of them may be vetoed
BLOCK = dict(list(make.MANY.items())[:8])


def heard(code: str, num: int) -> racing.BlockResult:
    """After the first block, in which step 10 showed a veto on so many lines."""
    spoken = make.samples(KNOWN, BLOCK)
    outside = {(FIRST, line): {code: "0.5, at most 0.4"} for line in list(BLOCK)[:num]}
    totals = {one.name: 1.0 for one in KNOWN}
    return listen.heard(spoken, make.measures(spoken, outside), make.SELECT, totals, PLANNED)


@pytest.mark.parametrize("num", [0, 1, 6])
def test_vetoes_that_the_lines_to_come_can_outnumber_end_nothing(num: int) -> None:
    assert heard("garbled", num).failed == {}


def test_vetoes_on_more_lines_than_the_whole_race_allows_end_it() -> None:
    assert heard("garbled", 7).failed == {FIRST: "garbled on 7 lines, too many of 24 already"}


def test_a_code_that_is_only_noted_ends_nothing() -> None:
    assert "pitch" not in make.SELECT.vetoes and heard("pitch", 8).failed == {}


@pytest.mark.parametrize("problem", ["empty", "silent", "nonfinite"])
def test_one_failed_sample_ends_it(problem: str) -> None:
    spoken = make.samples(KNOWN, BLOCK, problems={(SECOND, "line-03"): problem, (SECOND, "line-05"): problem})
    found = listen.heard(
        spoken, make.measures(spoken), make.SELECT, {one.name: 1.0 for one in KNOWN}, PLANNED
    )
    assert found.failed == {SECOND: f"{problem}: line line-03, seed 42"}


def test_running_away_once_ends_nothing() -> None:
    spoken = make.samples(KNOWN, BLOCK, problems={(SECOND, "line-03"): "runaway"})
    found = listen.heard(
        spoken, make.measures(spoken), make.SELECT, {one.name: 1.0 for one in KNOWN}, PLANNED
    )
    assert found.failed == {} and found.num_samples == 32 and found.audio_s == 16.0


def of(likeness: dict[str, float]) -> scores.Scores:
    return scores.Scores({LIKENESS: {name: {"line": value} for name, value in likeness.items()}})


def test_long_lines_are_spoken_by_the_bases_and_the_two_most_like_the_speaker_that_are_left() -> None:
    names = [BASE, "base_zero_shot", THIRD, FIRST, SECOND, "step_0000040"]
    found = of({BASE: 0.95, FIRST: 0.7, SECOND: 0.8, THIRD: 0.9, "step_0000040": 0.75})
    last = Round(["l"], names, [Drop(THIRD, "dominated", "", 0.0, None)])
    assert listen.speak_long(names, last, found) == [BASE, "base_zero_shot", SECOND, "step_0000040"]


def test_where_likeness_is_not_known_the_first_two_of_the_race_speak_long_lines() -> None:
    names = [BASE, THIRD, FIRST, SECOND]
    assert listen.speak_long(names, Round(["l"], names, []), of({})) == [BASE, THIRD, FIRST]


def test_long_lines_have_no_part_in_the_decision() -> None:
    spoken = make.samples(KNOWN, {**BLOCK, f"{LONG}story": "A long story."})
    found = scores.of(spoken, make.measures(spoken))
    assert found.lines(FIRST) == sorted(BLOCK)
