"""Texts of any script, and phrases that nobody said."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voicelathe.data.text import characters, phrases
from voicelathe.errors import ParamsError

SHIPPED = Path(__file__).parents[2] / "data/phrases/boilerplate.txt"


@pytest.mark.parametrize(
    "nothing",
    [
        *(
            None,
            "",
            " ",
            "\t\n",
            "...",
            "?!",
            "-",
            "\u2014",
            "\u2026",
            "\u3002",
            "\u200b",
            "\u200b\u200d\ufeff",
            "\u00a0",
        ),
        *(
            "\u3000",
            "\u00ad",
            "\u3164",
            "\u115f\u1160",
            "\uffa0",
            "\u2800",
            "\u266a",
            "\u202e",
            "\x00",
            "\U0001f600",
            "\u0301",
        ),
    ],
)
def test_a_text_without_letters_or_digits_says_nothing(nothing: str | None) -> None:
    assert characters.num_spoken_chars(nothing) == 0


@pytest.mark.parametrize(
    "said", ["a", "7", "\u4f60\u597d", "\u0928\u092e", "\u05e9", "\u0e2a", "\u00e9", "\uff11", "...ja?"]
)
def test_a_text_of_any_script_says_something(said: str) -> None:
    assert characters.num_spoken_chars(said) > 0


def test_control_and_direction_characters_are_named_and_line_ends_are_not() -> None:
    assert characters.controls("a\x07b\u202ec\u2066\x07") == [
        "U+0007",
        "RIGHT-TO-LEFT OVERRIDE",
        "LEFT-TO-RIGHT ISOLATE",
    ]
    assert characters.controls("plain\n\ttext, na\u00efve \u4f60 \U0001f469\u200d\U0001f52c") == []


def test_plain_text_looks_the_same_however_it_is_spelled() -> None:
    assert characters.plain(" \uff34\uff48\u200b\u00adank\u00a0 you ") == "Thank you"
    assert characters.plain("e\u0301") == characters.plain("\u00e9") == "\u00e9"
    assert characters.words("Don\u2019t STOP, please!") == " dont stop please "


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=40))
def test_plain_text_has_nothing_invisible_and_stays_as_it_is(any_text: str) -> None:
    assert (
        characters.plain(characters.plain(any_text)) == characters.plain(any_text)
        or any_text != any_text.encode(errors="ignore").decode()
    )
    assert characters.controls(characters.plain(any_text).replace("\u061c", "")) == []


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet="aZ9 _-.'!\t\u00e9\u4f60\u0301\u3164", max_size=12))
def test_plain_and_other_scripts_are_counted_and_compared_alike(any_text: str) -> None:
    one_by_one = sum(one.isalnum() and one not in characters.INVISIBLE_LETTERS for one in any_text)
    assert characters.num_spoken_chars(any_text) == one_by_one
    assert characters.words(any_text + " \u4f60") == characters.words(any_text).rstrip() + " \u4f60 "


@pytest.fixture(scope="module")
def shipped() -> phrases.Phrases:
    return phrases.load(SHIPPED)


@pytest.mark.parametrize(
    "boilerplate",
    [
        *(
            "Thanks for watching!",
            "thanks   for\u00a0watching",
            "THANK YOU FOR WATCHING.",
            "So, thanks for watching, everyone",
        ),
        *(
            "\uff34hanks for watching",
            "tha\u200bnks for watching",
            "Please subscribe",
            "Don't forget to subscribe!",
        ),
        *(
            "[Music]",
            "[MUSIC PLAYING]",
            "( applause )",
            "*laughs*",
            "\u266a la la la \u266a",
            "\u3010\u97f3\u697d\u3011",
        ),
        *(
            "\uff3bMusic\uff3d",
            "He said [inaudible] yesterday",
            "Thank you.",
            "(speaks quietly)",
            "[ ]ok[Music]",
        ),
        *(
            "Vielen Dank f\u00fcrs Zuschauen!",
            "Untertitel der Amara.org-Community",
            "Abonnez-vous !",
            "\u00a1Suscr\u00edbete!",
        ),
        *(
            "\u0421\u043f\u0430\u0441\u0438\u0431\u043e \u0437\u0430 \u043f\u0440\u043e\u0441\u043c\u043e\u0442\u0440",
        ),
        *(
            "\u8acb\u4e0d\u541d\u9ede\u8d0a\u8a02\u95b1",
            "\u3054\u8996\u8074\u3042\u308a\u304c\u3068\u3046\u3054\u3056\u3044\u307e\u3057\u305f\u3002",
        ),
        *("\uc2dc\uccad\ud574\uc8fc\uc154\uc11c \uac10\uc0ac\ud569\ub2c8\ub2e4",),
    ],
)
def test_boilerplate_is_found_in_any_language_and_spelling(
    shipped: phrases.Phrases, boilerplate: str
) -> None:
    assert shipped.find(boilerplate) is not None


@pytest.mark.parametrize(
    "speech",
    [
        *(
            "Thank you for the lamp, she said.",
            "He subscribed to the newspaper.",
            "We were watching the rain.",
            "So did I.",
        ),
        *(
            "The bells rang; everyone could hear the music.",
            "Thanks to her, the house was warm.",
            "You may go (if you must).",
        ),
        *(
            "2 * 3 * 4 is 24",
            "a < b and c > d",
            "The book was translated by my sister.",
            "The end of the road.",
        ),
        *("Sie sagte danke und ging.", "\u5979\u8aaa\u8b1d\u8b1d\u4f60", "", "..."),
    ],
)
def test_speech_is_not_taken_for_boilerplate(shipped: phrases.Phrases, speech: str) -> None:
    assert shipped.find(speech) is None


def test_a_team_can_allow_tags_it_uses(tmp_path: Path) -> None:
    path = tmp_path / "phrases.txt"
    path.write_text("# tags of ours are [breath] and [laugh]\n[music]\n=thank you\nhello there\n")
    ours = phrases.load(path)
    assert ours.find("[breath] Well.") is None and ours.find("[Music] Well.") == "[music]"
    assert ours.find("Oh, hello there!") == "hello there" and ours.find("Thank you, all") is None


@pytest.mark.parametrize("line", ["...", "=!", "[...]"])
def test_a_phrase_without_words_is_refused(tmp_path: Path, line: str) -> None:
    path = tmp_path / "phrases.txt"
    path.write_text(f"good\n{line}\n")
    with pytest.raises(ParamsError, match="no word to compare"):
        phrases.load(path)


def test_a_missing_phrase_file_names_the_setting(tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match=r"audit\.phrases"):
        phrases.load(tmp_path / "none.txt")
