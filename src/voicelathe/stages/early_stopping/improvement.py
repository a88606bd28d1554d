"""Has a checkpoint improved on all before it? Numbers in, an EarlyCheck out; no files, no clocks.

Each is compared with a mark: the last checkpoint in which the same had improved; the first checkpoint counts as such. Because a mark
moves only when a gain counts, small gains add up until they do.
Loss: lower than the mark's by LEAST of it. Clips, noise and times are the same for every checkpoint, so no chance is in the difference;
but weights that have come to rest still move its last digits.
Speech: words kept x likeness, line by line. A decoder draws noise, and a little of every difference is luck: it counts where a
one-sided paired t test has p < LUCK, with the floor under the deviation that the race uses.
"""

from collections.abc import Mapping, Sequence

from voicelathe.evaluate import scores
from voicelathe.records import EarlyCheck

LOSS, SPEECH = "loss", "speech"
LEAST = 1e-4
LUCK = 0.1  # where nothing changes, one checkpoint in ten is still called better: then a run goes on for no reason
DIGITS = 6


def check(
    before: Sequence[EarlyCheck],
    step: int,
    sha256: str,
    run_digest: str,
    loss: float,
    speech: Mapping[str, float],
) -> EarlyCheck:
    """What a checkpoint came to. `before`: what those before it came to, in order of their steps."""
    improved = []
    if not before or loss < _mark(before, LOSS).loss * (1.0 - LEAST):
        improved.append(LOSS)
    if not before or _is_better(speech, _mark(before, SPEECH).speech):
        improved.append(SPEECH)
    since = step if improved else before[-1].since
    stale = 0 if improved else before[-1].stale + 1
    return EarlyCheck(step, sha256, run_digest, loss, dict(speech), improved, since, stale)


def spoken(found: scores.Scores, candidate: str) -> dict[str, float]:
    """Line -> words kept x likeness; 0 where no words were kept, whatever they sounded like."""
    kept = found.values.get(scores.WORDS, {}).get(candidate, {})
    likeness = found.values.get(scores.LIKENESS, {}).get(candidate, {})
    return {
        line: round(words * likeness.get(line, 0.0), DIGITS)
        for line, words in sorted(kept.items())
        if words == 0.0 or line in likeness
    }


def _mark(before: Sequence[EarlyCheck], what: str) -> EarlyCheck:
    return next(one for one in reversed(before) if what in one.improved)


def _is_better(mine: Mapping[str, float], theirs: Mapping[str, float]) -> bool:
    both = scores.Scores({scores.UTILITY: {"this": mine, "mark": theirs}})
    found = scores.test(both, scores.UTILITY, "this", "mark")
    return found is not None and found.p_better < LUCK
