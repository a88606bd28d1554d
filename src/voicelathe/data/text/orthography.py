"""With which letters beyond ASCII is a language written, and in which encodings of eight bits were its texts kept?

Letters that its texts use every day, with those of usual loan words; not every letter of every name. Languages that are missing here are
not judged by what asks for their letters.
"""

from functools import cache

from voicelathe.data.text import languages

# fmt: off
WESTERN, CENTRAL = ("cp1252", "mac-roman", "cp850", "cp437"), ("cp1250", "iso8859-2", "mac-latin2", "cp852")
BALTIC, TURKISH = ("cp1257", "cp775"), ("cp1254", "mac-turkish", "cp857")
CYRILLIC, GREEK = ("cp1251", "koi8-u", "cp866", "mac-cyrillic", "iso8859-5"), ("cp1253", "iso8859-7", "mac-greek", "cp737")
LETTERS: dict[str, tuple[str, tuple[str, ...]]] = {
    "pl": ("ąćęłńóśźż", CENTRAL),
    "cs": ("áčďéěíňóřšťúůýž", CENTRAL),
    "sk": ("áäčďéíĺľňóôŕšťúýž", CENTRAL),
    "hu": ("áéíóöőúüű", CENTRAL),
    **dict.fromkeys(("sl", "hr", "bs"), ("čćđšž", CENTRAL)),
    "ro": ("ăâîșțşţ", (*CENTRAL, "iso8859-16")),
    "lt": ("ąčęėįšųūž", BALTIC),
    "lv": ("āčēģīķļņšūž", BALTIC),
    "et": ("äõöüšž", (*BALTIC, *WESTERN)),
    "tr": ("çğıöşüâîûİ", TURKISH),
    "sq": ("çë", WESTERN),
    "de": ("äöüß", WESTERN),
    "fr": ("àâæçèéêëîïôœùûüÿ", WESTERN),
    "es": ("áéíñóúü", WESTERN),
    "pt": ("àáâãçéêíóôõúü", WESTERN),
    "it": ("àèéìíîòóùú", WESTERN),
    "ca": ("àçéèíïóòúü", WESTERN),
    "gl": ("áéíñóúüï", WESTERN),
    **dict.fromkeys(("da", "nb", "nn", "no"), ("æøåéèêóòôäöü", WESTERN)),
    **dict.fromkeys(("sv", "fi"), ("åäöéàü", WESTERN)),
    "is": ("áðéíóúýþæö", WESTERN),
    "nl": ("áéèëíïóöúüçê", WESTERN),
    "ga": ("áéíóú", WESTERN),
    "gd": ("àèìòùáéó", WESTERN),
    "ru": ("абвгдежзийклмнопрстуфхцчшщъыьэюяё", CYRILLIC),
    "uk": ("абвгґдеєжзиіїйклмнопрстуфхцчшщьюя", CYRILLIC),
    "be": ("абвгдежзійклмнопрстуўфхцчшыьэюяё", CYRILLIC),
    "bg": ("абвгдежзийклмнопрстуфхцчшщъьюяѝ", CYRILLIC),
    "mk": ("абвгдѓежзѕијклљмнњопрстќуфхцчџшѐѝ", CYRILLIC),
    "el": ("αβγδεζηθικλμνξοπρσςτυφχψωάέήίόύώϊϋΐΰ", GREEK),
}
# fmt: on


@cache
def letters(language: str) -> frozenset[str]:
    """Letters beyond ASCII, small and capital; none for a language that is not listed."""
    listed = LETTERS.get(languages.primary(language), ("", ()))[0]
    return frozenset(one for one in (*listed, *listed.upper()) if not one.isascii())


def encodings(language: str) -> tuple[str, ...]:
    """Encodings of eight bits, the likeliest first; none for a language that is not listed."""
    return LETTERS.get(languages.primary(language), ("", ()))[1]
