"""How is a run of words written down as a clip: its edges in the silence, its text, what was heard in it, and what speaks against it?"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from voicelathe.data.cutting import placing
from voicelathe.data.cutting.cues import Parsed
from voicelathe.data.cutting.matching import Word
from voicelathe.records import Listened, ProposedClip
from voicelathe.speech.transcripts import UNSPACED, primary

EDGE_S = 0.15  # of silence that a clip keeps around its speech, at most half of what is there


@dataclass(frozen=True)
class ClipLimits:
    """What is asked of clips."""

    min_s: float
    max_s: float
    short_share: float  # of sentences that are kept as short clips
    seed: int


@dataclass(frozen=True)
class Naming:
    """What the rows of the manifest will say."""

    name: str
    language: str
    speaker_id: str  # of cues that name none


@dataclass(frozen=True, slots=True)
class Atom:
    """Words that are said without a pause between them: what a cut cannot part."""

    first: int  # word
    last: int
    first_stretch: int
    last_stretch: int
    start_s: float
    end_s: float
    is_cut: bool = False  # one of its ends lies in running speech


@dataclass(frozen=True)
class Maker:
    """Writes runs of atoms down as clips."""

    number: int
    name: str
    found: Listened
    parsed: Parsed
    words: Sequence[Word]
    wrong: frozenset[int]  # phrases in whose place something else was said
    heard_at: Sequence[placing.Place]
    limits: ClipLimits
    naming: Naming

    def clip(self, place: int, run: Sequence[Atom]) -> ProposedClip:
        first, last = run[0], run[-1]
        start_s, end_s = self._with_edges(first, last)
        cues = range(self.words[first.first].cue, self.words[last.last].cue + 1)
        return ProposedClip(
            f"{self.name}_{place:04d}",
            self.number,
            round(start_s, 3),
            round(end_s, 3),
            round(first.start_s, 3),
            round(last.end_s, 3),
            self._text(first.first, last.last),
            self._heard(run),
            self.parsed.cues[cues[0]].speaker or self.naming.speaker_id,
            self._flags(run, cues),
        )

    def _with_edges(self, first: Atom, last: Atom) -> tuple[float, float]:
        stretches = self.found.stretches
        before_s = (
            self.found.begin_s if first.first_stretch == 0 else stretches[first.first_stretch - 1].end_s
        )
        is_end = last.last_stretch + 1 >= len(stretches)
        after_s = self.found.duration_s if is_end else stretches[last.last_stretch + 1].start_s
        share = 1.0 if first.first_stretch == 0 else 0.5
        inside = first.start_s > stretches[first.first_stretch].start_s  # cut in running speech
        start_s = first.start_s - (0.0 if inside else min(EDGE_S, share * (first.start_s - before_s)))
        inside = last.end_s < stretches[last.last_stretch].end_s
        share = 1.0 if is_end else 0.5
        end_s = last.end_s + (0.0 if inside else min(EDGE_S, share * (after_s - last.end_s)))
        return max(self.found.begin_s, start_s), min(self.found.duration_s, end_s)

    def _text(self, first: int, last: int) -> str:
        """The text as it is written, from the first word to the last; words in between that nobody heard belong to it."""
        parts: list[str] = []
        cues = self.parsed.cues
        for cue in range(self.words[first].cue, self.words[last].cue + 1):
            start = self.words[first].start if cue == self.words[first].cue else 0
            end = self.words[last].end if cue == self.words[last].cue else len(cues[cue].text)
            parts.append(cues[cue].text[start:end].strip())
        return ("" if primary(self.naming.language) in UNSPACED else " ").join(part for part in parts if part)

    def _heard(self, run: Sequence[Atom]) -> str | None:
        if self.found.words is None:
            return None
        low, high = run[0].start_s, run[-1].end_s
        inside = set(range(run[0].first_stretch, run[-1].last_stretch + 1))
        said = [
            word.text
            for word, at in zip(self.found.words, self.heard_at, strict=True)
            if at in inside and low <= (word.start_s + word.end_s) / 2 + 1e-9 <= high + 0.5
        ]
        return ("" if primary(self.naming.language) in UNSPACED else " ").join(said)

    def _flags(self, run: Sequence[Atom], cues: Sequence[int]) -> list[str]:
        flags = []
        phrases = range(self.words[run[0].first].phrase, self.words[run[-1].last].phrase + 1)
        if any(one in self.wrong for one in phrases):
            flags.append("text_differs")
        untexted = any(other.first_stretch - one.last_stretch > 1 for one, other in pairwise(run))
        if untexted:
            flags.append("more_speech")
        if run[0].is_cut or run[-1].is_cut:
            flags.append("no_pause")
        if run[-1].end_s - run[0].start_s > self.limits.max_s:
            flags.append("too_long")
        if any(self.parsed.cues[one].line in self.parsed.overlapping for one in cues):
            flags.append("two_at_once")
        return flags
