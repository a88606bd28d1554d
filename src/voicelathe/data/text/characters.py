"""What a transcript holds, whatever its script: speakable characters, invisible ones, and a form in which phrases are compared."""

import re
import unicodedata

from voicelathe.speech import stress_marks

# Letters by category that show nothing and are said as nothing (Unicode, Default_Ignorable_Code_Point).
INVISIBLE_LETTERS = frozenset("\u115f\u1160\u3164\uffa0")
BIDI_CONTROLS = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
BIDI_MARKS = frozenset("\u061c\u200e\u200f")  # each turns nothing but itself
WHITESPACE_CONTROLS = frozenset("\t\n\r")
NO_WORD = re.compile("[^0-9a-z]+")  # of ASCII without case
# Estimates, not fitted: what one character says in letters of an alphabet, less the one that it is counted as. A syllable takes about three letters, and
# Arabic and Hebrew leave vowels out, or point them. Syllables a second differ far less between languages than characters do
# (Pellegrino et al., "A cross-language perspective on speech information rate", 2011).
HAN = "[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]"
HANGUL, KANA_OR_ETHIOPIC = "[\uac00-\ud7a3]", "[\u3040-\u30ff\u31f0-\u31ff\u1200-\u137f]"
WITHOUT_VOWELS = "[\u05d0-\u05ea\u0620-\u063f\u0641-\u064a\u066e-\u066f\u0671-\u06d3]"  # Hebrew, Arabic
POINTS = (
    "[\u0591-\u05bd\u05bf-\u05c7\u0640\u064b-\u065f\u0670]"  # of them, and the line that stretches a word
)
MORE_LETTERS = tuple(
    (re.compile(some), more)
    for some, more in (
        *((HAN, 2.0), (HANGUL, 1.5), (KANA_OR_ETHIOPIC, 1.0)),
        *((WITHOUT_VOWELS, 0.5), (POINTS, -1.0)),
    )
)
SILENT = re.compile(
    r"(?:[^\w\s%$&+=@#*/<>\u00a3\u20ac\u00a5\u00a7\u00b0]|_)*\s(?:[^\w%$&+=@#*/<>\u00a3\u20ac\u00a5\u00a7\u00b0]|_)+|(?:[^\w\s%$&+=@#*/<>]|_){2,}"
)
DIGIT, SIGN = re.compile(r"\d"), re.compile("[%$&+=@#*/<>\u00a3\u20ac\u00a5\u00a7\u00b0]")
SHORT_WORD = re.compile(r"(?<![^\W_])[^\W\d_]{2,5}(?![^\W_])")
NO_VOWEL = re.compile("[b-df-hj-np-tv-xz]+", re.IGNORECASE)
LONE_LETTERS = re.compile(r"(?<![^\W_])[^\W\d_](?: [^\W\d_](?![^\W_])){2,}")
ABBREVIATION = re.compile(
    r"(?<!\w)(?:dr|mrs?|ms|st|prof|etc|e\.g|i\.e|no|nr|vs|approx|z\.\s?b|usw|bzw|ca|sra?|sig|mme|mlle|m|p)\.(?!\w)",
    re.IGNORECASE,
)
DIGIT_LETTERS, SIGN_LETTERS, NAME_LETTERS, ABBREVIATION_LETTERS = (2, 10), 9, 5, 6
TAG = re.compile(
    "([\\[(<{*\u3010\u266a\u266b\U0001f3b5\U0001f3b6])([^\\])>}*\u3011\u266a\u266b\U0001f3b5\U0001f3b6]*)[\\])>}*\u3011\u266a\u266b\U0001f3b5\U0001f3b6]"
)  # after NFKC


def num_spoken_chars(text: str | None) -> int:
    """Letters and digits of any script; punctuation, spaces, emoji and invisible characters are not spoken."""
    seen = text or ""
    return sum(map(str.isalnum, seen)) - (0 if seen.isascii() else sum(map(seen.count, INVISIBLE_LETTERS)))


