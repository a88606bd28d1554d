"""Marks of stress in a text are kept, told of, and change nothing of what the text says; marks of a spelling are its letters."""

import unicodedata
from dataclasses import replace
from pathlib import Path

import pytest

from tests.cli.conftest import Run
from tests.cli.conftest import project as project
from tests.cli.conftest import run as run
from tests.factories import corpora, rows
from voicelathe.data.audit import clean
from voicelathe.data.text import characters, orthography
from voicelathe.speech import stress_marks, transcripts

MARKED = {  # language, as in a dictionary, as it is written
    "ru": ("Ла́мпа у окна́ гори́т, и её замо́к.", "Лампа у окна горит, и её замок."),
    "uk": ("Ла́мпа бі́ля вікна́, ї́жак і йо́го ї́ї.", "Лампа біля вікна, їжак і його її."),
    "be": ("Ля́мпа ля акна́ гары́ць, спыні́ўся.", "Лямпа ля акна гарыць, спыніўся."),
    "bg": ("Ла̀мпата до прозо̀реца, дъжда̀т спря̀.", "Лампата до прозореца, дъждат спря."),
    "sr": ("Ла́мпа по̏ред про̑зора го̀ри.", "Лампа поред прозора гори."),
    "lt": ("Lémpa priẽ lángo dẽga, ą́žuolas, grū́das.", "Lempa prie lango dega, ąžuolas, grūdas."),
    "hr": ("Svjétiljka pȍred prȏzora gòri, kúća.", "Svjetiljka pored prozora gori, kuća."),
}
SPELLED = {
    "ru": "Ёжик и её йод, и все мой ёлки тоже.",
    "mk": "Ќе ја видам ѓаволката, а таа сѐ ѝ кажа.",
    "vi": "Chiếc đèn bên cửa sổ đang sáng, và mưa đã tạnh hẳn.",
    "el": "Η λάμπα δίπλα στο παράθυρο είναι αναμμένη.",
    "es": "La lámpara está encendida, ¿verdad, señor?",
    "fr": "L'été dernier, à côté de la forêt, où étais-tu?",
    "cs": "Příliš žluťoučký kůň úpěl ďábelské ódy.",
    "lt": "José Gómez iš São Paulo atvyko į Vilnių ąžuolų gatvėje šiandien.",
    "sr": "Kuća je noćas bila puna, a mačke će još doći.",
    "hr": "Anić je vidio café i otišao kući preko mosta prema školi.",
}


@pytest.mark.parametrize("language", MARKED)
def test_a_text_says_the_same_with_marks_of_stress_and_without(language: str) -> None:
    marked, plain = MARKED[language]
    assert stress_marks.without(marked, language) == plain
    errors = transcripts.errors(marked, plain, language)
    assert errors is not None and errors.cer == 0.0
    if language not in ("lt", "hr"):  # what is not told the language knows the marks of Cyrillic
        assert characters.words(marked) == characters.words(plain)
        assert characters.num_letters(marked) == characters.num_letters(plain)
    assert characters.num_letters(unicodedata.normalize("NFC", marked))[1] <= len(plain) + 9


@pytest.mark.parametrize("language", MARKED)
def test_such_a_row_is_kept_as_it_is_and_told_of(language: str) -> None:
    row = rows.manifest_row(1, text=unicodedata.normalize("NFD", MARKED[language][0]), language=language)
    found = clean.audit([row], [], [rows.measured(1)], rows.AUDIT, rows.PHRASES)
    assert "stress_marks" in [one.rule for one in found.findings]
    assert found.clean[0].text == unicodedata.normalize("NFC", MARKED[language][0])


@pytest.mark.parametrize("language", SPELLED)
def test_marks_of_a_spelling_are_no_stress(language: str) -> None:
    text = SPELLED[language]
    assert orthography.stressed(text, language) == [] and stress_marks.without(text) == text
    decomposed = unicodedata.normalize("NFD", text)
    assert orthography.stressed(decomposed, language) == [] and stress_marks.without(decomposed) == text


def test_a_copy_that_differs_in_its_marks_is_the_same_text() -> None:
    marked, plain = MARKED["ru"]
    clips = [rows.manifest_row(at, text=text, language="ru") for at, text in ((1, marked), (2, plain))]
    same = [replace(rows.measured(at), samples_sha256="1" * 64) for at in (1, 2)]
    found = clean.audit(clips, [], same, rows.AUDIT, rows.PHRASES)
    assert "exact_duplicate" in [one.rule for one in found.findings]
    assert not {"conflicting_texts"} & {one.rule for one in found.findings}


def test_import_tells_of_marks_with_a_word(project: Path, run: Run) -> None:
    names = corpora.audio(project / "corpus")
    made: list[dict[str, object]] = [
        {"audio": name, "text": MARKED["ru"][at % 2]} for at, name in enumerate(names)
    ]
    path = corpora.json_lines(project / "corpus" / "m.jsonl", made)
    done = run("import", path, "--speaker", "anna", "--language", "ru", "--recording-from", r"(talk\d+)_")
    assert done.code == 0, done.told
    assert "6 of 12 texts in ru have marks of stress, for example Ла́мпа. They stay" in done.out, done.out


@pytest.mark.parametrize("language", ["hr", "sl", "bs", "sr", "lt"])
@pytest.mark.parametrize("text", ["Beyoncé i Renée", "Señor Núñez", "José Pérez", "«José» (Núñez)"])
def test_foreign_names_have_marks_of_their_own(language: str, text: str) -> None:
    assert orthography.stressed(text, language) == []
