"""Texts that were UTF-8 and were read as something else, in every language and from every system; and good texts that look a little like it."""

import pytest

from tests.data.test_words_and_numbers import SAID
from tests.factories import rows
from voicelathe.data.audit import clean
from voicelathe.data.text import charsets

TEXTS = {
    "it": "La citt\u00e0 \u00e8 qui vicino.",
    "de": "Der Flug geht f\u00fcr uns um neun.",
    "en": "It\u2019s fine, and we are all going home.",
    "pl": "Za\u017c\u00f3\u0142\u0107 g\u0119\u015bl\u0105 ja\u017a\u0144.",
    "cs": "P\u0159\u00edli\u0161 \u017elu\u0165ou\u010dk\u00fd k\u016f\u0148.",
    "tr": "\u00c7ok g\u00fczel \u015feyler.",
    "ru": "Привет, как твои дела сегодня?",
    "el": "Καλημέρα σας, τι κάνετε;",
    "he": "שלום עולם, מה שלומך",
    "ar": "مرحبا بالعالم يا صديقي",
    "zh": "你好，今天天气很好。",
    "ja": "こんにちは、お元気ですか。",
    "hi": "नमस्ते दुनिया, आप कैसे हैं",
}
READ_AS = ("cp1252", "latin-1", "cp1250", "cp1251", "koi8-r", "mac-roman", "cp850", "cp866", "gb18030")


def found_in(text: str, language: str) -> list[str]:
    row = rows.manifest_row(1, text=text, language=language)
    found = clean.audit([row], [], [rows.measured(1)], rows.AUDIT, rows.PHRASES)
    return [one.rule for one in found.findings if one.rule in ("double_encoding", "replacement_character")]


@pytest.mark.parametrize("language", TEXTS)
def test_utf8_that_was_read_as_another_encoding_is_found_in_every_language(language: str) -> None:
    missed = [
        name
        for name in READ_AS
        if not found_in(TEXTS[language].encode().decode(name, errors="replace"), language)
    ]
    assert missed == []


@pytest.mark.parametrize("text", ["La citt\u00c3\u00a0", "La citt\u00c3 bella", "La citt\u00c3"])
def test_half_a_letter_that_looks_like_a_space_or_was_taken_off_is_found(text: str) -> None:
    assert found_in(text, "it") == ["double_encoding"]


GOOD = [
    *((language, text) for language, text in TEXTS.items()),
    *((language, some[at]) for language, some in SAID.items() for at in (0, 2)),
    *(("uk", text) for text in ("Ті.", "Ні! Ці! Ті?", "Її", "В’їзд")),
    *(("zh", text) for text in ("联通", "联通公司")),
    *(("ja", text) for text in ("おおきい", "うさぎ", "あかい かさ")),
    *(("cs", text) for text in ("NEJSPÍŠ", "PŘÍŠERA", "VÝŠKA A ÚŽAS", "TÍŽE BLÍŽE", "VÝŽIVA")),
    *(("pt", text) for text in ("AMANH\u00c3 \u201cSIM\u201d, IRM\u00c3 !", "A\u00c7\u00c3O")),
    *(("sr", text) for text in ("Ђак", "Њух ђака", "Џеп")),
    ("no", "\u00c5 \u201cja\u201d, 20 \u00b0C, \u00a9 5 \u20ac"),
    ("fr", "\u00c7A, \u00c0 \u00ab L\u2019\u00ceLE \u00bb \u2013 \u2026"),
]


@pytest.mark.parametrize(("language", "text"), GOOD)
def test_a_good_text_is_not_taken_for_another_encoding(language: str, text: str) -> None:
    assert found_in(text, language) == []
    assert charsets.meant(text.upper(), language) is None
