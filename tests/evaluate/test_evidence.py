"""Evaluations with holes, duplicates, strangers or numbers that are none: always an error that names them, never a decision."""

import math
from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.factories import evaluations as make
from voicelathe.errors import SelectionError
from voicelathe.evaluate import failures, selection
from voicelathe.records import CheckpointRecord, ClipLoss, EvaluationRecord, Race, SampleRecord, Selection

KNOWN = make.candidates(10, 20)
ROWS = make.paired_losses({one: {"diff": 0.8, "stop": 0.1} for one in KNOWN}, num_recordings=8, clips_each=2)
RECORDS = make.evaluations(ROWS, KNOWN)
SPOKEN = make.samples(KNOWN)
RACE = make.race(SPOKEN)

Change = Callable[[], tuple[list[EvaluationRecord], list[ClipLoss], list[SampleRecord]]]


def decide(
    records: list[EvaluationRecord], rows: list[ClipLoss], spoken: list[SampleRecord], **weights: float
) -> Selection:
    chosen = make.schema.Select(
        weights or {"diff": 1.0, "stop": 1.0}, [], 1.0, make.GUARDS, make.PROBE_LIMITS
    )
    return selection.decide(
        make.run(), records, rows, spoken, None, chosen, True, {}, make.checkpoints(KNOWN), make.measures(spoken), RACE
    )  # fmt: skip


def decide_with(listed: list[CheckpointRecord], race: Race = RACE) -> Selection:
    return selection.decide(
        make.run(), RECORDS, ROWS, SPOKEN, None, make.SELECT, True, {}, listed, make.measures(SPOKEN), race
    )  # fmt: skip


def nan(row: ClipLoss) -> ClipLoss:
    return replace(row, losses={**row.losses, "stop": math.nan})


BROKEN: dict[str, tuple[Change, str]] = {
    "nan in an evaluation": (
        lambda: ([*RECORDS[:2], replace(RECORDS[2], losses={"diff": math.nan, "stop": 0.1})], ROWS, SPOKEN),
        r"candidate step_0000020@1: loss diff is not a finite number",
    ),
    "infinite total": (
        lambda: ([replace(RECORDS[0], total=math.inf), *RECORDS[1:]], ROWS, SPOKEN),
        r"candidate base: loss total is not a finite number",
    ),
    "nan in a clip": (lambda: (RECORDS, [nan(ROWS[0]), *ROWS[1:]], SPOKEN), r"candidate base, clip clip-00-0: loss stop"),
    "candidate twice": (lambda: ([*RECORDS, RECORDS[1]], ROWS, SPOKEN), r"step_0000010@1 is evaluated 2 times"),
    "no base": (lambda: (RECORDS[1:], ROWS, SPOKEN), r"the base \(candidate 0\) was not evaluated"),
    "only the base": (lambda: (RECORDS[:1], ROWS, SPOKEN), r"no checkpoint was evaluated"),
    "no clip losses of a candidate": (
        lambda: (RECORDS, [row for row in ROWS if row.candidate != "step_0000020@1"], SPOKEN),
        r"candidate step_0000020@1: 0 of 16 clips; missing clip-00-0, clip-00-1",
    ),
    "one clip missing": (lambda: (RECORDS, ROWS[:-1], SPOKEN), r"step_0000020@1: 15 of 16 clips; missing clip-07-1"),
    "clip missing everywhere": (
        lambda: (RECORDS, [row for row in ROWS if row.clip_id != "clip-07-1"], SPOKEN),
        r"candidate base: 15 of 16 clips",
    ),
    "clip twice": (lambda: (RECORDS, [*ROWS, ROWS[3]], SPOKEN), r"clip clip-01-1 is there 2 times for candidate base"),
    "stranger in the clips": (lambda: (RECORDS, [*ROWS, replace(ROWS[0], candidate="step_0000099@1")], SPOKEN), r"step_0000099@1, which was not"),
    "clip in two recordings": (
        lambda: (RECORDS, [replace(ROWS[0], recording_id="recording-07"), *ROWS[1:]], SPOKEN),
        r"a clip is assigned to two recordings",
    ),
    "means of other clips": (
        lambda: ([replace(RECORDS[0], losses={"diff": 0.7, "stop": 0.1}), *RECORDS[1:]], ROWS, SPOKEN),
        r"candidate base: loss diff is 0.700000, but its clips average 0.800000",
    ),
    "no samples at all": (lambda: (RECORDS, ROWS, []), r"no candidate spoke a line"),
    "candidate that never spoke": (
        lambda: (RECORDS, ROWS, [one for one in SPOKEN if one.candidate != "step_0000010@1"]),
        r"candidate step_0000010@1 has no sample of line carrier \(seed 42\), short \(seed 42\)",
    ),
    "one line missing": (lambda: (RECORDS, ROWS, SPOKEN[:-1]), r"step_0000020@1 has no sample of line short \(seed 42\)"),
    "sample twice": (lambda: (RECORDS, ROWS, [*SPOKEN, SPOKEN[0]]), r"candidate base: line carrier, seed 42 is there 2 times"),
    "a line that the race did not ask for": (
        lambda: (RECORDS, ROWS, [*SPOKEN, replace(SPOKEN[0], line_id="extra")]),
        r"candidate base spoke extra, which the race did not ask of it",
    ),
    "stranger among the samples": (lambda: (RECORDS, ROWS, [*SPOKEN, replace(SPOKEN[0], candidate="x")]), r"samples of x, which was not"),
}  # fmt: skip


