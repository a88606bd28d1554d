"""Why can a candidate not ship: a veto, a guard that it fails, a stratum in which it is worse, the other base, or the race."""

from voicelathe.evaluate import guards, scores
from voicelathe.evaluate.report import wording
from voicelathe.records import Drop, Evidence, Selection

LOST = {
    scores.WORDS: "loses words",
    scores.ENDINGS: "does not end its lines as the base does",
    scores.QUALITY: "is worse to hear",
    scores.LIKENESS: "is less like the speaker",
}


def of(selection: Selection, name: str) -> Evidence:
    """What was heard of a candidate."""
    return next(one for one in selection.evidence if one.candidate == name)


def why(selection: Selection, name: str) -> str | None:
    """Why a candidate cannot ship: a veto, a guard it fails, a stratum, or the race; None where nothing speaks against it."""
    row = next(one for one in selection.ranking if one.candidate == name)
    if row.vetoes:
        return row.vetoes[0]
    if lost := _lost(selection, name):
        return lost
    here = of(selection, name)
    return f"dropped out of the race: {_dropped(selection, here.dropped)}" if here.dropped else None


def _lost(selection: Selection, name: str) -> str | None:
    """What a candidate loses against the base, as a clause: a guard that it fails, or a stratum."""
    here = of(selection, name)
    for one in here.guards:
        if one.verdict == guards.FAILED and one.test is not None:
            return f"{LOST[one.measure]} ({wording.difference(one.test)})"
    for test in here.worse_in[:1]:
        return f"{LOST[test.measure]} in {wording.stratum(test.stratum)} ({wording.difference(test)})"
    if here.behind is not None:
        other = wording.spoken(selection, here.behind.against)
        return f"does less than {other} in words kept \u00d7 likeness ({wording.difference(here.behind)})"
    return None


def as_clause(selection: Selection, name: str) -> str | None:
    """The same as a clause."""
    row = next(one for one in selection.ranking if one.candidate == name)
    reason = why(selection, name)
    return f"is excluded ({reason})" if row.vetoes else reason


def _dropped(selection: Selection, one: Drop) -> str:
    return wording.dropped(one, lambda name: wording.spoken(selection, name))
