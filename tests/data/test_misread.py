"""Texts of one 8-bit encoding that were read as another: every row of them is found, and no foreign name is taken for one."""

import pytest

from tests.data.test_words_and_numbers import SAID
from tests.factories import rows
from voicelathe.data.audit import clean
from voicelathe.data.text import misread

TEXTS = {
    "pl": ("Zażółć gęślą jaźń, proszę pana.", ("cp1250", "iso8859-2", "cp852")),
    "cs": ("Příliš žluťoučký kůň úpěl.", ("cp1250", "iso8859-2", "cp852")),
    "hu": ("Árvíztűrő tükörfúrógép.", ("cp1250", "iso8859-2", "cp852")),
    "sk": ("Kŕdeľ ďatľov učí koňa žrať kôru.", ("cp1250", "iso8859-2")),
    "hr": ("Gojazni đačić s biciklom drži hmelj.", ("cp1250", "iso8859-2")),
    "ro": ("Toată lumea ştie că ţara e frumoasă.", ("cp1250", "iso8859-2")),
    "lt": ("Įlinkdama fechtuotojo špaga sublykčiojo.", ("cp1257",)),
    "lv": ("Glāžšķūņa rūķīši dzērumā čiepj.", ("cp1257",)),
    "tr": ("Pijamalı hasta yağız şoföre çabucak güvendi.", ("cp1254",)),
    "ru": ("Привет, как твои дела сегодня?", ("cp1251", "koi8-r", "cp866")),
    "el": ("Καλημέρα σας, τι κάνετε;", ("cp1253", "iso8859-7")),
    "de": ("Schöne Grüße aus Köln.", ("mac-roman", "cp850", "cp437")),
    "fr": ("Le garçon a été très gêné.", ("mac-roman", "cp850", "cp437")),
    "sv": ("Flygande bäckasiner söka hwila på mjuka tuvor, så är det.", ("mac-roman", "cp850")),
}  # fmt: skip


def as_windows(data: bytes) -> str:
    """As browsers and editors read cp1252: the five bytes that it does not use stay control characters."""
    return "".join(bytes([one]).decode("cp1252", "ignore") or chr(one) for one in data)


def found_in(*texts: str, language: str) -> list[int]:
    """Places of texts that the audit names."""
    held = [rows.manifest_row(number, text=text, language=language) for number, text in enumerate(texts, 1)]
    measures = [rows.measured(number) for number in range(1, len(texts) + 1)]
    found = clean.audit(held, [], measures, rows.AUDIT, rows.PHRASES)
    ids = [row.clip_id for row in held]
    return sorted({ids.index(one.clip_id) for one in found.findings if one.rule == "wrong_encoding"})


@pytest.mark.parametrize("language", TEXTS)
def test_a_sentence_in_another_encoding_of_eight_bits_is_found(language: str) -> None:
    text, written = TEXTS[language]
    missed = [
        name
        for name in written
        if name != "cp1252" and found_in(as_windows(text.encode(name)), language=language) != [0]
    ]
    assert missed == []


def test_the_finding_says_what_was_meant_and_how_to_read_it() -> None:
    (one,) = misread.readings("Za¿ó³æ gêœl¹ jaŸñ.", "pl")[:1]
    assert (one.meant, one.read_as, one.written_in) == ("Zażółć gęślą jaźń.", "cp1252", "cp1250")


def test_russian_mail_that_was_read_as_windows_has_its_capitals_inside() -> None:
    assert found_in("оПХБЕР, ЛХП", language="ru") == [0]
    assert found_in("Привет, мир", "ВКонтакте", "10 дБ", "кВт", "ГУЛАГ", language="ru") == []


def test_a_western_text_that_was_read_as_central_european_is_found() -> None:
    assert found_in("Le pčre et la mčre vont ŕ la fęte.", language="fr") == [0]
    assert found_in("Năo, vocę năo vem amanhă.", language="pt") == [0]


def test_one_strange_letter_is_a_foreign_name_unless_other_rows_tell() -> None:
    assert found_in("Karel Èapek", "El Niño", language="cs") == []
    assert found_in("To jest El Niño", "Señora", "Groźny żółw", language="pl") == []
    short = ("prùvodce", "kùò", "pøíteli", "dìti")
    assert found_in(*short, "dobrý den", language="cs") == [0, 1, 2, 3]  # the second one is sure by itself
    hungarian = ("idõ", "nõ", "erdõ", "hûség", "alma")
    assert found_in(*hungarian, language="hu") == [0, 1, 2, 3]  # three words, and no row has the true letters
    assert found_in("idõ", "Camões", language="hu") == []


GOOD = [
    *((language, text) for language, (text, _) in TEXTS.items()),
    *((language, text) for language, some in SAID.items() for text in (some[0], some[2])),
    ("de", "Škoda und Dvořák fahren „schnell“ nach Łódź, ja”und nein."),
    ("de", "„ähnlich” und ‚so’ – 5 m³ für 3 € zu 20 °C"),
    ("pl", "Objętość 5 m³ i pół strony¹."),
    ("pl", "5 m³ wody, 3 km² lasu"),
    ("fr", "L’eau, l’été et l’œuvre de Čapek… « Škoda »"),
    ("es", "¿Qué año?¿Cómo? ¡Ñandú! 1.ª y 2.º"),
    ("cs", "Molière a Saint-Exupéry"),
    ("hu", "„Jó napot” – mondta Molière"),
    ("nl", "Hij zei ’s avonds „ja” tegen François"),
    ("tr", "İSTANBUL’DA ŞIK BİR OTEL"),
]


@pytest.mark.parametrize(("language", "text"), GOOD)
def test_a_good_text_is_not_taken_for_a_misread_one(language: str, text: str) -> None:
    assert found_in(text, language=language) == []
