"""Which reference clip is tried, and when is one better than the clip in use?"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest

from tests.evaluate.test_racing import GUARDS, table
from tests.factories import runs
from voicelathe.config.schema import Guards
from voicelathe.evaluate import chances, guards, racing, scores
from voicelathe.evaluate.scores import LIKENESS, WORDS
from voicelathe.records import CleanClip
from voicelathe.stages.references import audition, clips

USED, OTHERS = "base", ["b", "c"]


def clip(name: str, recording: str = "r", seconds: float = 5.0) -> CleanClip:
    return replace(
        runs.clip("validation", 0), clip_id=name, recording_id=recording, start_s=0.0, end_s=seconds
    )


def chosen(
    num_lines: int,
    words: Mapping[str, float],
    likeness: Mapping[str, float],
    seed: int = 1,
    asked: Guards = GUARDS,
) -> str | None:
    """Who is better by an audition that heard these means."""
    found = table(num_lines, words, likeness, seed, OTHERS)
    tried = [
        audition.Tried(
            name,
            clip(name),
            "reference",
            scores.levels(found, name),
            [
                test
                for one in (WORDS, LIKENESS)
                if name != USED and (test := scores.test(found, one, name, USED))
            ],
            None,
        )
        for name in (USED, *OTHERS)
    ]
    won = audition.better(tried, guards.bar(found, USED, asked, {}))
    return won.clip.clip_id if won else None


CASES = [
    ({}, {"b": 0.81, "c": 0.82}),
    ({USED: 0.8, "b": 0.86}, {"b": 0.803, "c": 0.81}),
    ({"b": 0.8}, {"b": 0.815, "c": 0.81}),
]


@pytest.mark.parametrize("words", [0.05, None])
@pytest.mark.parametrize("case", range(len(CASES)))
def test_the_race_foresees_what_an_audition_calls_better(case: int, words: float | None) -> None:
    """With all lines spoken nothing is drawn: who is better wins in every draw, and nobody where none is."""
    asked, won = replace(GUARDS, words=words), set[str | None]()
    for seed in range(8):
        best = chosen(24, *CASES[case], seed, asked)
        found = table(24, *CASES[case], seed, OTHERS)
        known = chances.to_replace(OTHERS, guards.bar(found, USED, asked, {}), 24)
        assert [name for name, one in known.items() if one.wins] == [name for name in [best] if name]
        won.add(best)
    assert len(won) > 1, "some are better, and some are not"


def test_a_clip_that_cannot_be_better_drops_out_and_says_what_clips_say() -> None:
    found = table(24, {"b": 0.5}, {"c": 0.9}, names=OTHERS)
    known = chances.to_replace(OTHERS, guards.bar(found, USED, GUARDS, {}), 48)
    (drop,) = racing.drops(OTHERS, known, 0.05, {})
    assert (drop.candidate, drop.code) == ("b", "guard")
    assert drop.because == "would lose words" and drop.test is not None and drop.test.difference < 0.0


def test_a_clip_that_brings_the_base_nearer_is_better() -> None:
    assert chosen(24, {}, {"c": 0.86}) == "c"


def test_a_clip_that_keeps_more_words_and_no_less_likeness_is_better() -> None:
    assert chosen(24, {USED: 0.6, "b": 0.85, "c": 0.6}, {"b": 0.81}) == "b"


def test_the_nearer_of_two_better_ones_is_taken() -> None:
    assert chosen(24, {}, {"b": 0.9, "c": 0.86}) == "b"


def test_a_clip_that_costs_words_is_not_better_however_near_it_comes() -> None:
    assert chosen(24, {"c": 0.6}, {"c": 0.95}) is None


def test_a_clip_that_costs_likeness_is_not_better_however_many_words_it_keeps() -> None:
    assert chosen(24, {USED: 0.5, "b": 0.9}, {"b": 0.7}) is None


def test_where_words_were_not_heard_no_clip_is_called_better() -> None:
    """In a language without a recogniser a clip may come nearer and lose every word."""
    found = table(24, {}, {"c": 0.9}, 1, OTHERS)
    deaf = scores.Scores({name: one for name, one in found.values.items() if name != WORDS})
    test = scores.test(deaf, LIKENESS, "c", USED)
    assert test is not None
    tried = [
        audition.Tried(USED, clip(USED), "reference", {}, [], None),
        audition.Tried("c", clip("c"), "reference", scores.levels(deaf, "c"), [test], None),
    ]
    assert audition.better(tried, guards.bar(deaf, USED, GUARDS, {})) is None


def test_who_dropped_out_of_the_race_is_not_chosen() -> None:
    found = table(24, {}, {"c": 0.9}, 1, OTHERS)
    bar = guards.bar(found, USED, GUARDS, {})
    test = scores.test(found, LIKENESS, "c", USED)
    assert test is not None
    gone = audition.Tried(
        "c",
        clip("c"),
        "reference",
        scores.levels(found, "c"),
        [test],
        audition.Drop("c", "veto", "", None, None),
    )
    used = audition.Tried(USED, clip(USED), "reference", scores.levels(found, USED), [], None)
    assert audition.better([used, gone], bar) is None
    assert audition.better([used, replace(gone, drop=None)], bar) is not None


def test_equal_clips_are_called_better_at_most_once_in_twenty() -> None:
    assert sum(chosen(16, {}, {}, seed) is not None for seed in range(200)) <= 10


def names(found: Sequence[CleanClip]) -> list[str]:
    return [one.clip_id for one in found]


def test_clips_are_tried_recording_by_recording_the_one_in_use_first() -> None:
    own = [clip("a1", "a", 5.0), clip("a2", "a", 4.8), clip("b1", "b", 3.0), clip("b2", "b", 7.5)]
    assert names(clips.usable(own, own[2], [], 6)) == ["b1", "a1", "a2", "b2"]
    assert names(clips.usable(own, own[2], [], 2)) == ["b1", "a1"]


def test_a_clip_with_a_control_stands_in_last() -> None:
    own = [replace(clip("a", "a", 5.0), control="whispering"), clip("b", "b", 9.0), clip("c", "c", 2.5)]
    found = clips.pair(own, None, "audio", "reference")
    assert found is not None and names(found.clips) == ["c", "b"]
    assert names(clips.usable(own, own[2], [], 6)) == ["c", "b", "a"]


@pytest.mark.parametrize("seconds", [1.9, 15.1])
def test_a_clip_too_short_or_too_long_for_a_reference_is_not_tried(seconds: float) -> None:
    own = [clip("a", "a"), clip("b", "b", seconds), clip("c", "c")]
    assert names(clips.usable(own, own[0], [], 6)) == ["a", "c"]


def test_a_clip_of_a_recording_whose_sentences_are_spoken_is_not_tried() -> None:
    own = [clip("a", "a"), clip("b", "b"), clip("c", "c")]
    assert names(clips.usable(own, own[0], {"b"}, 6)) == ["a", "c"]
