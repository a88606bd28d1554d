"""Who speaks, where subtitles and transcripts say it in the text: "Anna Smith: Hello." of Zoom, ">> NARRATOR:" of television."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from voicelathe.records import Cue

TURN = re.compile(r"^\s*(?:>{2,3}|&gt;&gt;)\s*")
LABEL = re.compile(
    r"^\[?([^\W\d_][^\s:\uff1a\[\]]{0,24}(?: [^\s:\uff1a\[\]]{1,24}){0,2})\]?(?::\s+|\uff1a\s*)(?=\S)"
)
LEAST_USES, LEAST_SHARE = 2, 0.5


def taken_off(cues: Sequence[Cue]) -> tuple[list[Cue], list[str]]:
    """Cues with their speakers named instead of written before the words, and who they are; as they are where no names stand there.

    A name is one that comes again, and most cues have one: "Remember: ..." is a sentence. A cue without a name goes on with the last.
    """
    found = [LABEL.match(cue.text) if cue.speaker is None else None for cue in cues]
    uses = Counter(one[1] for one in found if one)
    names = {name for name, num in uses.items() if num >= LEAST_USES}
    named = sum(1 for one in found if one and one[1] in names)
    if not names or named < LEAST_SHARE * len(cues):
        return list(cues), []
    made: list[Cue] = []
    speaker: str | None = None
    for cue, one in zip(cues, found, strict=True):
        if one is not None:  # whoever speaks once only has a name like the others, too
            speaker = one[1]
            made.append(replace(cue, text=cue.text[one.end() :], speaker=speaker))
        else:
            made.append(replace(cue, speaker=cue.speaker or speaker))
    return made, sorted(uses)
