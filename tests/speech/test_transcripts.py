"""Two texts are the same words whatever their spelling; errors, a missing end, and words that are never right."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicelathe.speech import numerals, transcripts

SAME = [
    ("en", "Press 1, please!", "press one please"),
    ("en", "It's Mr. Smith's “cue”.", "its mister smiths cue"),
    ("en", "In 1984 or 2007", "in nineteen eighty four or twenty oh seven"),
    ("en", "the 21st of May", "the twenty first of may"),
    ("en", "Room 305", "room three zero five"),
    ("en", "$1 or $2.50", "one dollar or two point five zero dollars"),
    ("en", "1,234,567 & 50%", "one million two hundred thirty four thousand five hundred sixty seven and fifty percent"),
    ("de", "21 Straßen, 1.984", "einundzwanzig strassen eintausendneunhundertvierundachtzig"),
    ("de", "Im Jahr 1984", "im jahr neunzehnhundertvierundachtzig"),
    ("de", "101 und 3,5", "einhunderteins und drei komma fünf"),
    ("fr", "L’année : 91, 80, 71 et 200", "lannée quatre vingt onze quatre vingts soixante et onze et deux cents"),
    ("fr", "1 999", "mille neuf cent quatre vingt dix neuf"),
    ("es", "¿Qué? 100, 101 y 31", "qué cien ciento uno y treinta y uno"),
    ("es", "2.000.000 y 1.500", "dos millones y mil quinientos"),
    ("it", "28, 108 e 1.984", "ventotto centootto e millenovecentoottantaquattro"),
    ("it", "2.021 e 1.000.000", "duemilaventuno e un milione"),
    ("tr", "IŞIK ve İNCE", "ışık ve ince"),
    ("he", "שָׁלוֹם", "שלום"),
    ("zh", "今天 天气，很好。", "今天天气很好"),
    ("ja", "今日は、いい天気です。", "今日はいい天気です"),
    ("ru", "Ещё раз: ДА!", "ещё раз да"),
    ("ko", "안녕 하세요.", "안녕 하세요"),
    ("zh-Hans-CN", "ＡＢ 你好", "ab你好"),
]  # fmt: skip


@pytest.mark.parametrize("language, written, spoken", SAME)
def test_the_same_words_in_another_spelling_are_no_error(language: str, written: str, spoken: str) -> None:
    assert spoken in transcripts.readings(written, language)
    found = transcripts.errors(written, spoken, language)
    assert found is not None and (found.cer, found.wer or 0.0, found.inserted, found.missing_end) == (
        0,
        0,
        0,
        0,
    )


@pytest.mark.parametrize(
    "language, text, heard, missing",
    [
        ("en", "the lamp is on now", "the lamp is", 2),
        ("en", "the lamp is on now", "the lamp is on mow", 0),  # misheard, not missing
        ("en", "the lamp is on now", "the lamp is on now now now", 0),
        ("en", "we can not go", "we cannot go", 0),
        ("en", "the lamp is on", "", 4),
        ("zh", "今天天气很好", "今天天气", 2),
        ("en", "stay in the house and in the garden", "stay in the house", 4),  # what comes twice is found the first time
    ],
)  # fmt: skip
def test_what_is_missing_of_the_end_is_counted(language: str, text: str, heard: str, missing: int) -> None:
    found = transcripts.errors(text, heard, language)
    assert found is not None and found.missing_end == missing


def test_errors_are_counted_without_spaces_and_words_only_where_there_are_some() -> None:
    found = transcripts.errors("the lamp", "the lamb", "en")
    assert found is not None and (found.cer, found.wer) == (1 / 7, 0.5)
    babble = transcripts.errors("the lamp", "the lamp is on", "en")
    assert babble is not None and babble.inserted == babble.cer == 4 / 7
    chinese = transcripts.errors("今天很好", "今天好", "zh")
    assert chinese is not None and chinese.wer is None and chinese.cer == 0.25


@pytest.mark.parametrize("text", ["", "...", "—", "\u200b", "!?"])
def test_a_text_without_words_cannot_be_judged(text: str) -> None:
    assert transcripts.errors(text, "anything", "en") is None


def test_digits_are_told_apart() -> None:
    assert transcripts.errors("press 1", "press one", "en").has_digits  # type: ignore[union-attr]
    assert not transcripts.errors("press one", "press 1", "en").has_digits  # type: ignore[union-attr]
    assert transcripts.errors("Нажмите 1", "нажмите 1", "ru").cer == 0  # type: ignore[union-attr]


def test_words_that_are_never_right_need_three_chances_and_no_success() -> None:
    pairs = [
        ("the lamp is on", "the lamb is on"),
        ("a lamp and a Horse", "a land and a house"),
        ("one lamp, one horse", "one lam one horse"),
        ("the attic", "the arctic"),
    ]
    assert transcripts.never_right(pairs, "en") == [("lamp", 3)]
    assert transcripts.never_right(pairs, "en", min_times=1) == [("lamp", 3), ("attic", 1)]
    assert transcripts.never_right([], "en") == []
    assert transcripts.never_right([("你好吗", "你好")] * 3, "zh") == [("吗", 3)]


@given(st.text(max_size=40), st.sampled_from(["en", "de", "fr", "es", "it", "zh", "tr", "ar", "th", "xx"]))
def test_a_normal_form_is_its_own_normal_form(text: str, language: str) -> None:
    once = transcripts.normalise(text, language)
    assert transcripts.normalise(once, language) == once
    found = transcripts.errors(text, text, language)
    assert found is None or (found.cer == 0 and found.missing_end == 0)


@given(st.text("abc de", max_size=30), st.text("abc de", max_size=30))
def test_errors_stay_in_their_ranges(text: str, heard: str) -> None:
    found = transcripts.errors(text, heard, "en")
    if found is not None:
        assert 0 <= found.inserted <= found.cer and 0 <= found.missing_end <= len(text.split())


@pytest.mark.parametrize("language", ["en", "de", "fr", "es", "it"])
def test_numbers_differ_where_they_are_different(language: str) -> None:
    numbers = [*range(0, 2100), 10**4, 54_321, 99_999, 10**5, 10**6, 2 * 10**6, 123_456_789]
    said = [numerals.written_out(str(number), language).strip() for number in numbers]
    assert len(set(said)) == len(numbers)
    assert not any(letter.isdigit() for one in said for letter in one)


@pytest.mark.parametrize("written", ["007", "10000000000", "١٢", "3.", ".5", "1.2.3", "5%%", "$", "1" * 400])
def test_odd_numbers_break_nothing(written: str) -> None:
    for language in ("en", "de", "fr", "es", "it"):
        assert transcripts.readings(written, language)


LONG_TEXT = "Henry walked to the harbour with his dog, and the island was seven miles from the simple church."


@pytest.mark.parametrize(
    ("text", "heard", "language", "missed"),
    [
        (LONG_TEXT, LONG_TEXT.upper(), "en", 0),
        (LONG_TEXT, LONG_TEXT.replace("harbour", "harbor").replace("Henry", "Henri"), "en", 0),
        (LONG_TEXT, LONG_TEXT.replace("with his dog", "withis dog"), "en", 0),
        (LONG_TEXT, LONG_TEXT.replace("seven miles", "purple jokes"), "en", 2),
        (LONG_TEXT, LONG_TEXT.replace("Henry", "Bob").replace("church", "wig"), "en", 1),  # far apart
        (LONG_TEXT, LONG_TEXT.replace(", and the island was seven miles from", ""), "en", 7),
        (LONG_TEXT, "", "en", 8),
        (LONG_TEXT, f"{LONG_TEXT} Thanks for watching this.", "en", 0),  # more is said than is missed
        ("Stop now, please.", "", "en", 3),
        ("It is 42 miles.", "it is forty two miles", "en", 0),
        ("Das sind 42 Meilen.", "das sind zweiundvierzig meilen", "de", 0),
        ("今天天气很好我们去公园", "今天天气很好我们去公园", "zh", 0),
        ("今天天气很好我们去公园", "今天天气不坏我们去公园", "zh", 2),
        ("...", "anything", "en", None),
    ],
)
def test_words_are_missed_by_the_stretch_in_which_most_of_them_are(
    text: str, heard: str, language: str, missed: int | None
) -> None:
    assert transcripts.missed(text, heard, language) == missed
