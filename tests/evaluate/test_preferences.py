"""A simulated listener study: a planted preference is found, none is invented, and one ear does not count as many."""

import numpy as np
import pytest

from tests.factories import evaluations as make
from voicelathe import rng
from voicelathe.evaluate.listening import preferences
from voicelathe.records import Listening, Sitting

KNOWN = make.candidates(10, 20, 30, 40, 50)
NAMES = [one.name for one in KNOWN]
NOMINEE = NAMES[2]
LINES = {f"line-{number}": f"Sentence {number}." for number in range(8)}
SPOKEN = make.samples(KNOWN, LINES)


def listener(
    number: int, study: int, worth: dict[str, float], mode: str = "rate", noise: float = 1.0
) -> Sitting:
    """Somebody who hears `worth` through their own noise, which a hidden repeat of the same sample does not change."""

    def taste(name: str, line: str, seed: int) -> float:
        generator = np.random.default_rng(rng.key(study, "listener", number, name, line, seed))
        return worth.get(name, 0.0) + float(generator.normal(0, noise))

    return make.sitting(SPOKEN, taste, f"listener {number}", mode)


def study(number: int, worth: dict[str, float], listeners: int = 3, mode: str = "rate") -> Listening:
    verdict = make.verdict(*(listener(who, number, worth, mode) for who in range(listeners)))
    return preferences.summarise(verdict, NAMES, NOMINEE, "base", 7)


@pytest.mark.parametrize("mode", ["rate", "rank"])
def test_a_planted_preference_is_recovered(mode: str) -> None:
    found = 0
    for number in range(12):
        result = study(number, {NAMES[4]: 2.0}, mode=mode)
        winners = [
            one.candidate
            for one in result.against_nominee
            if preferences.is_significant(one) and one.wins > one.losses
        ]
        assert result.strengths[0].candidate == NAMES[4]
        found += winners == [NAMES[4]]
    assert found >= 11


def test_a_planted_preference_shows_in_a_or_b_as_well() -> None:
    assert (
        sum(
            study(number, {NAMES[4]: 2.0}, mode="pair").strengths[0].candidate == NAMES[4]
            for number in range(10)
        )
        >= 9
    )


def test_no_preference_is_invented_where_there_is_none() -> None:
    invented = sum(
        any(preferences.is_significant(one) for one in study(number, {}).against_nominee)
        for number in range(60)
    )
    assert invented <= 3


def test_strength_intervals_hold_zero_about_as_often_as_they_say_when_nothing_is_planted() -> None:
    intervals = [one.interval for number in range(30) for one in study(number, {}, listeners=4).strengths]
    assert sum(one is not None and one.low <= 0 <= one.high for one in intervals) / len(intervals) >= 0.85


def test_the_strengths_order_the_candidates_as_they_were_planted() -> None:
    worth = {name: 1.5 * place for place, name in enumerate(NAMES)}
    assert [one.candidate for one in study(1, worth, listeners=5).strengths] == NAMES[::-1]


def test_one_listener_with_one_line_is_one_unit_however_many_seeds() -> None:
    spoken = make.samples(KNOWN, {"only": "One sentence."}, seeds=(1, 2, 3, 4, 5, 6, 7, 8, 9, 10))
    verdict = make.verdict(make.sitting(spoken, lambda name, *_: name == NAMES[4]))
    found = preferences.summarise(verdict, NAMES, NOMINEE, "base", 7)
    assert found.units == 1
    (row,) = [one for one in found.against_nominee if one.candidate == NAMES[4]]
    assert (row.wins, row.losses, row.ties, row.p_holm) == (1, 0, 0, 1.0)


def test_equal_scores_are_ties_and_leave_the_sign_test() -> None:
    found = preferences.summarise(
        make.verdict(make.sitting(SPOKEN, lambda *_: 0.0)), NAMES, NOMINEE, "base", 7
    )
    assert {(one.wins, one.losses, one.ties, one.win_rate, one.p) for one in found.against_nominee} == {
        (0, 0, 8, 0.5, 1.0)
    }


def test_self_consistency_counts_hidden_repeats_only() -> None:
    steady = make.sitting(SPOKEN, lambda name, *_: NAMES.index(name))
    found = preferences.summarise(make.verdict(steady), NAMES, NOMINEE, "base", 7)
    assert found.repeated_pairs > 0 and found.consistent_share == 1.0
    flipped = [
        one
        if one.repeats is None
        else make.replace(one, opinions=[make.replace(two, score=100 - two.score) for two in one.opinions])
        for one in steady.judgements
    ]
    again = preferences.summarise(
        make.verdict(make.replace(steady, judgements=flipped)), NAMES, NOMINEE, "base", 7
    )
    assert again.consistent_share == 0.0
    assert again.against_nominee == found.against_nominee, "repeats measure the listener, they are not votes"


def test_a_candidate_that_could_not_be_heard_has_no_strength() -> None:
    problems = {(NAMES[1], line): "silent" for line in LINES}
    spoken = make.samples(KNOWN, LINES, problems=problems)
    found = preferences.summarise(
        make.verdict(make.sitting(spoken, lambda *_: 0.0)), NAMES, NOMINEE, "base", 7
    )
    assert NAMES[1] not in {one.candidate for one in [*found.strengths, *found.against_nominee]}


def test_ticked_defects_are_counted_without_the_repeats() -> None:
    ticked = make.sitting(SPOKEN, lambda *_: 0.0)
    judgements = [
        make.replace(
            one,
            opinions=[
                make.replace(two, defects=["noise"] if two.candidate == "base" else [])
                for two in one.opinions
            ],
        )
        for one in ticked.judgements
    ]
    found = preferences.summarise(
        make.verdict(make.replace(ticked, judgements=judgements)), NAMES, NOMINEE, "base", 7
    )
    assert found.defects == {"base": {"noise": 8}}
