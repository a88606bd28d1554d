"""The text as it is judged, shown, spoken and trained on: one versioned normaliser, which says what it changed.

It repairs only what nobody wrote on purpose and what no reader hears: parts of letters put together (NFC), ligatures and presentation forms,
invisible characters, HTML entities, a line feed as two letters, spaces. What it cannot repair is a finding (`text_rules`). It never
changes words, case, digits or punctuation; those belong to the family that is trained.
"""

import html
import re
import unicodedata
from collections.abc import Callable

VERSION = 2  # raised whenever the same text would come out otherwise; part of the manifest's REVISION
ENTITY = re.compile(r"&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,30});")
LITERAL_BREAK = re.compile(r"\\r\\n|\\[nrt]")
# Of a path of Windows, whose \temp and \new are folders; "Plan B:", "Q:" and "A:" end a line, and so does "Plan C:" before a capital letter.
DRIVE = re.compile(r"(?:(?<![^\W_])|(?<=\\[nrt]))[C-PR-Zc-pr-z]:\\(?!r\\n|[nrt](?![a-z_]))")
NO_PATH = " \t\n.!?,;:"  # what a path does not end a folder with
# Latin and Armenian ligatures, Hebrew and Arabic presentation forms: each is another way to write usual letters.
PRESENTATION = re.compile("[\ufb00-\ufdff\ufe70-\ufefc]")
# Zero-width space, word joiner and no-break space, soft hyphen, byte order mark, Mongolian vowel separator, combining grapheme joiner.
INVISIBLE = re.compile("[\u200b\u2060\ufeff\u00ad\u180e\u034f]")
JOINERS = re.compile("[\u200c\u200d]")  # which Persian, Hindi and emoji need
USUAL_BESIDE_JOINERS = re.compile(
    "[\u0590-\u08ff\u0900-\u0dff\u1000-\u109f\u1780-\u17ff\U0001f000-\U0001faff\u2600-\u27bf\ufe0f]"
)
SPACES = re.compile("[ \t\n\r\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]+")
SIMPLE = r"^[!-~]+( [!-~]+)*$"  # printable ASCII, single spaces, none at the edges
SIMPLE_TEXT = re.compile(SIMPLE)
MAX_ENTITIES = 3  # &amp;amp;lt; was escaped three times


def normalise(written: str) -> tuple[str, list[str]]:
    """The text, and names of what was changed, in the order of the steps; the same text again changes nothing."""
    if SIMPLE_TEXT.match(written) and "&" not in written and "\\" not in written:
        return written, []
    text, changed = written, []
    for name, step in STEPS:
        after = step(text)
        if after != text:
            changed.append(name)
        text = after
    return text, changed


def text_of(written: str) -> str:
    return normalise(written)[0]


def _entities(text: str) -> str:
    for _ in range(MAX_ENTITIES):
        text = ENTITY.sub(lambda found: html.unescape(found[0]), text)
    return text


def _unbroken(text: str) -> str:
    """Without line feeds as two letters; behind a drive they are such only where a path cannot go on."""
    drive = DRIVE.search(text)
    first = drive.start() if drive else len(text)

    def kept(found: re.Match[str]) -> str:
        at = found.start()
        goes_on = at > first and (text[at - 1] not in NO_PATH or DRIVE.match(text, at - len("C:")))
        return found[0] if goes_on else " "

    return LITERAL_BREAK.sub(kept, text)


def _without_joiners(text: str) -> str:
    return text if USUAL_BESIDE_JOINERS.search(text) else JOINERS.sub("", text)


STEPS: tuple[tuple[str, Callable[[str], str]], ...] = (
    ("HTML entities", _entities),
    ("\\n as two letters", _unbroken),
    ("invisible characters", lambda text: _without_joiners(INVISIBLE.sub("", text))),
    ("ligatures and presentation forms", lambda text: PRESENTATION.sub(_spelled, text)),
    ("parts of letters put together (NFC)", lambda text: unicodedata.normalize("NFC", text)),
    ("spaces", lambda text: SPACES.sub(" ", text).strip(" ")),
)


def _spelled(found: re.Match[str]) -> str:
    return unicodedata.normalize("NFKC", found[0])
