"""Numbers, money, shares, times and dates are written out as they are said, and what may mean several things stays."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicelathe.data.lexicon.number_words import LANGUAGES, written_out


@pytest.mark.parametrize(
    ("language", "text", "wanted"),
    [
        ("en", "It cost 1,250 EUR.", "It cost one thousand two hundred fifty euros."),
        ("en", "€1,250.50, $1, £3.01", "one thousand two hundred fifty euros and fifty cents, one dollar, three pounds and one penny"),
        ("en", "In 2024 and 1984, 2,024 people.", "In twenty twenty four and nineteen eighty four, two thousand twenty four people."),
        ("en", "May 12, 2024 at 14:30", "May twelfth, twenty twenty four at fourteen thirty"),
        ("en", "on 1 May 2005 at 2:05 pm", "on the first of May, two thousand five at two oh five pm"),
        ("en", "2024-05-12, 11:00", "May twelfth, twenty twenty four, eleven o'clock"),
        ("en", "the 1st, 22nd; 5 %, 5.25%", "the first, twenty second; five percent, five point two five percent"),
        ("en", "-5 degrees (-3)", "minus five degrees (minus three)"),
        ("de", "Es kostet 1.250,50 EUR und 1 €.", "Es kostet eintausendzweihundertfünfzig Euro fünfzig und ein Euro."),
        ("de", "am 12.05.2024 um 14:30 Uhr", "am zwölften Mai zweitausendvierundzwanzig um vierzehn Uhr dreißig"),
        ("de", "der 1. Mai 1984, 7. Mai", "der erste Mai neunzehnhundertvierundachtzig, siebter Mai"),
        ("de", "33 % von 1.000.000", "dreiunddreißig Prozent von eine Million"),
        ("de", "Der 3. Platz. Es waren 3.", "Der 3. Platz. Es waren drei."),
        ("fr", "1 250 €, 1 £, 5 %", "mille deux cent cinquante euros, une livre, cinq pour cent"),
        ("fr", "le 1er mai 2024 à 14h30", "le premier mai deux mille vingt quatre à quatorze heures trente"),
        ("fr", "12/05/2024, 3,5", "douze mai deux mille vingt quatre, trois virgule cinq"),
        ("es", "21.000 personas, 21 £, 1 €", "veintiún mil personas, veintiuna libras, un euro"),
        ("es", "12 de mayo de 2024, 14:30", "doce de mayo de dos mil veinticuatro, catorce y treinta"),
        ("it", "1.250,50 €, 23 persone", "milleduecentocinquanta euro e cinquanta, ventitré persone"),
        ("it", "12/05/2024 14:30", "dodici maggio duemilaventiquattro quattordici e trenta"),
        ("en", "May 12 2024, 3 5 and −3.5%", "May twelfth, twenty twenty four, 3 5 and minus three point five percent"),
        ("en", "-$5, $1.2 billion, £1.50", "minus five dollars, one point two billion dollars, one pound and fifty pence"),
        ("en", "between 12 and 15 May, the 12th May 2024", "between twelve and the fifteenth of May, the twelfth of May, twenty twenty four"),
        ("en", "9:00 AM, 2:00\u00a0pm, May\u00a012", "nine AM, two pm, May twelfth"),
        ("de", "-5 €, 14:30\u00a0Uhr, 9:15 h, 1 Uhr, 1 %", "minus fünf Euro, vierzehn Uhr dreißig, neun Uhr fünfzehn, ein Uhr, ein Prozent"),
        ("de", "des 1. Mai, dieser 1. Mai, 14. Oktober 1066", "des ersten Mai, dieser erste Mai, vierzehnter Oktober eintausendsechsundsechzig"),
        ("de", "1 Million", "eine Million"),
        ("es", "1.000.000 €, a la 1:30, 21:00, 200 £", "un millón de euros, a la una y treinta, veintiuna en punto, doscientas libras"),
        ("it", "1.000.000 €, l'1:00, dall'1 gennaio", "un milione di euro, l'una in punto, dall'uno gennaio"),
        ("fr", "21h01, 31 £, 1er\u00a0mai", "vingt et une heures une, trente et une livres, premier mai"),
        ("pl", "12 zł", "12 zł"),
    ],
)  # fmt: skip
def test_what_is_sure_is_said_in_words(language: str, text: str, wanted: str) -> None:
    assert written_out(text, language) == wanted


@pytest.mark.parametrize(
    "text", ["3/4/2024", "v1.2.3", "B2B", "3D", "COVID-19", "10-12", "2,5", "555-1234", "192.168.0.1", "a/4", "2e", "#4x", "12:34:56"]
)  # fmt: skip
def test_what_may_mean_several_things_stays_as_it_is_written(text: str) -> None:
    assert written_out(f"It is {text}, then", "en") == f"It is {text}, then"


@pytest.mark.parametrize(
    ("language", "text"),
    [("de", "10 000 €"), ("es", "1 200 €"), ("en", "$10 000"), ("de", "250\u00a0000 Leute"), ("en", "555 123 4567"), ("en", "(555) 123-4567"),
     ("de", "+49 30 123456"), ("es", "$20 million"), ("de", "€ 3 Mio."), ("en", "10–12"), ("en", "$100–200"), ("en", "5%-10%"), ("en", "10–15 May"),
     ("de", "100. Geburtstag"), ("en", "20:00"), ("en", "9" * 4301)],
)  # fmt: skip
def test_what_nobody_can_be_sure_of_keeps_its_digits(language: str, text: str) -> None:
    assert written_out(f"It is {text}, then", language) == f"It is {text}, then"


@given(st.text(st.sampled_from("0123456789.,:/-€$% \u00a0aM'"), max_size=30), st.sampled_from(LANGUAGES))
def test_whatever_stands_there_letters_before_it_are_kept_and_nothing_fails(text: str, language: str) -> None:
    assert written_out(f"lamp {text}", language).startswith("lamp")
    again = written_out(text, language)
    assert again == written_out(text, language)


@given(st.text(st.characters(exclude_categories=["Nd", "Nl", "No"]), max_size=40), st.sampled_from(LANGUAGES))
def test_a_text_without_digits_is_never_touched(text: str, language: str) -> None:
    assert written_out(text, language) == text
