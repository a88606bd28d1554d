"""Lines: the sentences that every candidate speaks."""

from dataclasses import dataclass

HELD_OUT = "held-out-"  # in front of the id of a line that the speaker said: a clip of the validation split
LONG = "long-"  # in front of the id of a line that only some candidates speak
STRATA = ("short", "sentence", "long", "numbers", "question", "names")


@dataclass(frozen=True)
class PackLine:
    """One line of a pack: a sentence, and what kind of sentence it is."""

    id: str  # of a held-out line: HELD_OUT and the id of its clip
    text: str
    language: str
    speaker: str | None  # who said it, for a held-out line; None: anybody may say it
    stratum: str  # one of STRATA; a line that fits several is in the first of lines.strata
    clip_id: str | None  # the clip of the validation split that is its real recording; None: a written line
    recording_id: str | None  # of that clip

    @property
    def is_held_out(self) -> bool:
        return self.clip_id is not None
