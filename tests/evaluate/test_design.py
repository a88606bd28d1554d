"""What is heard against what: fixed by samples and seed, blind, connected, and repeated in secret."""

import pytest

from tests.factories import evaluations as make
from voicelathe.errors import SelectionError
from voicelathe.evaluate.listening import design

KNOWN = make.candidates(10, 20, 30, 40)
NAMES = {one.name for one in KNOWN}
SPOKEN = make.samples(KNOWN, {f"line-{number}": "x" for number in range(6)}, seeds=(1, 2))


@pytest.mark.parametrize("mode", design.MODES)
def test_the_design_depends_on_samples_and_seed_only(mode: str) -> None:
    assert design.trials(mode, SPOKEN, 7) == design.trials(mode, SPOKEN[::-1], 7)
    assert design.trials(mode, SPOKEN, 7) != design.trials(mode, SPOKEN, 8)


def test_labels_differ_from_line_to_line_so_that_they_mean_nothing() -> None:
    assert len({tuple(one.candidates) for one in design.trials("rate", SPOKEN, 7)}) > 6


@pytest.mark.parametrize("mode", ["rate", "rank"])
def test_every_line_shows_every_candidate_and_the_hidden_base(mode: str) -> None:
    first = [one for one in design.trials(mode, SPOKEN, 7) if one.repeats is None]
    assert len(first) == 12 and all(set(one.candidates) == NAMES for one in first)


def test_a_or_b_lets_every_candidate_meet_two_others_on_every_line() -> None:
    first = [one for one in design.trials("pair", SPOKEN, 7) if one.repeats is None]
    met = [name for one in first if (one.line_id, one.seed) == ("line-0", 1) for name in one.candidates]
    assert sorted(met) == sorted([*NAMES, *NAMES])


@pytest.mark.parametrize("mode", design.MODES)
def test_some_trials_come_back_later_under_other_labels(mode: str) -> None:
    every = design.trials(mode, SPOKEN, 7)
    known = {one.trial: (place, one) for place, one in enumerate(every)}
    repeats = [(place, one) for place, one in enumerate(every) if one.repeats is not None]
    assert 0.1 <= len(repeats) / (len(every) - len(repeats)) <= 0.2
    for place, one in repeats:
        before, first = known[one.repeats or ""]
        assert (
            place - before >= 6
            and one.candidates != first.candidates
            and set(one.candidates) <= set(first.candidates)
        )


def test_the_demo_s_two_lines_still_have_a_hidden_repeat() -> None:
    assert sum(one.repeats is not None for one in design.trials("rate", make.samples(KNOWN), 7)) == 1


def test_failed_generations_are_not_played_and_a_lonely_sample_is_no_trial() -> None:
    problems = {(one.name, "short"): "empty" for one in KNOWN[1:]} | {
        ("base", "carrier"): "silent",
        (KNOWN[1].name, "carrier"): "runaway",
    }
    (only,) = design.trials("rate", make.samples(KNOWN, problems=problems), 7)
    assert only.line_id == "carrier" and "base" not in only.candidates and KNOWN[1].name in only.candidates


def test_nothing_to_hear_makes_no_trials() -> None:
    everything = {(one.name, line): "silent" for one in KNOWN for line in make.LINES}
    assert design.trials("rate", make.samples(KNOWN, problems=everything), 7) == []
    assert design.trials("pair", [], 7) == []


def test_any_other_audio_text_failure_or_run_is_another_sweep() -> None:
    spoken = make.samples(KNOWN)
    sweeps = {
        design.sweep_digest("a", spoken),
        design.sweep_digest("b", spoken),
        design.sweep_digest("a", spoken[:-1]),
        design.sweep_digest("a", [make.replace(spoken[0], sha256="0" * 64), *spoken[1:]]),
        design.sweep_digest("a", [make.replace(spoken[0], text="other"), *spoken[1:]]),
        design.sweep_digest("a", [make.replace(spoken[0], problem="silent"), *spoken[1:]]),
    }
    assert len(sweeps) == 6
    assert design.sweep_digest("a", spoken) == design.sweep_digest("a", spoken[::-1])


def test_an_unknown_mode_names_those_there_are() -> None:
    with pytest.raises(SelectionError, match="rate, rank, pair"):
        design.trials("mushra", SPOKEN, 7)


@pytest.mark.parametrize(
    ("step", "scale", "label"),
    [(0, None, "base"), (20, 1.0, "step 20"), (20, None, "step 20"), (20, 0.35, "step 20 at strength 0.35")],
)
def test_candidates_have_names_that_people_say(step: int, scale: float | None, label: str) -> None:
    assert design.label(step, scale) == label


def test_of_many_lines_eight_that_everybody_spoke_are_played_and_the_digest_still_covers_all() -> None:
    known = make.candidates(10, 20)
    spoken = make.samples(known, make.MANY)
    race = [one for one in spoken if one.candidate != known[2].name or one.line_id < "line-12"]
    lines = {one.line_id for one in design.played(race, 7)}
    assert len(lines) == 8 and all(line < "line-12" for line in lines), "only lines that everybody spoke"
    assert design.played(race[::-1], 7) == design.played(race, 7)[::-1]
    assert {trial.line_id for trial in design.trials("rate", race, 7)} == lines
    assert design.sweep_digest("d", race) != design.sweep_digest("d", design.played(race, 7))
