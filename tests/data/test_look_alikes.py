"""Letters that only look like those of their word are named; letters of another script that stand there on purpose are not."""

import pytest

from tests.data.test_words_and_numbers import SAID
from tests.factories import rows
from voicelathe.data.audit import clean
from voicelathe.data.text import look_alikes

FOUND = {
    "Cyrillic in a Latin word": ("en", "The c\u0430t sat here.", "cyrillic small letter a (U+0430)"),
    "Cyrillic as a Latin word": ("en", "I saw \u0430 dog.", "cyrillic small letter a (U+0430)"),
    "a whole word": ("fr", "Voici toute une \u0441\u043e\u0440\u0435", "cyrillic small letter es"),
    "a capital": ("de", "\u0410nna kommt heute", "cyrillic capital letter a"),
    "Greek in a Latin word": ("es", "N\u03bf lo s\u00e9", "greek small letter omicron"),
    "a Greek capital": ("en", "\u039dATO met today", "greek capital letter nu"),
    "Latin in a Cyrillic word": ("ru", "\u043c\u043e\u044f c\u043e\u0431\u0430\u043a\u0430", "latin small letter c"),
    "Latin with two dots": ("ru", "\u0435\u0449\u00eb \u043e\u0434\u0438\u043d", "latin small letter e with diaeresis"),
    "Latin in Ukrainian": ("uk", "\u0441i\u043b\u044c \u0456 \u0445\u043b\u0456\u0431", "latin small letter i"),
    "Latin in Greek": ("el", "\u03a4o \u03c3\u03c0\u03af\u03c4\u03b9", "latin small letter o"),
    "Serbian has both, but not in a word": ("sr", "m\u0430ma i tata", "cyrillic small letter a"),
    "a language without a list": ("eo", "la h\u043endo", "cyrillic small letter o"),
    "Armenian": ("en", "g\u0585 home", "armenian small letter oh"),
    "of a dictionary": ("en", "\u0261et it now", "latin small letter script g"),
    "beta for sharp s": ("de", "Die Stra\u03b2e ist lang", "greek small letter beta"),
    "full width": ("en", "\uff28\uff45llo there", "fullwidth latin capital letter h"),
    "mathematical": ("it", "\U0001d402iao a tutti", "mathematical bold capital c"),
    "all of it in circles": ("en", "\u24d7\u24d4\u24db\u24db\u24de there", "circled latin small letter h"),
    "the last in a circle": ("en", "hell\u24de there", "circled latin small letter o"),
    "in circles": ("en", "\u24bdello", "circled latin capital letter h"),
}  # fmt: skip
GOOD = [
    *((language, some[at]) for language, some in SAID.items() for at in (0, 2)),
    ("en", "10 k\u03a9, 5 \u03bcm, TNF\u03b1 and the \u03c7\u00b2 test, \u0394x, \u03b3-ray, \u03bf\u1f36\u03ba\u03bf\u03c2"),
    ("en", "caf\u00e9 na\u00efve Dvo\u0159\u00e1k 2\u00b2 \u00bd \u2122 \u2116 \u2163"),
    ("ru", "PR\u043e\u043c, SIM-\u043a\u0430\u0440\u0442\u0430, iPhone, x \u0438 y, \u0432\u0438\u0442\u0430\u043c\u0438\u043d C, COVID, Wi-Fi"),
    ("ru", "ATM\u044b, BMX\u0435\u0440, DVD\u0448\u043a\u0443"),
    ("en", "\u24b8 2020, \u24c2"),
    ("de", "k\u03b2 und A\u03b2"),
    ("ru", "\u0411\u0443\u043a\u0432\u0430 o \u0441 \u0443\u043c\u043b\u044f\u0443\u0442\u043e\u043c"),
    ("ru", "a cappella \u0438 \u0434\u0440\u0443\u0433\u043e\u0435"),
    ("ja", "\uff21\uff22\uff23\u3068\uff11\uff12\uff13"),
    ("zh", "\uff21\u578b\u8840, T\u6064"),
    ("el", "\u03a4\u03bf email \u03ba\u03b1\u03b9 \u03c4\u03bf SMS, \u03b1\u03b2\u03b3"),
    ("tr", "\u0131\u015f\u0131k ve \u0130stanbul"),
    ("sr", "\u043c\u0430\u043c\u0430 i tata"),
    ("de", "Das TGF\u03b2 und \u03b2-Carotin"),
    ("en", "the Russian word \u0434\u043e\u043c"),
]  # fmt: skip


def found_in(text: str, language: str) -> list[str]:
    row = rows.manifest_row(1, text=text, language=language)
    found = clean.audit([row], [], [rows.measured(1)], rows.AUDIT, rows.PHRASES)
    return [one.value for one in found.findings if one.rule == "look_alike_letters"]


@pytest.mark.parametrize("what", FOUND)
def test_a_letter_that_only_looks_right_is_named_with_its_word(what: str) -> None:
    language, text, name = FOUND[what]
    (value,) = found_in(text, language)
    assert name in value and "which looks like" in value


@pytest.mark.parametrize(("language", "text"), GOOD)
def test_a_letter_that_stands_there_on_purpose_is_none(language: str, text: str) -> None:
    assert found_in(text, language) == []


def test_every_look_alike_is_one_letter_of_another_script_for_another() -> None:
    for own, latin in look_alikes.LATIN_FOR.items():
        assert own != latin and len(own) == len(latin) == 1 and own.isupper() == latin.isupper()
