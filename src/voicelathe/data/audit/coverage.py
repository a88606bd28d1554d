"""How many rows could each rule judge, and why not the others? A rule that nobody could apply has not found nothing.

"Judged for 12 of 30 rows: no recogniser for the language (18)" is what the page says instead of "every row was checked".
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from voicelathe.data import columns
from voicelathe.data.audit.rule import Rule
from voicelathe.data.audit.rules import audio, letters, level, outliers, repeats, text, unusable
from voicelathe.data.corpus import Corpus, Floats, Mask
from voicelathe.data.text import beginnings, languages, orthography, scripts

Excuse = tuple[str, Mask]  # why rows cannot be judged, and which


@dataclass(frozen=True)
class Coverage:
    """What one rule could judge."""

    code: str
    num_judged: int
    num_rows: int
    why_not: tuple[tuple[str, int], ...]  # with the number of rows; a row counts under the first that is true

    @property
    def sentence(self) -> str:
        """For people."""
        if self.num_judged == self.num_rows:
            return f"all {self.num_rows} rows"
        why = ", ".join(f"{reason} ({num})" for reason, num in self.why_not)
        return f"{self.num_judged} of {self.num_rows} rows: {why}"


def of(corpus: Corpus, distances: Floats) -> list[Coverage]:
    """One for each rule; `distances` are those of `outliers.pace_distances`."""
    known = _Excuses(corpus, distances)
    rules = (
        *text.RULES,
        *letters.RULES,
        *letters.OF_LANGUAGES,
        *unusable.RULES,
        *audio.RULES,
        *level.RULES,
    )
    return [
        _covered(rule, known.of(rule.code))
        for rule in (*rules, *beginnings.RULES, *outliers.RULES, *repeats.RULES)
    ]


def _covered(rule: Rule, excuses: Iterable[Excuse]) -> Coverage:
    held = list(excuses)
    left = np.ones(len(held[0][1]), bool)
    why = []
    for reason, mask in held:
        num = int((mask & left).sum())
        left &= ~mask
        if num:
            why.append((reason, num))
    return Coverage(rule.code, int(left.sum()), len(left), tuple(why))


class _Excuses:
    """The masks that several rules share, each made once."""

    def __init__(self, corpus: Corpus, distances: Floats) -> None:
        import pyarrow.compute as pc

        self._corpus = corpus
        self._nobody = np.zeros(len(corpus), bool)
        self._no_audio: Excuse = ("no audio", np.asarray(pc.is_valid(corpus.measures["problem"]).to_numpy()))
        self._no_text: Excuse = ("nothing to say", corpus.num_spoken_chars == 0)
        short = ~(corpus.speech_s >= audio.LEAST_HEARD_S)
        self._short: Excuse = (f"under {audio.LEAST_HEARD_S:g} s of sound", short)
        self._distances = distances

    def of(self, code: str) -> list[Excuse]:
        """Why some rows are not judged by a rule, the first reason first; at least one, which may be true of no row."""
        special: dict[str, Callable[[], list[Excuse]]] = {
            "wrong_script": self._of_script,
            "wrong_encoding": self._of_encoding,
            "steady": lambda: [
                self._no_audio,
                ("under half a second", self._null("measures", "level_spread_db")),
            ],
            "band_limited": lambda: [self._no_audio, self._short],
            "no_speech": self._of_speech,
            "wrong_speed": self._of_speech,
            "too_fast": lambda: [self._no_audio, self._no_text, self._soundless()],
            "too_slow": lambda: [self._no_audio, self._no_text, self._soundless()],
            "common_beginning": self._of_beginnings,
            "common_beginning_said": self._of_beginnings,
            "odd_pace": self._of_pace,
            "wrong_text": self._of_words,
            "not_aligned": self._of_alignment,
            "wrong_speaker": self._of_voice,
            "near_duplicate": lambda: [
                self._no_audio,
                ("under half a second", self._null("measures", "fingerprint")),
            ],
        }
        if code in special:
            return special[code]()
        needs_audio = {rule.code for rule in (*audio.RULES, *level.RULES)}
        return [self._no_audio if code in needs_audio else ("", self._nobody)]

    def _null(self, table: str, name: str) -> Mask:
        import pyarrow.compute as pc

        return np.asarray(pc.is_null(getattr(self._corpus, table)[name]).to_numpy())

    def _soundless(self) -> Excuse:
        return "silent throughout", np.isnan(self._corpus.speech_s)

    def _of_script(self) -> list[Excuse]:
        import pyarrow.compute as pc

        named = self._corpus.rows["language"]
        unlisted = [name for name in named.unique().to_pylist() if scripts.expected(name) is None]
        why = f"scripts of {', '.join(sorted(unlisted)[:3])} are not listed"
        return [(why, columns.mask(pc.is_in(named, columns.strings(unlisted)))), self._no_text]

    def _of_encoding(self) -> list[Excuse]:
        import pyarrow.compute as pc

        named = self._corpus.rows["language"]
        unlisted = [name for name in named.unique().to_pylist() if not orthography.letters(name)]
        why = f"letters of {', '.join(sorted(unlisted)[:3])} are not listed"
        return [(why, columns.mask(pc.is_in(named, columns.strings(unlisted)))), self._no_text]

    def _of_speech(self) -> list[Excuse]:
        unheard = self._null("heard", "speech_s")
        return [self._no_audio, ("nobody listened (hear.speech, or under 0.1 s)", unheard), self._short]

    def _of_beginnings(self) -> list[Excuse]:
        is_small = not columns.has_distinct(self._corpus.rows["text"], beginnings.LEAST_TEXTS)
        few = f"fewer than {beginnings.LEAST_TEXTS} different texts"
        return [(few, np.full(len(self._corpus), is_small)), self._no_text]

    def _of_pace(self) -> list[Excuse]:
        few = f"fewer than {outliers.MIN_CLIPS} rows of the language to learn from"
        return [self._no_audio, self._no_text, self._soundless(), (few, np.isnan(self._distances))]

    def _of_words(self) -> list[Excuse]:
        unheard = self._null("heard", "said")
        vague = ~outliers.comparable(self._corpus)
        few = _in_small_groups(self._corpus.speakers, ~unheard & ~vague)
        return [
            self._no_audio,
            ("no recogniser listened (hear.words, or not its language)", unheard),
            ("the text is too short, or holds digits", vague),
            (f"fewer than {outliers.MIN_CLIPS} such rows of the speaker", few),
        ]

    def _of_alignment(self) -> list[Excuse]:
        import pyarrow.compute as pc

        unknown = pc.is_null(self._corpus.heard["is_aligned"]).to_numpy()
        return [
            self._no_audio,
            ("not aligned (hear.words, its language, unknown words)", np.asarray(unknown)),
        ]

    def _of_voice(self) -> list[Excuse]:
        unheard = self._null("heard", "voice")
        brief = ~(columns.numbers(self._corpus.heard["speech_s"]) >= outliers.LEAST_VOICE_S)
        few = _in_small_groups(self._corpus.speakers, ~unheard & ~brief)
        return [
            self._no_audio,
            ("no voice was measured (hear.voice, or under 0.3 s of speech)", unheard),
            (f"under {outliers.LEAST_VOICE_S:g} s of speech", np.asarray(brief)),
            (f"fewer than {outliers.MIN_CLIPS} such rows of the speaker", few),
        ]


def _in_small_groups(group: NDArray[np.int64], usable: Mask) -> Mask:
    """Rows of groups with too few usable rows."""
    if not len(group):
        return usable
    return np.asarray(np.bincount(group[usable], minlength=int(group.max()) + 1)[group] < outliers.MIN_CLIPS)


def unknown_languages(corpus: Corpus) -> list[str]:
    """Names of languages that are not known, and are pooled under no other."""
    return sorted(
        name for name in corpus.rows["language"].unique().to_pylist() if not languages.is_known(name)
    )
