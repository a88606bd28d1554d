"""What stands in a transcript and was never said: replacement characters, text encoded twice, another trainer's markup, phonemes.

`normaliser` repairs what can be repaired without a guess; this finds the rest, by name.
"""

import re
import unicodedata

from voicelathe.data.text import languages

REPLACEMENT = "\ufffd"
# A letter of UTF-8 read as Windows-1252 (or Latin-1) is one of these followed by one to three of those.
TWICE = re.compile(
    "[\u00c2-\u00f4][\u0080-\u00bf\u0152\u0153\u0160\u0161\u0178\u017d\u017e\u0192\u02c6\u02dc\u2013-\u2022\u2026\u2030\u2039\u203a\u20ac\u2122]{1,3}"
)
TWICE_AT_END = re.compile(
    "[a-z\u00df-\u00ff]\u00c3(?!\\S)"
)  # of "citt\u00e0", whose second half is a space, and was taken off
LAST_LATIN = "\u024f"
QUOTES = "\u2018\u2019\u201c\u201d\u2013\u2014\u2026\u00ab\u00bb"  # what may follow a capital letter with an accent by right
MARKUP = (
    ("a token", re.compile(r"<\|[^|<>]{0,40}\|>")),
    (
        "a speaker label",
        re.compile(
            r"^\s*[(\[{]?(?:(?i:speaker|spk|sprecher(?:in)?|locuteur|hablante|orador|parlante|\u0441\u043f\u0438\u043a\u0435\u0440|\u8bf4\u8bdd\u4eba|\u8a71\u8005|\ud654\uc790)[ _:]?\d{1,3}|(?i:speaker)[ _][A-Z])"
            r"\s*[)\]}]?\s*[:\uff1a]|^\s*\{(?i:speaker|spk)[ _:]?\d{1,3}\}|^\s*S\d{1,2}:\s|\[S\d{1,2}\]"
        ),
    ),
    (
        "a tag",
        re.compile(
            r"</?[A-Za-z][A-Za-z0-9:-]{0,20}(?:\s[^<>]{0,80})?/?>|\{/?[A-Za-z][A-Za-z _-]{1,20}\}|\{\\[^{}]{1,80}\}"
            r"|(?<!\S)(?:%[A-Z]{3,20}|@[A-Z]{3,20}@|\+{1,2}[A-Za-z]{2,20}\+{1,2})(?=[\s,.!?]|$)"
        ),
    ),
    # Furigana: the reading stands behind its characters, and only one of the two is said.
    (
        "a reading",
        re.compile(
            "[\u3400-\u9fff](?:\u300a[\u3040-\u30ff]+\u300b|[(\uff08][\u3040-\u309f\u30fc]+[)\uff09])"
        ),
    ),
    # Prosody of Chinese corpora (BZNSYP: "\u966a\u5916\u5b59#1\u73a9\u6ed1\u68af#4"); C#4 is a note.
    ("a prosody mark", re.compile("[\u3400-\u9fff]#[1-4]|[^\\W\\d_]{2}#[1-4](?!\\d).*[^\\W\\d_]{2}#[1-4]")),
    ("a piece of a tokeniser", re.compile("\u2581|[^\\W_]@@(?:\\s|$)")),
    (
        "a time",
        re.compile(
            r"<\d{1,4}\.\d{1,3}>|^\s*[(\[]\d{1,2}:\d\d[)\]]\s|^\s*\d{1,2}:\d\d:\d\d(?:[.,]\d+)?\s|\s\d{1,2}:\d\d:\d\d[.,]\d+\s*$"
        ),
    ),
    ("a mark of captions", re.compile(r"^\s*>>")),
    (
        "Markdown",
        re.compile(
            r"\*\*[^*\s][^*]*\*\*|~~[^~\s][^~]*~~|(?<![^\W_])_[^\W_](?:[^_]*[^\s_])?_(?![^\W_])|(?<![\w*])\*[^\W_][^*]*(?<=[^\s*])\*(?![\w*])|^\s*#{1,6} [^\W\d_]"
        ),
    ),
    (
        "an escape",
        re.compile(
            r"\\u[0-9a-fA-F]{4}|\\x[0-9a-fA-F]{2}|\\['\"]|[^\W\d_]%20(?=[^\W_])|(?<![:\w])\\[Nh](?![\w])|&(?:#\d{2,5}|amp|lt|gt|quot|apos|nbsp)(?![a-z;])"
        ),
    ),
    ("a doubled quotation mark", re.compile(r'(?<![\w"])""(?=\w)|(?<=[\w.,!?])""(?!["\w])')),
    ("a column of a list", re.compile(r"[A-Za-z.!?]\|[A-Za-z]")),
    (
        "the name of a file",
        re.compile(
            r"^\s*\S*\w\.(?i:wav|flac|ogg|opus|mp3|m4a)\s*\||^\s*\S*\w\.(?:wav|flac|ogg|opus|mp3|m4a)\s*$",
            re.IGNORECASE,
        ),
    ),
)
ESCAPES = str.maketrans(
    {"\a": r"\a", "\b": r"\b", "\t": r"\t", "\n": r"\n", "\v": r"\v", "\f": r"\f", "\r": r"\r"}
)
# A tab where the first two letters of \temp in "C:\temp\new" were. Behind "Plan C:" or a speaker's "M:" there may be a tab or a line feed by
# right, unless a path goes on behind it, or the tab is inside a path.
SWALLOWED = re.compile(
    r"(?<![^\W_])[C-PR-Zc-pr-z]:(?:\\\S{0,200}[\t\x0b\x0c][a-z0-9_]\S{0,40}|(?:\\\S{0,200})?(?:[\x07\x08][a-z0-9_]\S{0,40}"
    r"|[\t\x0b\x0c][a-z0-9_][^\s\\]{0,40}\.(?i:wav|flac|ogg|opus|mp[34]|m4a|txt|[ct]sv|jsonl?|xml|html?|pdf|docx?|xlsx?|pptx?|zip|exe|py|log|jpe?g|png)(?!\w)"
    r"|[\t\n\r\x0b\x0c][a-z0-9_][^\s\\]{0,40}\\\S{0,40}))"
)
MAY_BE_MARKUP = r"[<\[:#{\\@>(|_*~%+&]|\"\"|\.(?i:wav|flac|ogg|opus|mp3|m4a)\s*$"  # of printable ASCII, for a whole column
# A letter that an encoding did not have often becomes a question mark: several in a word, or in several words.
LOST = re.compile(
    r"[^\W\d_]\?{2,}[^\W\d_]|(?:(?<![^\W_])(?<!\?)|[^\W\d_])\?+[^\W\d_A-Z].*?[^\W\d_]\?[^\W\d_A-Z]"
)
MAY_BE_LOST = r"\?[A-Za-z]"
IPA = frozenset(
    "\u02c8\u02cc\u02d0\u0283\u0292\u0279\u026a\u028a\u028c\u0251\u0252\u025c\u0261\u027e\u0294\u026b"
)
LEAST_IPA = 2  # different ones; single letters of them stand in the alphabets of some languages
ARPABET = re.compile(r"(?<![^\W_])(?:AA|AE|AH|AO|AW|AY|EH|ER|EY|IH|IY|OW|OY|UH|UW)[012](?![^\W_])")
LEAST_ARPABET = 2
TONED = re.compile(r"(?<!\S)[a-z\u00fc:]{1,6}[1-6](?!\w)")  # a syllable and its tone in pinyin or jyutping
LEAST_TONED = 4
HAN = re.compile("[\u3400-\u9fff]")
PINYIN = re.compile(
    "[\u0101\u00e1\u01ce\u00e0\u0113\u00e9\u011b\u00e8\u012b\u00ed\u01d0\u00ec\u014d\u00f3\u01d2\u00f2\u016b\u00fa\u01d4\u00f9\u01d6\u01d8\u01da\u01dc]",
    re.IGNORECASE,
)
LEAST_PINYIN = 3
MAY_BE_PHONEMES = "[A-Za-z][0-6]"


