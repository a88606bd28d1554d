"""Why this decision, in words that somebody who did not train the model can check against the numbers.

Reasons carry the decision; notes say what limits it. Both are written from the finished selection alone.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from voicelathe.evaluate import bar, design, evidence, preferences, statistics, strengths
from voicelathe.records import (
    NOT_SPOKEN,
    AccentShift,
    Comparison,
    Interval,
    Listening,
    Preference,
    Probed,
    Selection,
)


def explain(
    selection: Selection, powerless: Sequence[str], has_foreign_verdict: bool, few_recordings: int
) -> Selection:
    """The selection with its reasons and notes filled in. `powerless`: vetoes that no metric could show, each with why."""
    return replace(
        selection,
        reasons=list(_reasons(selection, few_recordings)),
        notes=list(_notes(selection, powerless, has_foreign_verdict, few_recordings)),
    )


def spoken(selection: Selection, name: str | None) -> str:
    """A candidate as people say it; the base with its article."""
    one = next(row for row in selection.ranking if row.candidate == name)
    label = design.label(one.step, one.lora_scale, one.candidate == evidence.ZERO_SHOT)
    return label if one.step else f"the {label}"


def _reasons(selection: Selection, few_recordings: int) -> Iterator[str]:
    if selection.nominee is None:
        yield "Every checkpoint has a veto: " + "; ".join(
            f"{spoken(selection, row.candidate)} ({row.vetoes[0]})"
            for row in selection.ranking
            if row.vetoes and row.step
        )
        return
    chosen = selection.against_base.candidate if selection.against_base else selection.nominee
    nominee = next(row for row in selection.ranking if row.candidate == selection.nominee)
    yield f"Validation nominates {spoken(selection, nominee.candidate)}: the lowest total without a veto, {nominee.total:.6f}."
    if chosen != selection.nominee:
        yield _overruled(selection, chosen)
    elif selection.decided_by == "listening":
        yield from _kept(selection)
    yield from _base_reasons(selection, chosen)
    yield from _unheard(selection, chosen)
    if selection.against_runner_up is not None:
        yield _runner_up(selection, selection.against_runner_up, few_recordings)
    yield from _last_checkpoint(selection, chosen)
    yield from _weights(selection)


def _overruled(selection: Selection, chosen: str) -> str:
    """By listeners, or by metrics at another strength of the same step."""
    for one in selection.listening.against_nominee if selection.listening else []:
        if one.candidate == chosen and preferences.is_preferred(one):
            return f"Listeners overrule it: {_heard(selection, one)}."
    return f"{_by_metrics(selection, chosen)}, worse on none that counts."


def _kept(selection: Selection) -> Iterator[str]:
    """The nominee, where listeners refuse the strength that metrics prefer."""
    eligible = [row.candidate for row in selection.ranking if row.step and not row.vetoes]
    preferred = strengths.preferred(selection.strengths, eligible)
    against = preferences.refused(preferred, selection.listening) if selection.listening else None
    if preferred and against:
        turned = replace(
            against,
            candidate=against.against,
            against=against.candidate,
            wins=against.losses,
            losses=against.wins,
        )
        yield f"{_by_metrics(selection, preferred)}; listeners overrule them: {_heard(selection, turned)}."


def _by_metrics(selection: Selection, name: str) -> str:
    figures = ", ".join(
        f"{one.figure} {one.wins} to {one.losses}, corrected p = {one.p_holm:.2g}"
        for one in selection.strengths
        if one.candidate == name and one.p_holm < strengths.SIGNIFICANT
    )
    return f"Metrics prefer {spoken(selection, name)}: better on more lines ({figures})"


def _base_reasons(selection: Selection, chosen: str) -> Iterator[str]:
    comparison = selection.against_base
    assert comparison is not None
    base = next(row for row in selection.ranking if row.candidate == selection.base)
    side = "below" if comparison.difference < 0 else "above"
    distance = f"{_distance(comparison)} {side} {spoken(selection, comparison.against)} ({base.total:.4f})"
    ships = selection.decision != "do_not_ship"
    whom = "the better of the two bases" if selection.base_because else "the base"
    if selection.base_because:
        yield f"The base to beat is {spoken(selection, selection.base)}: {selection.base_because}."
    word = f"It beats {whom}" if ships else f"It is not shown to beat {whom}"
    yield (
        f"{word} on the validation clips: {distance}, {_intervals(comparison)}."
        if selection.decided_by == "validation"
        else (f"On the validation clips it is {distance}, {_intervals(comparison)}.")
    )
    heard = [
        one
        for one in (selection.listening.against_base if selection.listening else [])
        if one.candidate == chosen
    ]
    if heard and selection.decided_by == "listening":
        yield f"Against the base, {_heard(selection, heard[0])}."


def _unheard(selection: Selection, chosen: str) -> Iterator[str]:
    """Losses are no voice: what nobody heard does not ship by itself."""
    recipe, name = selection.recipe, spoken(selection, chosen)
    again = f"dvc repro -f listen@{recipe} select@{recipe}"
    last = f"or take it on the record: voicelathe promote {recipe} --candidate {chosen} --because TEXT"
    if selection.unheard == NOT_SPOKEN:
        yield (
            f"Nothing was heard of {name}: it spoke no line, because upstream's code for speech is not installed. `voicelathe env list` "
            f"says how to create it; then: {again}; {last}"
        )
    elif selection.unheard:
        yield (
            f"Nothing was heard of {name}: it spoke, but no metric measured a sample and nobody's verdict is counted. Listen to "
            f"runs/{recipe}/listening.html and import the verdict, or correct listen.metrics, then: {again}; {last}"
        )


def _runner_up(selection: Selection, ahead: Comparison, few_recordings: int) -> str:
    row = next(row for row in selection.ranking if row.candidate == ahead.against)
    text = f"Runner-up is {spoken(selection, ahead.against)}, {_distance(ahead)} {'behind' if ahead.difference <= 0 else 'ahead'}"
    tied = [one.candidate for one in selection.ranking if one.is_tied and one.step and not one.vetoes]
    if not tied or ahead.candidate != selection.nominee:
        return f"{text}, {_intervals(ahead)}."
    names = ", ".join(spoken(selection, name) for name in tied)
    return f"{text}, {_intervals(ahead)}{': a tie' if row.is_tied else ''}. Cannot be told from the nominee: {names}; inside a tie the nominee stays."


def _last_checkpoint(selection: Selection, chosen: str) -> Iterator[str]:
    last_step = max(row.step for row in selection.ranking)
    last = min((row for row in selection.ranking if row.step == last_step), key=lambda row: row.total)
    here = next(row for row in selection.ranking if row.candidate == chosen)
    if last.step != here.step and last.total > here.total:
        better = [name for name, value in sorted(last.losses.items()) if value < here.losses[name]]
        trap = f", although its {' and '.join(better)} loss is the lower one" if better else ""
        yield f"The last checkpoint, {spoken(selection, last.candidate)}, is {last.total - here.total:.4f} worse{trap}."


def _weights(selection: Selection) -> Iterator[str]:
    """How far each weight may move before validation would nominate another candidate."""
    for one in selection.robustness:
        weight = selection.loss_weights[one.component]
        here = one.low <= weight and (one.high is None or weight <= one.high)
        if here and selection.nominee in one.candidates and (one.low > 0 or one.high is not None):
            reach = f"from {one.low:.3g} up" if one.high is None else f"from {one.low:.3g} to {one.high:.3g}"
            yield f"The nomination is the same for every weight of {one.component} {reach} (set to {weight:g})."


def _notes(
    selection: Selection, powerless: Sequence[str], has_foreign_verdict: bool, few_recordings: int
) -> Iterator[str]:
    if not selection.base_trained:
        yield "Untrained base: its weights are random, so beating it says nothing about a voice."
    yield from _size_notes(selection, few_recordings)
    if powerless:
        yield f"Vetoes that no metric could show in these samples: {', '.join(powerless)}."
    if selection.probes and not any(_reads(one) for one in selection.probes):
        yield "Another clip's text raises the loss of no candidate measurably, nor that of the base: none is shown to read its text."
    for names in selection.identical:
        yield f"Identical on every clip: {', '.join(spoken(selection, name) for name in names)}."
    for row in selection.ranking if selection.nominee is not None else ():
        yield from (
            f"Excluded: {spoken(selection, row.candidate)} ({veto})." for veto in row.vetoes[:1] if row.step
        )
    runaways = [row for row in selection.ranking if any(note.startswith("runaway") for note in row.notes)]
    if runaways:
        why = (
            "the base ran on as well"
            if selection.base_trained
            else "an untrained base cannot show where a line ends"
        )
        yield f"{len(runaways)} of {len(selection.ranking)} candidates ran to the length limit; no veto, because {why}."
    yield from _base_notes(selection)
    yield from _strength_notes(selection)
    if has_foreign_verdict:
        yield "There is a listening verdict on other samples than these; it was not counted. Listen again, or delete it."
    if selection.listening is not None:
        yield from _listening_notes(selection.listening)
        yield from _anchor_notes(selection)


def _size_notes(selection: Selection, few_recordings: int) -> Iterator[str]:
    if selection.num_clips == 1:
        yield "Validation holds a single clip: no interval exists, so nothing can be shown to beat the base. Add recordings."
    elif selection.num_recordings == 1:
        yield "Validation holds a single recording: the interval over clips cannot say what another recording would give."
    elif selection.num_recordings < few_recordings:
        yield (
            f"Validation holds {selection.num_recordings} recordings; with fewer than {few_recordings} an interval over recordings is "
            "too narrow to be trusted alone, so the one over clips is given too and both must agree."
        )


def _reads(one: Probed) -> bool:
    return one.text_gap_interval is not None and one.text_gap_interval.low > 0


def _base_notes(selection: Selection) -> Iterator[str]:
    """The base that is not the bar, where its loss is the lower one; and what the metrics hear between the chosen one and the bar."""
    if selection.against_base is None:
        return
    chosen = next(row for row in selection.ranking if row.candidate == selection.against_base.candidate)
    for row in selection.ranking:
        if row.step == 0 and row.candidate != selection.base and row.total <= chosen.total:
            yield (
                f"The other base, {spoken(selection, row.candidate)}, has a validation total of {row.total:.4f} and is not shown to be beaten; "
                "losses with and without a prompt are not quite the same question."
            )
    if moved := next((one for one in selection.accents if one.candidate == chosen.candidate), None):
        yield f"Accent shift toward the speaker, from {spoken(selection, selection.base)}: {accent(moved)}."
    if heard := bar.described(selection.heard_against_base):
        counts = [one.figure for one in selection.heard_against_base if one.p_holm < strengths.SIGNIFICANT]
        yield f"Metrics against {spoken(selection, selection.base)}: {heard}; {'significant: ' + ', '.join(counts) if counts else 'none of it significant'}."


def accent(one: AccentShift) -> str:
    """`+0.12, 95 % interval −0.03 to 0.21 over 4 sentences`."""
    ends = one.interval
    known = f", 95 % interval {ends.low:+.2f} to {ends.high:+.2f}" if ends else ""
    over = f"{one.sentences} sentence" + ("s" if one.sentences > 1 else "")
    return f"{one.shift:+.2f}{known} over {over}".replace("-", "−")


def _strength_notes(selection: Selection) -> Iterator[str]:
    if not selection.strengths:
        return
    pairs = max(one.wins + one.losses for one in selection.strengths)
    if pairs and statistics.smallest_p(pairs) * len(selection.strengths) >= strengths.SIGNIFICANT:
        yield (
            f"Strength: {pairs} lines cannot show by metrics that another strength sounds better, however clear; "
            "add lines or seeds to recipes.*.listen, or listen."
        )
    elif not any(one.p_holm < strengths.SIGNIFICANT for one in selection.strengths):
        yield "Strength: no figure differs significantly between the strengths of the nominated step."


def _listening_notes(listening: Listening) -> Iterator[str]:
    tests = max(len(listening.against_nominee), 1)
    if statistics.smallest_p(listening.units) * tests >= 0.05:
        yield (
            f"Listening: {listening.units} units (listener x line) cannot show any preference among {tests + 1} candidates, "
            "however clear; more listeners or lines are needed."
        )
    elif not any(one.p_holm < 0.05 and one.wins > one.losses for one in listening.against_nominee):
        yield "Listening: no clear winner over the nominee."
    if listening.consistent_share is not None:
        yield f"Listening: {listening.consistent_share:.0%} of {listening.repeated_pairs} hidden repeats were judged the same way again."


def _anchor_notes(selection: Selection) -> Iterator[str]:
    for one in selection.listening.anchors if selection.listening else []:
        if not preferences.hears(one):
            yield (
                f"Listening: sitting {one.sitting} of verdicts/{selection.recipe}.json gave the speaker's real recordings a mean score of "
                f"{one.real:.3g}, not above the candidates' median of {one.median:.3g}: it cannot tell a voice from its imitation."
            )


def _heard(selection: Selection, one: Preference) -> str:
    return (
        f"{spoken(selection, one.candidate)} was preferred to {spoken(selection, one.against)} {one.wins} to {one.losses} "
        f"({one.ties} ties, corrected p = {one.p_holm:.3g})"
    )


def _intervals(comparison: Comparison) -> str:
    """Both intervals of the distance in the direction the sentence names it, or that there is none."""
    parts = [("recordings", comparison.by_recording), ("clips", comparison.by_clip)]
    known = [
        f"{_interval(comparison, interval)} over {over}" for over, interval in parts if interval is not None
    ]
    return "95 % interval " + ", ".join(known) if known else "no interval"


def _interval(comparison: Comparison, interval: Interval) -> str:
    low, high = (
        (-interval.high, -interval.low) if comparison.difference < 0 else (interval.low, interval.high)
    )
    digits = _digits(comparison)
    return f"{low:.{digits}f} to {high:.{digits}f}".replace("-", "\u2212")


def _distance(comparison: Comparison) -> str:
    return f"{abs(comparison.difference):.{_digits(comparison)}f}"


def _digits(comparison: Comparison) -> int:
    """More of them for candidates that are close together."""
    return 4 if abs(comparison.difference) >= 0.01 else 6
