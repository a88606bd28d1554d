"""Accent shift: toward the speaker is up, and a sentence that one of both did not speak does not count."""

from dataclasses import replace

import pytest

from tests.evaluate.test_report import make_report, words
from tests.factories import evaluations as make
from voicelathe.evaluate import selection
from voicelathe.evaluate.report import figures, wording
from voicelathe.evaluate.scoring import accents
from voicelathe.records import AccentShift, Interval, Selection, SpeechMeasures

KNOWN = make.candidates(10, 20)
LINES = {f"held-out-{number}": f"Sentence {number}." for number in range(6)}


def measured(shares: dict[str, float], without: tuple[str, str] | None = None) -> SpeechMeasures:
    """Candidate -> its distance as a share of the base's, which differs from line to line."""
    whole = make.measures(make.samples(KNOWN, LINES))
    rows = []
    for one in whole.samples:
        far = 0.8 + 0.1 * int(one.line_id[-1])
        value = None if (one.candidate, one.line_id) == without else far * shares.get(one.candidate, 1.0)
        rows.append(replace(one, values={**one.values, "accent_distance": value}))
    return replace(whole, samples=rows)


def test_half_the_distance_of_the_base_is_a_shift_of_a_half_and_farther_than_the_base_is_below_zero() -> None:
    found = measured({"step_0000010@1": 0.5, "step_0000020@1": 1.25})
    names = [one.name for one in KNOWN]
    half, away = accents.shifts(found, names, "base", seed=7)
    assert (half.candidate, half.shift, half.sentences) == ("step_0000010@1", 0.5, 6)
    assert away.shift == -0.25 and away.interval is not None
    assert half.interval is not None and half.interval.low == pytest.approx(0.5)
    assert accents.shifts(found, names[::-1], "base", seed=7) == [away, half]


def test_only_sentences_that_both_spoke_count_and_one_of_them_has_no_interval() -> None:
    found = measured({"step_0000010@1": 0.5}, without=("step_0000010@1", "held-out-3"))
    (row,) = accents.shifts(found, ["step_0000010@1"], "base", seed=7)
    assert row.sentences == 5
    one = replace(found, samples=[row for row in found.samples if row.line_id == "held-out-0"])
    (row,) = accents.shifts(one, ["step_0000010@1"], "base", seed=7)
    assert row == AccentShift("step_0000010@1", 0.5, None, 1)
    assert accents.shifts(make.measures(make.samples(KNOWN)), ["step_0000010@1"], "base", seed=7) == []


def decided() -> tuple[Selection, SpeechMeasures]:
    rows = make.paired_losses({one: {"diff": 0.8 - 0.01 * one.step, "stop": 0.1} for one in KNOWN})
    spoken, found = make.samples(KNOWN, LINES), measured({"step_0000020@1": 0.75})
    chosen = selection.decide(
        make.run(), make.evaluations(rows, KNOWN), rows, spoken, None, make.SELECT, True, {}, make.checkpoints(KNOWN), found,
        make.race(spoken),
    )  # fmt: skip
    return chosen, found


def test_the_decision_notes_the_shift_of_the_chosen_one_and_the_table_of_metrics_has_it_for_all() -> None:
    chosen, found = decided()
    assert (
        "Accent shift toward the speaker, from the base: +0.25, 95 % interval +0.25 to +0.25 over 6 sentences."
        in chosen.notes
    )
    table = figures.table(found, chosen)
    assert table.columns[-1].name == "accent shift"
    assert [row.cells[-1][0] for row in table.rows] == [
        "\u2013",
        "+0.00, 95 % interval +0.00 to +0.00 over 6 sentences",
        wording.accent(chosen.accents[1]),
    ]


def test_without_parallel_sentences_nothing_is_said_of_accent(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    _, html = make_report(tmp_path_factory.mktemp("plain"))
    assert "accent shift" not in words(html).lower()


def test_a_shift_is_written_with_its_sign_and_the_typographic_minus() -> None:
    assert (
        wording.accent(AccentShift("x", -0.1, Interval(-0.2, 0.05), 3))
        == "\u22120.10, 95 % interval \u22120.20 to +0.05 over 3 sentences"
    )
