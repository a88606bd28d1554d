"""Which checkpoint should ship, and does the evidence carry it?

Validation nominates: the lowest weighted total among the checkpoints without a veto. What cannot be told from the nominee is tied
with it, and inside the tie the nominee stays; of an adapter's strengths at the nominated step metrics may choose another. A significant preference of listeners overrides. Whatever is chosen must beat the
base, with its confidence interval or in listening, and must have been heard by a metric or a listener, or nothing ships: losses
alone never ship a voice. Nothing here ever prefers the last checkpoint.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from voicelathe import rng, settings
from voicelathe.evaluate import (
    accents,
    bar,
    design,
    evidence,
    preferences,
    probing,
    reasons,
    robustness,
    statistics,
    strengths,
)
from voicelathe.evaluate.evidence import BASES, Paired
from voicelathe.evaluate.statistics import Floats, percentile_interval, rounded
from voicelathe.records import (
    CheckpointRecord,
    ClipLoss,
    Comparison,
    EvaluationRecord,
    FigureTest,
    Interval,
    Listening,
    Probed,
    Ranked,
    RunRecord,
    SampleRecord,
    Selection,
    SpeechMeasures,
    Verdict,
)

FEW_RECORDINGS = 8  # with fewer, the bootstrap over recordings is too narrow to be trusted alone


@dataclass(frozen=True)
class _Losses:
    """Paired losses with their resampled means, which every interval comes from."""

    paired: Paired
    means: dict[str, float]  # candidate -> weighted total
    by_recording: Floats | None  # [R, C]
    by_clip: Floats | None
    num_recordings: int

    def compare(self, candidate: str, against: str) -> Comparison:
        one, other = self.paired.names.index(candidate), self.paired.names.index(against)
        recording, clip = (
            None if means is None else rounded(percentile_interval(means[:, one] - means[:, other]))
            for means in (self.by_recording, self.by_clip)
        )
        return Comparison(
            candidate, against, round(self.means[candidate] - self.means[against], 9), recording, clip
        )

    def deciding(self, comparison: Comparison) -> list[Interval]:
        """The intervals that must agree: over recordings, and with few of them over clips as well. None at all for a single clip."""
        both = (
            [comparison.by_recording]
            if self.num_recordings >= FEW_RECORDINGS
            else [comparison.by_recording, comparison.by_clip]
        )
        return [interval for interval in both if interval is not None]

    def is_better(self, comparison: Comparison) -> bool:
        intervals = self.deciding(comparison)
        return bool(intervals) and all(interval.high < 0 for interval in intervals)


@dataclass(frozen=True)
class _Choice:
    """Who was nominated, who was chosen, and whether that may ship."""

    nominee: str | None
    chosen: str | None
    runner_up: str | None
    ships: bool
    decided_by: str
    against_base: Comparison | None
    listening: Listening | None
    unheard: str | None = None  # why nobody has heard the chosen one
    heard_against_base: list[FigureTest] = field(default_factory=list)

    @property
    def decision(self) -> str:
        if not self.ships:
            return "do_not_ship"
        return "not_heard" if self.unheard else "ship"


def decide(
    run: RunRecord,
    evaluations: Sequence[EvaluationRecord],
    clip_losses: Sequence[ClipLoss],
    samples: Sequence[SampleRecord],
    verdict: Verdict | None,
    select: settings.Select,
    base_trained: bool,
    inputs: Mapping[str, str],
    checkpoints: Sequence[CheckpointRecord],
    measures: SpeechMeasures,
    probed: Sequence[Probed] = (),
) -> Selection:
    """The decision with all its evidence. The order of the rows does not matter; a verdict on other samples is noted, not counted.

    Raises SelectionError when checkpoints, evaluations, clip losses and samples have holes, duplicates or losses that are no numbers.
    """
    paired = evidence.pair(run.recipe, evaluations, clip_losses, samples, select.loss_weights)
    evidence.check_index(run.recipe, evaluations, checkpoints)
    losses = _resample(paired, run.identity.seed)
    evidence.check_measures(run, samples, measures)
    probing.check_codes(run.recipe, select.vetoes, measures)
    failed = evidence.vetoes(samples, base_trained)
    heard = evidence.measured_vetoes(measures, samples, select)
    probe_vetoes, probe_notes = probing.findings(probed, select.vetoes)
    vetoes = evidence.joined(failed, heard.vetoes, probe_vetoes)
    order = sorted(
        paired.candidates, key=lambda one: (losses.means[one.candidate], one.step, one.lora_scale or 0.0)
    )
    eligible = [one.candidate for one in order if one.candidate not in (*BASES, *vetoes)]
    bases = [one.candidate for one in order if one.candidate in BASES]
    base = bar.choose(bases, samples, measures, select.vetoes, losses.means)
    counts = verdict is not None and verdict.sweep == design.sweep_digest(run.run_digest, samples)
    listening = None
    if verdict is not None and counts and eligible:
        listening = preferences.summarise(verdict, paired.names, eligible[0], base.name, run.identity.seed)
    swept = strengths.tests(measures, eligible[0], eligible, paired.candidates) if eligible else []
    choice = _choose(losses, eligible, base.name, strengths.preferred(swept, eligible), listening)
    choice = _heard(choice, base.name, samples, measures)
    notes = evidence.joined(evidence.remarks(samples, vetoes), heard.notes, probe_notes)
    ranking = _rank(losses, order, choice.nominee, vetoes, notes)
    shifted = accents.shifts(measures, paired.names, base.name, run.identity.seed)
    selection = replace(
        _record(run, losses, choice, ranking, base, base_trained, inputs, probed),
        strengths=swept,
        accents=shifted,
    )
    return reasons.explain(
        selection,
        probing.powerless(select.vetoes, measures),
        has_foreign_verdict=verdict is not None and not counts,
        few_recordings=FEW_RECORDINGS,
    )


def _record(
    run: RunRecord,
    losses: _Losses,
    choice: _Choice,
    ranking: list[Ranked],
    base: bar.Bar,
    base_trained: bool,
    inputs: Mapping[str, str],
    probed: Sequence[Probed],
) -> Selection:
    shipped = next(
        (
            one
            for one in losses.paired.candidates
            if choice.decision == "ship" and one.candidate == choice.chosen
        ),
        None,
    )
    best = losses.compare(next(one.candidate for one in ranking if one.step), base.name)
    ahead = losses.compare(choice.chosen, choice.runner_up) if choice.chosen and choice.runner_up else None
    return Selection(
        recipe=run.recipe,
        run_digest=run.run_digest,
        decision=choice.decision,
        decided_by=choice.decided_by,
        unheard=choice.unheard,
        selected=shipped.candidate if shipped else None,
        step=shipped.step if shipped else None,
        lora_scale=shipped.lora_scale if shipped else None,
        checkpoint_sha256=shipped.checkpoint_sha256 if shipped else None,
        nominee=choice.nominee,
        reasons=[],
        notes=[],
        runner_up=choice.runner_up,
        margin=-ahead.difference if ahead else None,
        loss_weights=dict(losses.paired.weights),
        num_clips=len(losses.paired.clips),
        num_recordings=losses.num_recordings,
        ranking=ranking,
        base=base.name,
        base_because=base.because,
        against_base=choice.against_base,
        against_runner_up=ahead,
        best_against_base=best,
        moved=losses.is_better(best),
        robustness=robustness.ranges(losses.paired, [one.candidate for one in ranking if not one.vetoes]),
        identical=robustness.identical(losses.paired),
        listening=choice.listening,
        heard_against_base=choice.heard_against_base,
        accents=[],
        strengths=[],
        probes=list(probed),
        base_trained=base_trained,
        inputs=dict(inputs),
    )


def _resample(paired: Paired, seed: int) -> _Losses:
    totals_NC = paired.totals_NC
    means = {
        name: round(float(np.mean(column)), 9) for name, column in zip(paired.names, totals_NC.T, strict=True)
    }
    by_recording = statistics.resampled_means(
        totals_NC, paired.recordings, rng.key(seed, "bootstrap recordings")
    )
    by_clip = statistics.resampled_means(totals_NC, paired.clips, rng.key(seed, "bootstrap clips"))
    return _Losses(paired, means, by_recording, by_clip, len(set(paired.recordings)))


def _choose(
    losses: _Losses, eligible: Sequence[str], base: str, by_metrics: str | None, listening: Listening | None
) -> _Choice:
    """The nominee, unless listeners significantly prefer another eligible candidate to it; of several the strongest.

    Where they do not, metrics may prefer another strength of the same step, unless listeners significantly prefer the nominee to it.
    """
    if not eligible:
        return _Choice(None, None, None, False, "validation", None, None)
    chosen, decided_by = (by_metrics, "metrics") if by_metrics else (eligible[0], "validation")
    if listening is not None:
        if preferences.refused(by_metrics, listening):
            chosen, decided_by = eligible[0], "listening"
        preferred = {
            one.candidate
            for one in listening.against_nominee
            if preferences.is_preferred(one) and one.candidate in eligible
        }
        strongest = [one.candidate for one in listening.strengths if one.candidate in preferred]
        chosen, decided_by = (strongest[0], "listening") if strongest else (chosen, decided_by)
    against_base = losses.compare(chosen, base)
    ships = losses.is_better(against_base)
    heard = next(
        (one for one in (listening.against_base if listening else []) if one.candidate == chosen), None
    )
    if heard is not None and preferences.is_significant(heard) and preferences.is_preferred(heard) != ships:
        ships, decided_by = preferences.is_preferred(heard), "listening"
    runner_up = next((name for name in eligible if name != chosen), None)
    return _Choice(eligible[0], chosen, runner_up, ships, decided_by, against_base, listening)


def _heard(choice: _Choice, base: str, samples: Sequence[SampleRecord], measures: SpeechMeasures) -> _Choice:
    """The choice with what ears say of it: whether anybody heard it, and how it stands against the base."""
    if choice.chosen is None:
        return choice
    unheard = evidence.unheard(choice.chosen, samples, measures, choice.listening)
    return replace(choice, unheard=unheard, heard_against_base=bar.heard(measures, choice.chosen, base))


def _rank(
    losses: _Losses,
    order: Sequence[EvaluationRecord],
    nominee: str | None,
    vetoes: Mapping[str, list[str]],
    remarks: Mapping[str, list[str]],
) -> list[Ranked]:
    reference = nominee or order[0].candidate
    may_win = [one.candidate not in vetoes for one in losses.paired.candidates]
    means = losses.by_clip if losses.by_recording is None else losses.by_recording
    shares = statistics.win_probabilities(means, may_win) if means is not None and any(may_win) else None
    rows = []
    for one in order:
        comparison = losses.compare(one.candidate, reference)
        itself = one.candidate == reference
        rows.append(
            Ranked(
                candidate=one.candidate,
                step=one.step,
                lora_scale=one.lora_scale,
                total=losses.means[one.candidate],
                losses=dict(one.losses),
                behind=comparison.difference,
                behind_by_recording=None if itself else comparison.by_recording,
                behind_by_clip=None if itself else comparison.by_clip,
                win_probability=round(shares[losses.paired.names.index(one.candidate)], 4)
                if shares
                else None,
                is_tied=not itself
                and (
                    not (ends := losses.deciding(comparison)) or any(end.low <= 0 <= end.high for end in ends)
                ),
                vetoes=list(vetoes.get(one.candidate, [])),
                notes=list(remarks.get(one.candidate, [])),
            )
        )
    return rows
