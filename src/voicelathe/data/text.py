"""What a transcript holds, whatever its script: speakable characters, invisible ones, and a form in which phrases are compared."""

import unicodedata

# Letters by category that show nothing and are said as nothing (Unicode, Default_Ignorable_Code_Point).
INVISIBLE_LETTERS = frozenset("\u115f\u1160\u3164\uffa0")
BIDI_CONTROLS = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
WHITESPACE_CONTROLS = frozenset("\t\n\r")
BRACKETS = {"[": "]", "(": ")", "{": "}", "\u3010": "\u3011", "<": ">", "*": "*", "\u266a": "\u266a"}


def num_spoken_chars(text: str | None) -> int:
    """Letters and digits of any script; punctuation, spaces, emoji and invisible characters are not spoken."""
    return sum(unicodedata.category(one)[0] in "LN" and one not in INVISIBLE_LETTERS for one in text or "")


def controls(text: str) -> list[str]:
    """Names of control characters and of those that turn the direction of writing, in the order of their first use."""
    found = [one for one in text if _is_control(one)]
    return [unicodedata.name(one, f"U+{ord(one):04X}") for one in dict.fromkeys(found)]


def _is_control(one: str) -> bool:
    return one in BIDI_CONTROLS or unicodedata.category(one) == "Cc" and one not in WHITESPACE_CONTROLS


def plain(text: str | None) -> str:
    """The text as it looks: compatibility forms unified, invisible characters left out, runs of spaces made one."""
    visible = (one for one in unicodedata.normalize("NFKC", text or "") if unicodedata.category(one) not in ("Cf", "Cc") or one in "\t\n\r")
    return " ".join("".join(visible).split())


def words(text: str | None) -> str:
    """The text as phrases are compared: no case, no punctuation, one space between words and around all of them."""
    folded = plain(text).casefold()
    kept = "".join(one if unicodedata.category(one)[0] in "LMN" else " " for one in folded.replace("'", "").replace("\u2019", ""))
    return f" {' '.join(kept.split())} "


def tags(text: str | None) -> list[str]:
    """What stands between brackets or notes, as phrases are compared: `[Music]` gives `music`."""
    found, rest = [], plain(text)
    for opening, closing in BRACKETS.items():
        for piece in rest.split(opening)[1:]:
            inside, end, _ = piece.partition(closing)
            if end:
                found.append(words(inside).strip())
    return found
