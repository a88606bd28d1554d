"""Why can a candidate not ship: a veto, a guard that it fails, a stratum in which it is worse, the other base, or the race."""

from voicelathe.evaluate import guards, scores
from voicelathe.evaluate.report import wording
from voicelathe.records import Drop, Evidence, LineTest, Selection

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
    clause, test = _lost(selection, name)
    if test:
        return f"{clause} ({wording.difference(test)})"
    gone = of(selection, name).dropped
    return f"dropped out of the race: {_dropped(selection, gone)}" if gone else None


def in_short(selection: Selection, name: str) -> str | None:
    """The same without figures, for a cell of a table."""
    row = next(one for one in selection.ranking if one.candidate == name)
    if row.vetoes:
        return row.vetoes[0]
    return _lost(selection, name)[0] or ("dropped out" if of(selection, name).dropped else None)


def _lost(selection: Selection, name: str) -> tuple[str | None, LineTest | None]:
    """What a candidate loses against a base, as a clause, and by which test: a guard that it fails, a stratum, or the other base."""
    here = of(selection, name)
    for one in here.guards:
        if one.verdict == guards.FAILED and one.test is not None:
            return LOST[one.measure], one.test
    for test in here.worse_in[:1]:
        return f"{LOST[test.measure]} in {wording.stratum(test.stratum)}", test
    if here.behind is not None:
        other = wording.spoken(selection, here.behind.against)
        return f"does less than {other} in words kept \u00d7 likeness", here.behind
    return None, None


def as_clause(selection: Selection, name: str) -> str | None:
    """The same as a clause."""
    row = next(one for one in selection.ranking if one.candidate == name)
    reason = why(selection, name)
    return f"is excluded ({reason})" if row.vetoes else reason


def _dropped(selection: Selection, one: Drop) -> str:
    return wording.dropped(one, lambda name: wording.spoken(selection, name))
