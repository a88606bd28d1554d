"""Which checkpoint should ship, and does the evidence carry it?

The question is which candidate sounds most like the speaker among those that lose nothing: no words, no endings, no quality against the
better base (`guards`), in no stratum of the lines. Of those that pass, the nearest to the speaker ships, if it is shown to be nearer
than the base; what cannot be told from the nearest is tied with it, and ties go to the lower validation loss, then the earlier step.
A significant preference of listeners overrides. Outright failures are vetoes. Losses alone never ship a voice: where nothing could
be heard they nominate, and a person must give the reason. Nothing here ever prefers the last checkpoint.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from voicelathe import settings
from voicelathe.evaluate import (
    accents,
    baseline,
    design,
    evidence,
    guards,
    nomination,
    preferences,
    probing,
    prosody,
    reasons,
    robustness,
    scores,
)
from voicelathe.evaluate.evidence import BASES
from voicelathe.evaluate.nomination import Losses
from voicelathe.records import (
    Ceiling,
    CheckpointRecord,
    ClipLoss,
    EvaluationRecord,
    Evidence,
    LineTest,
    Listening,
    Probed,
    Race,
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
    select: settings.Select,
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
    losses = nomination.resample(paired, run.identity.seed)
    evidence.check_measures(run, samples, measures)
    probing.check_codes(run.recipe, select.vetoes, measures)
    measured = evidence.measured_vetoes(measures, samples, select)
    spoken, limits, real = scores.of(samples, measures), guards.margins(select.guards), scores.real(measures)
    base = baseline.choose([name for name in paired.names if name in BASES], spoken, limits, losses.means)
    delivered = prosody.judge(paired.names, base.name, measures, run.identity.seed)
    probe_vetoes, probe_notes = probing.findings([*probed, *delivered], select.vetoes)
    vetoes = evidence.joined(
        evidence.vetoes(samples, base_trained, select.max_vetoed_share), measured.vetoes, probe_vetoes
    )
    notes = evidence.joined(evidence.remarks(samples, vetoes), measured.notes, probe_notes)
    judged = guards.judge(
        paired.names,
        base.name,
        spoken,
        limits,
        guards.allowances(spoken, base.name, real),
        race.strata,
        {drop.candidate: drop.text for round_ in race.rounds for drop in round_.drops},
    )
    counts = verdict is not None and verdict.sweep == design.sweep_digest(run.run_digest, samples)
    choice = _choose(
        run, losses, base.name, spoken, {one.candidate: one for one in judged}, vetoes,
        verdict if counts else None, samples, measures,
    )  # fmt: skip
    by_loss = next((name for name in losses.order_of_tuned() if name not in vetoes), None)
    tuned = losses.order_of_tuned()
    shipped = choice.chosen if choice.decision == SHIP else None
    record = next((one for one in paired.candidates if one.candidate == shipped), None)
    runner_up = next((name for name in tuned if name != choice.chosen and name not in vetoes), None)
    ahead = losses.compare(choice.chosen, runner_up) if choice.chosen and runner_up else None
    nearest = _nearest(judged)
    selection = Selection(
        recipe=run.recipe,
        run_digest=run.run_digest,
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
        runner_up=runner_up if choice.chosen else None,
        margin=-ahead.difference if ahead else None,
        loss_weights=dict(paired.weights),
        num_clips=len(paired.clips),
        num_recordings=losses.num_recordings,
        ranking=nomination.rank(losses, by_loss, vetoes, notes),
        base=base.name,
        base_because=base.because,
        against_base=losses.compare(choice.chosen, base.name) if choice.chosen else None,
        against_runner_up=ahead,
        best_against_base=losses.compare(tuned[0], base.name),
        nearest=nearest,
        moved=_moved(losses, base.name, nearest),
        robustness=robustness.ranges(
            paired, [one.candidate for one in losses.order() if one.candidate not in vetoes]
        ),
        identical=robustness.identical(paired),
        listening=choice.listening,
        evidence=judged,
        real={measure: scores.level(measure, values) for measure, values in real.items()},
        race=race,
        prosody=delivered,
        ceiling=ceiling,
        accents=accents.shifts(measures, paired.names, base.name, run.identity.seed),
        probes=list(probed),
        base_trained=base_trained,
        inputs=dict(inputs),
    )
    return reasons.explain(
        selection,
        probing.powerless(select.vetoes, measures),
        has_foreign_verdict=verdict is not None and not counts,
        few_recordings=nomination.FEW_RECORDINGS,
    )


def _choose(
    run: RunRecord,
    losses: Losses,
    base: str,
    spoken: scores.Scores,
    judged: Mapping[str, Evidence],
    vetoes: Mapping[str, list[str]],
    verdict: Verdict | None,
    samples: Sequence[SampleRecord],
    measures: SpeechMeasures,
) -> _Choice:
    """The nominee of speech, unless listeners significantly prefer another one that is neither vetoed nor shown to lose something."""
    eligible = [
        name
        for name in losses.order_of_tuned()
        if name not in vetoes and judged[name].standing != guards.FAILS
    ]
    if not eligible:
        return _Choice(None, None, DO_NOT_SHIP, SPEECH, None, None)
    nominee = _nominee(eligible, judged, spoken)
    listening = None
    if verdict is not None:
        listening = preferences.summarise(verdict, losses.paired.names, nominee, base, run.identity.seed)
    chosen = _preferred(listening, eligible) or nominee
    unheard = evidence.unheard(chosen, samples, measures, listening)
    if not unheard and judged[chosen].standing == guards.NOT_MEASURED:
        unheard = evidence.NOT_MEASURED
    decision, decided_by = _decision(losses, base, judged[chosen], unheard)
    if chosen != nominee:
        decided_by = LISTENING
    if (by_ears := _against_base(listening, chosen)) is not None and by_ears != (decision == SHIP):
        decision, decided_by = SHIP if by_ears else DO_NOT_SHIP, LISTENING
    unheard = None if decision == SHIP else unheard
    return _Choice(nominee, chosen, decision, decided_by, listening, unheard)


def _nominee(eligible: Sequence[str], judged: Mapping[str, Evidence], spoken: scores.Scores) -> str:
    """The nearest to the speaker of the best standing there is; ties go to the first of `eligible`, which is sorted by loss.

    Where likeness was not measured the lowest loss nominates.
    """
    standing = next(one for one in STANDINGS if any(judged[name].standing == one for name in eligible))
    equals = [name for name in eligible if judged[name].standing == standing]
    known = [name for name in equals if spoken.has(scores.LIKENESS, name)]
    if not known:
        return equals[0]
    nearest = max(known, key=lambda name: spoken.mean(scores.LIKENESS, name) or 0.0)
    return next(name for name in known if name == nearest or _is_tied(spoken, name, nearest))


def _is_tied(spoken: scores.Scores, name: str, nearest: str) -> bool:
    """Whether neither likeness nor words tell a candidate from the nearest one."""
    tests = [scores.test(spoken, measure, name, nearest) for measure in (scores.LIKENESS, scores.WORDS)]
    return all(one is None or min(one.p_worse, one.p_better) >= guards.SIGNIFICANT / 2 for one in tests)


def _decision(losses: Losses, base: str, chosen: Evidence, unheard: str | None) -> tuple[str, str]:
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


def _against_base(listening: Listening | None, chosen: str) -> bool | None:
    """Whether listeners significantly prefer the chosen one to the base, or the base to it; None for neither."""
    for one in listening.against_base if listening else []:
        if one.candidate == chosen and preferences.is_significant(one):
            return preferences.is_preferred(one)
    return None


def _nearest(judged: Sequence[Evidence]) -> LineTest | None:
    """Of every checkpoint, vetoes and guards aside."""
    gains = [one.gain for one in judged if one.gain is not None and one.candidate not in BASES]
    return max(gains, key=lambda gain: (gain.difference, gain.candidate), default=None)


def _moved(losses: Losses, base: str, nearest: LineTest | None) -> bool:
    """Did training move the voice toward the speaker? Where nothing was heard: did it lower the loss?"""
    if nearest is not None:
        return guards.is_nearer(nearest)
    return losses.is_lower(losses.compare(losses.order_of_tuned()[0], base))
