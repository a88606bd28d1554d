"""What a rule of the audit is: a code, what happens to a row that breaks it, why, and the one function that judges.

Everything that the audit knows about a rule stands in its `Rule`. `may_break` is only there to save time: a mask over the columns of
all rows that leaves out rows which cannot break the rule. A rule without one looks at every row.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np

from voicelathe.config import schema
from voicelathe.data.clip import MeasuredRow
from voicelathe.data.corpus import Corpus, Mask
from voicelathe.data.text.phrases import Phrases
from voicelathe.records import Finding

SHOWN_CHARS = 60


@dataclass(frozen=True)
class Limits:
    """What the rules compare with."""

    audit: schema.Audit
    phrases: Phrases


Seen = tuple[str, str]  # the value seen and the threshold, for people
Judge = Callable[[MeasuredRow, Limits], Seen | None]
MayBreak = Callable[[Corpus, Limits], Mask]


@dataclass(frozen=True)
class Rule:
    """One reason to doubt a row. `reason` is the sentence that reports show."""

    code: str
    severity: str  # critical | warning
    action: str  # drop | trim | warn
    reason: str
    judge: Judge | None = field(
        default=None, compare=False
    )  # None: it compares rows, see outliers and repeats
    may_break: MayBreak | None = field(default=None, compare=False)

    def finding(self, clip_id: str, seen: Seen) -> Finding:
        return Finding(clip_id, self.code, self.severity, self.action, *seen)


def drop(
    code: str,
    reason: str,
    judge: Judge | None = None,
    may_break: MayBreak | None = None,
) -> Rule:
    """A rule that keeps a row out of training."""
    return Rule(code, "critical", "drop", reason, judge, may_break)


def warn(
    code: str,
    reason: str,
    judge: Judge | None = None,
    may_break: MayBreak | None = None,
) -> Rule:
    """A rule that only reports."""
    return Rule(code, "warning", "warn", reason, judge, may_break)


def trim(code: str, reason: str, judge: Judge, may_break: MayBreak | None = None) -> Rule:
    """A rule that keeps a row with other bounds."""
    return Rule(code, "warning", "trim", reason, judge, may_break)


def judge(rules: tuple[Rule, ...], clip: MeasuredRow, limits: Limits) -> Iterator[Finding]:
    """Every one of these rules that one row breaks, in their order."""
    for rule in rules:
        if rule.judge is not None and (seen := rule.judge(clip, limits)):
            yield rule.finding(clip.row.clip_id, seen)


def suspects(rules: tuple[Rule, ...], corpus: Corpus, limits: Limits) -> Mask:
    """Rows that may break one of these rules. A suspect may well be innocent; a row that is none breaks nothing."""
    found = np.zeros(len(corpus), bool)
    for rule in rules:
        if rule.judge is not None and rule.may_break is None:
            return np.ones(len(corpus), bool)
        if rule.may_break is not None:
            found |= rule.may_break(corpus, limits)
    return found


def shown(transcript: str | None) -> str:
    """A transcript for people, its start, with quotes so that an empty one can be seen."""
    if transcript is None:
        return "null"
    cut = transcript if len(transcript) <= SHOWN_CHARS else transcript[:SHOWN_CHARS] + "..."
    return (
        '"'
        + "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in cut)
        + '"'
    )


def above(value: float | None, limit: float, unit: str, digits: int) -> Seen | None:
    """What is seen of a value over its limit; None for one within, and for none."""
    if value is None or value <= limit:
        return None
    return f"{value:.{digits}f} {unit}", f"at most {limit:g}"


def below(value: float | None, limit: float, unit: str, digits: int) -> Seen | None:
    """What is seen of a value under its limit; None for one within, and for none."""
    if value is None or value >= limit:
        return None
    return f"{value:.{digits}f} {unit}", f"at least {limit:g}"


def over(name: str, limit: Callable[[schema.Audit], float]) -> MayBreak:
    """A mask of the rows whose measure is beyond a limit."""
    return lambda corpus, limits: np.asarray(corpus.measured(name) > limit(limits.audit))


def under(name: str, limit: Callable[[schema.Audit], float]) -> MayBreak:
    """A mask of the rows whose measure is beyond a limit."""
    return lambda corpus, limits: np.asarray(corpus.measured(name) < limit(limits.audit))
