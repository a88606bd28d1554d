"""Which words does a fine-tuned voice never say right, as the recogniser hears them, and how might they be respelt?

The list is of what its checkpoints said in the stage `listen`. A proposal is a guess by rule; `voicelathe lexicon try` hears whether it helps.
"""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from voicelathe import layout, records
from voicelathe.records import PackLine, SampleRecord, SpeechMeasures
from voicelathe.speech import transcripts

SHOWN = 3  # of what was heard instead
MAX_LETTERS = 6  # of a word in capitals that may be an abbreviation


@dataclass(frozen=True)
class Mispronounced:
    """A word that was never heard right."""

    language: str
    word: str  # as it is written in the first line that has it
    times: int
    instead: list[str]
    proposal: str | None  # another spelling to try; None: no rule knows one


def of_recipe(
    recipe: str, pack: Sequence[PackLine], min_times: int, root: Path = Path()
) -> list[Mispronounced]:
    """Words that no checkpoint of a recipe ever said right, most often asked first; the base's samples do not count."""
    measures = records.read_one(root / layout.run(recipe, "metrics.json"), SpeechMeasures)
    heard = {(one.candidate, one.line_id, one.seed): one.said for one in measures.samples}
    samples = records.read(root / layout.run(recipe, "samples.jsonl"), SampleRecord)
    languages = {line.id: line.language for line in pack}
    pairs: dict[str, list[tuple[str, str]]] = {}
    for one in samples:
        said = heard.get((one.candidate, one.line_id, one.seed))
        if one.step > 0 and said is not None and one.line_id in languages:
            pairs.setdefault(languages[one.line_id], []).append((one.text, said))
    return [
        Mispronounced(language, written, times, _instead(word, own, language), respelt(written))
        for language, own in sorted(pairs.items())
        for word, times in transcripts.never_right(own, language, min_times)
        if (written := _as_written(word, own, language)) is not None
    ]


def respelt(word: str) -> str | None:
    """A spelling that is read otherwise: letters of an abbreviation, parts of a compound, no marks that are foreign to the language."""
    if word.isupper() and word.isalpha() and 1 < len(word) <= MAX_LETTERS:
        return " ".join(word)
    parts = re.sub(r"(?<=[a-z])(?=[A-Z])|[-_/]", " ", word)
    if parts != word:
        return parts
    plain = "".join(one for one in unicodedata.normalize("NFKD", word) if not unicodedata.combining(one))
    return plain if plain != word and plain.isascii() else None


def _instead(word: str, pairs: Sequence[tuple[str, str]], language: str) -> list[str]:
    return [said or "nothing" for said, _times in transcripts.instead(word, pairs, language)[:SHOWN]]


def _as_written(word: str, pairs: Sequence[tuple[str, str]], language: str) -> str | None:
    """The word with its capitals and marks; None for one of several that a number became, which no entry can stand for."""
    for text, _heard in pairs:
        for found in re.findall(r"[^\W_](?:[\w'’-]*[^\W_])?", text):
            if transcripts.normalise(found, language) == word:
                return str(found)
    return word if transcripts.primary(language) in transcripts.UNSPACED else None