def controls(text: str) -> list[str]:
    """Names of control characters and of those that turn the direction of writing, in the order of their first use.

    Marks are usual, and no fault, in a text with Arabic or Hebrew letters.
    """
    if text.isascii() and text.isprintable():
        return []
    turns = any(one.isalpha() and unicodedata.bidirectional(one) in ("R", "AL") for one in text)
    usual = BIDI_MARKS if turns else frozenset()
    found = [one for one in text if _is_control(one) and one not in usual]
    return [unicodedata.name(one, f"U+{ord(one):04X}") for one in dict.fromkeys(found)]


def _is_control(one: str) -> bool:
    category = unicodedata.category(one)  # private use is what a font of a PDF made of it
    return one in BIDI_CONTROLS or category == "Co" or (category == "Cc" and one not in WHITESPACE_CONTROLS)


def plain(text: str | None) -> str:
    """The text as it looks: compatibility forms unified, invisible characters left out, runs of spaces made one."""
    if text is None or (text.isascii() and text.isprintable()):
        return " ".join((text or "").split())
    return " ".join("".join(filter(_is_visible, unicodedata.normalize("NFKC", text))).split())


def _is_visible(one: str) -> bool:
    return unicodedata.category(one) not in ("Cf", "Cc", "Co") or one in WHITESPACE_CONTROLS


def num_letters(text: str | None) -> tuple[float, float]:
    """How long a text is to say, in letters of an alphabet: the fewest and the most that it can be read with.

    Characters count as they look, a Han character as three, and what is not said (dots, dashes, quotes) as one between two words. A
    digit is read as two letters ("2000") to ten ("777"), "%" as nothing or as "per cent", a lone letter by its name.
    """
    seen = SILENT.sub(_between, stress_marks.without(plain(text))).strip()
    fewest = most = float(len(seen))
    if not seen.isascii():
        more = sum(more * len(found.findall(seen)) for found, more in MORE_LETTERS)
        fewest, most = fewest + more, most + more
    digits, signs = len(DIGIT.findall(seen)), len(SIGN.findall(seen))
    spelled = 1 if len(seen) == 1 and seen.isalpha() else _num_spelled(seen)
    fewest += (DIGIT_LETTERS[0] - 1) * digits - signs
    most += (DIGIT_LETTERS[1] - 1) * digits + (SIGN_LETTERS - 1) * signs + (NAME_LETTERS - 1) * spelled
    most += ABBREVIATION_LETTERS * len(ABBREVIATION.findall(seen))
    return max(fewest, 1.0), max(most, 1.0)


def usual_letters(text: str | None) -> float:
    """The middle of what `num_letters` says: for a pace."""
    return sum(num_letters(text)) / 2


def _num_spelled(seen: str) -> int:
    """Letters that are most likely said by their names: IAX, mgcp, "M I S D N"."""
    short = [word for word in SHORT_WORD.findall(seen) if word.isupper() or NO_VOWEL.fullmatch(word)]
    return sum(map(len, short)) + sum(len(found) // 2 + 1 for found in LONE_LETTERS.findall(seen))


def _between(found: re.Match[str]) -> str:
    """One character for a run of them; none at the edges of a text but for its last full stop."""
    return " " if " " in found[0] else found[0][0]


def words(text: str | None) -> str:
    """The text as phrases are compared: no case, no punctuation, no marks of stress, one space between words and around all of them."""
    folded = stress_marks.without(plain(text)).casefold().replace("'", "").replace("\u2019", "")
    if folded.isascii():
        return f" {NO_WORD.sub(' ', folded).strip()} "
    return f" {' '.join(''.join(one if one.isalnum() or _is_mark(one) else ' ' for one in folded).split())} "


def _is_mark(one: str) -> bool:
    return unicodedata.category(one)[0] == "M"


def tags(text: str | None) -> list[tuple[str, str]]:
    """Opening bracket and inside of every `[Music]`, `(laughs)`, `*coughs*`; the inside as phrases are compared."""
    return [(opening, words(inside).strip()) for opening, inside in TAG.findall(plain(text))]


def without_tags(text: str | None) -> str:
    return TAG.sub(" ", plain(text))
