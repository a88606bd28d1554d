"""LoRA or full fine-tune? What finished recipes showed, beside each other, and whether the adapter is the bottleneck.

Losses are compared only between recipes of one base on one validation split, clip by clip; families are compared by what is heard.
docs/choosing.md has the table of decisions; the sentences here are its rows, each with its numbers.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np

from voicelathe import layout, records, rng
from voicelathe.evaluate import losses, scores, statistics
from voicelathe.evaluate.compare import replicates, replication
from voicelathe.evaluate.compare.replicates import Training
from voicelathe.evaluate.compare.replication import Spread
from voicelathe.evaluate.evidence import BASES
from voicelathe.evaluate.report import exclusions, reasons, wording
from voicelathe.families import decoding
from voicelathe.records import (
    Comparison,
    Probed,
    RunRecord,
    SampleRecord,
    Selection,
    SpeechMeasures,
    StepTiming,
)
from voicelathe.runs import results

LIKENESS = "similarity"  # the figure that says how near the voice is
NEARER = (
    0.02  # of similarity; neighbouring checkpoints of one run differ by 0.01 and more (docs/mini-base.md)
)
VALIDATION = "data/split/validation.jsonl"


@dataclass(frozen=True)
class Outcome:
    """What one recipe came to; `shown` is the selected candidate, or else the nominee, or the checkpoint with the lowest total."""

    recipe: str
    run: RunRecord
    selection: Selection
    shown: str
    likeness: float | None  # of the shown candidate, mean over its lines
    base_likeness: float | None  # of the base to beat
    words: float | None  # kept by the shown candidate
    base_words: float | None
    real_likeness: tuple[float, float] | None  # lowest and middle of held-out real clips
    probe: Probed | None
    base_probe: Probed | None
    checkpoint_bytes: int  # one checkpoint
    disk_bytes: int  # all of them
    seconds: float | None  # of training; None where the timings are gone
    validation_sha256: str | None
    samples: list[SampleRecord]  # of the shown candidate and the bases

    @property
    def mode(self) -> str:
        return self.run.identity.train.mode

    @property
    def group(self) -> tuple[str, str | None, bool]:
        """Recipes of one group have comparable losses: of the same base, clips and texts, controls in front of them or not."""
        return self.run.identity.base_digest, self.validation_sha256, self.run.identity.train.control


def read(recipe: str, root: Path) -> Outcome:
    """Everything of a finished recipe. Raises RecordError naming the file that is missing."""
    run = records.read_one(root / layout.run(recipe, "run.json"), RunRecord)
    found = records.read_one(root / layout.run(recipe, "selection.json"), Selection)
    measures = records.read_one(root / layout.run(recipe, "metrics.json"), SpeechMeasures)
    samples = records.read(root / layout.run(recipe, "samples.jsonl"), SampleRecord)
    index = results.index(recipe, root)
    shown = found.selected or found.nominee or found.best_against_base.candidate
    bases = [one.candidate for one in found.ranking if one.candidate in BASES]
    real = next((one for one in measures.figures if one.figure.name == LIKENESS), None)
    timings = root / run.directory / "timings.jsonl"
    tuned = [one for one in index.checkpoints if one.step]
    return Outcome(
        recipe=recipe,
        run=run,
        selection=found,
        shown=shown,
        likeness=_level(found, shown, scores.LIKENESS),
        base_likeness=_level(found, found.base, scores.LIKENESS),
        words=_level(found, shown, scores.WORDS),
        base_words=_level(found, found.base, scores.WORDS),
        real_likeness=(real.real_low, real.real_median)
        if real and real.real_low is not None and real.real_median is not None
        else None,
        probe=next((one for one in found.probes if one.candidate == shown), None),
        base_probe=next((one for one in found.probes if one.candidate in BASES), None),
        checkpoint_bytes=max((one.bytes for one in tuned), default=0),
        disk_bytes=sum(one.bytes for one in tuned),
        seconds=sum(one.seconds for one in records.read(timings, StepTiming)) if timings.is_file() else None,
        validation_sha256=measures.inputs.get(VALIDATION),
        samples=[one for one in samples if one.candidate == shown or one.candidate in bases],
    )


def against(one: Outcome, other: Outcome, root: Path) -> Comparison | None:
    """Validation totals of the shown candidates over the same clips; None where losses may not be compared."""
    if one.group != other.group or one.validation_sha256 is None:
        return None
    totals = []
    for outcome in (one, other):
        rows = losses.read(root / layout.run(outcome.recipe, "clip_losses.parquet"))
        totals.append(
            {row.clip_id: (row.total, row.recording_id) for row in rows if row.candidate == outcome.shown}
        )
    clips = sorted(totals[0])
    if not clips or set(totals[0]) != set(totals[1]):
        return None
    both = np.array([[found[clip][0] for found in totals] for clip in clips], dtype=np.float64)
    ends = []
    for groups in ([totals[0][clip][1] for clip in clips], clips):
        means = statistics.resampled_means(both, groups, rng.key(one.run.identity.seed, "compare"))
        ends.append(
            None
            if means is None
            else statistics.rounded(statistics.percentile_interval(means[:, 0] - means[:, 1]))
        )
    difference = round(float(np.mean(both[:, 0] - both[:, 1])), 9)
    return Comparison(f"{one.recipe} {one.shown}", f"{other.recipe} {other.shown}", difference, *ends)


def conclusions(outcomes: Sequence[Outcome], root: Path) -> list[str]:
    """What to do next, each sentence with the figures it rests on. Trainings that differ in their seed only speak with one voice."""
    groups = trainings(outcomes, root)
    found = [sentence for one in outcomes if one.recipe in groups for sentence in _alone(one)]
    found += [
        line for members in groups.values() if len(members) > 1 for line in replicates.conclusions(members)
    ]
    for one, other in combinations([one for one in outcomes if one.recipe in groups], 2):
        lora, full = (one, other) if one.mode == "lora" else (other, one)
        dice = replicates.between(groups[full.recipe], groups[lora.recipe])
        found += _pair(lora, full, root, dice)
    once = [name for name, members in groups.items() if len(members) == 1]
    if once:
        found.append(
            f"Trained once, so whether it was luck is not known: {', '.join(once)}. To see: voicelathe replicate {once[0]}"
        )
    return found


def trainings(outcomes: Sequence[Outcome], root: Path) -> dict[str, list[Training]]:
    """Recipe -> it and its replicates among the outcomes, for one recipe of each group."""
    groups = replicates.grouped([one.run for one in outcomes])
    return {names[0]: [replicates.read(name, root) for name in names] for names in groups}


def _alone(one: Outcome) -> Iterator[str]:
    if not one.selection.base_trained:
        yield f"{one.recipe}: the base is untrained, so nothing here is about a voice."
    if not one.selection.moved:
        yield (
            f"{one.recipe}: not shown to bring the voice nearer to the speaker ({_moved(one.selection)}). The data or the recipe is wrong; "
            + (
                "a full fine-tune is not the next step."
                if one.mode == "lora"
                else "go back to its LoRA recipe."
            )
        )
        return
    ships = (
        f"ships {wording.spoken(one.selection, one.shown)}"
        if one.selection.selected
        else f"nothing ships: {_why_not(one.selection)}"
    )
    yield f"{one.recipe}: moved the right way ({_moved(one.selection)}); {ships}."
    if shift := next((row for row in one.selection.accents if row.candidate == one.shown), None):
        yield f"{one.recipe}: accent shift toward the speaker {wording.accent(shift)}."
    if one.mode == "lora" and one.likeness is not None and one.real_likeness is not None:
        low, middle = one.real_likeness
        if one.likeness < low:
            yield (
                f"{one.recipe}: the voice is at {one.likeness:.2f}, real recordings of the speaker at {middle:.2f} (lowest {low:.2f}). "
                f"The adapter {_gain(one.likeness, one.base_likeness)}: first a longer run or a higher rank; a full fine-tune if that does not help."
            )
        else:
            yield f"{one.recipe}: the voice is at {one.likeness:.2f}, within real recordings of the speaker ({low:.2f} and above): the adapter carries the identity."


def _moved(found: Selection) -> str:
    """How far the nearest checkpoint came, by ear, or, where nothing was heard, by loss."""
    if found.nearest is not None:
        return (
            f"{wording.spoken(found, found.nearest.candidate)}: likeness {wording.difference(found.nearest)}"
        )
    best = found.best_against_base
    return f"{wording.spoken(found, best.candidate)}: loss {best.difference:+.4f} against {wording.spoken(found, best.against)}"


def _why_not(found: Selection) -> str:
    if found.decision == "not_heard":
        return "not everything was heard"
    return reasons.refusal(found)


def _gain(likeness: float, base: float | None) -> str:
    if base is not None and likeness < base + NEARER:
        return f"does not bring it nearer than the base's {base:.2f}"
    return "improves but does not reach the identity"


def _pair(lora: Outcome, full: Outcome, root: Path, dice: Spread | None) -> Iterator[str]:
    """Only of an adapter and a full fine-tune can the bottleneck be told; other pairs are placed beside each other.

    `dice`: likeness of full minus LoRA over their trainings; a voice is not called nearer where another training might turn it round.
    """
    if dice is not None:
        yield f"{full.recipe} against {lora.recipe}, with {len(dice.trainings)} trainings: {replication.sentence(dice)}."
    ours, theirs = lora.selection.decoding, full.selection.decoding
    if ours != theirs:
        yield (
            f"They were heard with other settings ({lora.recipe}: {decoding.as_text(ours)}; {full.recipe}: {decoding.as_text(theirs)}), so what "
            "follows is not of the training alone. Give both the same speak: and hear them again."
        )
    loss = against(full, lora, root)
    if loss is None:
        yield (
            f"{lora.recipe} and {full.recipe}: other base, other validation clips or controls in one alone, so their losses cannot be ranked. Compare the metrics, "
            "and listen."
        )
        return
    if (lora.mode, full.mode) != ("lora", "full"):
        return
    gain = [end for end in (loss.by_recording, loss.by_clip) if end is not None]
    lower = bool(gain) and all(end.high < 0 for end in gain)
    closer = (
        lora.likeness is not None and full.likeness is not None and full.likeness >= lora.likeness + NEARER
    ) and (dice is None or dice.verdict == replication.BETTER)
    figures = f"{_likenesses(lora, full)}; loss {loss.difference:+.4f}{_ends(gain)}{_forgets(lora, full)}"
    if full.selection.selected and not lora.selection.selected:
        yield f"{full.recipe} against {lora.recipe}: {figures}. Only the full fine-tune is shown to be better than the base: take it, or train the adapter otherwise."
    elif lora.selection.selected and not full.selection.selected:
        yield f"{full.recipe} against {lora.recipe}: {figures}. Only the adapter is shown to be better than the base: stay with LoRA."
    elif lora.likeness is None or full.likeness is None:
        yield f"{full.recipe} against {lora.recipe}: {figures}. Loss alone does not say whether the adapter is the bottleneck: listen; until then the adapter."
    elif lower and closer:
        yield f"{full.recipe} against {lora.recipe}: {figures}. The adapter is the bottleneck: the full fine-tune is worth its price, if listeners agree."
    elif lower or closer:
        yield f"{full.recipe} against {lora.recipe}: {figures}. Loss and voice disagree: listen before you decide; until then the adapter."
    else:
        yield f"{full.recipe} against {lora.recipe}: {figures}. The adapter is not the bottleneck: stay with LoRA."


def _ends(gain: Sequence[records.Interval]) -> str:
    return (
        f", 95 % {min(end.low for end in gain):+.4f} to {max(end.high for end in gain):+.4f}"
        if gain
        else ", no interval"
    )


def _likenesses(lora: Outcome, full: Outcome) -> str:
    if lora.likeness is None or full.likeness is None:
        return "the voice was not measured"
    return f"likeness {full.likeness:.3f} against {lora.likeness:.3f}"


def _forgets(lora: Outcome, full: Outcome) -> str:
    lost = [one.probe.forgetting if one.probe else None for one in (full, lora)]
    replays = [one.run.identity.train.replay_share > 0 for one in (full, lora)]
    if lost[0] is None or lost[1] is None or replays[0] != replays[1]:
        return ""  # with replay it is measured on other clips
    return f"; loss on other speakers {lost[0]:+.1%} against {lost[1]:+.1%}"


def _level(found: Selection, candidate: str, measure: str) -> float | None:
    """What the decision heard of a candidate; the report shows the same number."""
    level = exclusions.of(found, candidate).levels.get(measure)
    return None if level is None else level.mean
