"""Clips out of what was heard: cut in pauses at ends of sentences, within the limits, wrong texts named, with and without a recogniser."""

from collections.abc import Sequence

import numpy as np
import pytest

from voicelathe.data.cutting import matching, proposing
from voicelathe.data.cutting.clips import ClipLimits, Naming
from voicelathe.data.cutting.cues import Parsed
from voicelathe.records import Cue, HeardWord, Listened, Stretch

LIMITS, NAMING = ClipLimits(3.0, 15.0, 0.0, 1), Naming("corpus", "en", "anna")
WORD_S, PAUSE_S = 0.4, 0.6
TEXT = (
    "The horse should stay across the quiet attic. How many white boxes did the author examine? Yes. "
    "Robert searched the piano carefully, and Thomas drew the candle. The foolish mother owned the belt beyond the school."
)


def spoken(sentences: Sequence[str], pause_s: float = PAUSE_S) -> Listened:
    """Each sentence one stretch of speech, a word every WORD_S."""
    words, stretches, at_s = [], [], 1.0
    for sentence in sentences:
        start_s = at_s
        for word in sentence.split():
            words.append(HeardWord(word, round(at_s, 3), round(at_s + WORD_S, 3)))
            at_s += WORD_S
        stretches.append(Stretch(round(start_s, 3), round(at_s, 3)))
        at_s += pause_s
    return Listened("a.wav", "0" * 64, 16_000, round(at_s + 1.0, 3), stretches, words, "")


def sentences(text: str = TEXT) -> list[str]:
    return [one.strip() for one in text.replace("?", "?|").replace(". ", ".|").split("|") if one.strip()]


def cues(texts: Sequence[str], found: Listened | None = None, late_s: float = 0.0) -> Parsed:
    """A cue for each text, with the times of the stretches where they are given."""
    times = (
        [(None, None)] * len(texts)
        if found is None
        else [(one.start_s - late_s, one.end_s - late_s) for one in found.stretches]
    )
    return Parsed(
        "srt",
        [Cue(n, a, b, text, None) for n, (text, (a, b)) in enumerate(zip(texts, times, strict=True), 1)],
    )


def cut(
    found: Listened, parsed: Parsed, limits: ClipLimits = LIMITS, naming: Naming = NAMING
) -> proposing.Cut:
    levels = np.full(round(found.duration_s * 100) + 1, 20, np.uint8)
    return proposing.propose(0, "a", found, parsed, levels, limits, naming)


def test_a_sentence_is_a_clip_and_a_short_one_goes_with_its_neighbour() -> None:
    found = spoken(sentences())
    made = cut(found, cues(sentences()))
    assert [one.text for one in made.clips] in (
        [sentences()[0], " ".join(sentences()[1:3]), sentences()[3], sentences()[4]],
        [*sentences()[:2], " ".join(sentences()[2:4]), sentences()[4]],
    )
    assert all(one.flags == [] and 2.8 <= one.speech_end_s - one.speech_start_s <= 15 for one in made.clips)
    assert made.wrong == [] and made.uncovered == [] and made.not_heard == []


def test_edges_are_those_of_the_speech_with_some_of_the_silence() -> None:
    found = spoken(sentences())
    first = cut(found, cues(sentences())).clips[0]
    assert (first.speech_start_s, first.speech_end_s) == (
        found.stretches[0].start_s,
        found.stretches[0].end_s,
    )
    assert first.start_s == pytest.approx(first.speech_start_s - 0.15) and first.end_s == pytest.approx(
        first.speech_end_s + 0.15
    )
    near = cut(spoken(sentences(), pause_s=0.28), cues(sentences())).clips
    assert near[0].end_s == pytest.approx(near[0].speech_end_s + 0.14), "half of a short pause"
    assert near[0].end_s <= near[1].start_s


