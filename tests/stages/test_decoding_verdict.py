"""Which decoding settings are recommended, and does the race foresee the same?"""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial

import pytest

from tests.evaluate.test_racing import GUARDS, table
from voicelathe.evaluate import chances, guards, racing
from voicelathe.evaluate.scores import LIKENESS, WORDS, Scores
from voicelathe.records import Drop, TriedDecoding
from voicelathe.stages.decoding import verdict

USED, OTHERS = "base", ["b", "c", "d"]
WORK = {USED: 10.0, "b": 10.0, "c": 6.0, "d": 16.0}


def heard(
    num_lines: int,
    words: Mapping[str, float] | None = None,
    likeness: Mapping[str, float] | None = None,
    seed: int = 1,
) -> Scores:
    return table(num_lines, words, likeness, seed, OTHERS)


def tried(
    found: Scores, drops: Mapping[str, Drop] | None = None, asked: object = GUARDS
) -> list[TriedDecoding]:
    against = guards.bar(found, USED, asked, {})  # type: ignore[arg-type]
    evidence = guards.judge([USED, *OTHERS], against, {}, drops or {})
    return verdict.tried(evidence, against, {name: ("step", {}, WORK[name]) for name in (USED, *OTHERS)})


def standings(found: Scores) -> dict[str, str]:
    return {one.name: one.standing for one in tried(found)}


def recommended(found: Scores, drops: Mapping[str, Drop] | None = None) -> tuple[str | None, str | None]:
    return verdict.recommended(tried(found, drops))


CASES: list[tuple[dict[str, float], dict[str, float]]] = [
    ({}, {"b": 0.82, "c": 0.8, "d": 0.815}),
    ({USED: 0.8, "b": 0.87}, {"b": 0.803, "c": 0.795}),
    ({"c": 0.83}, {"c": 0.79}),
]


@pytest.mark.parametrize("words", [0.05, None])
@pytest.mark.parametrize("case", range(len(CASES)))
def test_the_race_foresees_what_is_recommended(case: int, words: float | None) -> None:
    """With all lines spoken nothing is drawn: whoever is recommended wins in every draw, and nobody else does."""
    asked, won = replace(GUARDS, words=words), set[tuple[str | None, ...]]()
    for seed in range(12):
        found = heard(48, *CASES[case], seed)
        best = verdict.recommended(tried(found, asked=asked))
        known = chances.to_decode(OTHERS, guards.bar(found, USED, asked, {}), 48, work=WORK)
        assert {name for name, one in known.items() if one.wins} == {name for name in best if name}
        won.add(best)
    assert len(won) > 1, "sometimes something is recommended, and sometimes not"


def test_who_is_out_counts_in_the_correction_of_those_that_are_left() -> None:
    found = heard(96, {}, {"b": 0.815})
    bar = guards.bar(found, USED, GUARDS, {})
    alone, many = (chances.to_decode(["b"], bar, 96, num_out, work=WORK)["b"].wins for num_out in (0, 10_000))
    assert (alone, many) == (1.0, 0.0)


def test_a_setting_that_brings_the_voice_nearer_and_loses_nothing_is_better() -> None:
    found = heard(96, {}, {"b": 0.83})
    assert standings(found)["b"] == "better" and recommended(found)[0] == "b"


def test_a_setting_that_keeps_more_words_is_better() -> None:
    found = heard(96, {"base": 0.7, "c": 0.7, "d": 0.7, "b": 0.85})
    assert standings(found)["b"] == "better" and recommended(found)[0] == "b"


def test_a_setting_that_keeps_more_words_and_sounds_less_like_the_speaker_is_not_better() -> None:
    found = heard(96, {"base": 0.7, "b": 0.85}, {"b": 0.77})
    assert standings(found)["b"] == "not_shown"


def test_a_setting_that_comes_nearer_and_loses_words_is_not_recommended() -> None:
    found = heard(96, {"c": 0.7}, {"c": 0.9})
    assert standings(found)["c"] == "fails" and recommended(found) == (None, None)


def test_a_setting_of_fewer_steps_that_loses_nothing_is_as_good_and_cheaper() -> None:
    found = heard(96)
    assert standings(found) == {USED: "in_use", "b": "no_gain", "c": "as_good_and_cheaper", "d": "no_gain"}
    assert recommended(found) == (None, "c")


def test_fewer_steps_that_cost_likeness_are_not_as_good() -> None:
    found = heard(96, {}, {"c": 0.775})
    assert standings(found)["c"] == "not_shown" and recommended(found) == (None, None)


def test_a_handful_of_lines_shows_nobody_to_be_as_good() -> None:
    assert recommended(heard(8)) == (None, None)


def test_of_several_that_are_cheaper_the_one_with_fewest_steps_is_recommended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(WORK, "b", 8.0)
    assert recommended(heard(96, {}, {"b": 0.805})) == (None, "c")


def test_what_is_better_and_cheaper_is_recommended_as_both() -> None:
    assert recommended(heard(96, {}, {"c": 0.83})) == ("c", "c")


def test_who_dropped_out_of_the_race_is_not_recommended() -> None:
    gone = {"c": Drop("c", "no_gain", "", 0.0, None)}
    assert recommended(heard(96), gone) == (None, None)


def test_where_words_were_not_heard_nothing_is_recommended() -> None:
    found = heard(96, {}, {"b": 0.9})
    deaf = Scores({name: one for name, one in found.values.items() if name != WORDS})
    assert {one.standing for one in tried(deaf)[1:]} == {"not_measured"}


def test_where_likeness_was_not_heard_nothing_is_recommended() -> None:
    found = heard(96)
    deaf = Scores({name: one for name, one in found.values.items() if name != LIKENESS})
    assert verdict.recommended(tried(deaf)) == (None, None)


def test_equal_settings_are_called_better_at_most_once_in_twenty() -> None:
    assert sum(recommended(heard(24, seed=seed))[0] is not None for seed in range(200)) <= 10


def test_a_setting_that_cannot_be_recommended_drops_out_and_the_race_says_why() -> None:
    found = heard(24, {"b": 0.5}, {"d": 0.84})
    known = partial(chances.to_decode, work=WORK)(OTHERS, guards.bar(found, USED, GUARDS, {}), 48)
    out = {drop.candidate: drop for drop in racing.drops(OTHERS, known, 0.05, {})}
    assert out["b"].code == "guard" and out["b"].because == "would hardly be shown to keep its words"
    assert out["b"].test is not None and out["b"].test.difference < 0.0 and "d" not in out


def test_a_cheaper_setting_stays_in_the_race_beside_a_better_one() -> None:
    """Both may be recommended: the one for its sound, the other one for its price."""
    found = heard(24, {}, {"b": 0.84})
    known = chances.to_decode(OTHERS, guards.bar(found, USED, GUARDS, {}), 96, work=WORK)
    assert known["c"].wins > 0.1 and known["b"].wins > 0.5 and known["d"].wins < 0.05
