"""A cue as its file gives it, before markup is taken off and times are checked."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RawCue:
    """One entry of a file; `problem` says why it cannot be read."""

    line: int
    start_s: float | None
    end_s: float | None
    text: str
    speaker: str | None = None
    problem: str | None = None