def test_a_share_of_short_sentences_stays_alone() -> None:
    texts = [f"{'Yes' if at % 2 else 'This is a longer sentence than the others here'}." for at in range(40)]
    found, parsed = spoken(texts), cues(texts)
    short = [one for one in cut(found, parsed, ClipLimits(3.0, 15.0, 0.1, 1)).clips if one.text == "Yes."]
    assert len(short) == 4, "a tenth of 40 sentences"
    assert [one.text for one in cut(found, parsed).clips].count("Yes.") == 0
    again = [one for one in cut(found, parsed, ClipLimits(3.0, 15.0, 0.1, 2)).clips if one.text == "Yes."]
    assert {one.start_s for one in short} != {one.start_s for one in again}, "another seed draws others"


def test_text_that_runs_across_cues_is_put_together() -> None:
    found = spoken(sentences())
    halves = []
    for sentence in sentences():
        words = sentence.split()
        halves += [" ".join(words[: len(words) // 2]), " ".join(words[len(words) // 2 :])]
    made = cut(
        found,
        Parsed("srt", [Cue(n, None, None, text, None) for n, text in enumerate(filter(None, halves), 1)]),
    )
    assert " ".join(one.text for one in made.clips) == TEXT


def test_a_planted_wrong_subtitle_is_named_and_no_other_one() -> None:
    found = spoken(sentences())
    texts = sentences()
    texts[3] = "Completely different words about a lighthouse in the fog and nothing else."
    made = cut(found, cues(texts, found))
    (wrong,) = made.wrong
    assert (wrong.line, wrong.text) == (4, texts[3]) and "Robert searched the piano" in wrong.heard
    flagged = [one.text for one in made.clips if "text_differs" in one.flags]
    assert len(flagged) == 1 and texts[3] in flagged[0]


def test_a_misheard_word_is_no_wrong_subtitle() -> None:
    said = [
        one.replace("horse", "house").replace("attic", "addict").replace("piano", "the anno")
        for one in sentences()
    ]
    made = cut(spoken(said), cues(sentences()))
    assert made.wrong == [] and all(one.flags == [] for one in made.clips)


def test_numbers_are_what_they_are_read_as() -> None:
    made = cut(
        spoken(["They waited for twenty three long minutes there."]),
        cues(["They waited for 23 long minutes there."]),
    )
    assert made.wrong == [] and [one.text for one in made.clips] == ["They waited for 23 long minutes there."]


def test_subtitles_that_are_all_late_do_not_matter() -> None:
    found = spoken(sentences())
    early = cut(found, cues(sentences(), found, late_s=2.0))
    assert [one.text for one in early.clips] == [one.text for one in cut(found, cues(sentences())).clips]
    assert early.shift_s == pytest.approx(2.0)


def test_a_cue_that_nobody_says_and_speech_that_no_cue_has_are_told() -> None:
    texts = sentences()
    made = cut(spoken(texts), cues([*texts[:3], texts[4]]))
    assert [round(one.end_s - one.start_s, 1) for one in made.uncovered] == [4.0]
    extra = "Xylophones jumped by quiet mud."
    more = cut(spoken(texts), cues([*texts, extra]))
    assert [one.text for one in more.not_heard] == [extra] or [one.text for one in more.wrong] == [extra]


def test_running_speech_over_the_limit_is_cut_at_a_word_and_told() -> None:
    text = " ".join(f"word{chr(97 + at % 26)}{chr(97 + at // 26)}" for at in range(60))
    made = cut(spoken([text]), cues([text]))
    assert len(made.clips) == 2 and all(one.flags == ["no_pause"] for one in made.clips)
    assert " ".join(one.text for one in made.clips) == text
    assert made.clips[0].end_s == made.clips[1].start_s
    assert all(one.end_s - one.start_s <= 15.2 for one in made.clips)


def test_no_clip_holds_two_speakers() -> None:
    texts = sentences()
    parsed = Parsed(
        "vtt", [Cue(n, None, None, text, "Ben" if n == 3 else None) for n, text in enumerate(texts, 1)]
    )
    made = cut(spoken(texts), parsed)
    assert [(one.text, one.speaker_id) for one in made.clips if one.speaker_id != "anna"] == [("Yes.", "Ben")]


def test_overlapping_cues_wait_for_a_person() -> None:
    found, texts = spoken(sentences()), sentences()
    parsed = cues(texts, found)
    parsed.overlapping = frozenset({1})
    assert [one.flags for one in cut(found, parsed).clips][:2] == [["two_at_once"], []]


def test_without_a_recogniser_the_times_of_the_cues_place_the_text() -> None:
    heard = spoken(sentences())
    found = Listened("a.wav", "0" * 64, 16_000, heard.duration_s, heard.stretches, None, "")
    made = cut(found, cues(sentences(), heard, late_s=0.2))
    assert " ".join(one.text for one in made.clips) == TEXT and all(one.heard is None for one in made.clips)
    edges = {one.start_s for one in heard.stretches}
    assert {one.speech_start_s for one in made.clips} <= edges
    one_stretch = Listened("a.wav", "0" * 64, 16_000, 30.0, [Stretch(1.0, 25.0)], None, "")
    (long,) = cut(one_stretch, cues(sentences(), heard)).clips
    assert long.flags == ["too_long"], "nothing says where its words end"


def test_a_cue_that_begins_in_the_sentence_before_it_does_not_swallow_it() -> None:
    texts = [one for one in sentences() if one != "Yes."]
    heard = spoken(texts)
    found = Listened("a.wav", "0" * 64, 16_000, heard.duration_s, heard.stretches, None, "")
    made = cut(found, cues(texts, heard, late_s=0.8))
    assert [one.text for one in made.clips] == texts


def test_nobody_speaks() -> None:
    silent = Listened("a.wav", "0" * 64, 16_000, 5.0, [], [], "")
    made = cut(silent, cues(sentences()))
    assert made.clips == [] and len(made.not_heard) == len(sentences())
    deaf = Listened("a.wav", "0" * 64, 16_000, 5.0, [], None, "")
    assert cut(deaf, cues(sentences(), spoken(sentences()))).clips == []


def test_a_language_without_spaces() -> None:
    text = "今天天气很好。我们一起去公园散步吧。"
    heard = [HeardWord(one, 1.0 + 0.5 * at, 1.5 + 0.5 * at) for at, one in enumerate("今天天气很好")]
    heard += [HeardWord(one, 5.0 + 0.5 * at, 5.5 + 0.5 * at) for at, one in enumerate("我们一起去公园散步吧")]
    found = Listened("a.wav", "0" * 64, 16_000, 12.0, [Stretch(1.0, 4.0), Stretch(5.0, 10.0)], heard, "")
    parsed = Parsed("text", [Cue(1, None, None, text, None)])
    made = cut(found, parsed, ClipLimits(2.0, 15.0, 0.0, 1), Naming("corpus", "zh", "li"))
    assert [one.text for one in made.clips] == [
        "今天天气很好。",
        "我们一起去公园散步吧。",
    ] and made.wrong == []


def test_three_hours_are_matched_and_cut_within_bounds() -> None:
    import resource

    draw = np.random.default_rng(1)
    words = ["".join(chr(97 + letter) for letter in draw.integers(0, 26, 6)) for _ in range(800)]
    texts = [" ".join(words[at] for at in draw.integers(0, 800, 10)) + "." for _ in range(2400)]
    said = [" ".join(one if draw.random() > 0.05 else "umm" for one in text.split()) for text in texts]
    found = spoken(said)
    assert found.duration_s > 3 * 3600
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    made = cut(found, cues(texts))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 400_000, "kilobytes"
    assert 2380 <= len(made.clips) <= 2400 and made.wrong == []


def test_what_has_nothing_in_common_is_no_match() -> None:
    parsed, found = cues(["aaaa bbbb cccc."]), spoken(["xyz xyz xyz xyz"])
    words = matching.words_of(parsed.cues, "en")
    assert found.words is not None
    assert matching.match(parsed.cues, words, found.words, "en").wrong() == [0]