def test_the_untouched_evidence_is_accepted() -> None:
    found = decide(RECORDS, ROWS, SPOKEN)
    assert [one.candidate for one in found.evidence] == [one.name for one in KNOWN]


@pytest.mark.parametrize("name", BROKEN)
def test_broken_evidence_is_an_error_that_names_it_and_the_next_step(name: str) -> None:
    change, message = BROKEN[name]
    with pytest.raises(SelectionError, match=message) as problem:
        decide(*change())
    assert "runs/mini-lora" in str(problem.value) and "dvc repro -f" in str(problem.value)


def test_weights_that_do_not_fit_the_losses_name_the_setting() -> None:
    with pytest.raises(
        SelectionError,
        match=r"recipes.mini-lora.select.loss_weights names diff, stp; candidate base has diff, stop",
    ):
        decide(RECORDS, ROWS, SPOKEN, diff=1.0, stp=1.0)
    with pytest.raises(SelectionError, match="every weight is 0"):
        decide(RECORDS, ROWS, SPOKEN, diff=0.0, stop=0.0)


def test_a_checkpoint_that_was_never_evaluated_is_named() -> None:
    with pytest.raises(SelectionError, match="the checkpoint of step 30 was not evaluated"):
        decide_with(make.checkpoints(make.candidates(10, 20, 30)))


def test_evaluations_of_other_weights_or_steps_are_named() -> None:
    listed = make.checkpoints(KNOWN)
    with pytest.raises(SelectionError, match="step_0000020@1: other weights were evaluated"):
        decide_with([*listed[:2], replace(listed[2], sha256="0" * 64)])
    with pytest.raises(SelectionError, match=r"checkpoints\.json lists no step 20"):
        decide_with(listed[:2])


def test_the_race_of_another_run_is_named() -> None:
    with pytest.raises(SelectionError, match=r"race\.json is of run ffffffffffff, not of dddddddddddd"):
        decide_with(make.checkpoints(KNOWN), replace(RACE, run_digest="f" * 64))


def test_many_problems_are_counted_and_ten_are_shown() -> None:
    with pytest.raises(SelectionError, match=r"48 problems") as problem:
        decide(RECORDS, [nan(row) for row in ROWS], SPOKEN)
    assert "... and 38 more" in str(problem.value)


def test_a_veto_says_what_was_measured_in_the_words_of_its_metric() -> None:
    spoken = make.samples(KNOWN, make.MANY)
    measures = make.measures(spoken, cer={"step_0000020@1": 0.75})
    low = next(one for one in measures.figures if one.figure.name == "cer")
    limited = replace(
        measures,
        figures=[replace(one, high=0.3) if one is low else one for one in measures.figures],
        samples=[
            replace(one, vetoes={"garbled": "cer 0.75, at most 0.3"})
            if one.candidate == "step_0000020@1"
            else one
            for one in measures.samples
        ],
    )
    found = failures.measured_vetoes(limited, spoken, make.SELECT)
    (text,) = found.vetoes["step_0000020@1"]
    assert text.startswith("garbled: 24 of 24 samples, line line-00 (character errors: 0.7")
    assert text.endswith(", at most 0.3)")
