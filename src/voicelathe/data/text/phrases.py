"""Boilerplate: what subtitle files and speech recognisers leave where nobody says it, such as "Thanks for watching!".

The phrases stand in a file of the project, one a line, so that a team can add its own:
    thanks for watching     anywhere in a text, as whole words (for scripts without spaces: anywhere)
    =thank you              only when it is the whole text, because people say it, too
    [music]                 that tag, in any kind of bracket
    [*]                     any tag in square brackets or between musical notes
"""

import unicodedata
from dataclasses import dataclass
from pathlib import Path

from voicelathe.data.text import characters
from voicelathe.errors import ParamsError

ANY_TAG_OPENS_WITH = "[\u3010\u266a\u266b"


@dataclass(frozen=True)
class Phrases:
    """A phrase file, ready to be searched for."""

    anywhere: tuple[str, ...]  # as `text.words` writes them
    unspaced: tuple[str, ...]  # of scripts that put no spaces between words
    whole: frozenset[str]
    tags: frozenset[str]
    any_tag: bool

    def find(self, transcript: str | None) -> str | None:
        """What makes a transcript boilerplate, or None."""
        tags = characters.tags(transcript)
        for opening, inside in tags:
            if inside in self.tags or (self.any_tag and opening in ANY_TAG_OPENS_WITH):
                return f"[{inside}]"
        if tags and characters.num_spoken_chars(characters.without_tags(transcript)) == 0:
            return f"nothing but [{tags[0][1]}]"
        spoken = characters.words(transcript)
        if spoken in self.whole:
            return f"={spoken.strip()}"
        joined = spoken.replace(" ", "")
        found = [phrase for phrase in self.anywhere if phrase in spoken]
        found += [phrase for phrase in self.unspaced if phrase in joined]
        return found[0].strip() if found else None


def load(path: Path) -> Phrases:
    """Read a phrase file. Raises ParamsError when it is missing, or holds a line in which no word is left to compare."""
    if not path.is_file():
        raise ParamsError(
            f"audit.phrases = {str(path)!r}: there is no such file. Restore it: git checkout {path}"
        )
    lines = path.read_text(encoding="utf-8").split("\n")
    entries = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    if empty := [entry for entry in entries if entry != "[*]" and not characters.words(entry).strip()]:
        raise ParamsError(f"{path}: {empty[0]!r} has no word to compare. Remove the line.")
    tags = {entry for entry in entries if entry.startswith("[") and entry.endswith("]")}
    whole = {entry for entry in entries if entry.startswith("=")}
    rest = [characters.words(entry) for entry in entries if entry not in tags | whole]
    return Phrases(
        anywhere=tuple(phrase for phrase in rest if not _is_unspaced(phrase)),
        unspaced=tuple(phrase.replace(" ", "") for phrase in rest if _is_unspaced(phrase)),
        whole=frozenset(map(characters.words, whole)),
        tags=frozenset(characters.words(entry).strip() for entry in tags - {"[*]"}),
        any_tag="[*]" in tags,
    )


def _is_unspaced(phrase: str) -> bool:
    """Whether a script puts no spaces between words: Han, kana, Thai, Lao, Khmer, Burmese."""
    scripts = ("CJK", "HIRAGANA", "KATAKANA", "THAI", "LAO", "KHMER", "MYANMAR")
    return any(unicodedata.name(one, "").startswith(scripts) for one in phrase)
