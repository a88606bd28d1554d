"""In which script is a language written? A transcript in another one is of another clip, or went through a wrong encoding.

Scripts are told by the names of characters (Unicode Character Database): `CYRILLIC SMALL LETTER A` is Cyrillic.
"""

import unicodedata
from collections.abc import Iterable

from voicelathe.data.text import languages

# fmt: off
LATIN = (
    "af", "ca", "cs", "cy", "da", "de", "en", "es", "et", "eu", "fi", "fil", "fr", "ga", "gd", "gl", "hr", "hu", "id",
    "is", "it", "jv", "lt", "lv", "ms", "mt", "nb", "nl", "nn", "no", "pl", "pt", "ro", "sk", "sl", "so", "sq", "sv", "sw", "tr",
    "vi", "xh", "yo", "zu",
)
# fmt: on
CYRILLIC = ("be", "bg", "ky", "mk", "mn", "ru", "tg", "uk")
_LATIN, _CYRILLIC, _HAN = ("LATIN",), ("CYRILLIC",), ("CJK",)
SCRIPTS: dict[str, tuple[str, ...]] = {  # ISO 639-1 -> first words of the names of its letters
    **dict.fromkeys(LATIN, _LATIN),
    **dict.fromkeys(CYRILLIC, _CYRILLIC),
    "zh": (*_HAN, "BOPOMOFO", "LATIN"),  # pinyin and names in Latin letters are usual
    "yue": (*_HAN, "BOPOMOFO", "LATIN"),
    "ja": (*_HAN, "HIRAGANA", "KATAKANA", "KATAKANA-HIRAGANA", "LATIN"),
    "ko": ("HANGUL", *_HAN, "LATIN"),
    **dict.fromkeys(("sr", "bs", "az", "uz", "kk"), ("CYRILLIC", "LATIN")),
    **dict.fromkeys(("ar", "fa", "ur", "ps"), ("ARABIC",)),
    **dict.fromkeys(("hi", "mr", "ne"), ("DEVANAGARI",)),
    **{"bn": ("BENGALI",), "gu": ("GUJARATI",), "ta": ("TAMIL",), "te": ("TELUGU",)},
    "pa": ("GURMUKHI", "ARABIC"),
    **{"kn": ("KANNADA",), "ml": ("MALAYALAM",), "si": ("SINHALA",), "th": ("THAI",), "lo": ("LAO",)},
    **{"km": ("KHMER",), "my": ("MYANMAR",), "ka": ("GEORGIAN",), "hy": ("ARMENIAN",), "el": ("GREEK",)},
    **{"he": ("HEBREW",), "am": ("ETHIOPIC",), "bo": ("TIBETAN",)},
}


def expected(language: str) -> tuple[str, ...] | None:
    """Scripts of a language tag such as `en` or `en-SG`; None for a language that is not listed, which is then not judged."""
    return SCRIPTS.get(languages.primary(language))


def share(text: str, scripts: Iterable[str]) -> float | None:
    """The share of a text's letters that are of these scripts; None for a text without letters."""
    wanted = set(scripts)
    if text.isascii():
        return (1.0 if "LATIN" in wanted else 0.0) if any(map(str.isalpha, text)) else None
    letters = [one for one in text if one.isalpha()]
    return sum(_script(one) in wanted for one in letters) / len(letters) if letters else None


def is_mixed(text: str, scripts: Iterable[str]) -> bool:
    """Whether a text has words of these scripts, and all others are of plain Latin letters: a name, an address, a title."""
    wanted = set(scripts)
    has_own = any(
        _script(one) in wanted for word in text.split() if len(word) > 1 for one in word if one.isalpha()
    )
    return has_own and all(one.isascii() or _script(one) in wanted for one in text if one.isalpha())


def names(text: str) -> list[str]:
    """The scripts of a text's letters, most used first."""
    counts: dict[str, int] = {}
    for one in text:
        if one.isalpha():
            counts[_script(one)] = counts.get(_script(one), 0) + 1
    return sorted(counts, key=lambda name: (-counts[name], name))


def _script(letter: str) -> str:
    return (
        unicodedata.name(letter, "UNKNOWN").removeprefix("FULLWIDTH ").removeprefix("HALFWIDTH ").split()[0]
    )
