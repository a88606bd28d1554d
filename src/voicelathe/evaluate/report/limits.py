"""What limits the evidence of a selection? Few lines, few recordings, what nobody measured, what listeners cannot tell."""

from collections.abc import Iterator, Sequence

from voicelathe.evaluate import ceilings, failures, scores, statistics
from voicelathe.evaluate.listening import preferences
from voicelathe.evaluate.report import wording
from voicelathe.records import Listening, Probed, Selection


def notes(
    selection: Selection, powerless: Sequence[str], has_foreign_verdict: bool, few_recordings: int
) -> Iterator[str]:
    """Each a sentence; the selection itself has no notes yet."""
    if not selection.base_trained:
        yield "Untrained base: its weights are random, so beating it says nothing about a voice."
    yield from _power(selection)
    yield from _race(selection)
    yield from ceilings.notes(selection)
    yield from _size(selection, few_recordings)
    if powerless:
        yield f"Vetoes that no metric could show in these samples: {', '.join(powerless)}."
    if selection.probes and not any(_reads(one) for one in selection.probes):
        yield "Another clip's text raises the loss of no candidate measurably, nor that of the base: none is shown to read its text."
    for names in selection.identical:
        yield f"Identical on every clip: {', '.join(wording.spoken(selection, name) for name in names)}."
    yield from _runaways(selection)
    yield from _base(selection)
    if has_foreign_verdict:
        yield "There is a listening verdict on other samples than these; it was not counted. Listen again, or delete it."
    if selection.listening is not None:
        yield from _listening(selection.listening)
        yield from _anchors(selection)


def _power(selection: Selection) -> Iterator[str]:
    """What so many lines can show: the half-widths of the intervals of the candidate that the decision is about."""
    name = selection.against_base.candidate if selection.against_base else None
    here = next((one for one in selection.evidence if one.candidate == name), None)
    tests = [one.test for one in here.guards if one.test is not None] if here else []
    tests += [here.gain] if here and here.gain else []
    if tests:
        known = [f"{(one.interval.high - one.interval.low) / 2:.3f} in {one.measure}" for one in tests]
        lines = max(one.lines for one in tests)
        yield (
            f"With {lines} line{'s' if lines > 1 else ''}, differences smaller than about {', '.join(known)} cannot be seen; "
            "four times as many lines halve that."
        )


def _race(selection: Selection) -> Iterator[str]:
    race = selection.race
    gone = sum(len(part.drops) for part in race.rounds)
    if race.ended == "budget":
        yield f"The race ended because its budget was spent, after {sum(len(part.lines) for part in race.rounds)} lines; raise listen.race's budget to hear more."
    if gone:
        yield (
            f"{gone} candidate{'s' if gone > 1 else ''} dropped out of the race early: {race.num_samples} samples instead of {race.exhaustive}. "
            f"The chance that the one which would have shipped dropped out is at most {race.error_rate:.0%}."
        )


def _size(selection: Selection, few_recordings: int) -> Iterator[str]:
    if selection.num_clips == 1:
        yield "Validation holds a single clip: its losses have no interval. Add recordings."
    elif selection.num_recordings == 1:
        yield "Validation holds a single recording: the interval over clips cannot say what another recording would give."
    elif selection.num_recordings < few_recordings:
        yield (
            f"Validation holds {selection.num_recordings} recordings; with fewer than {few_recordings} an interval over recordings is "
            "too narrow to be trusted alone, so the one over clips is given too and both must agree."
        )


def _reads(one: Probed) -> bool:
    return one.text_gap_interval is not None and one.text_gap_interval.low > 0


def _runaways(selection: Selection) -> Iterator[str]:
    runaways = [row for row in selection.ranking if any(note.code == failures.RUNAWAY for note in row.notes)]
    if runaways:
        yield f"{len(runaways)} of {len(selection.ranking)} candidates ran to the length limit on some lines without being excluded for it."


def _base(selection: Selection) -> Iterator[str]:
    """What the accent metric hears between the chosen one and the base."""
    name = selection.against_base.candidate if selection.against_base else None
    if moved := next((one for one in selection.accents if one.candidate == name), None):
        yield f"Accent shift toward the speaker, from {wording.spoken(selection, selection.base)}: {wording.accent(moved)}."
    base = next((one for one in selection.evidence if one.candidate == selection.base), None)
    if base and scores.WORDS not in base.levels:
        yield "No recogniser heard these lines, so lost words cannot be seen (docs/metrics.md)."


def _listening(listening: Listening) -> Iterator[str]:
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


def _anchors(selection: Selection) -> Iterator[str]:
    for one in selection.listening.anchors if selection.listening else []:
        if not preferences.hears(one):
            yield (
                f"Listening: sitting {one.sitting} of verdicts/{selection.recipe}.json gave the speaker's real recordings a mean score of "
                f"{one.real:.3g}, not above the candidates' median of {one.median:.3g}: it cannot tell a voice from its imitation."
            )