def encoded_twice(text: str) -> str | None:
    """The first piece that is UTF-8 read as another encoding, with what it is; None where there is none."""
    found = [(piece, meant) for piece in TWICE.findall(text) if (meant := _meant(piece)) is not None]
    sure = [pair for pair in found if not set(pair[0][1:]) & set(QUOTES) or len(pair[0]) > 2]
    if not sure:
        return "\u00c3 for \u00e0" if TWICE_AT_END.search(text) else None
    piece, meant = sure[0]
    return f"{piece} for {meant}"


def _meant(piece: str) -> str | None:
    for length in range(len(piece), 1, -1):
        try:
            data = b"".join(_byte(char) for char in piece[:length])
            meant = data.decode("utf-8")
        except UnicodeError:
            continue
        is_word = (
            piece[:length].isupper() and piece[:length].isalpha()
        )  # "P\u0158\u00cd\u0160ERA" in capitals
        if len(meant) == 1 and meant.isprintable() and not (is_word and meant > LAST_LATIN):
            return meant
    return None


def _byte(char: str) -> bytes:
    try:
        return char.encode("cp1252")
    except UnicodeEncodeError:
        return char.encode("latin-1")


def find(text: str) -> str | None:
    """The first markup in a text, with its kind; None where there is none."""
    for kind, pattern in MARKUP:
        if found := pattern.search(text):
            return f"{kind}: {found[0].strip()[:40]}"
    return None


def swallowed(written: str) -> str | None:
    """A path of Windows as it was meant, in which a backslash and a letter were read as an escape and are gone. None where there is none."""
    found = SWALLOWED.search(written)
    return found[0].translate(ESCAPES)[:40] if found else None


def phonemes(text: str, language: str = "en") -> str | None:
    """Signs of a phonetic alphabet; None for text. Pinyin with its accents is one where the language is written in characters."""
    found = sorted(set(text) & IPA)
    if len(found) >= LEAST_IPA:
        return f"IPA: {' '.join(found[:8])}"
    tokens = ARPABET.findall(text)
    if len(tokens) >= LEAST_ARPABET:
        return f"ARPAbet: {' '.join(tokens[:4])}"
    if languages.primary(language) in ("zh", "yue") and not HAN.search(text):
        accented = [word for word in text.split() if PINYIN.search(unicodedata.normalize("NFC", word))]
        if len(accented) >= max(LEAST_PINYIN, len(text.split()) / 2):
            return f"pinyin: {' '.join(accented[:4])}"
    toned = TONED.findall(text)
    is_most = len(toned) >= max(LEAST_TONED, len(text.split()) / 2)
    return f"syllables with the numbers of their tones: {' '.join(toned[:4])}" if is_most else None
