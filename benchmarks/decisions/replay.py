"""What would be decided, by which rule, on which lines? From what was spoken once; nothing is spoken again.

`ours` is the real race and the real selection over the samples that the race would have asked for. The other rules are what people do
instead: the last checkpoint, the lowest loss, the lowest diffusion loss, and two lines with vetoes while the loss nominates, as this
project itself did before.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from benchmarks.decisions.hearing import Heard
from voicelathe.config import schema
from voicelathe.errors import SelectionError
from voicelathe.evaluate import failures, guards, racing, scores, selection
from voicelathe.evaluate.evidence import BASE, BASES
from voicelathe.evaluate.scores import LIKENESS, WORDS, Scores
from voicelathe.evaluate.scoring import probing
from voicelathe.records import (
    CheckpointRecord,
    ClipLoss,
    EvaluationRecord,
    PackLine,
    Probed,
    Race,
    RunRecord,
    SampleRecord,
    Selection,
    SpeechMeasures,
)
from voicelathe.stages import listen

LAST, LOSS, DIFF, TWO_LINES = "last", "lowest loss", "lowest diff", "two lines, loss nominates"
TIES = ("lower loss", "words x likeness", "earlier step")


@dataclass(frozen=True)
class Trained:
    """A finished fine-tune, whose every candidate spoke every line of the decision."""

    name: str
    run: RunRecord
    evaluations: Sequence[EvaluationRecord]
    clip_losses: Sequence[ClipLoss]
    checkpoints: Sequence[CheckpointRecord]
    probed: Sequence[Probed]
    select: schema.Select
    how: schema.RaceSettings
    pack: Sequence[PackLine]
    heard: Heard
    base_trained: bool = True

    @property
    def tuned(self) -> list[EvaluationRecord]:
        return [one for one in self.evaluations if one.candidate not in BASES]

    @property
    def totals(self) -> dict[str, float]:
        return {one.candidate: one.total for one in self.evaluations}


class Replayed:
    """Candidates that have spoken already: whoever asks for a line gets the sample that was kept."""

    def __init__(self, trained: Trained, num_lines: int) -> None:
        self._trained, self._num_lines = trained, num_lines
        self._asked: set[tuple[str, str]] = set()

    def speak(self, names: Sequence[str], lines: Sequence[str]) -> racing.BlockResult:
        self._asked |= {(name, line) for name in names for line in lines}
        one = self._trained
        return listen.heard(self.samples, self.measures, one.select, one.totals, self._num_lines)

    @property
    def samples(self) -> list[SampleRecord]:
        return [one for one in self._trained.heard.samples if (one.candidate, one.line_id) in self._asked]

    @property
    def measures(self) -> SpeechMeasures:
        whole = self._trained.heard.measures
        kept = [one for one in whole.samples if (one.candidate, one.line_id) in self._asked]
        return replace(whole, samples=kept)


@dataclass(frozen=True)
class Decided:
    """What a rule does: the candidate that users get (the base that the report names where nothing ships), and what it cost to know."""

    gets: str
    samples: int
    selection: Selection | None = None
    spoken: Scores | None = None

    @property
    def ships(self) -> bool:
        return self.gets not in BASES


def ours(one: Trained, pack: Sequence[PackLine], block_lines: int) -> Decided:
    """The race and the selection on these lines, `block_lines` at a time; as many as there are lines: everybody speaks all of them.

    Losses that are no numbers end in an error and not in a decision: then nothing ships.
    """
    found = Replayed(one, len(pack))
    names = [row.candidate for row in sorted(one.evaluations, key=_racing_order)]
    bases, tuned = [name for name in names if name in BASES], [name for name in names if name not in BASES]
    how, ids = replace(one.how, block_lines=block_lines), [line.id for line in pack]
    rounds, ended = racing.run(found, one.name, bases, tuned, ids, 1, how)
    samples, measures = found.samples, found.measures
    strata = {line.id: listen.line_strata(line) for line in pack}
    ran = Race(
        one.run.recipe, one.run.run_digest, how.error_rate, rounds, strata, len(samples), len(names) * len(ids), ended
    )  # fmt: skip
    try:
        chosen = selection.decide(
            one.run, one.evaluations, one.clip_losses, samples, None, one.select, one.base_trained, {}, one.checkpoints,
            measures, ran, one.probed,
        )  # fmt: skip
    except SelectionError:
        if all(math.isfinite(row.total) for row in one.evaluations):
            raise
        return Decided(BASE, len(samples))
    instead = chosen.fallback.candidate if chosen.fallback else chosen.base
    return Decided(chosen.selected or instead, len(samples), chosen, scores.of(samples, measures))


def _racing_order(row: EvaluationRecord) -> tuple[bool, float, int]:
    return row.step > 0, _known(row.total), row.step


def _known(loss: float) -> float:
    """A loss that is no number is no low one."""
    return loss if math.isfinite(loss) else math.inf


def by_number(one: Trained, rule: str) -> Decided:
    """Rules that listen to nothing and always ship."""
    keys = {
        LAST: lambda row: (-row.step, _known(row.total)),
        LOSS: lambda row: (_known(row.total), row.step),
        DIFF: lambda row: (_known(row.losses["diff"]), row.step),
    }
    return Decided(min(one.tuned, key=keys[rule]).candidate, 0)


def two_lines(one: Trained, pack: Sequence[PackLine]) -> Decided:
    """Everybody speaks two lines; of those without a veto the lowest total ships, if it is below the base's."""
    found = Replayed(one, len(pack))
    found.speak([row.candidate for row in one.evaluations], [line.id for line in pack])
    samples, share = found.samples, one.select.max_vetoed_share
    excluded = {
        *failures.vetoes(samples, one.base_trained, share),
        *failures.measured_vetoes(found.measures, samples, one.select).vetoes,
        *probing.findings(one.probed, one.select.vetoes)[0],
    }
    left = [row for row in one.tuned if row.candidate not in excluded and row.total < one.totals[BASE]]
    best = min(left, key=lambda row: (row.total, row.step), default=None)
    return Decided(best.candidate if best else BASE, len(samples))


def tied(decided: Decided) -> list[str]:
    """Whom the selection could not tell from the nearest, in the order of the loss; of a decision that ships."""
    chosen, spoken = decided.selection, decided.spoken
    assert chosen is not None and spoken is not None and decided.ships, "only what ships has rivals"
    vetoed = {row.candidate for row in chosen.ranking if row.vetoes}
    passing = {row.candidate for row in chosen.evidence if row.standing == guards.PASSES} - vetoed
    order = [
        row.candidate for row in chosen.ranking if row.candidate in passing and row.candidate not in BASES
    ]
    nearest = max(order, key=lambda name: spoken.mean(LIKENESS, name) or 0.0)
    return [name for name in order if name == nearest or selection.is_tied(spoken, name, nearest)]


def with_ties(decided: Decided, rule: str, steps: Mapping[str, int]) -> str:
    """Who ships when ties are broken by another rule."""
    if not decided.ships:
        return decided.gets
    rivals, spoken = tied(decided), decided.spoken
    assert spoken is not None and decided.gets in rivals, "the selection chose from those that are tied"
    if rule == TIES[0]:
        return rivals[0]
    if rule == TIES[1]:
        return max(
            rivals, key=lambda name: (spoken.mean(WORDS, name) or 0.0) * (spoken.mean(LIKENESS, name) or 0.0)
        )
    return min(rivals, key=lambda name: steps[name])
