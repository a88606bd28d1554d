"""What do the probes of a sweep say? Shares and intervals of every candidate, beside the base's, and what is out of bounds.

A fine-tune can lower its validation loss and be useless: it may have stopped to read the text, never end, or have lost what
the base could do with other voices. Each is judged against the base on the same clips, because a small base may do badly itself.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from voicelathe import rng
from voicelathe.config import schema
from voicelathe.errors import SelectionError, listing
from voicelathe.evaluate import evidence
from voicelathe.evaluate.evidence import BASE
from voicelathe.evaluate.metrics import found
from voicelathe.evaluate.scoring import controls, prosody
from voicelathe.evaluate.statistics import Floats, percentile_interval, resampled_means, rounded
from voicelathe.records import (
    BaseFacts,
    Ending,
    EvaluationRecord,
    Interval,
    Probed,
    ProbeRecord,
    Prosody,
    Reason,
    SpeechMeasures,
)

EARLY_S = 0.25  # an end this close to the real one loses nothing that is heard
CODES = ("ignores_text", "stops_early", "runs_on", "forgets", controls.CODE)
DIGITS = 6


def judge(
    recipe: str,
    probes: Sequence[ProbeRecord],
    evaluations: Sequence[EvaluationRecord],
    limits: schema.ProbeLimits,
    base: BaseFacts,
    seed: int,
) -> list[Probed]:
    """One row a candidate, the base first. Raises SelectionError when probes and evaluations are not of the same weights and clips."""
    _require_same(recipe, probes, evaluations)
    by_name = {one.candidate: one for one in probes}
    totals = {one.candidate: one.total for one in evaluations}
    early = round(EARLY_S * base.positions_per_s)
    own = by_name[BASE]
    rows = []
    for one in sorted(probes, key=lambda one: (one.step, one.lora_scale or 0.0)):
        gap, gap_interval = _rise(one.own_text, one.other_text, rng.key(seed, "bootstrap text"))
        lost, lost_interval = _rise(
            own.general_totals, one.general_totals, rng.key(seed, "bootstrap general")
        )
        ends = list(one.endings.values())
        grown = _gap(one, totals[one.candidate]) - _gap(own, totals[BASE])
        rows.append(
            Probed(
                candidate=one.candidate,
                adapter_shift=one.adapter.shifts[-1] if one.adapter else None,
                text_gap=None if one.own_text == one.other_text else gap,
                text_gap_interval=None if one.own_text == one.other_text else gap_interval,
                stops_early_share=_share(_is_early(end, early) for end in ends),
                runs_on_share=_share(end.first_stop is None for end in ends),
                overfitting=round(grown, DIGITS),
                forgetting=lost,
                forgetting_interval=lost_interval,
                findings=[],
                controls=controls.judge(own, one, seed),
            )
        )
    return [_with_findings(one, rows[0], limits, base.trained) for one in rows]


def check_codes(recipe: str, codes: Sequence[str], measures: SpeechMeasures) -> None:
    """A code that no metric knows protects nobody. Those of a plug-in are known from its answer; without one nothing is refused.

    Raises SelectionError.
    """
    known = (
        {one.figure.veto for one in measures.figures if one.figure.veto}
        | set(CODES)
        | set(prosody.CODES)
        | set(found.built_in_codes())
    )
    if all(one.status == "measured" for one in measures.metrics) and (strange := sorted(set(codes) - known)):
        raise SelectionError(
            f"recipes.{recipe}.select.vetoes names {', '.join(strange)}, which neither a built-in metric, nor another of listen.metrics, nor a probe "
            f"can show. There are: {', '.join(sorted(known))}. Correct the name, or add its metric; then: dvc repro select@{recipe}"
        )


def powerless(codes: Sequence[str], measures: SpeechMeasures) -> list[str]:
    """The vetoes that no metric could show, whatever was spoken, each with the metrics that know it and what became of them."""
    limited = {one.figure.veto for one in measures.figures if (one.low, one.high) != (None, None)}
    ended = {one.metric: one for one in measures.metrics}
    limited |= set(prosody.CODES) if prosody.can_show(measures) else set()
    metrics = {**found.built_in_codes(), **{code: ["prosody"] for code in prosody.CODES}}

    def fate(metric: str) -> str:
        if (one := ended.get(metric)) is None:
            return f"{metric} is not in listen.metrics"
        if one.status == "measured":
            return f"{metric} got no limit from {measures.num_real} held-out clips of the speaker"
        return f"{metric} {one.status.replace('_', ' ')}: {one.detail}"

    return [
        f"{code} ({'; '.join(map(fate, metrics.get(code, []))) or 'no metric of listen.metrics knows it'})"
        for code in sorted(set(codes) - limited - set(CODES))
    ]


def findings(
    probed: Sequence[Probed | Prosody], vetoes: Sequence[str]
) -> tuple[dict[str, list[Reason]], dict[str, list[Reason]]]:
    """What excludes a candidate, and what is only worth knowing of it."""
    excluded: dict[str, list[Reason]] = {}
    noted: dict[str, list[Reason]] = {}
    for one in probed:
        for reason in one.findings:
            (excluded if reason.code in vetoes else noted).setdefault(one.candidate, []).append(reason)
    return excluded, noted


def _with_findings(one: Probed, base: Probed, limits: schema.ProbeLimits, base_trained: bool) -> Probed:
    if one.candidate == BASE:
        return one
    return replace(one, findings=list(_findings(one, base, limits, base_trained)))


def _findings(one: Probed, base: Probed, limits: schema.ProbeLimits, base_trained: bool) -> Iterator[Reason]:
    reads = base.text_gap_interval is not None and base.text_gap_interval.low > 0
    gap, own_gap = one.text_gap or 0.0, base.text_gap or 0.0
    if reads and gap < limits.min_text_share * own_gap:
        yield Reason(
            "ignores_text", f"another text raises the loss by {gap:.1%}, in the base by {own_gap:.1%}"
        )
    for code, share, own, limit in (
        ("stops_early", one.stops_early_share, base.stops_early_share, limits.max_stops_early_share),
        ("runs_on", one.runs_on_share, base.runs_on_share, limits.max_runs_on_share),
    ):
        if base_trained and share > max(limit, own):
            yield Reason(code, f"{share:.0%} of the probed clips, in the base {own:.0%}")
    lost = one.forgetting_interval
    if one.forgetting is not None and lost is not None and lost.low > limits.max_forgetting:
        yield Reason("forgets", f"the loss on other speakers rose by {one.forgetting:.1%}")
    yield from controls.findings(one.controls)


def _rise(
    before: Mapping[str, float], after: Mapping[str, float], key: int
) -> tuple[float | None, Interval | None]:
    """Relative change of a mean over the same clips, and its interval; None without clips."""
    if not before:
        return None, None
    clips = sorted(before)
    both = np.array([[before[clip], after[clip]] for clip in clips], dtype=np.float64)
    change = float(both[:, 1].sum() / both[:, 0].sum() - 1.0)
    means: Floats | None = resampled_means(both, clips, key)
    interval = None if means is None else rounded(percentile_interval(means[:, 1] / means[:, 0] - 1.0))
    return round(change, DIGITS), interval


def _gap(one: ProbeRecord, validation_total: float) -> float:
    return validation_total - sum(one.train_totals.values()) / len(one.train_totals)


def _is_early(end: Ending, tolerance: int) -> bool:
    return end.first_stop is not None and end.first_stop < end.num_positions - 1 - tolerance


def _share(facts: Iterator[bool]) -> float:
    known = list(facts)
    return round(sum(known) / len(known), DIGITS)


def _require_same(
    recipe: str, probes: Sequence[ProbeRecord], evaluations: Sequence[EvaluationRecord]
) -> None:
    probed = {one.candidate: one.checkpoint_sha256 for one in probes}
    known = {
        one.candidate: one.checkpoint_sha256 for one in evaluations if one.candidate != evidence.ZERO_SHOT
    }
    problems = [f"{name} was evaluated but not probed" for name in sorted(set(known) - set(probed))]
    problems += [f"{name} was probed but not evaluated" for name in sorted(set(probed) - set(known))]
    problems += [
        f"{name}: other weights were probed than evaluated"
        for name in sorted(set(known) & set(probed))
        if known[name] != probed[name]
    ]
    for one in probes:
        for own, other in ((one.own_text, one.other_text), (probes[0].own_text, one.own_text), (probes[0].endings, one.endings),
                           (probes[0].general_totals, one.general_totals), (probes[0].train_totals, one.train_totals)):  # fmt: skip
            if set(own) != set(other):
                problems.append(f"{one.candidate}: other clips were probed than for {probes[0].candidate}")
                break
    if problems:
        raise SelectionError(
            f"runs/{recipe}: no decision is possible, probes.jsonl does not fit evaluations.jsonl:\n{listing(problems)}\nRun: dvc repro -f -s evaluate@{recipe}"
        )
