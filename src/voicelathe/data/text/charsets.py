"""Which encodings do texts come in that are not UTF-8, and was a text read in one of them that was UTF-8?

Every language has encodings of its own from before Unicode: a Russian manifest of Windows is cp1251, a Chinese one GB 18030. Nothing is
decoded in them unasked; they are named in messages, with what the text would be, for a person who can read it.
"""

import codecs
import re
import unicodedata
from contextlib import suppress
from functools import cache

from voicelathe.data.manifest.jsonl import UTF8_BOM, excerpt
from voicelathe.data.text import languages, scripts

WESTERN = "cp1252"
USUAL = {  # of Windows, by language; all others are Western
    **dict.fromkeys(("ru", "uk", "be", "bg", "mk", "sr", "kk", "ky", "tg", "mn", "tt"), "cp1251"),
    **dict.fromkeys(("pl", "cs", "sk", "hu", "sl", "hr", "bs", "ro", "sq"), "cp1250"),
    **dict.fromkeys(("et", "lt", "lv"), "cp1257"),
    **dict.fromkeys(("tr", "az"), "cp1254"),
    **dict.fromkeys(("ar", "fa", "ur", "ps"), "cp1256"),
    **{"el": "cp1253", "he": "cp1255", "yi": "cp1255", "vi": "cp1258", "th": "cp874"},
    **{"ja": "cp932", "ko": "cp949", "zh": "gb18030", "yue": "big5hkscs"},
}
# Which UTF-8 is most often read as: Windows by region, Russian mail, classic Mac OS, DOS, and East Asian Windows.
READ_AS = (
    *("cp1252", "cp1250", "cp1251", "cp1253", "cp1254", "cp1255", "cp1256", "cp1257", "cp1258", "cp874"),
    *("koi8-r", "mac-roman", "mac-cyrillic", "cp437", "cp850", "cp852", "cp866"),
    *("gb18030", "cp932", "cp949", "big5"),
)
QUOTES = re.compile("[\u2010-\u2026]")  # three bytes each
LEAST = 3  # characters that come out; one or two can by chance
STRANGE = re.compile(  # a sign that is no quote beside a letter, or a capital letter inside a word
    "[a-z\u00df-\u00f6\u00f8-\u00ff][\u00c0-\u00d6\u00d8-\u00de\u0102-\u0141]|[^\\W\\d_][\u00a2-\u00a9\u00ac-\u00b3\u00b5-\u00b9\u00bc-\u00be\u0080-\u009f\u20a0-\u20bf\u2120-\u2126\u221a\u2200-\u25ff]"
)


def usual(language: str | None) -> list[str]:
    """Encodings that a text in this language may well be in, the likeliest first; all of USUAL's for an unknown one."""
    if language:
        return list(dict.fromkeys((USUAL.get(languages.primary(language), WESTERN), WESTERN)))
    return [WESTERN, "cp1250", "cp1251", "gb18030", "cp932"]


def offer(data: bytes, language: str | None) -> str:
    """What some bytes would be in each encoding that is usual, with the option that reads them so."""
    found = []
    for name in usual(language):
        with suppress(UnicodeDecodeError):
            found.append(f"  --encoding {name} makes of it: {excerpt(data.decode(name).encode())}")
    offered = "\n".join(found) or "  --encoding NAME, of the program that wrote it"
    return (
        f"Give the encoding that makes it right; lines and files that are UTF-8 stay as they are:\n{offered}"
    )


def mixed(data: bytes, encoding: str) -> tuple[str, list[int]]:
    """Text in an encoding, but for lines that are UTF-8 already: their numbers come with it.

    Raises LookupError for an unknown encoding, UnicodeDecodeError for bytes that are in neither.
    """
    if "a\n".encode(encoding) != b"a\n":
        return data.decode(encoding), []
    lines, kept = [], []
    for number, line in enumerate(data.removeprefix(UTF8_BOM).split(b"\n"), 1):
        try:
            lines.append(line.decode("utf-8"))
        except UnicodeDecodeError:
            lines.append(line.decode(encoding))
            continue
        if not line.isascii():
            kept.append(number)
    return "\n".join(lines), kept


def meant(text: str, language: str) -> tuple[str, str] | None:
    """The encoding that UTF-8 was read as, and the text that was meant; None where no encoding makes all of it UTF-8 of the language."""
    if text.isascii():
        return None
    return next(
        (
            (name, found)
            for name in READ_AS
            if (found := _again(text, name)) and _is_better(text, found, language)
        ),
        None,
    )


def _again(text: str, encoding: str) -> str | None:
    return read_again(text, encoding, "utf-8")


def read_again(text: str, read_as: str, written_in: str) -> str | None:
    """The text in its own encoding, if its characters are bytes in the one that it was read as."""
    _register()
    try:
        return text.encode(read_as, "control-as-byte").decode(written_in)
    except UnicodeError:
        return None


def _is_better(text: str, found: str, language: str) -> bool:
    """Whether letters or punctuation of the language came out where there were strange signs, or at least LEAST of them."""
    made = [one for one in found if not one.isascii()]
    if not all(one.isalpha() or unicodedata.category(one)[0] in "PM" for one in made):
        return False
    is_sure = len(made) >= LEAST or bool(STRANGE.search(text)) or any(map(QUOTES.match, made))
    wanted = scripts.expected(language)
    if wanted is None:
        return is_sure
    if wanted[0] != "LATIN" and not all(
        scripts.share(one, set(wanted) - {"LATIN"}) for one in made if one.isalpha()
    ):
        return False  # Japanese knows Latin letters, but none with accents
    before, after = scripts.share(text, wanted), scripts.share(found, wanted)
    if after is None or after < max(before or 0.0, 0.5):
        return False
    return is_sure or after > (before or 0.0)


@cache
def _register() -> None:
    codecs.register_error("control-as-byte", _as_byte)


def _as_byte(problem: UnicodeError) -> tuple[bytes, int]:
    """Bytes that an encoding does not use are often kept as control characters."""
    assert isinstance(problem, UnicodeEncodeError)
    held = problem.object[problem.start : problem.end]
    if not all("\x80" <= one <= "\x9f" for one in held):
        raise problem
    return held.encode("latin-1"), problem.end
