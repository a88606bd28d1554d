"""Why this decision, in words that somebody who did not train the model can check against the numbers.

Reasons carry the decision; notes (`limits`) say what limits it. Both are written from the finished selection alone.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from voicelathe.evaluate import guards, scores
from voicelathe.evaluate.listening import preferences
from voicelathe.evaluate.report import exclusions, fallback, limits, wording
from voicelathe.evaluate.scoring import prosody
from voicelathe.records import NOT_SPOKEN, Comparison, Guard, Interval, Preference, Selection

MOST_EXCLUDED = 12  # candidates whose exclusion is spelled out; the table has all of them
KEPT = {scores.WORDS: "words", scores.ENDINGS: "endings", scores.QUALITY: "quality"}


def explain(
    selection: Selection, powerless: Sequence[str], has_foreign_verdict: bool, few_recordings: int
) -> Selection:
    """The selection with its reasons and notes filled in. `powerless`: vetoes that no metric could show, each with why."""
    return replace(
        selection,
        reasons=list(_reasons(selection, few_recordings)),
        notes=list(limits.notes(selection, powerless, has_foreign_verdict, few_recordings)),
    )


def chosen(selection: Selection) -> str | None:
    """The candidate that the decision is about, shipped or not."""
    return selection.against_base.candidate if selection.against_base else selection.nominee


def refusal(selection: Selection) -> str:
    """Why nothing ships, as the end of a sentence."""
    name = chosen(selection)
    if name is None:
        return "every checkpoint is excluded"
    if preferences.against_base(selection.listening, name) is False:
        return "listeners prefer the base"
    if selection.decided_by == "validation":
        return "nothing was heard, and no loss is shown to be below the base's"
    return {
        guards.NOT_SHOWN: "no checkpoint is shown to lose nothing",
        guards.NOT_MEASURED: "no checkpoint is shown to be nearer to the speaker than the base",
        guards.DROPPED: "every checkpoint that is not excluded dropped out of the race",
    }.get(
        exclusions.of(selection, name).standing,
        "of the checkpoints that lose nothing, none is shown to be nearer to the speaker than the base",
    )


def _reasons(selection: Selection, few_recordings: int) -> Iterator[str]:
    name = chosen(selection)
    if name is None or selection.nominee is None:
        yield "No checkpoint is left to ship."
        yield from _excluded(selection)
        yield from _by_loss(selection)
        yield from fallback.sentence(selection)
        return
    if selection.base_because:
        yield f"{_sentence(wording.spoken(selection, selection.base))} is to be beaten: {selection.base_because}."
    yield from _listeners(selection, name)
    if selection.decided_by == "validation":
        yield from _by_validation(selection, name)
    else:
        yield _nominated(selection)
        yield from _guards(selection, name)
        yield from _gain(selection, name)
        yield from filter(None, [prosody.sentence(selection, name)])
    yield from _unheard(selection, name)
    yield from _excluded(selection)
    yield from _by_loss(selection)
    yield from _last_checkpoint(selection, name)
    yield from fallback.sentence(selection)


def _nominated(selection: Selection) -> str:
    """Why the nominee is the one that the decision is about."""
    assert selection.nominee is not None
    here = exclusions.of(selection, selection.nominee)
    equals = [
        one.candidate
        for one in selection.evidence
        if one.standing == here.standing and not _is_base(selection, one.candidate)
    ]
    whom = {
        guards.PASSES: "that lose nothing and are shown to be nearer to the speaker",
        guards.NO_GAIN: "that lose nothing",
        guards.NOT_SHOWN: "that are not shown to lose anything",
        guards.NOT_MEASURED: "that could not be judged in everything",
        guards.DROPPED: "that dropped out of the race",
    }[here.standing]
    name, own = wording.spoken(selection, selection.nominee), here.levels.get(scores.LIKENESS)
    like = f" (likeness {own.mean:.3f})" if own else ""
    if len(equals) == 1:
        return f"{_sentence(name)}{like} is the only checkpoint of those {whom}."
    return f"{_sentence(name)}{like} is the nearest to the speaker, or tied with it, of {len(equals)} checkpoints {whom}."


def _guards(selection: Selection, name: str) -> Iterator[str]:
    """What it keeps, and what is not shown."""
    here, base = exclusions.of(selection, name), wording.spoken(selection, selection.base)
    for one in here.guards:
        if one.verdict == guards.PASSED and one.test is not None and one.test.interval.high < 0.0:
            yield f"In {KEPT[one.measure]} it is worse than {base}, by less than the settings forbid: listen for that first."
    kept = [one for one in here.guards if one.verdict == guards.PASSED]
    if kept:
        yield f"It keeps {'; '.join(_guard(one) for one in kept)}, against {base}."
    for one in here.guards:
        if one.verdict == guards.NOT_SHOWN and one.test is not None:
            more = scores.lines_needed(one.test, one.margin + one.allowance + one.test.difference)
            needed = (
                "; what it loses so far is about the margin itself, and more lines would not show otherwise"
            )
            if more:
                needed = f"; about {more} lines would show it, if nothing changes"
            yield f"It is not shown to keep its {KEPT[one.measure]}: {_guard(one)}{needed}."
        elif one.verdict == guards.NOT_MEASURED:
            heard = f": {one.test.lines} of {here.lines} lines were judged" if one.test else ""
            yield f"Whether it keeps its {KEPT[one.measure]} was not measured{heard}."


def _guard(one: Guard) -> str:
    """`words (−0.01, 90 % interval −0.03 to 0.02 over 24 lines; a loss up to 0.05 does not count)`."""
    assert one.test is not None
    granted = (
        f", and the speaker's own recordings are {one.allowance:.2f} below the base" if one.allowance else ""
    )
    return f"{KEPT[one.measure]} ({wording.difference(one.test)}; a loss up to {one.margin:g} does not count{granted})"


def _gain(selection: Selection, name: str) -> Iterator[str]:
    gain = exclusions.of(selection, name).gain
    if gain is None:
        yield "Whether the voice came nearer to the speaker was not measured."
        return
    word = (
        "It is nearer to the speaker than"
        if guards.is_nearer(gain)
        else "It is not shown to be nearer to the speaker than"
    )
    yield f"{word} {wording.spoken(selection, gain.against)}: {wording.difference(gain)}, corrected {wording.chance(gain.p_better)}."


def _by_validation(selection: Selection, name: str) -> Iterator[str]:
    """Nothing was heard: the losses nominate."""
    comparison = selection.against_base
    assert comparison is not None
    row = next(one for one in selection.ranking if one.candidate == name)
    yield f"Nothing was heard, so the losses nominate {wording.spoken(selection, name)}: the lowest total without a veto, {row.total:.6f}."
    side = "below" if comparison.difference < 0 else "above"
    yield (
        f"Its validation total is {_distance(comparison)} {side} that of {wording.spoken(selection, comparison.against)}, {_intervals(comparison)}. "
        "Losses alone never ship a voice."
    )
    yield from _weights(selection)


def _listeners(selection: Selection, name: str) -> Iterator[str]:
    listening = selection.listening
    for one in listening.against_nominee if listening else []:
        if one.candidate == name and preferences.is_preferred(one):
            yield f"Listeners overrule the nomination of {wording.spoken(selection, selection.nominee)}: {heard(selection, one)}."
    for one in listening.against_base if listening else []:
        if one.candidate == name and preferences.is_significant(one) and selection.decided_by == "listening":
            yield f"Listeners decide: {heard(selection, one)}."


def _unheard(selection: Selection, name: str) -> Iterator[str]:
    """Losses are no voice: what nobody heard does not ship by itself."""
    recipe, who = selection.recipe, wording.spoken(selection, name)
    again = f"dvc repro -f -s listen@{recipe} select@{recipe}"
    last = f"or take it on the record: voicelathe promote {recipe} --candidate {name} --because TEXT"
    if selection.unheard == NOT_SPOKEN:
        yield (
            f"Nothing was heard of {who}: it spoke no line, because upstream's code for speech is not installed. `voicelathe env list` "
            f"says how to create it; then: {again}; {last}"
        )
    elif selection.unheard:
        yield (
            f"Not everything that a guard asks was measured of {who}. Listen to runs/{recipe}/listening.html and import the verdict, or give "
            f"listen.metrics a recogniser for these languages and a speaker metric, then: {again}; {last}"
        )


def _excluded(selection: Selection) -> Iterator[str]:
    """Every checkpoint that cannot ship, with the guard or the veto that says so."""
    named = [
        (row.candidate, why)
        for row in selection.ranking
        if row.step and (why := exclusions.why(selection, row.candidate))
    ]
    for name, why in named[:MOST_EXCLUDED]:
        yield f"Excluded: {wording.spoken(selection, name)}: {why}."
    if len(named) > MOST_EXCLUDED:
        yield f"Excluded as well: {len(named) - MOST_EXCLUDED} more; the table of candidates says why."


def _by_loss(selection: Selection) -> Iterator[str]:
    """Whom the loss would have shipped."""
    if (
        selection.by_loss is None
        or selection.by_loss == selection.selected
        or selection.decided_by == "validation"
    ):
        return
    which = exclusions.as_clause(selection, selection.by_loss)
    yield f"The loss would have shipped {wording.spoken(selection, selection.by_loss)}" + (
        f", which {which}." if which else "."
    )


def _last_checkpoint(selection: Selection, name: str) -> Iterator[str]:
    last_step = max(row.step for row in selection.ranking)
    last = min((row for row in selection.ranking if row.step == last_step), key=lambda row: row.total)
    here = next(row for row in selection.ranking if row.candidate == name)
    if last.step != here.step and last.total > here.total:
        better = [part for part, value in sorted(last.losses.items()) if value < here.losses[part]]
        trap = f", although its {' and '.join(better)} loss is the lower one" if better else ""
        yield f"The last checkpoint, {wording.spoken(selection, last.candidate)}, has a total {last.total - here.total:.4f} worse{trap}."


def _weights(selection: Selection) -> Iterator[str]:
    """How far each weight may move before validation would nominate another candidate."""
    for one in selection.robustness:
        weight = selection.loss_weights[one.component]
        here = one.low <= weight and (one.high is None or weight <= one.high)
        if here and selection.nominee in one.candidates and (one.low > 0 or one.high is not None):
            reach = f"from {one.low:.3g} up" if one.high is None else f"from {one.low:.3g} to {one.high:.3g}"
            yield f"The nomination is the same for every weight of {one.component} {reach} (set to {weight:g})."


def heard(selection: Selection, one: Preference) -> str:
    return (
        f"{wording.spoken(selection, one.candidate)} was preferred to {wording.spoken(selection, one.against)} {one.wins} to {one.losses} "
        f"({one.ties} ties, corrected p = {one.p_holm:.3g})"
    )


def _is_base(selection: Selection, name: str) -> bool:
    return next(row for row in selection.ranking if row.candidate == name).step == 0


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


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
