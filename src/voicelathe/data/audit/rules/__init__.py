"""The rules of the audit: what makes a row unfit to train on, why, and what happens to it.

A rule sees one row as its owner described it, and what was measured. Rules that compare rows stand in `outliers` and `repeats`.
`drop` keeps a row out of training, `trim` keeps it with other bounds, `warn` only reports it. Thresholds come from `audit` in params.yaml.
"""

from collections.abc import Iterator

from voicelathe.data.audit import rule
from voicelathe.data.audit.rule import Limits as Limits
from voicelathe.data.audit.rule import Rule as Rule
from voicelathe.data.audit.rule import drop as drop
from voicelathe.data.audit.rule import shown as shown
from voicelathe.data.audit.rules import audio, letters, level, text, unusable
from voicelathe.data.audit.rules.audio import trimmed as trimmed
from voicelathe.data.audit.rules.unusable import UNUSABLE_AUDIO as UNUSABLE_AUDIO
from voicelathe.data.clip import MeasuredRow as MeasuredRow  # rules and clips are used together
from voicelathe.data.corpus import Corpus, Mask
from voicelathe.records import Finding

RULES = (*text.RULES, *letters.RULES, *unusable.RULES, *audio.RULES, *level.RULES)
OF_MEASURED = (
    *text.RULES,
    *letters.RULES,
    *audio.RULES,
    *level.RULES,
)  # what a clip that was measured can break


def judge(clip: MeasuredRow, limits: Limits) -> Iterator[Finding]:
    """Every rule that one row breaks, in the order of RULES."""
    return rule.judge(RULES if clip.measure.problem else OF_MEASURED, clip, limits)


def suspects(corpus: Corpus, limits: Limits) -> Mask:
    """Rows that may break one of RULES; whole columns answer for the others."""
    return rule.suspects(RULES, corpus, limits)
