"""What stands in real corpora's texts and nobody says, by kind; and good texts that look a little like it."""

from pathlib import Path

import pytest

from tests.factories import rows
from voicelathe.data.audit import clean
from voicelathe.data.text import phrases

SHIPPED = phrases.load(Path(__file__).parents[2] / "data/phrases/boilerplate.txt")

UNSAID = {
    "prosody marks of BZNSYP": ("zh", "卡尔普#2陪外孙#1玩滑梯#4。", "markup"),
    "prosody marks, once": ("zh", "今天天气很好#4", "markup"),
    "prosody marks in Latin": ("vi", "xin chao#1 cac ban#4", "markup"),
    "pinyin": ("zh", "ni3 hao3 jin1 tian1 tian1 qi4 hen3 hao3", "phonemes"),
    "jyutping": ("yue", "nei5 hou2 gam1 jat6 tin1 hei3", "phonemes"),
    "pieces of a tokeniser": ("en", "\u2581hello \u2581there \u2581my \u2581friend", "markup"),
    "byte pairs": ("en", "hel@@ lo there my friend and all of you", "markup"),
    "a time": ("en", "00:00:01.500 hello there my dear friend", "markup"),
    "a mark of captions": ("en", ">> hello there my dear friend, how are you", "markup"),
    "markdown": ("en", "**Hello** there my dear friend, how are you", "markup"),
    "a heading": ("de", "## Kapitel eins und der Rest davon", "markup"),
    "a tag in braces": ("en", "{pause} and then we go on from here", "markup"),
    "an escape": ("fr", "L'\\u00e9t\\u00e9 dernier nous allions", "markup"),
    "a file": ("en", "wavs/chapter_one/talk1_01.wav", "markup"),
    "question marks for letters": ("de", "Gr??e an alle, die hier sind", "replacement_character"),
    "question marks in several words": ("fr", "L'?t? dernier, il ?tait dans la for?t noire", "replacement_character"),
}  # fmt: skip


def found_in(text: str, language: str, **measured: float) -> list[str]:
    row = rows.manifest_row(1, text=text, language=language)
    found = clean.audit([row], [], [rows.measured(1, **measured)], rows.AUDIT, SHIPPED)
    return [one.rule for one in found.findings if one.action == "drop"]


@pytest.mark.parametrize("what", UNSAID)
def test_what_nobody_says_is_found_whoever_left_it(what: str) -> None:
    language, text, rule = UNSAID[what]
    assert rule in found_in(text, language)


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("en", "She plays C#4 and F#3, and then again a C#2 for us."),
        ("en", "We are #1 and they are #2 in this whole league."),
        ("en", "Really? Yes! What?! He said: who? me? Well..."),
        ("en", "Are you in?or out of this little game of ours"),  # a blank was forgotten
        ("es", "\u00bfQu\u00e9? \u00bfqui\u00e9n? \u00a1Ah\u00ed! No lo s\u00e9, \u00bfy t\u00fa?"),
        ("en", "Take mp3 and mp4 files with you, all of them now."),
        ("en", "At 12:30 we left, and at 5:15 we were all home."),
        ("en", "5 * 3 is 15, and a * marks what is not so good."),
        ("en", "Send it to anna@example.com, or to us @ the office."),
        ("en", "The set {1, 2} has two numbers, as we all know."),
        ("en", "The folder C:\\temp is empty, as are all the others."),
        ("en", "Open the file called talk.wav, please, and play it."),
        ("zh", "第#号房间在二楼，请您跟我来。"),
        ("de", "Nr. 5 > Nr. 4, und Nr. 3 < Nr. 4, das ist klar."),
    ],
)
def test_what_somebody_may_say_is_no_markup(language: str, text: str) -> None:
    assert not {"markup", "phonemes", "replacement_character", "double_encoding"} & set(
        found_in(text, language)
    )


@pytest.mark.parametrize("text", ["nan", "NaN", "None", "N/A", "undefined"])
def test_what_a_table_writes_for_nothing_is_no_text_unless_it_takes_just_its_time(text: str) -> None:
    assert "boilerplate" in found_in(text, "en")
    assert "boilerplate" not in found_in(text, "en", duration_s=0.9)


def test_a_long_row_of_signs_is_judged_at_once() -> None:
    from voicelathe.data.text import markup

    for text in (
        "?" * 300_000 + "a?",
        "a?" * 3 + "?" * 300_000,
        "**" * 100_000,
        "#1" * 100_000,
        "[" * 200_000,
    ):
        assert markup.LOST.search(text) is None and markup.find(text) is None
