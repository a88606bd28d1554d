"""Finished trainings that differ in nothing but their seed: which are they, what did each come to, and is the gain more than luck?

What was trained decides who belongs together, not how a recipe is called: same data, base and settings, another seed.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from voicelathe import digest, layout, records
from voicelathe.evaluate import scores
from voicelathe.evaluate.compare import replication
from voicelathe.evaluate.compare.replication import Spread
from voicelathe.evaluate.report import wording
from voicelathe.evaluate.scores import LIKENESS, WORDS, Scores
from voicelathe.records import RunRecord, SampleRecord, Selection, SpeechMeasures

MEASURES = (LIKENESS, WORDS)
COLUMNS = ["recipe", "seed", "decision", "chosen", "likeness", "words", "likeness of the chosen", "words of the chosen"]  # fmt: skip


@dataclass(frozen=True)
class Training:
    """One finished training and what was heard of it."""

    recipe: str
    run: RunRecord
    selection: Selection
    spoken: Scores
    chosen: str  # the selected candidate, or else the nominee, the nearest, or the lowest loss

    @property
    def label(self) -> str:
        return wording.spoken(self.selection, self.chosen)

    def has(self, candidate: str) -> bool:
        return any(self.spoken.has(measure, candidate) for measure in MEASURES)

    def against_base(self, measure: str, candidate: str) -> float | None:
        """Mean gain on all lines that it and its base spoke."""
        test = scores.test(self.spoken, measure, candidate, self.selection.base)
        return test.difference if test else None


@dataclass(frozen=True)
class ReplicatedGain:
    """The gain over several trainings, of one candidate in all of them or of what each of them chose."""

    what: str
    spread: Spread


def key(run: RunRecord) -> str:
    """Equal for trainings that differ in nothing but their seed."""
    unseeded = replace(run.identity, train=replace(run.identity.train, seed=None))
    return digest.of_value(records.to_json(unseeded))


def read(recipe: str, root: Path) -> Training:
    """A finished recipe. Raises RecordError naming the file that is missing."""
    found = records.read_one(root / layout.run(recipe, "selection.json"), Selection)
    measures = records.read_one(root / layout.run(recipe, "metrics.json"), SpeechMeasures)
    samples = records.read(root / layout.run(recipe, "samples.jsonl"), SampleRecord)
    nearest = found.nearest.candidate if found.nearest else None
    return Training(
        recipe=recipe,
        run=records.read_one(root / layout.run(recipe, "run.json"), RunRecord),
        selection=found,
        spoken=scores.of(samples, measures),
        chosen=found.selected or found.nominee or nearest or found.best_against_base.candidate,
    )


def grouped(runs: Sequence[RunRecord]) -> list[list[str]]:
    """Recipes by what was trained: the one without a seed of its own first in each group, then in the order given.

    A recipe trained twice with one and the same seed is no roll of the dice and stands alone.
    """
    groups: dict[str, list[RunRecord]] = {}
    for one in sorted(runs, key=lambda one: one.identity.train.seed is not None):
        members = groups.setdefault(key(one), [])
        seeds = {member.identity.training_seed for member in members}
        if one.identity.training_seed in seeds:
            groups[f"{key(one)} {one.recipe}"] = [one]
        else:
            members.append(one)
    order = {one.recipe: place for place, one in enumerate(runs)}
    found = [[one.recipe for one in members] for members in groups.values()]
    return sorted(found, key=lambda names: order[names[0]])


def findings(trainings: Sequence[Training]) -> list[ReplicatedGain]:
    """Likeness and words: of the candidate that the first chose, in all trainings, and of what each chose for itself."""
    first = trainings[0]
    same = [one for one in trainings if one.has(first.chosen)]
    found = list(_findings(f"{first.label} of every training", same, [first.chosen] * len(same)))
    if any(one.chosen != first.chosen for one in trainings):
        found += _findings("what each training chose", trainings, [one.chosen for one in trainings])
    return found


def _findings(what: str, trainings: Sequence[Training], names: Sequence[str]) -> Iterator[ReplicatedGain]:
    for measure in MEASURES:
        rows = [(one.spoken, name, one.selection.base) for one, name in zip(trainings, names, strict=True)]
        lines = replication.common_lines(measure, rows)
        if not lines:
            continue
        spread = replication.of(measure, replication.gains(measure, rows, lines))
        if spread is not None:
            yield ReplicatedGain(what, spread)


def between(mine: Sequence[Training], theirs: Sequence[Training], measure: str = LIKENESS) -> Spread | None:
    """What two recipes chose, one minus the other, with all trainings of both; None where neither was trained twice."""
    groups = [[(one.spoken, one.chosen, one.selection.base) for one in members] for members in (mine, theirs)]
    lines = replication.common_lines(measure, [row for rows in groups for row in rows])
    if not lines:
        return None
    return replication.between(measure, *(replication.gains(measure, rows, lines) for rows in groups))


def cells(trainings: Sequence[Training]) -> list[list[str]]:
    """One row a training, in the order of COLUMNS: gains of the first one's choice, then of its own."""
    shared = trainings[0].chosen
    return [
        [
            one.recipe,
            str(one.run.identity.training_seed),
            one.selection.decision.replace("_", " "),
            one.label,
            *(_number(one.against_base(measure, shared)) for measure in MEASURES),
            *(_number(one.against_base(measure, one.chosen)) for measure in MEASURES),
        ]
        for one in trainings
    ]


def title(trainings: Sequence[Training]) -> str:
    first = trainings[0]
    return f"{first.recipe}: {len(trainings)} trainings, gains of {first.label} and of the chosen one against the better base"


def conclusions(trainings: Sequence[Training]) -> list[str]:
    """What the trainings say together, each sentence with its figures."""
    first, num = trainings[0], len(trainings)
    ships = sum(one.selection.selected is not None for one in trainings)
    told = [
        f"{first.recipe}: {num} trainings that differ in nothing but the seed; {ships} of {num} ship a checkpoint."
    ]
    found = findings(trainings)
    told += [
        f"{first.recipe}, {one.what}: {replication.sentence(one.spread)} ({len(one.spread.trainings)} trainings, {one.spread.lines} lines)."
        for one in found
    ]
    if not any(one.spread.measure == LIKENESS for one in found):
        told.append(
            f"{first.recipe}: likeness was not measured on two lines of two trainings, so luck cannot be judged."
        )
    return told


def _number(value: float | None) -> str:
    return "\u2013" if value is None else f"{value:+.3f}".replace("-", "\u2212")
