"""Texts that most begin alike: another trainer's prompt is found and dropped where the audio has no time for it, and kept where it is said."""

from collections.abc import Sequence

import pytest

from tests.factories import rows
from voicelathe.data.audit import clean
from voicelathe.data.audit.clean import AuditResult
from voicelathe.data.text import beginnings

PROMPT = "You are a helpful assistant."
SAID = [
    *(
        "The lamp in the hall was left on all night.",
        "Bring two cups.",
        "My brother counts the boats along the river.",
    ),
    *(
        "It rains.",
        "She painted the small door a bright yellow again.",
        "We walked on.",
        "A grey cat sleeps on the sill.",
    ),
    *(
        "Nobody heard the train leave the station today.",
        "Ask her.",
        "Every road out of the old town is closed now.",
    ),
]


def audited(texts: Sequence[str], seconds: Sequence[float]) -> AuditResult:
    known = [rows.manifest_row(number, text=text) for number, text in enumerate(texts, 1)]
    measures = [rows.measured(number, duration_s=length + 0.2) for number, length in enumerate(seconds, 1)]
    return clean.audit(known, [], measures, rows.AUDIT, rows.PHRASES)


def spoken_s(text: str) -> float:
    return 0.3 + len(text) / 14


@pytest.mark.parametrize("words", [PROMPT, "Read this with a calm and friendly voice:", "<calm voice>"])
def test_a_prompt_that_nobody_says_is_named_in_every_row_and_drops_it(words: str) -> None:
    found = audited([f"{words} {text}" for text in SAID], [spoken_s(text) for text in SAID])
    hits = [one for one in found.findings if one.rule == "common_beginning"]
    assert len(hits) == len(SAID) and not found.clean
    assert f'"{words}" begins 10 of 10 different texts' in hits[0].value


def test_a_wake_word_that_everybody_says_is_kept_and_named() -> None:
    texts = [f"Okay computer, {text}" for text in SAID]
    found = audited(texts, [spoken_s(text) for text in texts])
    hits = [one for one in found.findings if one.rule.startswith("common_beginning")]
    assert {one.rule for one in hits} == {"common_beginning_said"} and len(found.clean) == len(SAID)
    assert "s for it, and it takes" in hits[0].value


def test_only_rows_that_begin_so_are_named_and_half_of_them_are_not_enough() -> None:
    texts = [f"{PROMPT} {text}" if at < 6 else text for at, text in enumerate(SAID)]
    found = audited(texts, [spoken_s(text) for text in SAID])
    assert sum(one.rule.startswith("common_beginning") for one in found.findings) == 6
    texts = [f"{PROMPT} {text}" if at < 5 else text for at, text in enumerate(SAID)]
    assert beginnings.common(texts) == []


@pytest.mark.parametrize(
    "texts",
    [
        [f"The lamp is {word}." for word in ["on", "off", "red", "hot", "old", "new", "wet", "dry"]][
            :7
        ],  # too few
        ["The lamp is on."] * 20,  # one text, said often
        [f"Internationally {word}." for word in SAID],  # one word
        [
            f"{word} is a word."
            for word in ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
        ],
    ],
)
def test_what_is_no_prompt_is_not_taken_for_one(texts: list[str]) -> None:
    assert beginnings.common(texts) == []


def test_rows_that_cannot_be_compared_are_not_said_to_be_judged() -> None:
    few = audited(SAID[:4], [spoken_s(text) for text in SAID[:4]])
    (one,) = [one for one in few.coverage if one.code == "common_beginning"]
    assert one.sentence == "0 of 4 rows: fewer than 8 different texts (4)"


@pytest.mark.parametrize(
    "labels",
    [("Host:", "Guest:"), ("Anna:",), ("Sprecher 1:", "Sprecher 2:", "Sprecher 3:"), ("主持人：", "嘉宾：")],
)
def test_labels_of_who_speaks_are_named_in_any_language_and_however_many_there_are(
    labels: tuple[str, ...],
) -> None:
    gap = "" if labels[0].endswith("：") else " "
    texts = [f"{labels[at % len(labels)]}{gap}{text}" for at, text in enumerate(SAID)]
    assert {one.words for one in beginnings.common(texts)} == set(labels)
    found = audited(texts, [spoken_s(text) for text in SAID])
    hits = [one for one in found.findings if one.rule.startswith("common_beginning")]
    assert len(hits) == len(SAID)


@pytest.mark.parametrize(
    "texts",
    [
        [f"{text.split()[0]}: {text}" for text in SAID],  # a colon in each, and no two alike
        [f"At 12:30 {text}" for text in SAID[:4]] + SAID[4:],
        [f"Note: {text}" if at < 5 else text for at, text in enumerate(SAID)],  # half
    ],
)
def test_a_colon_alone_makes_no_label(texts: list[str]) -> None:
    assert beginnings.common(texts) == []
