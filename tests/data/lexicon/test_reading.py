"""An entry takes the place of its own word, wherever that stands alone, and of nothing else."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicelathe.data.lexicon.reading import as_read, changed, entries_of
from voicelathe.records import Lexicon, Respelling


def lexicon(language: str = "en", numbers: bool = False, **said: str) -> Lexicon:
    return of({language: said}, numbers)


def of(entries: dict[str, dict[str, str]], numbers: bool = False) -> Lexicon:
    found = [
        Respelling(language, word, said) for language, own in entries.items() for word, said in own.items()
    ]
    return Lexicon(tuple(found), numbers)


NAMES = of(
    {
        "en": {
            "Nguyen": "win",
            "SQL": "sequel",
            "live": "liv",
            "New York": "Noo York",
            "O'Brien": "oh bryan",
            "café": "kaffay",
        }
    }
)


def read(text: str, language: str = "en") -> str:
    return as_read(NAMES, text, language)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("Nguyen wrote SQL.", "win wrote sequel."),
        ("(SQL), \"SQL\"—SQL!", "(sequel), \"sequel\"—sequel!"),
        ("SQL-Server and NoSQL, SQL2, MySQL_SQL, SQLs", "sequel-Server and NoSQL, SQL2, MySQL_SQL, SQLs"),
        ("Nguyen's and Nguyen’s, Nguyens'", "win's and win’s, Nguyens'"),
        ("LIVE, Live, live, alive, lives, lived", "liv, liv, liv, alive, lives, lived"),
        ("nguyen, NGUYEN, sql, Sql", "nguyen, NGUYEN, sql, Sql"),
        ("New York, New  York, New\nYork, New Yorkers, NewYork", "Noo York, Noo York, Noo York, New Yorkers, NewYork"),
        ("O'Brien, O’Brien, OʼBrien; Brien, d'Brien", "oh bryan, oh bryan, oh bryan; Brien, d'Brien"),
        ("Café, cafe\u0301, CAFÉ, cafes, cafe", "kaffay, kaffay, kaffay, cafes, cafe"),
        ("", ""),
    ],
)  # fmt: skip
def test_a_word_is_found_where_it_stands_alone_and_nowhere_else(text: str, wanted: str) -> None:
    assert read(text) == wanted


def test_a_letter_is_never_torn_from_its_marks() -> None:
    """`cafe` with an accent behind it as a mark of its own is another word than `cafe`."""
    assert as_read(lexicon(cafe="kayf"), "cafe cafe\u0301 \u0301cafe", "en") == "kayf cafe\u0301 \u0301cafe"
    assert as_read(of({"hi": {"क": "ka"}}), "क कि क्ष", "hi") == "ka कि क्ष"


def test_part_of_a_word_with_an_apostrophe_is_no_word() -> None:
    assert (
        as_read(lexicon(don="dawn", t="tea", o="oh"), "don't o'clock don t", "en") == "don't o'clock dawn tea"
    )


def test_a_word_behind_an_elision_is_a_word_in_the_languages_that_elide() -> None:
    entries = {language: {"SQL": "sequel", "hui": "x"} for language in ("fr", "it", "en")}
    assert as_read(of(entries), "l'SQL, d’SQL, aujourd'hui", "fr") == "l'sequel, d’sequel, aujourd'hui"
    assert as_read(of(entries), "dell'SQL", "it") == "dell'sequel"
    assert as_read(of(entries), "l'SQL", "en") == "l'SQL"


def test_the_longest_entry_wins_and_a_shorter_one_only_where_the_longer_does_not_fit() -> None:
    found = of({"en": {"New": "Noo", "New York": "Gotham", "New York City": "the city", "York": "Yark"}})
    assert (
        as_read(found, "New York City, New York Citys, New Yorkers, York", "en")
        == "the city, Gotham Citys, Noo Yorkers, Yark"
    )


def test_in_text_without_spaces_the_longest_entry_is_taken_from_left_to_right() -> None:
    chinese = of({"zh": {"银行": "YINHANG", "行": "xing", "SQL": "S Q L"}})
    assert (
        as_read(chinese, "我去银行行走。使用SQL数据库，NoSQL。", "zh")
        == "我去YINHANGxing走。使用S Q L数据库，NoSQL。"
    )
    assert as_read(of({"ja": {"今日": "きょう"}}), "今日は今日も", "ja-JP") == "きょうはきょうも"
    assert as_read(of({"th": {"กา": "ka"}}), "กากา่", "th") == "kaกา่", (
        "a tone mark belongs to the letter before"
    )


def test_a_particle_may_stand_right_behind_a_word_of_another_script() -> None:
    korean = of({"ko": {"SQL": "에스큐엘", "나": "na"}})
    assert as_read(korean, "SQL을 나무 나", "ko") == "에스큐엘을 나무 na"


def test_entries_are_those_of_the_language_and_of_its_region_before_them() -> None:
    found = of({"pt": {"SQL": "general", "Rio": "hio"}, "pt-BR": {"sql": "brazil"}, "en": {"SQL": "english"}})
    assert as_read(found, "SQL Rio", "pt-BR") == "brazil hio"
    assert as_read(found, "SQL Rio", "pt_BR") == "brazil hio", "however the tag is written"
    assert as_read(found, "SQL Rio", "pt") == as_read(found, "SQL Rio", "pt-PT") == "general hio"
    assert as_read(found, "SQL Rio", "de") == "SQL Rio"
    assert as_read(found, "SQL", "English") == "english"
    assert len(entries_of(found, "pt-BR")) == 2


def test_what_an_entry_says_is_not_looked_up_again() -> None:
    found = of({"en": {"a": "b", "b": "c"}})
    assert as_read(found, "a b", "en") == "b c"


def test_without_a_lexicon_a_text_is_as_it_is_written() -> None:
    assert as_read(None, "  1,250 EUR\n", "en") == "  1,250 EUR\n"


def test_two_lexicons_in_turn_are_not_mixed_up() -> None:
    one, other = lexicon(SQL="one"), lexicon(SQL="other")
    for _ in range(3):
        assert as_read(one, "SQL", "en") == "one" and as_read(other, "SQL", "en") == "other"


def test_an_entry_wins_over_the_numbers_and_is_found_in_what_they_become() -> None:
    found = of({"en": {"COVID-19": "covid", "24/7": "always", "euros": "yoo rows"}}, numbers=True)
    assert as_read(found, "COVID-19 24/7: 25 EUR", "en") == "covid always: twenty five yoo rows"
    assert as_read(of({"en": {"SQL": "sequel"}}), "SQL 25", "en") == "sequel 25", (
        "numbers stay unless that is asked for"
    )


def test_a_code_whose_letters_have_an_entry_keeps_its_number() -> None:
    found = of({"en": {"COVID": "covvid", "GPT": "gee pee tee", "C": "see", "five": "fife"}}, numbers=True)
    for text, read in (
        ("COVID-19 and GPT-4.", "covvid-19 and gee pee tee-4."),
        ("COVID 19", "covvid nineteen"),
        ("C++11", "see++11"),
        ("12 GPT, 5", "twelve gee pee tee, fife"),
        ("\ua66e COVID 3", "\ua66e covvid three"),
        ("\ua66e\ua668\ua66a\ua66c COVID 3", "\ua66e\ua668\ua66a\ua66c covvid 3"),
    ):
        assert as_read(found, text, "en") == read
    assert [one.written for one in changed(found, "It is 5 now, GPT.", "en")] == ["five", "GPT"]


def test_the_entries_that_change_a_text_are_named_in_their_order() -> None:
    assert [one.written for one in changed(NAMES, "SQL by Nguyen, live SQL", "en")] == [
        "SQL",
        "Nguyen",
        "live",
        "SQL",
    ]


WORDS = st.text(st.sampled_from("abcdeAE éß'’-_12.漢字はกा\u0301 "), max_size=40)


@given(WORDS)
def test_a_text_without_a_word_of_the_lexicon_is_never_touched(text: str) -> None:
    assert as_read(lexicon(xyz="x", Q="q"), text, "en") == text


@given(
    st.lists(st.sampled_from(["SQL", "lamp", "Nguyen", "live", "alive", "NoSQL", "SQL2"]), max_size=8),
    st.sampled_from([" ", ", ", "\n", " - ", "... "]),
)
def test_word_by_word_is_the_same_as_all_at_once(words: list[str], between: str) -> None:
    """Borders are seen alike wherever a word stands."""
    assert read(between.join(words)) == between.join(read(one) for one in words)


@given(st.text(max_size=60))
def test_what_was_read_once_is_not_changed_by_reading_it_again(text: str) -> None:
    """`lexicon_file` refuses entries that say a word of another; then reading twice is reading once."""
    once = read(f"{text} SQL {text} Nguyen")
    assert read(once) == once


@given(st.text(max_size=60))
def test_both_unicode_forms_of_a_text_are_read_alike(text: str) -> None:
    both = [
        unicodedata.normalize(form, read(unicodedata.normalize(form, f"{text} café")))
        for form in ("NFC", "NFD")
    ]
    assert unicodedata.normalize("NFC", both[1]) == unicodedata.normalize("NFC", both[0])
