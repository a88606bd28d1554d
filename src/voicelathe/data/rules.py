"""The rules of the audit: what makes a row unfit to train on, why, and what happens to it.

A rule sees one row as its owner described it, and what was measured. Rules that compare rows stand in `outliers` and `repeats`.
`drop` keeps a row out of training, `trim` keeps it with other bounds, `warn` only reports it. Thresholds come from `audit` in params.yaml.
"""

from collections.abc import Iterator

from voicelathe.data import audio_rules, level_rules, rule, text_rules
from voicelathe.data.audio_rules import UNUSABLE_AUDIO as UNUSABLE_AUDIO
from voicelathe.data.audio_rules import trimmed as trimmed
from voicelathe.data.clip import Clip as Clip  # rules and clips are used together
from voicelathe.data.corpus import Corpus, Mask
from voicelathe.data.rule import Limits as Limits
from voicelathe.data.rule import Rule as Rule
from voicelathe.data.rule import drop as drop
from voicelathe.data.rule import shown as shown
from voicelathe.records import Finding

RULES = (*text_rules.RULES, *audio_rules.UNUSABLE, *audio_rules.AUDIBLE, *level_rules.RULES)
OF_MEASURED = (
    *text_rules.RULES,
    *audio_rules.AUDIBLE,
    *level_rules.RULES,
)  # what a clip that was measured can break


def judge(clip: Clip, limits: Limits) -> Iterator[Finding]:
    """Every rule that one row breaks, in the order of RULES."""
    return rule.judge(RULES if clip.measure.problem else OF_MEASURED, clip, limits)


def suspects(corpus: Corpus, limits: Limits) -> Mask:
    """Rows that may break one of RULES; whole columns answer for the others."""
    return rule.suspects(RULES, corpus, limits)
