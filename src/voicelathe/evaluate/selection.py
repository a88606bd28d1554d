"""Which checkpoint should ship, and does the evidence carry it?

The question is which candidate sounds most like the speaker among those that lose nothing: no words, no endings, no quality against the
better base (`guards`), in no stratum of the lines. Of those that pass, the nearest to the speaker ships, if it is shown to be nearer
than the base; what cannot be told from the nearest is tied with it, and ties go to the lower validation loss, then the earlier step.
A significant preference of listeners overrides. Outright failures are vetoes. Losses alone never ship a voice: where nothing could
be heard they nominate, and a person must give the reason. Nothing here ever prefers the last checkpoint.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from voicelathe.config import schema
from voicelathe.evaluate import baseline, evidence, failures, guards, nomination, robustness, scores
from voicelathe.evaluate.evidence import BASES
from voicelathe.evaluate.listening import design, preferences
from voicelathe.evaluate.nomination import Losses
from voicelathe.evaluate.report import reasons
from voicelathe.evaluate.scoring import accents, probing, prosody
from voicelathe.records import (
    HARD_FAILURES,
    Ceiling,
    CheckpointRecord,
    ClipLoss,
    EvaluationRecord,
    Evidence,
    Fallback,
    LineTest,
    Listening,
    Probed,
    Prosody,
    Race,
    Reason,
    RunRecord,
    SampleRecord,
    Selection,
    SpeechMeasures,
    Verdict,
)

SPEECH, LISTENING, VALIDATION = "speech", "listening", "validation"
SHIP, DO_NOT_SHIP, NOT_HEARD = "ship", "do_not_ship", "not_heard"
STANDINGS = (guards.PASSES, guards.NO_GAIN, guards.NOT_SHOWN, guards.NOT_MEASURED, guards.DROPPED)


@dataclass(frozen=True)
class _Case:
    """Everything that a decision looks at, lined up and judged."""

    run: RunRecord
    samples: Sequence[SampleRecord]
    measures: SpeechMeasures
    losses: Losses
    vetoes: Mapping[str, list[Reason]]
    notes: Mapping[str, list[Reason]]
    spoken: scores.Scores
    base: baseline.Baseline
    judged: Mapping[str, Evidence]  # candidate -> evidence, by step
    fallback: Fallback  # the base to speak with where nothing ships
    delivered: Sequence[Prosody]


@dataclass(frozen=True)
class _Choice:
    """Who was nominated, who was chosen, and whether that may ship."""

    nominee: str | None
    chosen: str | None
    decision: str
    decided_by: str
    listening: Listening | None
    unheard: str | None


def decide(
    run: RunRecord,
    evaluations: Sequence[EvaluationRecord],
    clip_losses: Sequence[ClipLoss],
    samples: Sequence[SampleRecord],
    verdict: Verdict | None,
    select: schema.Select,
    base_trained: bool,
    inputs: Mapping[str, str],
    checkpoints: Sequence[CheckpointRecord],
    measures: SpeechMeasures,
    race: Race,
    probed: Sequence[Probed] = (),
    ceiling: Ceiling | None = None,
) -> Selection:
    """The decision with all its evidence. The order of the rows does not matter; a verdict on other samples is noted, not counted.

    Raises SelectionError when checkpoints, evaluations, clip losses, samples and race have holes, duplicates or losses that are no numbers.
    """
    paired = evidence.pair(run.recipe, evaluations, clip_losses, samples, select.loss_weights, race)
    evidence.check_index(run.recipe, evaluations, checkpoints)
    evidence.check_measures(run, samples, measures, race)
    probing.check_codes(run.recipe, select.vetoes, measures)
    losses = nomination.resample(paired, run.identity.seed)
    case = _case(run, losses, samples, select, base_trained, measures, race, probed)
    counts = verdict is not None and verdict.sweep == design.sweep_digest(run.run_digest, samples)
    choice = _choose(case, verdict if counts else None)
    return reasons.explain(
        _selection(case, choice, race, ceiling, probed, base_trained, inputs),
        probing.powerless(select.vetoes, measures),
        has_foreign_verdict=verdict is not None and not counts,
        few_recordings=nomination.FEW_RECORDINGS,
    )


def _case(
    run: RunRecord,
    losses: Losses,
    samples: Sequence[SampleRecord],
    select: schema.Select,
    base_trained: bool,
    measures: SpeechMeasures,
    race: Race,
    probed: Sequence[Probed],
) -> _Case:
    """Vetoes of every kind, the base to beat, and the evidence of every candidate against it."""
    measured = failures.measured_vetoes(measures, samples, select)
    names = losses.paired.names
    spoken, limits = scores.of(samples, measures), guards.margins(select.guards)
    base = baseline.choose([name for name in names if name in BASES], spoken, limits, losses.means)
    delivered = prosody.judge(names, base.name, measures, run.identity.seed)
    probe_vetoes, probe_notes = probing.findings([*probed, *delivered], select.vetoes)
    failed = failures.vetoes(samples, base_trained, select.max_vetoed_share)
    vetoes = failures.joined(failed, measured.vetoes, probe_vetoes)
    notes = failures.joined(failures.remarks(samples, vetoes), measured.notes, probe_notes)
    against = guards.bar(spoken, base.name, select.guards, scores.real(measures))
    dropped = {drop.candidate: drop for part in race.rounds for drop in part.drops}
    unfit = [name for name, found in vetoes.items() if any(one.code not in guards.PRICED for one in found)]
    judged = guards.judge(names, against, race.strata, dropped, unfit)
    by_name = {one.candidate: one for one in judged}
    instead = guards.fallback(against, unfit)
    return _Case(run, samples, measures, losses, vetoes, notes, spoken, base, by_name, instead, delivered)


def _selection(
    case: _Case,
    choice: _Choice,
    race: Race,
    ceiling: Ceiling | None,
    probed: Sequence[Probed],
    base_trained: bool,
    inputs: Mapping[str, str],
) -> Selection:
    """The record, still without its words."""
    losses, base, ships = case.losses, case.base.name, choice.decision == SHIP
    paired, shipped = losses.paired, choice.chosen if ships else None
    record = {one.candidate: one for one in paired.candidates}.get(shipped or "")
    by_loss = _by_loss(case)
    runner_up = _runner_up(case, choice.chosen)
    ahead = losses.compare(choice.chosen, runner_up) if choice.chosen and runner_up else None
    nearest = _nearest(list(case.judged.values()))
    winners = [one.candidate for one in losses.order() if one.candidate not in case.vetoes]
    return Selection(
        recipe=case.run.recipe,
        run_digest=case.run.run_digest,
        decision=choice.decision,
        decided_by=choice.decided_by,
        unheard=choice.unheard,
        selected=shipped,
        step=record.step if record else None,
        lora_scale=record.lora_scale if record else None,
        checkpoint_sha256=record.checkpoint_sha256 if record else None,
        nominee=choice.nominee,
        by_loss=by_loss,
        reasons=[],
        notes=[],
        runner_up=runner_up,
        margin=-ahead.difference if ahead else None,
        loss_weights=dict(paired.weights),
        num_clips=len(paired.clips),
        num_recordings=losses.num_recordings,
        ranking=nomination.rank(losses, by_loss, case.vetoes, case.notes),
        base=base,
        base_because=case.base.because,
        fallback=None if ships else case.fallback,
        against_base=losses.compare(choice.chosen, base) if choice.chosen else None,
        against_runner_up=ahead,
        best_against_base=losses.compare(losses.order_of_tuned()[0], base),
        nearest=nearest,
        moved=_moved(losses, base, nearest),
        robustness=robustness.ranges(paired, winners),
        identical=robustness.identical(paired),
        listening=choice.listening,
        evidence=list(case.judged.values()),
        real=scores.real_levels(case.measures),
        race=race,
        decoding=evidence.decoding_of(case.run.recipe, case.samples),
        prosody=list(case.delivered),
        ceiling=ceiling,
        accents=accents.shifts(case.measures, paired.names, base, case.run.identity.seed),
        probes=list(probed),
        base_trained=base_trained,
        inputs=dict(inputs),
    )


def _runner_up(case: _Case, chosen: str | None) -> str | None:
    """The next by loss of those without a veto; None where nobody was chosen."""
    others = (name for name in case.losses.order_of_tuned() if name not in case.vetoes and name != chosen)
    return next(others, None) if chosen else None


def _by_loss(case: _Case) -> str | None:
    """Whom the lowest loss would have shipped: only what said nothing at all would have stopped it."""
    broken = {one.candidate for one in case.samples if one.problem in HARD_FAILURES}
    return next((name for name in case.losses.order_of_tuned() if name not in broken), None)


def _choose(case: _Case, verdict: Verdict | None) -> _Choice:
    """The nominee of speech, unless listeners significantly prefer another one that is neither vetoed nor shown to lose something."""
    losses, base, judged = case.losses, case.base.name, case.judged
    eligible = [
        name
        for name in losses.order_of_tuned()
        if name not in case.vetoes and judged[name].standing != guards.FAILS
    ]
    if not eligible:
        return _Choice(None, None, DO_NOT_SHIP, SPEECH, None, None)
    best = nominee(eligible, judged, case.spoken)
    listening = None
    if verdict is not None:
        seed = case.run.identity.seed
        listening = preferences.summarise(verdict, losses.paired.names, best, base, seed)
    chosen = _preferred(listening, eligible) or best
    unheard = failures.unheard(chosen, case.samples, case.measures, listening)
    if not unheard and judged[chosen].standing == guards.NOT_MEASURED:
        unheard = failures.NOT_MEASURED
    decision, decided_by = _decision(losses, base, judged[chosen])
    if chosen != best:
        decided_by = LISTENING
    by_ears = preferences.against_base(listening, chosen)
    if by_ears is not None and decision != (SHIP if by_ears else DO_NOT_SHIP):
        decision, decided_by = SHIP if by_ears else DO_NOT_SHIP, LISTENING
        unheard = None
    return _Choice(best, chosen, decision, decided_by, listening, None if decision == SHIP else unheard)


def nominee(eligible: Sequence[str], judged: Mapping[str, Evidence], spoken: scores.Scores) -> str:
    """The nearest to the speaker of the best standing there is; ties go to the first of `eligible`, which is sorted by loss.

    Where likeness was not measured the lowest loss nominates.
    """
    standing = next(one for one in STANDINGS if any(judged[name].standing == one for name in eligible))
    equals = [name for name in eligible if judged[name].standing == standing]
    known = [name for name in equals if spoken.has(scores.LIKENESS, name)]
    if not known:
        return equals[0]
    nearest = max(known, key=lambda name: spoken.mean(scores.LIKENESS, name) or 0.0)
    return next(name for name in known if name == nearest or is_tied(spoken, name, nearest))


def is_tied(spoken: scores.Scores, name: str, nearest: str) -> bool:
    """Whether neither likeness nor words tell a candidate from the nearest one."""
    tests = [scores.test(spoken, measure, name, nearest) for measure in (scores.LIKENESS, scores.WORDS)]
    return all(one is None or min(one.p_worse, one.p_better) >= guards.SIGNIFICANT / 2 for one in tests)


def _decision(losses: Losses, base: str, chosen: Evidence) -> tuple[str, str]:
    """What speech says of the chosen one; where it says nothing, what the losses say, which never ship."""
    if chosen.standing == guards.PASSES:
        return SHIP, SPEECH
    if chosen.standing != guards.NOT_MEASURED:
        return DO_NOT_SHIP, SPEECH
    if chosen.gain is not None:
        return (NOT_HEARD if guards.is_nearer(chosen.gain) else DO_NOT_SHIP), SPEECH
    lower = losses.is_lower(losses.compare(chosen.candidate, base))
    return (NOT_HEARD if lower else DO_NOT_SHIP), VALIDATION


def _preferred(listening: Listening | None, eligible: Sequence[str]) -> str | None:
    """Whom listeners significantly prefer to the nominee; of several the strongest."""
    if listening is None:
        return None
    preferred = {
        one.candidate
        for one in listening.against_nominee
        if preferences.is_preferred(one) and one.candidate in eligible
    }
    return next((one.candidate for one in listening.strengths if one.candidate in preferred), None)


def _nearest(judged: Sequence[Evidence]) -> LineTest | None:
    """Of every checkpoint, vetoes and guards aside."""
    gains = [one.gain for one in judged if one.gain is not None and one.candidate not in BASES]
    return max(gains, key=lambda gain: (gain.difference, gain.candidate), default=None)


def _moved(losses: Losses, base: str, nearest: LineTest | None) -> bool:
    """Did training move the voice toward the speaker? Where nothing was heard: did it lower the loss?"""
    if nearest is not None:
        return guards.is_nearer(nearest)
    return losses.is_lower(losses.compare(losses.order_of_tuned()[0], base))
